"""The directory: communication services and sending domains, read from the table `resources` and cached for a short time.

A resource is a document under its ARM id: PartitionKey is subscription and resource group, RowKey the path below the
provider in lower case with `|` for `/`, which a key may not hold. Secrets in a document are sealed with the resource id as
their context. Whatever is wrong with a document or its keys is a ConfigurationMissing that names the resource.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from email_core import maillog
from email_core.auth.hmac_access_key import AccessKey
from email_core.clock import Clock
from email_core.domains.dkim_keys import load_private_key
from email_core.domains.sending import CommunicationService, SendingDomain
from email_core.errors import ConfigurationMissing, DomainNotLinked, SenderUnknown, StorageUnavailable
from email_core.message.address import Address
from email_core.sealing import Sealer, SealingError
from email_core.signing.dkim import SigningError, SigningKey
from email_core.storage import StoredEntity, Tables, text_literal

RESOURCES = "resources"
PROVIDER = "/providers/microsoft.communication/"
PLATFORM_ID = "/platform" + PROVIDER + "platform/default"

REQUIRED = ("Domain", "SPF", "DKIM", "DKIM2")  # what ACS wants verified before a domain may be linked; DMARC is advice

# How far beyond its lifetime a value does while storage is away. Most outages of a storage account pass within minutes, and
# a key that was revoked must not open the door much longer.
STALE_SECONDS = 600.0

T = TypeVar("T")
D = TypeVar("D")


class _ServiceDocument(msgspec.Struct, rename="camel"):
    id: str
    key: str
    name: str
    host_name: str
    linked_domains: list[str]
    primary_key: str
    secondary_key: str
    disable_local_auth: bool = False


class _Selector(msgspec.Struct, rename="camel"):
    name: str
    active: bool
    private_key: str


class _SigningDocument(msgspec.Struct, rename="camel"):
    id: str
    signing_domain: str
    selectors: list[_Selector]


class _DomainDocument(msgspec.Struct, rename="camel"):
    domain_management: str
    from_sender_domain: str
    verification_states: dict[str, str]
    mail_from_sender_domain: str = ""
    any_sender: bool = False


class _SenderDocument(msgspec.Struct, rename="camel"):
    username: str
    display_name: str = ""


def resource_keys(resource_id: str) -> tuple[str, str]:
    """PartitionKey and RowKey of a resource id. Raises ValueError when it is not below Microsoft.Communication."""
    scope, provider, path = resource_id.lower().partition(PROVIDER)
    if not provider or not path:
        raise ValueError(f"{resource_id} is not a Microsoft.Communication resource id")
    return scope.strip("/").replace("/", "|"), path.replace("/", "|")


class Cached(Generic[T]):
    """A value that is read again when it is older than `lifetime` seconds; readers that meet share one read and its failure.

    When storage is away, an old value does for up to `STALE_SECONDS` beyond its lifetime. Once a refresh has failed, readers
    get it at once, while the next refresh is tried beside them.
    """

    def __init__(self, read: Callable[[], Awaitable[T]], clock: Clock, lifetime: float) -> None:
        self._read = read
        self._clock = clock
        self._lifetime = lifetime
        self._held: _Held[T] | None = None
        self._refresh_failed = False
        self._reading: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """The value. Raises what the read raises, unless an old value does."""
        held = self._held
        if held is not None and self._age(held) < self._lifetime:
            return held.value
        if self._reading is None:
            self._reading = asyncio.create_task(self._refresh())
            self._reading.add_done_callback(_note_failure)
        if held is not None and self._refresh_failed and self._usable(held):
            return held.value
        # A task of its own, and shielded: a reader that gives up takes nothing from the others.
        return await asyncio.shield(self._reading)

    async def _refresh(self) -> T:
        failed = False
        try:
            value = await self._read()
            self._held = _Held(value, self._clock.monotonic())
            return value
        except StorageUnavailable as error:
            held = self._held
            if held is None or not self._usable(held):
                raise
            failed = True
            maillog.fault("directory", error=error)
            return held.value
        finally:
            self._refresh_failed = failed
            self._reading = None

    def _age(self, held: _Held[T]) -> float:
        return self._clock.monotonic() - held.read_at

    def _usable(self, held: _Held[T]) -> bool:
        return self._age(held) < self._lifetime + STALE_SECONDS


class _Held(NamedTuple, Generic[T]):
    value: T
    read_at: float  # of the monotonic clock


def _note_failure(reading: asyncio.Task[Any]) -> None:
    # Every reader may have left: asyncio would then complain about a failure that nobody looked at.
    if not reading.cancelled():
        reading.exception()


class Directory:
    """Answers who may send as whom, mostly from memory."""

    def __init__(self, tables: Tables, sealer: Sealer, clock: Clock, lifetime: float) -> None:
        self._tables = tables
        self._sealer = sealer
        self._clock = clock
        self._lifetime = lifetime
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

        Raises DomainNotLinked or SenderUnknown. Local parts of sender usernames are compared without case, as ACS does.
        """
        for resource_id in service.linked_domains:
            if resource_id.rpartition("/")[2] not in (sender.domain, "azuremanageddomain"):
                continue
            domain = await self.domain(resource_id)
            if domain is not None and domain.verified and domain.name == sender.domain:
                if not domain.any_sender and sender.local.lower() not in domain.sender_usernames:
                    raise SenderUnknown(sender.local)
                return domain
        raise DomainNotLinked(sender.domain)

    async def _read_services(self) -> tuple[CommunicationService, ...]:
        rows = self._tables.query(RESOURCES, "kind eq 'communicationServices'")
        services = []
        async for row in rows:
            try:
                services.append(self._service(row))
            except ConfigurationMissing as error:
                # One service with an unreadable key or document must not take the others down with it.
                maillog.fault("directory", error=error)
        return tuple(services)

    def _service(self, row: StoredEntity) -> CommunicationService:
        with _naming(row):
            document = _document(row, _ServiceDocument)
            sealed = {"primary": document.primary_key, "secondary": document.secondary_key}
            return CommunicationService(
                resource_id=document.id,
                key=document.key,
                name=document.name,
                host_name=document.host_name.lower(),
                linked_domains=tuple(linked.lower() for linked in document.linked_domains),
                access_keys=tuple(
                    AccessKey(document.key, name, self._open(text, document.id)) for name, text in sealed.items()
                ),
                local_auth_disabled=document.disable_local_auth,
            )

    async def _read_domain(self, resource_id: str) -> SendingDomain | None:
        partition, path = resource_keys(resource_id)
        query = self._tables.query(
            RESOURCES,
            f"PartitionKey eq {text_literal(partition)} and (RowKey eq {text_literal(path)}"
            f" or (RowKey ge {text_literal(path + '|')} and RowKey lt {text_literal(path + '}')}))",
        )
        rows = [row async for row in query]
        domain = next((row for row in rows if row.values.get("kind") == "domains"), None)
        if domain is None:
            return None
        senders = [_sender(row) for row in rows if row.values.get("kind") == "senderUsernames"]
        with _naming(domain):
            document = _document(domain, _DomainDocument)
        managed = document.domain_management == "AzureManaged"
        return SendingDomain(
            resource_id=resource_id,
            name=document.from_sender_domain,
            managed=managed,
            verified=all(document.verification_states.get(kind) == "Verified" for kind in REQUIRED),
            mail_from_domain=document.mail_from_sender_domain,
            sender_usernames={sender.username.lower(): sender.display_name for sender in senders},
            signing_keys=await self._platform_keys() if managed else self._signing_keys(domain),
            any_sender=document.any_sender,
        )

    async def _platform_keys(self) -> tuple[SigningKey, ...]:
        row = await self._tables.get(RESOURCES, *resource_keys(PLATFORM_ID))
        if row is None:
            raise ConfigurationMissing(
                f"the platform's signing keys are missing from table {RESOURCES}: provision the installation"
            )
        return self._signing_keys(row)

    def _signing_keys(self, row: StoredEntity) -> tuple[SigningKey, ...]:
        with _naming(row):
            document = _document(row, _SigningDocument)
            return tuple(
                SigningKey(
                    domain=document.signing_domain,
                    selector=selector.name,
                    private_key=load_private_key(self._open(selector.private_key, document.id), was_sealed=True),
                )
                for selector in document.selectors
                if selector.active
            )

    def _open(self, sealed: str, context: str) -> bytes:
        return base64.b64decode(self._sealer.open(sealed, context=context), validate=True)


@contextmanager
def _naming(row: StoredEntity) -> Iterator[None]:
    """Say which resource an error is about. None of these errors quotes a secret."""
    try:
        yield
    except (msgspec.MsgspecError, ValueError, SealingError, SigningError) as error:
        scope, path = (str(row.values.get(key, "")).replace("|", "/") for key in ("PartitionKey", "RowKey"))
        raise ConfigurationMissing(f"resource /{scope}{PROVIDER}{path} can't be used: {error}") from error


def _document(row: StoredEntity, kind: type[D]) -> D:
    return msgspec.json.decode(str(row.values.get("document", "")), type=kind)


def _sender(row: StoredEntity) -> _SenderDocument:
    with _naming(row):
        return _document(row, _SenderDocument)
