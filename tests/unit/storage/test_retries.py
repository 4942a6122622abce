"""What callers see when storage does not do what it should: tries, counts, and the exception at the end."""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
from collections import Counter
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError

from email_core.errors import EntityChanged, EntityExists, EntityMissing, StorageRefused, StorageUnavailable
from email_core.storage import QueueItem, StorageLimit, creation, shared_key
from email_core.storage.pipeline import Service
from tests.unit.storage.faulty_server import BREAK, STALL, Reply, faulty_storage, storage_at

ENTITY = {"PartitionKey": "p", "RowKey": "r", "text": "x"}
CREATED = Reply(204, headers={"ETag": 'W/"1"'})
BUSY = Reply(503, headers={"x-ms-error-code": "ServerBusy"})
ITEM = QueueItem("id", "text", 1, 0.0, 0.0, 0.0, "receipt")


def refusal(status: int, code: str) -> Reply:
    return Reply(
        status, b'{"odata.error":{"code":"%s","message":{"lang":"en-US","value":"Why.\\nRequestId:1"}}}' % code.encode()
    )


@pytest.mark.parametrize("trouble", [BUSY, Reply(500), Reply(504), Reply(429), Reply(408), BREAK])
async def test_insert_trouble_twice_then_created_succeeds(trouble: Reply | str) -> None:
    async with faulty_storage(trouble, trouble, CREATED) as (storage, server):
        assert await storage.tables.insert("things", ENTITY) == 'W/"1"'
    assert storage.round_trips == Counter({"tables.insert": 3})
    assert [request.body for request in server.received] == [server.received[0].body] * 3


@pytest.mark.parametrize(("trouble", "tries"), [(BUSY, 4), (Reply(500), 4), (BREAK, 4), (Reply(507), 4)])
async def test_insert_trouble_without_end_is_unavailable(trouble: Reply | str, tries: int) -> None:
    async with faulty_storage(trouble) as (storage, server):
        with pytest.raises(StorageUnavailable, match=r"tables\.insert"):
            await storage.tables.insert("things", ENTITY)
    assert len(server.received) == storage.round_trips["tables.insert"] == tries


async def test_every_operation_busy_without_end_is_unavailable() -> None:
    async with faulty_storage(BUSY) as (storage, _):
        calls = {
            "tables.insert": storage.tables.insert("things", ENTITY),
            "tables.get": storage.tables.get("things", "p", "r"),
            "tables.merge": storage.tables.merge("things", "p", "r", {}, etag="*"),
            "tables.upsert": storage.tables.upsert("things", ENTITY),
            "tables.delete": storage.tables.delete("things", "p", "r"),
            "queues.enqueue": storage.queues.enqueue("items", "x"),
            "queues.receive": storage.queues.receive("items", 1, 30),
            "queues.extend": storage.queues.extend("items", ITEM, 30),
            "queues.delete": storage.queues.delete("items", ITEM),
            "queues.depth": storage.queues.depth("items"),
            "content.put": storage.content.put("name", b"x"),
            "content.get": storage.content.get("name"),
            "content.delete": storage.content.delete("name"),
        }
        for name, call in calls.items():
            with pytest.raises(StorageUnavailable, match=f"^{name}: 503 ServerBusy"):
                await call
    assert storage.round_trips == Counter(dict.fromkeys(calls, 4))


async def test_query_busy_without_end_is_unavailable() -> None:
    async with faulty_storage(BUSY) as (storage, _):
        with pytest.raises(StorageUnavailable):
            _ = [entity async for entity in storage.tables.query("things", "")]


async def test_no_server_is_unavailable_and_says_why() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    storage = storage_at(f"http://127.0.0.1:{port}/account")
    with pytest.raises(StorageUnavailable, match="ServiceRequestError") as caught:
        await storage.queues.enqueue("items", "x")
    assert isinstance(caught.value.__cause__, ServiceRequestError)
    await storage.close()


async def test_server_that_never_answers_is_unavailable_at_the_deadline() -> None:
    async with faulty_storage(STALL) as (storage, _):
        service: Service = storage.tables._service
        before = time.monotonic()
        with pytest.raises(StorageUnavailable, match="TimeoutError"):
            await service.call("get", "GET", "/things()", {}, deadline=0.05)
        assert time.monotonic() - before < 5


async def test_retry_is_dated_and_signed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter((1_000_000_000.0, 1_000_000_060.0))
    monkeypatch.setattr(shared_key, "time", SimpleNamespace(time=lambda: next(times)))
    async with faulty_storage(BUSY, CREATED) as (storage, server):
        await storage.tables.insert("things", ENTITY)
    first, second = server.received
    assert first.headers["x-ms-date"] == "Sun, 09 Sep 2001 01:46:40 GMT"
    assert second.headers["x-ms-date"] == "Sun, 09 Sep 2001 01:47:40 GMT"
    assert first.headers["authorization"] != second.headers["authorization"]


@pytest.mark.parametrize("operation", ["queues.delete", "content.put"])
async def test_connection_broken_is_counted_for_every_method(operation: str) -> None:
    async with faulty_storage(BREAK) as (storage, server):
        call = storage.queues.delete("items", ITEM) if operation == "queues.delete" else storage.content.put("name", b"x")
        with pytest.raises(StorageUnavailable):
            await call
    assert len(server.received) == storage.round_trips[operation] == 4


