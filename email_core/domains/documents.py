"""The documents of resources, as the table `resources` keeps them: JSON, with names in camel case.

A field that is added later needs a default, so that what an older version wrote can still be read. Times are seconds since the
epoch. Secrets are sealed, with the key of the resource id (lower case) as their context.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

import msgspec

from email_core.management.resource_id import (
    ACCESS_KEYS,
    COMMUNICATION_SERVICES,
    DOMAINS,
    EMAIL_SERVICES,
    EVENT_SUBSCRIPTIONS,
    SENDER_USERNAMES,
    SMTP_USERNAMES,
    SUPPRESSION_LISTS,
    Kind,
)

SUCCEEDED = "Succeeded"
DELETING = "Deleting"

AZURE_MANAGED = "AzureManaged"
CUSTOMER_MANAGED = "CustomerManaged"
AZURE_MANAGED_NAME = "AzureManagedDomain"  # what the one managed domain of an email service is called, as in ACS

# What ACS wants verified before a domain may be linked; DMARC is advice.
REQUIRED = ("Domain", "SPF", "DKIM", "DKIM2")
VERIFICATION_TYPES = (*REQUIRED, "DMARC")
MAIL_FROM = "MailFrom"  # ours: the MX and SPF records of the domain of the reverse-path
RECORD_STATES = (*VERIFICATION_TYPES, MAIL_FROM)


class Status(StrEnum):
    """Of one of the five records of a domain (VerificationStatus of ACS)."""

    NOT_STARTED = "NotStarted"
    REQUESTED = "VerificationRequested"
    IN_PROGRESS = "VerificationInProgress"
    FAILED = "VerificationFailed"
    VERIFIED = "Verified"
    CANCELLATION_REQUESTED = "CancellationRequested"


class SystemData(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True):
    """Who made a resource and who changed it last. `kind` is User, Application, ManagedIdentity or Key, as ARM has them."""

    created_by: str = ""
    created_by_type: str = ""
    created_at: float = 0.0
    last_modified_by: str = ""
    last_modified_by_type: str = ""
    last_modified_at: float = 0.0


class Document(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """What all resources have. `id` is the resource id as it is shown."""

    id: str
    name: str
    provisioning_state: str = SUCCEEDED
    system_data: SystemData = SystemData()


class TrackedDocument(Document, kw_only=True):
    """What the resources with a location have."""

    location: str = "global"
    tags: dict[str, str] = {}
    data_location: str = ""


class Limit(msgspec.Struct, rename="camel", frozen=True):
    """How many of `unit` ("messages" or "recipients") in each window ("minute", "hour" or "day")."""

    unit: str
    window: str
    most: int


class EmailServiceDocument(TrackedDocument, kw_only=True):
    """An Email Communication Service: domains are below it."""


class ServiceDocument(TrackedDocument, kw_only=True):
    """A communication service. `key` names it in partition keys and reverse-paths; linked domains are ids in lower case."""

    key: str
    immutable_resource_id: str
    host_name: str
    primary_key: str
    secondary_key: str
    linked_domains: list[str] = []
    disable_local_auth: bool = False
    public_network_access: str = "Enabled"
    notification_hub_id: str = ""
    identity: dict[str, object] | None = None
    limits: tuple[Limit, ...] = ()


class AccessKeyDocument(Document, kw_only=True):
    """An extra key of a communication service, ours and not of ACS.

    Empty `domains` and `source_ranges` mean all; `expires_at` 0 means never. `send_only`: it may not read what became of mail.
    `service` is the key of the service that it was made for: one that is made again under the same name is another one.
    """

    secret: str
    service: str = ""
    send_only: bool = True
    domains: tuple[str, ...] = ()
    source_ranges: tuple[str, ...] = ()
    expires_at: float = 0.0
    limits: tuple[Limit, ...] = ()


class SelectorDocument(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """A DKIM selector. A domain has two slots, 1 and 2, each with an RSA and an Ed25519 selector; `active` ones sign.

    `made_at` is 0 where an older version did not write it.
    """

    name: str
    private_key: str
    public_record: str = ""
    active: bool = False
    slot: int = 1
    made_at: float = 0.0


class StateDocument(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """How far the verification of one record is. `run` names the run that may change it; items of earlier runs are dropped.

    `found`, `expected`, `reason` and `remedy` are what the last look at the DNS came to; `lost_since` is when a record that
    was verified was missed first, 0 while it is there.
    """

    status: Status = Status.NOT_STARTED
    error_code: str = ""
    run: str = ""
    started_at: float = 0.0
    checked_at: float = 0.0
    next_check_at: float = 0.0
    attempt: int = 0
    found: tuple[str, ...] = ()
    expected: str = ""
    reason: str = ""
    remedy: str = ""
    lost_since: float = 0.0


class RotationDocument(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """A DKIM rotation on its way; `domains/key_rotation.py` has the stages. `replaced` are the public keys before new ones."""

    run: str
    stage: str
    to_slot: int
    started_at: float
    stage_since: float
    next_at: float = 0.0
    reason: str = ""
    replaced: tuple[str, ...] = ()


class DomainDocument(TrackedDocument, kw_only=True):
    """A domain that mail is sent from. `from_sender_domain` is its A-label form in lower case, whatever the resource's name is.

    `mail_from_sender_domain` is the domain of the reverse-path that its owner wants, empty for the platform's; mail carries it
    from when the state MailFrom is Verified on. `paused_since` is when sending was stopped because records are gone, 0 while it
    may send. Selectors are empty for a managed domain: the platform's sign.
    """

    domain_management: str
    from_sender_domain: str
    verification_token: str
    mail_from_sender_domain: str = ""
    verification_states: dict[str, StateDocument] = {}
    signing_domain: str = ""
    selectors: list[SelectorDocument] = []
    rotation: RotationDocument | None = None
    rotated_at: float = 0.0
    user_engagement_tracking: str = "Disabled"
    any_sender: bool = False
    paused_since: float = 0.0
    last_verified_at: float = 0.0  # when all required records were last seen
    health: dict[str, object] | None = None  # the last health report, as the API shows it
    dmarc_policy: str = "none"
    limits: tuple[Limit, ...] = ()

    @property
    def verified(self) -> bool:
        """Whether it may be linked: all that ACS requires was verified."""
        return all(self.state(kind).status is Status.VERIFIED for kind in REQUIRED)

    def state(self, kind: str) -> StateDocument:
        """The state of one record."""
        return self.verification_states.get(kind) or StateDocument()

    @property
    def lost(self) -> tuple[str, ...]:
        """The records that were verified and are missed now."""
        return tuple(kind for kind in RECORD_STATES if self.state(kind).lost_since)

    @property
    def reverse_path_domain(self) -> str:
        """The domain of reverse-paths, empty for the platform's: bounces find their way to what was seen in the DNS alone."""
        state = self.state(MAIL_FROM)
        return self.mail_from_sender_domain if state.status is Status.VERIFIED and not state.lost_since else ""


