"""The directory: communication services and sending domains, read from the table `resources` and cached for a short time.

Secrets in a document are sealed with the resource id in lower case as their context. Whatever is wrong with a document or its
keys is a ConfigurationMissing that names the resource. What is being deleted is as good as gone.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_network
from typing import TypeVar

import msgspec

from email_core import maillog
from email_core.auth.hmac_access_key import AccessKey
from email_core.clock import Clock
from email_core.domains.cached import Cached
from email_core.domains.dkim_keys import load_private_key
from email_core.domains.documents import (
    AZURE_MANAGED,
    AZURE_MANAGED_NAME,
    DELETING,
    REQUIRED,
    AccessKeyDocument,
    Document,
    DomainDocument,
    Limit,
    PlatformDocument,
    SelectorDocument,
    SenderDocument,
    ServiceDocument,
    SuppressionListDocument,
    decode_document,
)
from email_core.domains.sending import CommunicationService, SendingDomain
from email_core.errors import ConfigurationMissing, DomainNotLinked, DomainPaused, SenderUnknown
from email_core.message.address import Address
from email_core.sealing import Sealer, SealingError
from email_core.signing.dkim import SigningError, SigningKey
from email_core.storage import StoredEntity, Tables, text_literal

RESOURCES = "resources"
PROVIDER = "/providers/microsoft.communication/"
PLATFORM_ID = "/platform" + PROVIDER + "platform/default"

D = TypeVar("D", bound=Document)

__all__ = ["PLATFORM_ID", "PROVIDER", "REQUIRED", "RESOURCES", "Directory", "resource_keys"]


def resource_keys(resource_id: str) -> tuple[str, str]:
    """PartitionKey and RowKey of a resource id. Raises ValueError when it is not below Microsoft.Communication."""
    scope, provider, path = resource_id.lower().partition(PROVIDER)
    if not provider or not path:
        raise ValueError(f"{resource_id} is not a Microsoft.Communication resource id")
    return scope.strip("/").replace("/", "|"), path.replace("/", "|")


class Directory:
    """Answers who may send as whom, mostly from memory. `any_sender`: any local part of a custom domain may."""

    def __init__(self, tables: Tables, sealer: Sealer, clock: Clock, lifetime: float, *, any_sender: bool = False) -> None:
        self._tables = tables
        self._sealer = sealer
        self._clock = clock
        self._lifetime = lifetime
        self._any_sender = any_sender
        self._services = Cached(self._read_services, clock, lifetime)
        self._domains: dict[str, Cached[SendingDomain | None]] = {}

    async def services(self) -> tuple[CommunicationService, ...]:
        """Every communication service of the installation."""
        return await self._services.get()

    async def domain(self, resource_id: str) -> SendingDomain | None:
        """A domain by its resource id; None when there is none. Raises ConfigurationMissing when it can't be used."""
        cached = self._domains.get(resource_id)
        if cached is None:
            cached = self._domains[resource_id] = Cached(lambda: self._read_domain(resource_id), self._clock, self._lifetime)
        return await cached.get()

    async def sending_domain(self, service: CommunicationService, sender: Address) -> SendingDomain:
        """The verified, linked domain of a sender.

        Raises DomainNotLinked, DomainPaused or SenderUnknown, and ConfigurationMissing when only a domain that can't be used
        may be the sender's. Local parts of sender usernames are compared without case, as ACS does.
        """
        unusable: ConfigurationMissing | None = None
        for resource_id in service.linked_domains:
            if not _may_be(resource_id.rpartition("/")[2], sender.domain):
                continue
            try:
                domain = await self.domain(resource_id)
            except ConfigurationMissing as error:
                unusable = error  # most likely another one is meant
                continue
            if domain is None or not domain.verified or domain.name != sender.domain:
                continue
            if domain.paused:
                raise DomainPaused(domain.name, domain.paused)
            if not domain.any_sender and sender.local.lower() not in domain.sender_usernames:
                raise SenderUnknown(sender.local)
            return domain
        raise unusable or DomainNotLinked(sender.domain)

    async def _read_services(self) -> tuple[CommunicationService, ...]:
        # Extra keys come with the services that they are of, so that they cost no further round trip.
        rows = self._tables.query(RESOURCES, "kind eq 'communicationServices' or kind eq 'accessKeys'")
        owners: list[StoredEntity] = []
        keys: dict[tuple[str, str], list[StoredEntity]] = {}
        async for row in rows:
            if row.values.get("kind") == "accessKeys":
                keys.setdefault((str(row.values["PartitionKey"]), _row_above(row)), []).append(row)
            else:
                owners.append(row)
        services = []
        for row in owners:
            try:
                extra = keys.get((str(row.values["PartitionKey"]), str(row.values["RowKey"])), [])
                service = self._service(row, extra)
            except ConfigurationMissing as error:
                # One service with an unreadable key or document must not take the others down with it.
                maillog.fault("directory", error=error)
                continue
            if service is not None:
                services.append(service)
        return tuple(services)

    def _service(self, row: StoredEntity, key_rows: Sequence[StoredEntity]) -> CommunicationService | None:
        with _naming(row):
            document = _document(row, ServiceDocument)
            if document.provisioning_state == DELETING:
                return None
            context = document.id.lower()
            sealed = {"primary": document.primary_key, "secondary": document.secondary_key}
            main = [AccessKey(document.key, name, self._open(text, context)) for name, text in sealed.items()]
        extra = list(self._extra_keys(document.key, key_rows))
        return CommunicationService(
            resource_id=document.id,
            key=document.key,
            name=document.name,
            host_name=document.host_name.lower(),
            linked_domains=tuple(linked.lower() for linked in document.linked_domains),
            access_keys=(*main, *(key for key, _ in extra)),
            local_auth_disabled=document.disable_local_auth,
            limits=document.limits,
            key_limits={key.name: limits for key, limits in extra if limits},
            public_network_access=document.public_network_access,
        )

    def _extra_keys(self, service_key: str, rows: Sequence[StoredEntity]) -> Iterator[tuple[AccessKey, tuple[Limit, ...]]]:
        for row in rows:
            try:
                with _naming(row):
                    document = _document(row, AccessKeyDocument)
                    # One that outlived its service must not open the door of the next one of that name.
                    if document.provisioning_state == DELETING or document.service not in ("", service_key):
                        continue
                    key = AccessKey(
                        service_key, document.name, self._open(document.secret, document.id.lower()),
                        send_only=document.send_only, domains=document.domains, expires_at=document.expires_at,
                        source_ranges=tuple(ip_network(each) for each in document.source_ranges),
                    )  # fmt: skip
            except ConfigurationMissing as error:
                maillog.fault("directory", error=error)  # one key that can't be read must not take its service down
                continue
            yield key, document.limits

    async def _read_domain(self, resource_id: str) -> SendingDomain | None:
        partition, path = resource_keys(resource_id)
        query = self._tables.query(
            RESOURCES,
            f"PartitionKey eq {text_literal(partition)} and (RowKey eq {text_literal(path)}"
            f" or (RowKey ge {text_literal(path + '|')} and RowKey lt {text_literal(path + '}')}))",
        )
        rows = [row async for row in query]
        row = next((row for row in rows if row.values.get("kind") == "domains"), None)
        if row is None:
            return None
        with _naming(row):
            document = _document(row, DomainDocument)
        if document.provisioning_state == DELETING:
            return None
        senders = list(_senders(row for row in rows if row.values.get("kind") == "senderUsernames"))
        managed = document.domain_management == AZURE_MANAGED
        return SendingDomain(
            resource_id=resource_id,
            name=document.from_sender_domain,
            managed=managed,
            verified=document.verified,
            mail_from_domain=document.reverse_path_domain,
            sender_usernames={sender.username.lower(): sender.display_name for sender in senders},
            signing_keys=await self._platform_keys() if managed else self._domain_keys(row, document),
            any_sender=document.any_sender or (self._any_sender and not managed),
            paused=_paused(document),
            limits=document.limits,
            engagement_tracking=document.user_engagement_tracking == "Enabled",
            suppression_lists=tuple(_list(row) for row in rows if row.values.get("kind") == "suppressionLists"),
        )

    async def platform_keys(self) -> tuple[SigningKey, ...]:
        """The platform's own signing keys, from storage each time. Raises ConfigurationMissing."""
        return await self._platform_keys()

    async def _platform_keys(self) -> tuple[SigningKey, ...]:
        row = await self._tables.get(RESOURCES, *resource_keys(PLATFORM_ID))
        if row is None:
            raise ConfigurationMissing(
                f"the platform's signing keys are missing from table {RESOURCES}: provision the installation"
            )
        with _naming(row):
            document = _document(row, PlatformDocument)
            return self._signing_keys(document, document.signing_domain, document.selectors)

    def _domain_keys(self, row: StoredEntity, document: DomainDocument) -> tuple[SigningKey, ...]:
        with _naming(row):
            return self._signing_keys(document, document.signing_domain or document.from_sender_domain, document.selectors)

    def _signing_keys(
        self, document: Document, signing_domain: str, selectors: Sequence[SelectorDocument]
    ) -> tuple[SigningKey, ...]:
        return tuple(
            SigningKey(
                domain=signing_domain,
                selector=selector.name,
                private_key=load_private_key(self._open(selector.private_key, document.id.lower()), was_sealed=True),
            )
            for selector in selectors
            if selector.active
        )

    def _open(self, sealed: str, context: str) -> bytes:
        return base64.b64decode(self._sealer.open(sealed, context=context), validate=True)


