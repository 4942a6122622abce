"""Provisioning: the documents that make a service able to send, written straight into the table `resources`.

A service, its keys, a domain, its senders and its signing keys: the local world calls this at its first start, and it may
be called again, for what is there is kept.
"""

from __future__ import annotations

import base64
import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from email_core.domains.directory import PLATFORM_ID, PROVIDER, REQUIRED, RESOURCES, resource_keys
from email_core.domains.dkim_keys import generate_ed25519, generate_rsa, load_private_key, public_record
from email_core.domains.records import DnsRecord, records_for
from email_core.domains.sending import service_key
from email_core.errors import EntityChanged
from email_core.sealing import Sealer
from email_core.settings import Settings
from email_core.storage import Storage

TABLES = ("messages", "activity", RESOURCES, "suppressions", "policies", "poison")
QUEUES = ("submissions", "deliveries")
CONTAINERS = ("content",)

_SELECTORS = (("postrider1", generate_rsa), ("postrider1-ed", generate_ed25519))


@dataclass(frozen=True, slots=True)
class LocalService:
    """What a developer needs of a provisioned service; `access_key` is base64."""

    access_key: str
    sender_address: str
    service_name: str
    subscription_id: str
    resource_group: str


class Provisioner:
    """Writes resources of one subscription and resource group."""

    def __init__(
        self, storage: Storage, sealer: Sealer, settings: Settings, *, subscription_id: str, resource_group: str
    ) -> None:
        self._tables = storage.tables
        self._sealer = sealer
        self._settings = settings
        self.scope = f"/subscriptions/{subscription_id}/resourceGroups/{resource_group}"

    async def platform(self) -> None:
        """The platform's own signing keys, which sign for every managed domain."""
        await self._ensure(PLATFORM_ID, "platform", lambda: self._signing(PLATFORM_ID, self._settings.platform_domain))

    async def managed_domain(self, email_service: str) -> str:
        """An Azure-managed domain with its sender DoNotReply; returns the domain's name."""
        name = f"{uuid.uuid4()}.{self._settings.platform_domain}"
        document = await self._domain(email_service, "AzureManagedDomain", name, "AzureManaged", {})
        await self.sender(email_service, "AzureManagedDomain", "DoNotReply", "DoNotReply")
        return str(document["fromSenderDomain"])

    async def custom_domain(
        self, email_service: str, name: str, *, senders: Sequence[str] = ("DoNotReply",)
    ) -> list[DnsRecord]:
        """A domain of the customer's own, taken as verified; returns the records that its zone must hold."""
        resource_id = self.domain_id(email_service, name)
        signing = self._signing(resource_id, name)
        document = await self._domain(email_service, name, name, "CustomerManaged", signing)
        for sender in senders:
            await self.sender(email_service, name, sender, "")
        return records_for(
            name,
            verification_token=document["verificationToken"],
            selectors=[(selector["name"], selector["publicRecord"]) for selector in document["selectors"]],
            spf_include=f"spf.{self._settings.platform_domain}",
        )

    async def sender(self, email_service: str, domain: str, username: str, display_name: str) -> None:
        """A sender username of a domain."""
        resource_id = f"{self.domain_id(email_service, domain)}/senderUsernames/{username}"
        await self._ensure(resource_id, "senderUsernames", lambda: {"username": username, "displayName": display_name})

    async def service(self, name: str, host_name: str, linked_domains: Sequence[str]) -> Mapping[str, Any]:
        """A communication service with two access keys; returns its document."""
        resource_id = f"{self.scope}{PROVIDER}communicationServices/{name}".lower()
        immutable_id = str(uuid.uuid4())

        def document() -> dict[str, Any]:
            return {
                "key": service_key(immutable_id),
                "immutableResourceId": immutable_id,
                "hostName": host_name,
                "linkedDomains": list(linked_domains),
                "primaryKey": self._seal(base64.b64encode(secrets.token_bytes(64)), resource_id),
                "secondaryKey": self._seal(base64.b64encode(secrets.token_bytes(64)), resource_id),
            }

        return await self._ensure(resource_id, "communicationServices", document)

    def domain_id(self, email_service: str, domain: str) -> str:
        """The resource id of a domain."""
        return f"{self.scope}{PROVIDER}emailServices/{email_service}/domains/{domain}"

    async def _domain(
        self, email_service: str, resource_name: str, name: str, management: str, signing: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        document = {
            "domainManagement": management,
            "fromSenderDomain": name,
            "verificationToken": str(uuid.uuid4()),
            "verificationStates": dict.fromkeys((*REQUIRED, "DMARC"), "Verified"),
            **signing,
        }
        return await self._ensure(self.domain_id(email_service, resource_name), "domains", lambda: document)

    def _signing(self, resource_id: str, signing_domain: str) -> dict[str, Any]:
        selectors = []
        for name, generate in _SELECTORS:
            private_key = generate()
            selectors.append(
                {
                    "name": name,
                    "active": True,
                    "publicRecord": public_record(load_private_key(private_key)),
                    "privateKey": self._seal(base64.b64encode(private_key), resource_id.lower()),
                }
            )
        return {"signingDomain": signing_domain, "selectors": selectors}

    def _seal(self, plaintext: bytes, context: str) -> str:
        return self._sealer.seal(plaintext, context=context)

    async def _ensure(self, resource_id: str, kind: str, document: Any) -> Mapping[str, Any]:
        """The document of a resource, made when it is not there yet."""
        partition, path = resource_keys(resource_id)
        row = await self._tables.get(RESOURCES, partition, path)
        if row is not None:
            existing: Mapping[str, Any] = msgspec.json.decode(str(row.values["document"]))
            return existing
        made = {"id": resource_id.lower(), "name": resource_id.rpartition("/")[2], **document()}
        text = msgspec.json.encode(made).decode()
        await self._tables.insert(RESOURCES, {"PartitionKey": partition, "RowKey": path, "kind": kind, "document": text})
        return made

    async def link(self, service: str, linked_domain: str) -> None:
        """Link a domain to a communication service that is there. Raises EntityChanged when both were changed at once."""
        partition, path = resource_keys(f"{self.scope}{PROVIDER}communicationServices/{service}")
        row = await self._tables.get(RESOURCES, partition, path)
        if row is None:
            raise EntityChanged(f"communication service {service} is not there")
        document = msgspec.json.decode(str(row.values["document"]))
        if linked_domain.lower() not in document["linkedDomains"]:
            document["linkedDomains"].append(linked_domain.lower())
            text = msgspec.json.encode(document).decode()
            await self._tables.merge(RESOURCES, partition, path, {"document": text}, etag=row.etag)


async def provision_local(storage: Storage, sealer: Sealer, settings: Settings) -> LocalService:
    """The default service of the local world: an email service, an Azure-managed domain and a service linked to it.

    Everything that is there already is kept, so that a connection string outlives a restart.
    """
    await storage.ensure(tables=TABLES, queues=QUEUES, containers=CONTAINERS)
    subscription_id, resource_group = "00000000-0000-4000-8000-000000000001", "local"
    provisioner = Provisioner(storage, sealer, settings, subscription_id=subscription_id, resource_group=resource_group)
    await provisioner.platform()
    domain = await provisioner.managed_domain("local-email")
    linked = provisioner.domain_id("local-email", "AzureManagedDomain").lower()
    service = await provisioner.service("local", "localhost", [linked])
    access_key = sealer.open(service["primaryKey"], context=service["id"]).decode()
    return LocalService(access_key, f"DoNotReply@{domain}", "local", subscription_id, resource_group)
