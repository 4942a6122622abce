"""Tables and content against Azurite: each operation and each way in which it can fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings

from email_core.errors import EntityChanged, EntityExists, EntityMissing, StorageRefused
from email_core.settings import Secret, StorageSettings
from email_core.storage import (
    Delete,
    Insert,
    Merge,
    Storage,
    StorageLimit,
    Upsert,
    Value,
    open_storage,
    text_literal,
)
from tests.kit.azurite import unique_name
from tests.kit.storage_values import entities

pytestmark = pytest.mark.peers

STALE = "W/\"datetime'2020-01-01T00%3A00%3A00.0000000Z'\""


@pytest.fixture
async def storage(azurite: str) -> AsyncIterator[Storage]:
    opened = open_storage(StorageSettings(connection_string=Secret(azurite)))
    yield opened
    await opened.close()


@pytest.fixture
async def table(storage: Storage) -> str:
    """A new table."""
    name = unique_name("t")
    await storage.ensure(tables=[name])
    storage.round_trips.clear()
    return name


def entity(row_key: str, **values: Value) -> dict[str, Value]:
    return {"PartitionKey": "p", "RowKey": row_key, **values}


async def test_ensure_twice_creates_once(storage: Storage) -> None:
    names = unique_name("n")
    for _ in range(2):
        await storage.ensure(tables=[names, "x" + names], queues=[names], containers=["content"])
    await storage.tables.insert("x" + names, entity("r"))
    assert await storage.queues.depth(names) == 0


async def test_entity_inserted_is_read_back_with_its_etag(storage: Storage, table: str) -> None:
    stored = entity("r", text="é\r\n\x00😀", number=5, large=2**40, whole=3.0, bytes=b"\x00\xff", yes=True, empty="", none=b"")
    etag = await storage.tables.insert(table, stored)
    found = await storage.tables.get(table, "p", "r")
    assert found is not None
    assert found == (stored, etag)
    assert {name: type(value) for name, value in found.values.items()} == {name: type(value) for name, value in stored.items()}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entities())
async def test_entity_of_any_values_and_keys_is_read_back(storage: Storage, table: str, stored: dict[str, Value]) -> None:
    partition_key, row_key = str(stored["PartitionKey"]), str(stored["RowKey"])
    await storage.tables.upsert(table, stored)
    found = await storage.tables.get(table, partition_key, row_key)
    assert found is not None
    assert found.values == stored
    assert {name: type(value) for name, value in found.values.items()} == {name: type(value) for name, value in stored.items()}
    condition = f"PartitionKey eq {text_literal(partition_key)} and RowKey eq {text_literal(row_key)}"
    assert [each async for each in storage.tables.query(table, condition)] == [found]
    await storage.tables.delete(table, partition_key, row_key, etag=found.etag)


async def test_entity_near_all_limits_is_stored(storage: Storage, table: str) -> None:
    # Azurite counts the JSON and with it base64, so it refuses an entity above 768 KiB of bytes that Azure would take.
    largest: dict[str, Value] = {f"b{number}": b"x" * 65536 for number in range(9)}
    stored = entity("r" * 512, text="é" * 32768, **largest)
    await storage.tables.insert(table, stored)
    found = await storage.tables.get(table, "p", "r" * 512)
    assert found is not None
    assert found.values == stored


async def test_entity_that_a_merge_makes_too_large_is_a_limit(storage: Storage, table: str) -> None:
    etag = await storage.tables.insert(table, entity("r"))
    with pytest.raises(StorageLimit, match="EntityTooLarge"):
        await storage.tables.merge(table, "p", "r", {f"b{number}": b"x" * 65536 for number in range(13)}, etag=etag)


async def test_insert_of_taken_keys_raises_and_changes_nothing(storage: Storage, table: str) -> None:
    etag = await storage.tables.insert(table, entity("r", n=1))
    with pytest.raises(EntityExists):
        await storage.tables.insert(table, entity("r", n=2))
    assert await storage.tables.get(table, "p", "r") == (entity("r", n=1), etag)


async def test_insert_of_the_same_keys_by_twenty_has_one_winner(storage: Storage, table: str) -> None:
    results = await asyncio.gather(
        *(storage.tables.insert(table, entity("r", n=number)) for number in range(20)), return_exceptions=True
    )
    winners = [number for number, result in enumerate(results) if isinstance(result, str)]
    assert len(winners) == 1
    assert sum(isinstance(result, EntityExists) for result in results) == 19
    assert await storage.tables.get(table, "p", "r") == (entity("r", n=winners[0]), results[winners[0]])


async def test_get_of_nothing_is_none(storage: Storage, table: str) -> None:
    assert await storage.tables.get(table, "p", "r") is None


async def test_get_of_some_properties_has_those_and_the_etag(storage: Storage, table: str) -> None:
    etag = await storage.tables.insert(table, entity("r", wanted=1.0, other=b"x" * 60000))
    assert await storage.tables.get(table, "p", "r", select=["wanted", "RowKey"]) == ({"RowKey": "r", "wanted": 1.0}, etag)


async def test_merge_changes_what_it_names_and_the_etag(storage: Storage, table: str) -> None:
    first = await storage.tables.insert(table, entity("r", kept="k", changed=1))
    second = await storage.tables.merge(table, "p", "r", {"changed": 2**40, "new": b"n"}, etag=first)
    assert second != first
    assert await storage.tables.get(table, "p", "r") == (entity("r", kept="k", changed=2**40, new=b"n"), second)


async def test_merge_of_another_etag_raises_and_changes_nothing(storage: Storage, table: str) -> None:
    first = await storage.tables.insert(table, entity("r", n=1))
    second = await storage.tables.merge(table, "p", "r", {"n": 2}, etag=first)
    for stale in (first, STALE):
        with pytest.raises(EntityChanged):
            await storage.tables.merge(table, "p", "r", {"n": 3}, etag=stale)
    assert await storage.tables.get(table, "p", "r") == (entity("r", n=2), second)


async def test_merge_by_ten_with_one_etag_has_one_winner(storage: Storage, table: str) -> None:
    etag = await storage.tables.insert(table, entity("r"))
    results = await asyncio.gather(
        *(storage.tables.merge(table, "p", "r", {"by": number}, etag=etag) for number in range(10)), return_exceptions=True
    )
    assert sum(isinstance(result, str) for result in results) == 1
    assert sum(isinstance(result, EntityChanged) for result in results) == 9


@pytest.mark.parametrize("etag", ["*", STALE])
async def test_merge_of_nothing_raises(storage: Storage, table: str, etag: str) -> None:
    with pytest.raises(EntityMissing):
        await storage.tables.merge(table, "p", "r", {"n": 1}, etag=etag)


async def test_upsert_replaces_the_whole_entity(storage: Storage, table: str) -> None:
    await storage.tables.upsert(table, entity("r", old=1))
    await storage.tables.upsert(table, entity("r", new=2))
    found = await storage.tables.get(table, "p", "r")
    assert found is not None
    assert found.values == entity("r", new=2)


async def test_delete_removes_and_a_second_one_is_fine(storage: Storage, table: str) -> None:
    await storage.tables.insert(table, entity("r"))
    for _ in range(2):
        await storage.tables.delete(table, "p", "r")
    assert await storage.tables.get(table, "p", "r") is None


async def test_delete_of_another_etag_raises(storage: Storage, table: str) -> None:
    etag = await storage.tables.insert(table, entity("r"))
    with pytest.raises(EntityChanged):
        await storage.tables.delete(table, "p", "r", etag=STALE)
    await storage.tables.delete(table, "p", "r", etag=etag)
    assert await storage.tables.get(table, "p", "r") is None


async def test_query_follows_continuations_to_the_end_in_order(storage: Storage, table: str) -> None:
    rows = [f"{number:04}" for number in range(1050)]
    for start in range(0, len(rows), 100):
        await storage.tables.transact(table, [Upsert(entity(row, n=int(row))) for row in rows[start : start + 100]])
    storage.round_trips.clear()
    assert [each.values["RowKey"] async for each in storage.tables.query(table, "")] == rows
    assert storage.round_trips == {"tables.query": 2}
    found = [each async for each in storage.tables.query(table, "n ge 1000", select=["n"], page_size=20)]
    assert [each.values for each in found] == [{"n": number} for number in range(1000, 1050)]
    assert all(each.etag for each in found)


async def test_query_with_a_quote_in_its_value_finds_just_that(storage: Storage, table: str) -> None:
    for name in ("o'hara", "o' or RowKey ne 'x", "plain"):
        await storage.tables.insert(table, entity(f"{name}", name=name))
    for name in ("o'hara", "o' or RowKey ne 'x"):
        found = [each async for each in storage.tables.query(table, f"name eq {text_literal(name)}")]
        assert [each.values["name"] for each in found] == [name]


async def test_query_that_is_left_early_asks_no_further(storage: Storage, table: str) -> None:
    for row in "abc":
        await storage.tables.insert(table, entity(row))
    storage.round_trips.clear()
    async for each in storage.tables.query(table, "", page_size=1):
        assert each.values["RowKey"] == "a"
        break
    assert storage.round_trips == {"tables.query": 1}


async def test_query_that_is_malformed_is_refused(storage: Storage, table: str) -> None:
    with pytest.raises(StorageRefused, match="400"):
        _ = [each async for each in storage.tables.query(table, "n === 'x")]


async def test_transaction_does_all_of_its_operations(storage: Storage, table: str) -> None:
    etag = await storage.tables.insert(table, entity("merged", kept="é", n=1))
    await storage.tables.insert(table, entity("deleted"))
    storage.round_trips.clear()
    await storage.tables.transact(
        table,
        [
            Insert(entity("it's", bytes=b"\x00\xff", text="é\r\n--x {}", whole=2.0)),
            Merge("p", "merged", {"n": 2}, etag),
            Upsert(entity("put", n=3)),
            Delete("p", "deleted"),
        ],
    )
    assert storage.round_trips == {"tables.transact": 1}
    assert [each.values async for each in storage.tables.query(table, "")] == [
        entity("it's", bytes=b"\x00\xff", text="é\r\n--x {}", whole=2.0),
        entity("merged", kept="é", n=2),
        entity("put", n=3),
    ]


@pytest.mark.parametrize(
    ("failing", "error"),
    [
        (Insert(entity("there")), EntityExists),
        (Merge("p", "there", {"n": 9}, STALE), EntityChanged),
        (Delete("p", "there", STALE), EntityChanged),
        (Merge("p", "absent", {"n": 9}, "*"), EntityMissing),
        (Delete("p", "absent"), EntityMissing),
    ],
)
async def test_transaction_with_one_operation_that_fails_does_none(
    storage: Storage, table: str, failing: Insert | Merge | Delete, error: type[Exception]
) -> None:
    etag = await storage.tables.insert(table, entity("there", n=1))
    with pytest.raises(error):
        await storage.tables.transact(table, [Insert(entity("first")), failing, Insert(entity("last"))])
    assert [each async for each in storage.tables.query(table, "")] == [(entity("there", n=1), etag)]


async def test_transaction_of_a_hundred_large_operations_is_done(storage: Storage, table: str) -> None:
    await storage.tables.transact(table, [Insert(entity(f"{number:03}", b=b"x" * 30_000)) for number in range(100)])
    assert len([each async for each in storage.tables.query(table, "", select=["RowKey"])]) == 100


async def test_table_that_was_never_created_is_a_fault_and_not_an_absent_entity(storage: Storage) -> None:
    absent = unique_name("t")
    for call in (
        storage.tables.get(absent, "p", "r"),
        storage.tables.insert(absent, entity("r")),
        storage.tables.merge(absent, "p", "r", {"n": 1}, etag="*"),
        storage.tables.transact(absent, [Insert(entity("r"))]),
    ):
        with pytest.raises(StorageRefused, match="TableNotFound"):
            await call


async def test_round_trips_are_counted_by_operation_and_can_be_cleared(storage: Storage, table: str) -> None:
    etag = await storage.tables.insert(table, entity("r"))
    await storage.tables.merge(table, "p", "r", {"n": 1}, etag=etag)
    await storage.tables.get(table, "p", "r")
    assert storage.round_trips == {"tables.insert": 1, "tables.merge": 1, "tables.get": 1}
    storage.round_trips.clear()
    await storage.tables.get(table, "p", "r")
    assert storage.round_trips == {"tables.get": 1}


async def test_wrong_key_is_refused_without_a_retry(azurite: str) -> None:
    wrong = azurite.replace("AccountKey=Eby8", "AccountKey=AAAA")
    storage = open_storage(StorageSettings(connection_string=Secret(wrong)))
    for call in (storage.tables.get("things", "p", "r"), storage.queues.depth("items"), storage.content.get("name")):
        with pytest.raises(StorageRefused, match="403"):
            await call
    assert storage.round_trips.total() == 3
    await storage.close()


@pytest.mark.parametrize("size", [0, 1, 100_000, 5_000_000])
async def test_content_of_any_size_is_read_back_and_replaced(storage: Storage, size: int) -> None:
    await storage.ensure(containers=["content"])
    storage.round_trips.clear()
    name = f"service:1/{unique_name('b')}/é %+&'.eml"
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    await storage.content.put(name, data)
    assert await storage.content.get(name) == data
    await storage.content.put(name, b"other")
    assert await storage.content.get(name) == b"other"
    assert storage.round_trips == {"content.put": 2, "content.get": 2}


async def test_content_deleted_is_missing(storage: Storage) -> None:
    await storage.ensure(containers=["content"])
    name = unique_name("b")
    await storage.content.put(name, b"x")
    await storage.content.delete(name)
    for call in (storage.content.get(name), storage.content.delete(name)):
        with pytest.raises(EntityMissing, match="BlobNotFound"):
            await call
