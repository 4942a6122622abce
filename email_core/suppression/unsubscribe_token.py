"""Tokens that let a recipient off a sending domain's mail: by mail to `unsubscribe+TOKEN@bounce-domain`, or by a link. Pure.

A token is 52 characters of lower-case base32 (RFC 4648 section 6), so that with `unsubscribe+` it is exactly the 64 octets of a
local part (RFC 5321 section 4.5.3.1.1), in whatever case it comes back:

    K DDDDDDDDDD RRRRRRRRRRRRRRR MMMMMMMMMMMMMMMMMMMMMMMMMM

K names the key, D is a hash of the sending domain's resource id, R 75 bits of a keyed hash of the recipient, and M the first
128 bits of an HMAC-SHA256 over all of that. An address has no room there, so it comes beside the token: in the subject of the
mail or as a parameter of the link. M says that the token is ours, without any other knowledge; R that the address is the one it
was made for. The service is not in it: the suppression list is the domain's, whichever service sent.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from email_core.message.address import Address

PREFIX = "unsubscribe+"
PURPOSE = "unsubscribe"  # of the keys: Sealer.derived_keys
DOMAIN_LENGTH = 10
_RECIPIENT_LENGTH = 15
_MAC_BYTES = 16
_token = re.compile(r"([a-z2-7])([a-z2-7]{10})([a-z2-7]{15})([a-z2-7]{26})")
_key_id = re.compile(r"[a-z2-7]")


@dataclass(frozen=True, slots=True)
class UnsubscribeToken:
    """What a genuine token says. `domain_key` is `domain_key` of the sending domain."""

    key_id: str
    domain_key: str
    recipient: str

    def is_for(self, address: Address, keys: Mapping[str, bytes]) -> bool:
        """Whether the token was made for this address."""
        key = keys.get(self.key_id)
        return key is not None and hmac.compare_digest(_recipient(key, self.domain_key, address), self.recipient)


def domain_key(resource_id: str) -> str:
    """The name of a sending domain in tokens, from its resource id."""
    return _base32(hashlib.sha256(resource_id.lower().encode()).digest())[:DOMAIN_LENGTH]


def make_token(*, domain_id: str, recipient: Address, key_id: str, key: bytes) -> str:
    """The token of a recipient for a sending domain (its resource id). Raises ValueError for a wrong key id."""
    if not _key_id.fullmatch(key_id):
        raise ValueError("a key id is one character of a-z2-7")
    name = domain_key(domain_id)
    said = f"{name}{_recipient(key, name, recipient)}"
    return f"{key_id}{said}{_mac(key, key_id, said)}"


def read_token(text: str, keys: Mapping[str, bytes]) -> UnsubscribeToken | None:
    """What a token says, or None when none of our keys made it. The time that it takes does not tell what is wrong."""
    found = _token.fullmatch(text.lower())
    if not found:
        return None
    key_id, name, recipient, mac = found.groups()
    key = keys.get(key_id)
    expected = _mac(key or b"no such key", key_id, f"{name}{recipient}")
    if not hmac.compare_digest(expected, mac) or key is None:
        return None
    return UnsubscribeToken(key_id, name, recipient)


def read_address(address: str, keys: Mapping[str, bytes]) -> UnsubscribeToken | None:
    """The token of an address `unsubscribe+TOKEN@...`; None when it is none of ours. The domain is the caller's to judge."""
    local = address.rpartition("@")[0].lower()
    return read_token(local.removeprefix(PREFIX), keys) if local.startswith(PREFIX) else None


def mailto(token: str, recipient: Address, bounce_domain: str) -> str:
    """The URI for List-Unsubscribe (RFC 2369): the address with the token, and a subject that names the recipient."""
    return f"mailto:{PREFIX}{token}@{bounce_domain}?subject={quote(f'unsubscribe {recipient.addr_spec}', safe='@.')}"


def _recipient(key: bytes, name: str, address: Address) -> str:
    # The words in front keep this use of the key apart from the other one.
    return _base32(_digest(key, f"postrider unsubscribe recipient 1 {name} {address.key}"))[:_RECIPIENT_LENGTH]


def _mac(key: bytes, key_id: str, said: str) -> str:
    return _base32(_digest(key, f"postrider unsubscribe 1 {key_id} {said}")[:_MAC_BYTES])


def _digest(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _base32(octets: bytes) -> str:
    return base64.b32encode(octets).decode().rstrip("=").lower()
