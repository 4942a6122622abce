"""The directory: communication services and sending domains, read from the table `resources` and cached for a short time.

A resource is a document under its ARM id: PartitionKey is subscription and resource group, RowKey the path below the
provider in lower case with `|` for `/`, which a key may not hold. Secrets in a document are sealed with the resource id as
their context.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import msgspec

from email_core import maillog
from email_core.auth.hmac_access_key import AccessKey
from email_core.clock import Clock
from email_core.domains.dkim_keys import load_private_key
from email_core.domains.sending import CommunicationService, SendingDomain
from email_core.errors import ConfigurationMissing, DomainNotLinked, SenderUnknown
from email_core.message.address import Address
from email_core.sealing import Sealer, SealingError
from email_core.signing.dkim import SigningKey
from email_core.storage import StoredEntity, Tables, text_literal

RESOURCES = "resources"
PROVIDER = "/providers/microsoft.communication/"
PLATFORM_ID = "/platform" + PROVIDER + "platform/default"

REQUIRED = ("Domain", "SPF", "DKIM", "DKIM2")  # what ACS wants verified before a domain may be linked; DMARC is advice

T = TypeVar("T")


def resource_keys(resource_id: str) -> tuple[str, str]:
    """PartitionKey and RowKey of a resource id. Raises ValueError when it is not below Microsoft.Communication."""
    scope, provider, path = resource_id.lower().partition(PROVIDER)
    if not provider or not path:
        raise ValueError(f"{resource_id} is not a Microsoft.Communication resource id")
    return scope.strip("/").replace("/", "|"), path.replace("/", "|")


class Cached(Generic[T]):
    """A value that is read again when it is older than `lifetime` seconds; readers that meet share one read."""

    def __init__(self, read: Callable[[], Awaitable[T]], clock: Clock, lifetime: float) -> None:
        self._read = read
        self._clock = clock
        self._lifetime = lifetime
        self._lock = asyncio.Lock()
        self._value: T | None = None
        self._until = -1.0

    async def get(self) -> T:
        if self._value is None or self._clock.monotonic() >= self._until:
            async with self._lock:
                if self._value is None or self._clock.monotonic() >= self._until:
                    self._value = await self._read()
                    self._until = self._clock.monotonic() + self._lifetime
        return self._value


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
        """A domain by its resource id. Raises ConfigurationMissing when its keys can't be opened."""
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
                # One service with an unreadable key must not take the others down with it.
                maillog.fault("directory", error=error)
        return tuple(services)

    def _service(self, row: StoredEntity) -> CommunicationService:
        document = _document(row)
        resource_id = document["id"]
        return CommunicationService(
            resource_id=resource_id,
            key=document["key"],
            name=document["name"],
            host_name=document["hostName"].lower(),
            linked_domains=tuple(linked.lower() for linked in document["linkedDomains"]),
            access_keys=tuple(
                AccessKey(document["key"], name, base64.b64decode(self._open(document[f"{name}Key"], resource_id)))
                for name in ("primary", "secondary")
            ),
            local_auth_disabled=document.get("disableLocalAuth", False),
        )

    async def _read_domain(self, resource_id: str) -> SendingDomain | None:
        partition, path = resource_keys(resource_id)
        rows = self._tables.query(
            RESOURCES,
            f"PartitionKey eq {text_literal(partition)} and (RowKey eq {text_literal(path)}"
            f" or (RowKey ge {text_literal(path + '|')} and RowKey lt {text_literal(path + '}')}))",
        )
        documents: dict[str, list[dict[str, Any]]] = {}
        async for row in rows:
            documents.setdefault(str(row.values["kind"]), []).append(_document(row))
        if "domains" not in documents:
            return None
        document = documents["domains"][0]
        managed = document["domainManagement"] == "AzureManaged"
        return SendingDomain(
            resource_id=resource_id,
            name=document["fromSenderDomain"],
            managed=managed,
            verified=all(document["verificationStates"].get(kind) == "Verified" for kind in REQUIRED),
            mail_from_domain=document.get("mailFromSenderDomain", ""),
            sender_usernames={
                sender["username"].lower(): sender.get("displayName", "") for sender in documents.get("senderUsernames", [])
            },
            signing_keys=await self._platform_keys() if managed else self._signing_keys(document),
            any_sender=document.get("anySender", False),
        )

    async def _platform_keys(self) -> tuple[SigningKey, ...]:
        row = await self._tables.get(RESOURCES, *resource_keys(PLATFORM_ID))
        if row is None:
            raise ConfigurationMissing(
                f"the platform's signing keys are missing from table {RESOURCES}: provision the installation"
            )
        return self._signing_keys(_document(row))

    def _signing_keys(self, document: dict[str, Any]) -> tuple[SigningKey, ...]:
        return tuple(
            SigningKey(
                domain=document["signingDomain"],
                selector=selector["name"],
                private_key=load_private_key(base64.b64decode(self._open(selector["privateKey"], document["id"]))),
            )
            for selector in document["selectors"]
            if selector["active"]
        )

    def _open(self, sealed: str, context: str) -> bytes:
        try:
            return self._sealer.open(sealed, context=context)
        except SealingError as error:
            raise ConfigurationMissing(f"a secret of {context} can't be opened: {error}") from error


def _document(row: StoredEntity) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(str(row.values["document"]))
    return document
