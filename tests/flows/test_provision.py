"""Provisioning a local world: what it makes, that it may be done again, and a world of the version before."""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from email_core.administration.provision import CONTAINERS, QUEUES, TABLES, Provisioner, provision_local
from email_core.clock import SystemClock
from email_core.domains.directory import RESOURCES, Directory, resource_keys
from email_core.domains.dkim_keys import generate_ed25519
from email_core.errors import RequestRefused
from email_core.message.address import parse_address
from email_core.sealing import Sealer
from email_core.settings import Secret, Settings, StorageSettings
from email_core.storage import Storage, open_storage
from tests.kit.azurite import Azurite
from tests.kit.pipeline import SEALING_KEY

pytestmark = pytest.mark.peers

SCOPE = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/local/providers/Microsoft.Communication"


@dataclass
class Installation:
    """Storage with nothing in it: a local world has one place, so no two tests may share it."""

    storage: Storage
    sealer: Sealer
    settings: Settings

    def directory(self) -> Directory:
        return Directory(self.storage.tables, self.sealer, SystemClock(), 0.0)


@pytest.fixture
async def empty(tmp_path: Path) -> AsyncIterator[Installation]:
    azurite = await asyncio.to_thread(Azurite, tmp_path, in_memory=True)
    settings = Settings(
        storage=StorageSettings(connection_string=Secret(azurite.connection_string)), sealing_key=SEALING_KEY, local_world=True
    )
    storage = open_storage(settings.storage)
    try:
        yield Installation(storage, Sealer.from_setting(SEALING_KEY), settings)
    finally:
        await storage.close()
        await asyncio.to_thread(azurite.stop)


async def test_local_world_can_send_and_is_kept_when_it_is_provisioned_again(empty: Installation) -> None:
    first = await provision_local(empty.storage, empty.sealer, empty.settings)
    assert await provision_local(empty.storage, empty.sealer, empty.settings) == first
    [service] = await empty.directory().services()
    assert base64.b64decode(first.access_key) in [key.secret for key in service.access_keys]
    domain = await empty.directory().sending_domain(service, parse_address(first.sender_address))
    assert (domain.managed, len(domain.signing_keys)) == (True, 2)


async def test_what_was_linked_and_named_since_is_left_alone(empty: Installation) -> None:
    await provision_local(empty.storage, empty.sealer, empty.settings)
    provisioner = Provisioner(
        empty.storage, empty.sealer, empty.settings, subscription_id=SCOPE.split("/")[2], resource_group="local"
    )
    records = await provisioner.custom_domain("local-email", "contoso.test", senders=("News",))
    await provisioner.link("local", provisioner.domain_id("local-email", "contoso.test"))
    await provision_local(empty.storage, empty.sealer, empty.settings)
    [service] = await empty.directory().services()
    assert len(service.linked_domains) == 2
    assert (await empty.directory().sending_domain(service, parse_address("news@contoso.test"))).name == "contoso.test"
    assert {record.purpose.value for record in records} >= {"Domain", "SPF", "DKIM", "DKIM2", "DMARC"}


async def test_link_to_a_service_that_is_not_there_is_refused(empty: Installation) -> None:
    await provision_local(empty.storage, empty.sealer, empty.settings)
    provisioner = Provisioner(
        empty.storage, empty.sealer, empty.settings, subscription_id=str(uuid.uuid4()), resource_group="none"
    )
    with pytest.raises(RequestRefused) as refused:
        await provisioner.link("local", f"{SCOPE}/emailServices/local-email/domains/AzureManagedDomain")
    assert refused.value.status == 404


async def old_world(empty: Installation) -> str:
    """What version 0.1 wrote: ids in lower case, a verification state as its status alone, no email service; the access key."""
    await empty.storage.ensure(tables=TABLES, queues=QUEUES, containers=CONTAINERS)
    key = base64.b64encode(b"k" * 64).decode()

    def sealed(text: str, context: str) -> str:
        return empty.sealer.seal(text.encode(), context=context)

    platform = "/platform/providers/microsoft.communication/platform/default"
    domain = f"{SCOPE}/emailServices/local-email/domains/AzureManagedDomain".lower()
    service = f"{SCOPE}/communicationServices/local".lower()
    signing_key = base64.b64encode(generate_ed25519()).decode()
    documents = {
        platform: ("platform", {"name": "default", "signingDomain": "postrider.test", "selectors": [
            {"name": "postrider1", "active": True, "publicRecord": "v=DKIM1", "privateKey": sealed(signing_key, platform)}]}),
        domain: ("domains", {"name": "AzureManagedDomain", "domainManagement": "AzureManaged",
            "fromSenderDomain": "old.postrider.test", "verificationToken": "t",
            "verificationStates": dict.fromkeys(("Domain", "SPF", "DKIM", "DKIM2", "DMARC"), "Verified")}),
        f"{domain}/senderusernames/donotreply": ("senderUsernames", {"name": "DoNotReply", "username": "DoNotReply",
            "displayName": "DoNotReply"}),
        service: ("communicationServices", {"name": "local", "key": "abcdefghij", "immutableResourceId": "i",
            "hostName": "localhost", "linkedDomains": [domain], "primaryKey": sealed(key, service),
            "secondaryKey": sealed(key, service)}),
    }  # fmt: skip
    for resource_id, (kind, document) in documents.items():
        partition, row = resource_keys(resource_id)
        text = msgspec.json.encode({"id": resource_id, **document}).decode()
        values = {"PartitionKey": partition, "RowKey": row, "kind": kind, "document": text}
        await empty.storage.tables.insert(RESOURCES, values)
    return key


async def test_world_of_the_version_before_goes_on_with_its_keys_and_its_domain(empty: Installation) -> None:
    key = await old_world(empty)
    local = await provision_local(empty.storage, empty.sealer, empty.settings)
    assert (local.access_key, local.sender_address) == (key, "DoNotReply@old.postrider.test")
    [service] = await empty.directory().services()
    domain = await empty.directory().sending_domain(service, parse_address(local.sender_address))
    assert (domain.managed, [signer.selector for signer in domain.signing_keys]) == (True, ["postrider1"])
