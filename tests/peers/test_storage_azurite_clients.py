"""The official storage clients read what we write, and we read what they write."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from azure.core import MatchConditions
from azure.data.tables import EdmType, EntityProperty, UpdateMode
from azure.data.tables.aio import TableClient
from azure.storage.blob.aio import BlobClient
from azure.storage.queue import (
    AccountSasPermissions,
    ResourceTypes,
    Services,
    TextBase64DecodePolicy,
    TextBase64EncodePolicy,
    generate_account_sas,
)
from azure.storage.queue.aio import QueueClient

from email_core.errors import EntityChanged
from email_core.settings import Secret, StorageSettings
from email_core.storage import Storage, open_storage
from tests.kit.azurite import ACCOUNT, KEY, unique_name

pytestmark = pytest.mark.peers

OURS = {
    "PartitionKey": "it's p%", "RowKey": "é r+", "text": "é\r\n", "number": -7, "large": 2**40, "whole": 3.0, "part": 0.1,
    "bytes": b"\x00\xff", "yes": False,
}  # fmt: skip
THEIRS = {**OURS, "large": EntityProperty(2**40, EdmType.INT64)}


@pytest.fixture
async def storage(azurite: str) -> AsyncIterator[Storage]:
    opened = open_storage(StorageSettings(connection_string=Secret(azurite)))
    yield opened
    await opened.close()


@pytest.fixture
async def client(azurite: str, storage: Storage) -> AsyncIterator[TableClient]:
    """Their client of a new table."""
    name = unique_name("t")
    await storage.ensure(tables=[name])
    async with TableClient.from_connection_string(azurite, name) as opened:
        yield opened


async def test_entity_that_we_write_they_read_with_its_types_and_etag(storage: Storage, client: TableClient) -> None:
    etag = await storage.tables.insert(client.table_name, OURS)
    found = await client.get_entity(OURS["PartitionKey"], OURS["RowKey"])
    assert dict(found) == THEIRS
    assert {name: type(value) for name, value in found.items()} == {name: type(value) for name, value in THEIRS.items()}
    assert found.metadata["etag"] == etag


async def test_entity_that_they_write_we_read_with_its_types_and_etag(storage: Storage, client: TableClient) -> None:
    etag = (await client.create_entity({**THEIRS, "when": datetime(2026, 1, 1, tzinfo=UTC)}))["etag"]
    found = await storage.tables.get(client.table_name, str(OURS["PartitionKey"]), str(OURS["RowKey"]))
    assert found is not None
    assert found.values.pop("when") == "2026-01-01T00:00:00.000000Z"
    assert found == (OURS, etag)
    assert {name: type(value) for name, value in found.values.items()} == {name: type(value) for name, value in OURS.items()}


async def test_etag_of_theirs_holds_for_our_merge_and_ours_for_theirs(storage: Storage, client: TableClient) -> None:
    first = (await client.create_entity({"PartitionKey": "p", "RowKey": "r", "n": 1}))["etag"]
    second = await storage.tables.merge(client.table_name, "p", "r", {"n": 2}, etag=first)
    await client.update_entity(
        {"PartitionKey": "p", "RowKey": "r", "m": 3},
        UpdateMode.MERGE,
        etag=second,
        match_condition=MatchConditions.IfNotModified,
    )
    found = await storage.tables.get(client.table_name, "p", "r")
    assert found is not None
    assert found.values == {"PartitionKey": "p", "RowKey": "r", "n": 2, "m": 3}
    with pytest.raises(EntityChanged):
        await storage.tables.merge(client.table_name, "p", "r", {"n": 4}, etag=second)


async def test_item_passes_both_ways_between_their_queue_client_and_us(azurite: str, storage: Storage) -> None:
    name = unique_name("q")
    await storage.ensure(queues=[name])
    # The policies are those of a Functions app whose host.json says messageEncoding base64.
    async with QueueClient.from_connection_string(
        azurite, name, message_encode_policy=TextBase64EncodePolicy(), message_decode_policy=TextBase64DecodePolicy()
    ) as client:
        await storage.queues.enqueue(name, "ours é<&>\r\n")
        theirs = await client.receive_message(visibility_timeout=30)
        assert theirs is not None
        assert theirs.content == "ours é<&>\r\n"
        assert theirs.expires_on.year == 9999
        await client.delete_message(theirs)
        await client.send_message("theirs é<&>\r\n")
        [item] = await storage.queues.receive(name, 32, 30)
        assert item.text == "theirs é<&>\r\n"
        await storage.queues.delete(name, item)
        assert (await client.get_queue_properties()).approximate_message_count == 0


async def test_receipt_of_theirs_holds_for_our_delete(azurite: str, storage: Storage) -> None:
    name = unique_name("q")
    await storage.ensure(queues=[name])
    async with QueueClient.from_connection_string(azurite, name) as client:
        await client.send_message("foreign, not base64")
        [item] = await storage.queues.receive(name, 1, 30)
        assert item.text == "foreign, not base64"
        updated = await client.update_message(item.id, item.pop_receipt, visibility_timeout=60)
        await storage.queues.delete(name, type(item)(item.id, "", 1, 0.0, 0.0, 0.0, updated.pop_receipt))
    assert await storage.queues.depth(name) == 0


async def test_blob_passes_both_ways_between_their_client_and_us(azurite: str, storage: Storage) -> None:
    await storage.ensure(containers=["content"])
    name = f"s:1/{unique_name('b')} é%.eml"
    async with BlobClient.from_connection_string(azurite, "content", name) as client:
        await storage.content.put(name, b"ours" * 500_000)
        assert await (await client.download_blob()).readall() == b"ours" * 500_000
        await client.upload_blob(b"theirs", overwrite=True)
        assert await storage.content.get(name) == b"theirs"


async def test_shared_access_signature_opens_all_three_services(azurite: str) -> None:
    signature = generate_account_sas(
        ACCOUNT, KEY, ResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions(read=True, write=True, delete=True, list=True, add=True, create=True, update=True, process=True),
        datetime.now(UTC) + timedelta(hours=1), services=Services(blob=True, queue=True),
    )  # fmt: skip
    # Their function signs for the blob and queue services alone; the letter of the Table service is part of what is signed.
    endpoints = ";".join(part for part in azurite.split(";") if "Endpoint=" in part)
    storage = open_storage(StorageSettings(connection_string=Secret(f"{endpoints};SharedAccessSignature={signature}")))
    name = unique_name("n")
    await storage.ensure(queues=[name], containers=["content"])
    await storage.queues.enqueue(name, "x")
    [item] = await storage.queues.receive(name, 1, 30)
    await storage.queues.delete(name, await storage.queues.extend(name, item, 60))
    await storage.content.put(name, b"x")
    assert await storage.content.get(name) == b"x"
    await storage.close()