class PlatformDocument(Document, kw_only=True):
    """The platform's own signing keys, which sign for every managed domain."""

    signing_domain: str
    selectors: list[SelectorDocument]


class SenderDocument(Document, kw_only=True):
    """A sender username of a domain."""

    username: str
    display_name: str = ""
    data_location: str = ""


class SuppressionListDocument(Document, kw_only=True):
    """A customer's suppression list. `list_name` is a sender username, or empty for the whole domain; `key` names it in the
    table `suppressions`."""

    key: str
    list_name: str = ""
    created_at: float = 0.0
    updated_at: float = 0.0
    data_location: str = ""


class SmtpUsernameDocument(Document, kw_only=True):
    """Who may log in by SMTP. `password` is a scrypt hash, empty while none was made."""

    username: str
    entra_application_id: str
    tenant_id: str
    password: str = ""
    password_made_at: float = 0.0
    limits: tuple[Limit, ...] = ()


class EventSubscriptionDocument(Document, kw_only=True):
    """Where events of a communication service go. `destination` is as ARM shows it, without secrets; the endpoint is sealed."""

    destination: dict[str, object]
    endpoint: str = ""
    filter: dict[str, object] = {}
    event_delivery_schema: str = "EventGridSchema"
    retry_policy: dict[str, object] = {}
    labels: tuple[str, ...] = ()
    expires_at: float = 0.0


DOCUMENTS: dict[Kind, type[Document]] = {
    EMAIL_SERVICES: EmailServiceDocument,
    COMMUNICATION_SERVICES: ServiceDocument,
    ACCESS_KEYS: AccessKeyDocument,
    DOMAINS: DomainDocument,
    SENDER_USERNAMES: SenderDocument,
    SUPPRESSION_LISTS: SuppressionListDocument,
    SMTP_USERNAMES: SmtpUsernameDocument,
    EVENT_SUBSCRIPTIONS: EventSubscriptionDocument,
}

D = TypeVar("D", bound=Document)


def decode_document(text: str, kind: type[D]) -> D:
    """The document of stored text. Raises msgspec.MsgspecError.

    Before there was a management API, a verification state was its status alone.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError:
        value = msgspec.json.decode(text)
        states = value.get("verificationStates") if isinstance(value, dict) else None
        if not isinstance(states, dict) or not any(isinstance(state, str) for state in states.values()):
            raise
        value["verificationStates"] = {
            name: {"status": state} if isinstance(state, str) else state for name, state in states.items()
        }
        return msgspec.convert(value, type=kind)
