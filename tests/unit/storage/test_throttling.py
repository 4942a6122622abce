"""Storage that asks to be left alone: for how long, and who waits."""

from __future__ import annotations

import pytest

from email_core.errors import StorageUnavailable
from tests.unit.storage.faulty_server import Reply, faulty_storage

ENTITY = {"PartitionKey": "p", "RowKey": "r", "text": "x"}


def busy(status: int = 503, **headers: str) -> Reply:
    return Reply(status, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize("status", [503, 500, 429, 408])
async def test_service_that_asks_for_long_is_left_alone_at_once(status: int) -> None:
    async with faulty_storage(busy(status, Retry_After="20")) as (storage, server):
        with pytest.raises(StorageUnavailable) as caught:
            await storage.tables.insert("things", ENTITY)
    assert caught.value.retry_after == 20.0
    assert len(server.received) == 1


async def test_service_that_asks_for_a_moment_is_asked_again_here() -> None:
    async with faulty_storage(busy(Retry_After="0"), Reply(204, headers={"ETag": 'W/"1"'})) as (storage, server):
        assert await storage.tables.insert("things", ENTITY) == 'W/"1"'
    assert len(server.received) == 2


@pytest.mark.parametrize("value", ["", "soon", "-5", "1.5", "Wed, 21 Oct 2065 07:28:00 GMT", "9" * 7, "\u0664"])
async def test_answer_that_names_no_seconds_asks_for_none(value: str) -> None:
    headers = {"Retry-After": value} if value.isascii() else {}
    async with faulty_storage(Reply(409, b"<Error><Code>QueueBeingDeleted</Code></Error>", headers)) as (storage, _):
        with pytest.raises(StorageUnavailable) as caught:
            await storage.queues.enqueue("items", "x")
    assert caught.value.retry_after == 0.0
