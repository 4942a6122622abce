"""What sending needs to know of a communication service and of a domain."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from email_core.auth.hmac_access_key import AccessKey
from email_core.domains.documents import Limit
from email_core.signing.dkim import SigningKey

SERVICE_KEY_LENGTH = 10  # characters of base32: 50 bits, short enough for a reverse-path


@dataclass(frozen=True, slots=True)
class CommunicationService:
    """A communication service. `key` names it in partition keys and reverse-paths; `key_limits` are those of extra access keys,
    by their names.
    """

    resource_id: str
    key: str
    name: str
    host_name: str
    linked_domains: tuple[str, ...]
    access_keys: tuple[AccessKey, ...]
    local_auth_disabled: bool = False
    limits: tuple[Limit, ...] = ()
    key_limits: Mapping[str, tuple[Limit, ...]] = field(default_factory=dict)
    public_network_access: str = "Enabled"

    @property
    def is_public(self) -> bool:
        """Whether it may be called from the Internet."""
        return self.public_network_access == "Enabled"


@dataclass(frozen=True, slots=True)
class SendingDomain:
    """A domain that mail is sent from. `sender_usernames` maps the lower-case local part to its display name.

    `name` is the A-label form in lower case; `signing_keys` sign for the domain or, for a managed domain, for the
    platform's domain under relaxed alignment (RFC 7489 section 3.1.1). `mail_from_domain` is that of reverse-paths, empty for
    the platform's. `paused` is why it may not send for now, with the remedy; empty while it may. `suppression_lists` are the
    customer's: the sender username that one is for, empty for the whole domain, and the key of its addresses.
    """

    resource_id: str
    name: str
    managed: bool
    verified: bool
    mail_from_domain: str
    sender_usernames: Mapping[str, str]
    signing_keys: tuple[SigningKey, ...]
    any_sender: bool = False
    paused: str = ""
    limits: tuple[Limit, ...] = ()
    engagement_tracking: bool = False
    suppression_lists: tuple[tuple[str, str], ...] = ()


def service_key(immutable_resource_id: str) -> str:
    """The key of a service: 10 characters of a-z2-7 from its immutable resource id. A re-created service has another."""
    digest = hashlib.sha256(immutable_resource_id.lower().encode()).digest()
    return base64.b32encode(digest).decode().lower()[:SERVICE_KEY_LENGTH]