async def test_large_blob_broken_off_is_sent_again_whole() -> None:
    data = io.BytesIO(bytes(range(256)) * 4096 * 3).getvalue()
    async with faulty_storage(BUSY, BREAK, Reply(201)) as (storage, server):
        await storage.content.put("large", data)
    assert [request.body == data for request in server.received] == [True] * 3
    assert server.received[0].headers["content-length"] == str(len(data))


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (refusal(409, "EntityAlreadyExists"), EntityExists),
        (refusal(412, "UpdateConditionNotSatisfied"), EntityChanged),
        (refusal(404, "ResourceNotFound"), EntityMissing),
        (refusal(404, "TableNotFound"), StorageRefused),
        (refusal(400, "InvalidInput"), StorageRefused),
        (Reply(404, b"<html>a proxy's</html>"), StorageRefused),
        (Reply(501), StorageRefused),
        (refusal(400, "EntityTooLarge"), StorageLimit),
        (refusal(403, "AuthenticationFailed"), StorageRefused),
        (refusal(409, "TableBeingDeleted"), StorageUnavailable),
        (Reply(403, b"<html>proxy</html>"), StorageRefused),
        (Reply(400, b"{}"), StorageRefused),
    ],
)
async def test_refusal_becomes_its_exception_at_the_first_try(reply: Reply, error: type[Exception]) -> None:
    async with faulty_storage(reply) as (storage, server):
        with pytest.raises(error, match=rf"^tables\.merge: {reply.status}"):
            await storage.tables.merge("things", "p", "r", {"x": 1}, etag='W/"1"')
    assert len(server.received) == 1


async def test_not_found_by_a_proxy_is_not_an_absent_entity() -> None:
    async with faulty_storage(Reply(404, b"<html>not here</html>")) as (storage, _):
        with pytest.raises(StorageRefused):
            await storage.tables.get("things", "p", "r")
        with pytest.raises(StorageRefused):
            await storage.tables.delete("things", "p", "r")


@pytest.mark.parametrize(
    "data",
    [
        b"<Error><Code>ContainerBeingDeleted</Code></Error>",
        b'{"odata.error":{"code":"TableBeingDeleted","message":{"value":"x"}}}',
    ],
)
async def test_content_that_looks_like_an_error_is_content(data: bytes) -> None:
    async with faulty_storage(Reply(200, data)) as (storage, _):
        assert await storage.content.get("name") == data


async def test_refusal_keeps_the_code_and_the_first_line_of_the_message() -> None:
    async with faulty_storage(refusal(400, "InvalidInput")) as (storage, _):
        with pytest.raises(StorageRefused) as caught:
            await storage.tables.insert("things", ENTITY)
    assert str(caught.value) == "tables.insert: 400 InvalidInput: Why."
    assert (caught.value.status, caught.value.code) == (400, "InvalidInput")


async def test_merge_that_met_its_own_effect_says_so() -> None:
    async with faulty_storage(BREAK, refusal(412, "UpdateConditionNotSatisfied")) as (storage, _):
        with pytest.raises(EntityChanged, match="after a retry"):
            await storage.tables.merge("things", "p", "r", {"x": 1}, etag='W/"1"')


async def test_deletes_whose_first_answer_was_lost_succeed() -> None:
    gone = Reply(404, headers={"x-ms-error-code": "MessageNotFound"})
    async with faulty_storage(BREAK, gone) as (storage, _):
        await storage.queues.delete("items", ITEM)
        with pytest.raises(EntityMissing):
            await storage.queues.delete("items", ITEM)
    gone = Reply(404, headers={"x-ms-error-code": "BlobNotFound"})
    async with faulty_storage(BREAK, gone) as (storage, _):
        await storage.content.delete("name")
        with pytest.raises(EntityMissing):
            await storage.content.delete("name")


async def test_caller_that_is_cancelled_leaves_the_store_usable() -> None:
    async with faulty_storage(STALL, CREATED) as (storage, server):
        call = asyncio.create_task(storage.tables.insert("things", ENTITY))
        while not server.received:
            await asyncio.sleep(0)
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        assert call.cancelled()
        assert await storage.tables.insert("things", ENTITY) == 'W/"1"'


def test_store_used_in_a_second_event_loop_connects_anew() -> None:
    async def insert_once() -> str:
        async with faulty_storage(CREATED) as (known, _):
            endpoint = known.tables._service.endpoint
            shared.tables._service.endpoint = endpoint
            etag = await shared.tables.insert("things", ENTITY)
            await shared.close()
            return etag

    shared = storage_at("http://127.0.0.1:1/account")
    assert asyncio.run(insert_once()) == asyncio.run(insert_once()) == 'W/"1"'


async def test_ensure_without_the_right_to_create_is_refused() -> None:
    async with faulty_storage(Reply(403, headers={"x-ms-error-code": "AuthorizationFailure"})) as (storage, _):
        with pytest.raises(StorageRefused) as caught:
            await storage.ensure(containers=["content"])
    assert (caught.value.status, caught.value.code) == (403, "AuthorizationFailure")


@pytest.mark.parametrize("error", [ServiceRequestError("no connection"), HttpResponseError(response=Mock(status_code=503))])
def test_ensure_without_an_answer_is_unavailable(error: Exception) -> None:
    with pytest.raises(StorageUnavailable):
        creation.judge(error)


async def test_ensure_wrong_name_is_refused_before_anything_is_sent() -> None:
    async with faulty_storage() as (storage, faulty):
        with pytest.raises(StorageLimit):
            await storage.ensure(queues=["Not A Queue"])
        assert faulty.received == []
