"""Storage that fails for longer, or for other reasons than a single round trip: what the table of faults has no place for."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from email_core.delivery.claim import MOST_PUT_BACKS, ItemExhausted
from email_core.delivery.rows import SpooledRow
from email_core.delivery.spool import DELIVERIES, SUBMISSIONS, SpoolItem
from email_core.errors import StorageRefused
from email_core.storage import pipeline as storage_pipeline
from tests.kit.faulty_pipeline import FaultyPipeline, Installation
from tests.kit.pipeline import DOMAIN, Noted, Pipeline, draft_to
from tests.kit.receiver import Receiver
from tests.kit.requests import get, message, post
from tests.kit.storage_proxy import Fault, Rule

pytestmark = pytest.mark.peers
HOUR = 3600.0
TRIES = 4  # of one operation: the first and three retries
LARGE = {"subject": "A test", "plainText": ("0123456789" * 99 + "\r\n") * 210}  # does not fit its row


async def recipients(worker: FaultyPipeline, operation_id: str) -> list[tuple[str, bool]]:
    """Status and possible duplicate of each recipient."""
    rows = await worker.rows(operation_id)
    return [(str(entry.status), entry.possible_duplicate) for row in rows for entry in row.ledger.entries]


async def test_settle_table_away_for_a_moment_is_tried_again_and_sends_once(installation: Installation) -> None:
    async with installation.pipeline() as worker:
        accepted = await post(worker, message())
        worker.proxy.rules = [Rule("tables.merge", Fault.DROPPED, number=2, times=2 * TRIES)]  # the first merge claims
        await worker.drain()
        assert worker.clock.slept == [0.5, 2.0]
        assert await recipients(worker, accepted.body["id"]) == [("Delivered", False)]
        assert len(worker.sink.received) == 1


async def test_storage_away_for_hours_postpones_an_item_before_it_is_given_up(installation: Installation) -> None:
    async with installation.pipeline() as worker:
        await post(worker, message())
        worker.proxy.rules = [Rule("tables.get", Fault.THROTTLED, times=None)]
        delays = []
        for _ in range(MOST_PUT_BACKS):
            await worker.step()
            [enqueued] = worker.proxy.enqueued
            delays.append(enqueued.delay)
        assert worker.raised == []
        assert delays[:3] == [30.0, 60.0, 120.0]
        assert max(delays) == 900.0
        assert sum(delays) > 1.9 * HOUR
        await worker.step()
        assert [type(error) for error in worker.raised] == [ItemExhausted]


@pytest.mark.parametrize("operation", ["tables.insert", "queues.enqueue"])
async def test_accept_storage_stalls_is_told_to_try_again(
    installation: Installation, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_pipeline, "READ_SECONDS", 0.2)
    async with installation.pipeline() as worker:
        operation_id = str(uuid.uuid4())
        worker.proxy.rules = [Rule(operation, Fault.STALLED, times=None)]
        answer = await post(worker, message(), headers={"operation-id": operation_id})
        assert (answer.status, answer.code) == (503, "ServiceUnavailable")
        worker.proxy.rules = []
        assert (await post(worker, message(), headers={"operation-id": operation_id})).status == 202
        await worker.drain()
        assert worker.arrived(operation_id) == Counter({"ann@fabrikam.test": 1})


async def test_item_that_is_there_before_its_row_waits_for_it(installation: Installation) -> None:
    async with installation.pipeline() as worker:
        worker.proxy.rules = [Rule("tables.insert", Fault.DELAYED, seconds=0.3)]
        accepting = asyncio.create_task(post(worker, message()))
        while not worker.collect():
            await asyncio.sleep(0)
        await worker.step()
        [put_back] = worker.proxy.enqueued
        assert put_back.delay == 1.0
        accepted = await accepting
        await worker.drain()
        assert await recipients(worker, accepted.body["id"]) == [("Delivered", False)]


async def test_prepare_content_that_is_missing_gives_the_claim_back(installation: Installation) -> None:
    async with installation.pipeline() as worker:
        accepted = await post(worker, message(content=LARGE))
        [row] = await worker.rows(accepted.body["id"])
        content = await worker.storage.content.get(row.content_blob)
        await worker.storage.content.delete(row.content_blob)
        await worker.step()
        assert len(worker.raised) == 1
        [row] = await worker.rows(accepted.body["id"])
        assert row.ledger.claim_until == 0
        await worker.storage.content.put(row.content_blob, content)
        await worker.drain()
        assert await recipients(worker, accepted.body["id"]) == [("Delivered", False)]


async def test_send_that_a_client_repeats_by_itself_is_one_message(installation: Installation) -> None:
    """The insert takes effect and its answer is lost; the client repeats the POST without an Operation-Id."""
    header = {"x-ms-client-request-id": str(uuid.uuid4())}
    async with installation.pipeline() as worker:
        worker.proxy.rules = [Rule("tables.insert", Fault.LOST_ANSWER, times=None)]
        assert (await post(worker, message(), headers=header)).status == 503
        worker.proxy.rules = []
        assert (await post(worker, message(), headers=header)).status == 202
        other = await post(worker, message(content={"subject": "Another", "plainText": "x"}), headers=header)
        assert other.status == 202
        await worker.drain()
        assert len(worker.sink.received) == 2


async def test_envelope_whose_row_comes_late_is_delivered_all_the_same(pipeline: Pipeline, sink: Receiver) -> None:
    accepted = await pipeline.accept(draft_to("x@a.test", "y@b.test"))
    [first] = pipeline.queues.noted
    pipeline.queues.noted.clear()
    early = [Noted(DELIVERIES, SpoolItem(first.item.message, f"envelope:00{number}"), 0.0) for number in (1, 2)]
    for _ in range(6):  # more than a minute of waiting
        waiting, early = early, []
        for noted in waiting:
            await pipeline.work(noted)
            early.append(pipeline.queues.noted.pop())
    await pipeline.work(first)
    pipeline.queues.noted[:] = early
    await pipeline.drain()
    assert sorted(received.recipients for received in sink.received) == [("x@a.test",), ("y@b.test",)]
    assert (await pipeline.row(accepted, "envelope:001")).ledger.finished


async def test_retry_of_a_message_whose_signed_bytes_were_never_written_is_prepared_again(
    pipeline: Pipeline, sink: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The retry item goes before the merge. The merge fails, and the run that does it again has no key to sign with."""
    sink.replies = {"later@fabrikam.test": ["451 4.3.0 later", "250 2.1.5 now"]}
    accepted = await pipeline.accept(draft_to("later@fabrikam.test"))
    [submitted] = pipeline.queues.noted
    pipeline.queues.noted.clear()

    update = pipeline.services.spool.update

    async def refuse(row: SpooledRow, **changes: Any) -> SpooledRow:
        if "timeline" in changes:  # a claim has none
            raise StorageRefused("merge", 403, "AccountIsReadOnly", "no")
        return await update(row, **changes)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline.services.spool, "update", refuse)
        with pytest.raises(StorageRefused):
            await pipeline.work(submitted)
    [retry] = pipeline.queues.noted
    assert (retry.queue, retry.item.attempt) == (DELIVERIES, 1)
    pipeline.clock.advance(pipeline.services.settings.claim_seconds)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.services.directory, "domain", no_domain)
        await pipeline.work(submitted)
    pipeline.queues.noted[:] = [retry]  # the other one comes later, or never
    await pipeline.drain()
    assert [noted.queue for noted in pipeline.worked[-2:]] == [DELIVERIES, SUBMISSIONS]
    [entry] = (await pipeline.row(accepted)).ledger.entries
    assert (entry.status, len(sink.received)) == ("Delivered", 1)


