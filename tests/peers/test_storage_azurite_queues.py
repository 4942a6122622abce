"""Queues against Azurite: what is in sight when, whose an item is, and the limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from email_core.errors import EntityMissing
from email_core.settings import Secret, StorageSettings
from email_core.storage import Storage, open_storage
from tests.kit.azurite import unique_name

pytestmark = pytest.mark.peers


@pytest.fixture(params=["base64", "none"])
async def storage(request: pytest.FixtureRequest, azurite: str) -> AsyncIterator[Storage]:
    """A store in each of the two encodings."""
    opened = open_storage(StorageSettings(connection_string=Secret(azurite)), message_encoding=request.param)
    yield opened
    await opened.close()


@pytest.fixture
async def queue(storage: Storage) -> str:
    """A new queue."""
    name = unique_name("q")
    await storage.ensure(queues=[name])
    storage.round_trips.clear()
    return name


@pytest.mark.parametrize("text", ['{"message":"s:1"}', "é😀 <&>\"' ]]>", "a\r\nb\n\tc", "x", " two  blanks "])
async def test_item_enqueued_is_received_with_its_facts(storage: Storage, queue: str, text: str) -> None:
    before = time.time()
    await storage.queues.enqueue(queue, text)
    [item] = await storage.queues.receive(queue, 32, 40)
    assert item.text == text
    assert item.dequeue_count == 1
    assert item.id
    assert item.pop_receipt
    assert before - 2 <= item.inserted_at <= time.time() + 1
    assert 38 <= item.next_visible_at - item.inserted_at <= 42
    assert item.expires_at > before + 1000 * 365 * 24 * 3600  # never
    assert storage.round_trips == {"queues.enqueue": 1, "queues.receive": 1}


async def test_receive_takes_at_most_as_many_as_asked_in_order(storage: Storage, queue: str) -> None:
    for number in range(5):
        await storage.queues.enqueue(queue, str(number))
    assert [item.text for item in await storage.queues.receive(queue, 3, 30)] == ["0", "1", "2"]
    assert [item.text for item in await storage.queues.receive(queue, 32, 30)] == ["3", "4"]
    assert await storage.queues.receive(queue, 32, 30) == []


async def test_item_received_by_many_at_once_is_had_by_one(storage: Storage, queue: str) -> None:
    for number in range(12):
        await storage.queues.enqueue(queue, str(number))
    batches = await asyncio.gather(*(storage.queues.receive(queue, 3, 30) for _ in range(8)))
    assert sorted(int(item.text) for batch in batches for item in batch) == list(range(12))


@pytest.mark.parametrize("delay", [2, 3600.5, 7 * 24 * 3600])
async def test_item_with_a_delay_is_counted_and_out_of_sight(storage: Storage, queue: str, delay: float) -> None:
    await storage.queues.enqueue(queue, "later", delay=delay)
    assert await storage.queues.receive(queue, 1, 30) == []
    assert await storage.queues.depth(queue) == 1


async def test_item_given_back_is_received_again_and_counted(storage: Storage, queue: str) -> None:
    await storage.queues.enqueue(queue, "again")
    [first] = await storage.queues.receive(queue, 1, 30)
    assert await storage.queues.receive(queue, 1, 30) == []
    await storage.queues.extend(queue, first, 0)
    [second] = await storage.queues.receive(queue, 1, 30)
    assert (second.id, second.text, second.dequeue_count) == (first.id, "again", 2)


async def test_item_extended_has_a_new_receipt_and_the_old_one_is_worthless(storage: Storage, queue: str) -> None:
    await storage.queues.enqueue(queue, "x")
    [item] = await storage.queues.receive(queue, 1, 30)
    extended = await storage.queues.extend(queue, item, 7 * 24 * 3600)
    assert extended.pop_receipt != item.pop_receipt
    assert extended.next_visible_at - item.next_visible_at > 6 * 24 * 3600
    assert extended.text == "x"
    for call in (storage.queues.delete(queue, item), storage.queues.extend(queue, item, 30)):
        with pytest.raises(EntityMissing, match="PopReceiptMismatch"):
            await call
    await storage.queues.delete(queue, extended)
    assert await storage.queues.depth(queue) == 0


async def test_item_deleted_is_missing(storage: Storage, queue: str) -> None:
    await storage.queues.enqueue(queue, "x")
    [item] = await storage.queues.receive(queue, 1, 30)
    await storage.queues.delete(queue, item)
    for call in (storage.queues.delete(queue, item), storage.queues.extend(queue, item, 30)):
        with pytest.raises(EntityMissing, match="MessageNotFound"):
            await call


async def test_queue_that_was_never_created_is_missing(storage: Storage, queue: str) -> None:
    await storage.queues.enqueue(queue, "x")
    [item] = await storage.queues.receive(queue, 1, 30)
    absent = unique_name("q")
    for call in (
        storage.queues.enqueue(absent, "x"),
        storage.queues.receive(absent, 1, 30),
        storage.queues.extend(absent, item, 30),
        storage.queues.delete(absent, item),
        storage.queues.depth(absent),
    ):
        with pytest.raises(EntityMissing):
            await call


async def test_item_of_64_kibibytes_as_sent_is_received_whole(storage: Storage, queue: str) -> None:
    text = "x" * 49152  # 65,536 in base64
    await storage.queues.enqueue(queue, text)
    [item] = await storage.queues.receive(queue, 1, 30)
    assert item.text == text