def _row_above(row: StoredEntity) -> str:
    """The RowKey of what an entity is directly below."""
    return str(row.values["RowKey"]).rsplit("|", 2)[0]


def _may_be(resource_name: str, domain: str) -> bool:
    """Whether a resource of that name, in lower case, can be the domain: only names in A-labels can be told from it."""
    return resource_name in (domain, AZURE_MANAGED_NAME.lower()) or not resource_name.isascii()


def _paused(document: DomainDocument) -> str:
    """Why a domain may not send, with what to do about it; empty while it may."""
    if not document.paused_since:
        return ""
    reasons = [
        f"{kind}: {state.reason or 'its record is gone from the DNS'} {state.remedy}".strip()
        for kind in document.lost
        if (state := document.state(kind))
    ]
    return " ".join(reasons) or "its records are gone from the DNS: publish them again, as the domain's records show them"


@contextmanager
def _naming(row: StoredEntity) -> Iterator[None]:
    """Say which resource an error is about. None of these errors quotes a secret."""
    try:
        yield
    except (msgspec.MsgspecError, ValueError, SealingError, SigningError) as error:
        scope, path = (str(row.values.get(key, "")).replace("|", "/") for key in ("PartitionKey", "RowKey"))
        raise ConfigurationMissing(f"resource /{scope}{PROVIDER}{path} can't be used: {error}") from error


def _document(row: StoredEntity, kind: type[D]) -> D:
    return decode_document(str(row.values.get("document", "")), kind)


def _senders(rows: Iterable[StoredEntity]) -> Iterator[SenderDocument]:
    for row in rows:
        try:
            with _naming(row):
                sender = _document(row, SenderDocument)
        except ConfigurationMissing as error:
            maillog.fault("directory", error=error)  # one that can't be read must not take its domain down
            continue
        yield sender


def _list(row: StoredEntity) -> tuple[str, str]:
    # One that is being deleted counts as well, for as long as it has addresses.
    with _naming(row):
        document = _document(row, SuppressionListDocument)
        return document.list_name, document.key
