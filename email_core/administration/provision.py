"""Provisioning: what an installation needs before anybody administers it, and resources made by our own code.

Tables, queues and containers; and, through the operations of the management plane, a service, its domain and its senders. The
local world calls this at its start. It may be called again, for what is there is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import msgspec

from email_core.administration.build import build_administration
from email_core.administration.perform import request
from email_core.administration.writing import existing
from email_core.auth.smtp_credential import hash_password, verify_password
from email_core.clock import SystemClock
from email_core.domains.documents import (
    AZURE_MANAGED,
    AZURE_MANAGED_NAME,
    CUSTOMER_MANAGED,
    DOCUMENTS,
    VERIFICATION_TYPES,
    Document,
    DomainDocument,
    ServiceDocument,
    SmtpUsernameDocument,
    StateDocument,
    Status,
)
from email_core.domains.records import DnsRecord, records_of
from email_core.domains.resource_store import RESOURCES, Resource
from email_core.domains.selectors import ensure_platform_keys
from email_core.management.resource_id import parse_resource_id
from email_core.sealing import Sealer
from email_core.settings import Settings
from email_core.storage import Storage

TABLES = ("messages", "activity", RESOURCES, "suppressions", "policies", "poison", "audit")
QUEUES = ("submissions", "deliveries", "administration", "notices")
CONTAINERS = ("content",)
LOCAL_USER = "local"  # who logs in by SMTP in the local world

D = TypeVar("D", bound=Document)

# Of no real application: with these, nobody's token fits.
_NO_APPLICATION = {
    "entraApplicationId": "00000000-0000-4000-8000-000000000002",
    "tenantId": "00000000-0000-4000-8000-000000000003",
}

_LOCATED = {"location": "global", "properties": {"dataLocation": "Local"}}


@dataclass(frozen=True, slots=True)
class LocalService:
    """What a developer needs of a provisioned service; `access_key` is base64, `smtp_username` empty when there is none."""

    access_key: str
    sender_address: str
    service_name: str
    subscription_id: str
    resource_group: str
    smtp_username: str = ""


class Provisioner:
    """Makes resources of one subscription and resource group, as an administrator would."""

    def __init__(
        self, storage: Storage, sealer: Sealer, settings: Settings, *, subscription_id: str, resource_group: str
    ) -> None:
        self._admin = build_administration(storage, sealer, settings, SystemClock())
        self._base = f"/subscriptions/{subscription_id}/resourceGroups/{resource_group}/providers/Microsoft.Communication"

    async def platform(self) -> None:
        """The platform's own signing keys, which sign for every managed domain."""
        admin = self._admin
        domain = admin.settings.platform_domain
        await ensure_platform_keys(admin.storage.tables, admin.sealer, domain, now=admin.clock.now())

    async def managed_domain(self, email_service: str) -> str:
        """An Azure-managed domain with its sender DoNotReply; returns the domain's name."""
        path = self.domain_id(email_service, AZURE_MANAGED_NAME)
        return (await self._domain(email_service, path, AZURE_MANAGED)).document.from_sender_domain

    async def custom_domain(
        self, email_service: str, name: str, *, senders: Sequence[str] = ("DoNotReply",)
    ) -> list[DnsRecord]:
        """A domain of the customer's own, taken as verified; returns the records that its zone must hold."""
        domain = await self._domain(email_service, self.domain_id(email_service, name), CUSTOMER_MANAGED)
        if not domain.document.verified:
            now = self._admin.clock.now()
            verified = {kind: StateDocument(status=Status.VERIFIED, checked_at=now) for kind in VERIFICATION_TYPES}
            states = {**domain.document.verification_states, **verified}
            changed = msgspec.structs.replace(domain.document, verification_states=states, last_verified_at=now)
            domain = await self._admin.store.replace(domain, changed)
        for sender in senders:
            await self.sender(email_service, name, sender, "")
        return records_of(domain.document, self._admin.settings)

    async def sender(self, email_service: str, domain: str, username: str, display_name: str) -> None:
        """A sender username of a domain."""
        path = f"{self.domain_id(email_service, domain)}/senderUsernames/{username}"
        await self._ensure(path, {"properties": {"username": username, "displayName": display_name}})

    async def service(self, name: str, host_name: str, linked_domains: Sequence[str]) -> Mapping[str, Any]:
        """A communication service with two access keys, at that host; returns its document."""
        path = f"{self._base}/communicationServices/{name}"
        properties = {"dataLocation": "Local", "linkedDomains": list(linked_domains)}
        await self._ensure(path, {"location": "global", "properties": properties})
        service = await self._stored(path, ServiceDocument)
        if service.document.host_name != host_name:
            service = await self._admin.store.replace(service, msgspec.structs.replace(service.document, host_name=host_name))
        document: Mapping[str, Any] = msgspec.to_builtins(service.document)
        return document

    async def smtp_username(self, service: str, username: str, password: str) -> None:
        """An SMTP username of a communication service, with that password."""
        path = f"{self._base}/communicationServices/{service}/smtpUsernames/{username}"
        await self._ensure(path, {"properties": {"username": username, **_NO_APPLICATION}})
        stored = await self._stored(path, SmtpUsernameDocument)
        if not await asyncio.to_thread(verify_password, password, stored.document.password):
            hashed = await asyncio.to_thread(hash_password, password)
            made_at = self._admin.clock.now()
            changed = msgspec.structs.replace(stored.document, password=hashed, password_made_at=made_at)
            await self._admin.store.replace(stored, changed)

    async def link(self, service: str, linked_domain: str) -> None:
        """Link a domain to a communication service that is there. Raises RequestRefused when one of the two is not."""
        path = f"{self._base}/communicationServices/{service}"
        linked = (await self._stored(path, ServiceDocument)).document.linked_domains
        if linked_domain.lower() not in {each.lower() for each in linked}:
            await request(self._admin, "PATCH", path, {"properties": {"linkedDomains": [*linked, linked_domain]}})

    def domain_id(self, email_service: str, domain: str) -> str:
        """The resource id of a domain."""
        return f"{self._base}/emailServices/{email_service}/domains/{domain}"

    async def _domain(self, email_service: str, path: str, management: str) -> Resource[DomainDocument]:
        await self._ensure(f"{self._base}/emailServices/{email_service}", _LOCATED)
        await self._ensure(path, {"location": "global", "properties": {"domainManagement": management}})
        return await self._stored(path, DomainDocument)

    async def _ensure(self, path: str, body: Mapping[str, Any]) -> None:
        """Make a resource unless it is there."""
        target = parse_resource_id(path)
        if await self._admin.store.get(target, DOCUMENTS[target.kind]) is None:
            await request(self._admin, "PUT", path, body)

    async def _stored(self, path: str, kind: type[D]) -> Resource[D]:
        return await existing(self._admin, parse_resource_id(path), kind)


async def provision_local(storage: Storage, sealer: Sealer, settings: Settings, *, smtp_password: str = "") -> LocalService:
    """The default service of the local world: an email service, an Azure-managed domain and a service linked to it.

    With a password there is an SMTP username as well.
    Everything that is there already is kept, so that a connection string outlives a restart.
    """
    await storage.ensure(tables=TABLES, queues=QUEUES, containers=CONTAINERS)
    subscription_id, resource_group = "00000000-0000-4000-8000-000000000001", "local"
    provisioner = Provisioner(storage, sealer, settings, subscription_id=subscription_id, resource_group=resource_group)
    await provisioner.platform()
    domain = await provisioner.managed_domain("local-email")
    service = await provisioner.service("local", "localhost", [provisioner.domain_id("local-email", AZURE_MANAGED_NAME)])
    access_key = sealer.open(service["primaryKey"], context=service["id"].lower()).decode()
    local = LocalService(access_key, f"DoNotReply@{domain}", "local", subscription_id, resource_group)
    if not smtp_password:
        return local
    await provisioner.smtp_username("local", LOCAL_USER, smtp_password)
    return replace(local, smtp_username=LOCAL_USER)
