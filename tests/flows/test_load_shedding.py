"""More than can be taken: what the door answers while storage throttles, and while too many requests are in hand."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import Any

import pytest

from email_core.delivery.capacity import Capacity
from email_core.delivery.spool import Spool
from email_core.triggers.http_exchange import BUSY_SECONDS, LONGEST_BUSY_SECONDS, SHED_SECONDS
from tests.kit.pipeline import Pipeline
from tests.kit.requests import get, message, post
from tests.unit.storage.faulty_server import Reply, faulty_storage

pytestmark = pytest.mark.peers


def with_services(pipeline: Pipeline, **changes: Any) -> Pipeline:
    return replace(pipeline, services=replace(pipeline.services, **changes))


def admitting(pipeline: Pipeline, most: int = 1, most_bytes: int = 2**20, patience: float = 0.01) -> Pipeline:
    return with_services(pipeline, admission=Capacity("requests", most=most, most_bytes=most_bytes, patience=patience))


@pytest.mark.parametrize(
    ("asked", "told"),
    [("", BUSY_SECONDS), ("6", 6), ("20", 20), ("600", LONGEST_BUSY_SECONDS)],
    ids=["says nothing", "6 seconds", "20 seconds", "10 minutes"],
)
async def test_send_while_storage_throttles_is_told_the_wait_of_storage(pipeline: Pipeline, asked: str, told: int) -> None:
    assert (await post(pipeline, message())).status == 202  # the configuration is in the cache then
    busy = Reply(503, headers={"x-ms-error-code": "ServerBusy", **({"Retry-After": asked} if asked else {})})
    async with faulty_storage(busy) as (storage, _):
        answer = await post(with_services(pipeline, spool=Spool(storage)), message())
    assert (answer.status, answer.code) == (503, "ServiceUnavailable")
    assert answer.headers["retry-after"] == str(told)
    assert f"after {told} seconds" in answer.body["error"]["message"]


async def test_send_beyond_those_in_hand_is_told_to_come_again_and_stores_nothing(pipeline: Pipeline) -> None:
    full = admitting(pipeline)
    operation_id = str(uuid.uuid4())
    async with full.services.admission.place(0):
        answer = await post(full, message(), headers={"operation-id": operation_id})
    assert (answer.status, answer.code) == (503, "ServiceUnavailable")
    assert SHED_SECONDS[0] <= int(answer.headers["retry-after"]) <= SHED_SECONDS[1]
    assert "nothing of this one was stored" in answer.body["error"]["message"]
    assert pipeline.queues.noted == []
    assert (await get(full, operation_id)).status == 404
    assert (await post(full, message(), headers={"operation-id": operation_id})).status == 202


async def test_send_with_more_bytes_than_there_is_room_for_is_told_to_come_again(pipeline: Pipeline) -> None:
    full = admitting(pipeline, most=9, most_bytes=300_000)
    large = message(content={"subject": "Large", "plainText": "a" * 200_000})
    async with full.services.admission.place(200_000):
        refused = await post(full, large)
        small = await post(full, message())
    assert (refused.status, small.status) == (503, 202)
    assert (await post(full, large)).status == 202


async def test_full_door_looks_at_no_signature_but_tells_what_is_wrong_at_sight(pipeline: Pipeline) -> None:
    full = admitting(pipeline)
    async with full.services.admission.place(0):
        assert (await post(full, message(), key=b"k" * 64)).status == 503
        assert (await post(full, message(), version="2019-01-01")).status == 400
        assert (await post(full, message(), headers={"content-length": "99999999"})).status == 413
    assert (await post(full, message(), key=b"k" * 64)).status == 401


async def test_status_is_told_while_the_door_for_sends_is_full(pipeline: Pipeline) -> None:
    full = admitting(pipeline)
    sent = await post(full, message())
    async with full.services.admission.place(0):
        assert (await get(full, sent.body["id"])).status == 200


async def test_burst_is_worked_a_few_at_a_time_and_all_of_it_is_accepted(pipeline: Pipeline) -> None:
    burst = admitting(pipeline, most=4, patience=60.0)
    added = burst.services.spool.add
    at_once: list[int] = []
    now = 0

    async def counted(*arguments: Any, **options: Any) -> object:
        nonlocal now
        now += 1
        at_once.append(now)
        try:
            return await added(*arguments, **options)
        finally:
            now -= 1

    burst.services.spool.add = counted  # type: ignore[method-assign, assignment]
    answers = await asyncio.gather(*(post(burst, message()) for _ in range(40)))
    assert {answer.status for answer in answers} == {202}
    assert max(at_once) == 4


async def test_request_that_fails_gives_its_place_back(pipeline: Pipeline) -> None:
    door = admitting(pipeline)
    assert (await post(door, b"{")).status == 400
    assert (await post(door, message())).status == 202
    assert (door.services.admission.taken, door.services.admission.bytes_taken) == (0, 0)