async def no_domain(_: str) -> None:
    """A directory that does not know the domain."""


async def test_message_that_is_never_signed_fails_its_operation_in_the_end(pipeline: Pipeline, sink: Receiver) -> None:
    sent = await post(pipeline, message())
    domain = await pipeline.services.directory.domain(pipeline.provisioner.domain_id("email", DOMAIN).lower())
    assert domain is not None

    async def without_keys(_: str) -> object:
        return replace(domain, signing_keys=())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.services.directory, "domain", without_keys)
        await pipeline.drain()
    assert sink.received == []
    answer = await get(pipeline, sent.body["id"])
    assert (answer.body["status"], answer.body["error"]["code"]) == ("Failed", "EmailDropped")
    assert [recipient["status"] for recipient in answer.body["recipients"]] == ["Expired"]
    assert "retry-after" not in answer.headers


async def test_poison_item_of_a_message_that_a_run_has_waits_for_it(pipeline: Pipeline) -> None:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    item = SpoolItem(f"{pipeline.service.key}:{accepted.operation_id}")
    await pipeline.services.claims.take(SUBMISSIONS, item, dequeue_count=1)
    await pipeline.services.poison_keeper.keep(SUBMISSIONS, str(uuid.uuid4()), item.encode(), dequeue_count=8)
    row = await pipeline.row(accepted)
    assert (row.facts.status, str(row.ledger.entries[0].status)) == ("Running", "Pending")
    [_, put_back] = pipeline.queues.noted
    assert (put_back.queue, put_back.item, put_back.delay) == (
        SUBMISSIONS,
        replace(item, put_backs=1),
        pytest.approx(301, abs=2),
    )
