"""Storage that fails in the middle of things: nobody who has the message gets it again, and nothing accepted is lost."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from azure.functions import QueueMessage

from email_core.delivery.claim import MOST_PUT_BACKS, ItemExhausted
from email_core.delivery.spool import DELIVERIES, SUBMISSIONS, SpoolItem
from email_core.errors import EntityMissing, StorageUnavailable
from email_core.triggers.queues import _work
from tests.kit.pipeline import DOMAIN, Noted, Pipeline, draft_to
from tests.kit.receiver import Receiver
from tests.kit.requests import get, message, post

pytestmark = pytest.mark.peers
HOUR = 3600.0


def away(times: int, then: Callable[..., Any]) -> Callable[..., Any]:
    """A storage operation that does not answer the first few times."""
    left = iter(range(times))

    async def operation(*arguments: object, **options: object) -> object:
        if next(left, None) is not None:
            raise StorageUnavailable("no answer")
        return await then(*arguments, **options)

    return operation


def queue_message(item: SpoolItem) -> QueueMessage:
    return QueueMessage(id="1", body=item.encode())


@pytest.mark.parametrize("part", ["the queue", "the blob of the signed message"])
async def test_settle_part_of_storage_away_keeps_who_has_the_message(pipeline: Pipeline, sink: Receiver, part: str) -> None:
    sink.replies = {"later@fabrikam.test": ["451 4.3.0 later", "250 2.1.5 now"]}
    long_text = "0123456789" * 7 + "\r\n"
    draft = draft_to("ok@fabrikam.test", "later@fabrikam.test", text=long_text * (3000 if "blob" in part else 1))
    accepted = await pipeline.accept(draft)
    [noted] = pipeline.queues.noted
    pipeline.queues.noted.clear()
    with pytest.MonkeyPatch.context() as patch:
        if part == "the queue":
            patch.setattr(pipeline.services.spool, "enqueue", away(1, pipeline.services.spool.enqueue))
        else:
            patch.setattr(pipeline.storage.content, "put", away(9, pipeline.storage.content.put))
        with pytest.raises(StorageUnavailable):
            await pipeline.work(noted)
    row = await pipeline.row(accepted)
    assert {entry.address: str(entry.status) for entry in row.ledger.entries} == {
        "ok@fabrikam.test": "Delivered",
        "later@fabrikam.test": "Deferred",
    }
    pipeline.queues.noted.clear()
    await pipeline.work(noted, dequeue_count=2)
    await pipeline.drain()
    assert Counter(recipient for received in sink.received for recipient in received.recipients) == {
        "ok@fabrikam.test": 1,
        "later@fabrikam.test": 1,
    }
    assert not any(entry.possible_duplicate for entry in (await pipeline.row(accepted)).ledger.entries)


async def test_settle_table_away_for_a_moment_is_tried_again_and_sends_once(pipeline: Pipeline, sink: Receiver) -> None:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    [noted] = pipeline.queues.noted
    merge = pipeline.storage.tables.merge
    calls = iter(range(100))

    async def second_and_third_fail(*arguments: object, **options: object) -> object:
        if next(calls) in (1, 2):  # the first one claims
            raise StorageUnavailable("no answer")
        return await merge(*arguments, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.storage.tables, "merge", second_and_third_fail)
        await pipeline.work(noted)
    assert pipeline.clock.slept == [0.5, 2.0]
    assert (await pipeline.row(accepted)).ledger.finished
    assert len(sink.received) == 1


async def test_settle_whose_answer_was_lost_takes_its_own_effect_for_done(pipeline: Pipeline, sink: Receiver) -> None:
    """The merge takes effect, its answer is lost, and the repetition meets another ETag: its own."""
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    merge = pipeline.storage.tables.merge

    async def twice(*arguments: object, **options: object) -> object:
        await merge(*arguments, **options)  # type: ignore[arg-type]
        return await merge(*arguments, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.storage.tables, "merge", twice)
        await pipeline.drain()
    assert (await pipeline.row(accepted)).ledger.finished
    assert len(sink.received) == 1


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


async def test_split_whose_rows_cannot_be_written_is_done_again(pipeline: Pipeline, sink: Receiver) -> None:
    accepted = await pipeline.accept(draft_to("x@a.test", "y@b.test"))
    [noted] = pipeline.queues.noted
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.storage.tables, "transact", away(1, pipeline.storage.tables.transact))
        with pytest.raises(StorageUnavailable):
            await pipeline.work(noted)
    assert (await pipeline.row(accepted)).ledger.claim_until == 0  # given back, for nothing was sent
    await pipeline.work(noted, dequeue_count=2)
    await pipeline.drain()
    assert sorted(received.recipients for received in sink.received) == [("x@a.test",), ("y@b.test",)]


async def test_queue_function_storage_away_postpones_the_item_instead_of_using_up_its_tries(pipeline: Pipeline) -> None:
    item = SpoolItem(f"{pipeline.service.key}:{uuid.uuid4()}")

    async def unavailable(item: SpoolItem, *, dequeue_count: int) -> None:
        raise StorageUnavailable("the table service does not answer")

    delays = []
    for put_backs in range(MOST_PUT_BACKS):
        again = replace(item, put_backs=put_backs)
        await _work(pipeline.services, SUBMISSIONS, queue_message(again), unavailable)
        [noted] = pipeline.queues.noted
        pipeline.queues.noted.clear()
        assert noted.item == replace(item, put_backs=put_backs + 1)
        delays.append(noted.delay)
    assert delays[:3] == [30.0, 60.0, 120.0]
    assert max(delays) == 900.0
    assert sum(delays) > 1.9 * HOUR
    with pytest.raises(ItemExhausted):
        await _work(pipeline.services, SUBMISSIONS, queue_message(replace(item, put_backs=MOST_PUT_BACKS)), unavailable)


async def test_prepare_content_that_is_missing_gives_the_claim_back(pipeline: Pipeline) -> None:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    [noted] = pipeline.queues.noted

    async def missing(_: object) -> bytes:
        raise EntityMissing("no blob")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.services.spool, "content", missing)
        with pytest.raises(EntityMissing):
            await pipeline.work(noted)
    assert (await pipeline.row(accepted)).ledger.claim_until == 0
    await pipeline.work(noted, dequeue_count=2)
    [entry] = (await pipeline.row(accepted)).ledger.entries
    assert (entry.status, entry.possible_duplicate) == ("Delivered", False)


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


async def test_send_that_a_client_repeats_by_itself_is_one_message(pipeline: Pipeline, sink: Receiver) -> None:
    """The insert takes effect and its answer is lost; the client repeats the POST without an Operation-Id."""
    header = {"x-ms-client-request-id": str(uuid.uuid4())}
    insert = pipeline.storage.tables.insert

    async def lost(*arguments: object, **options: object) -> object:
        await insert(*arguments, **options)  # type: ignore[arg-type]
        raise StorageUnavailable("the answer was lost")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.storage.tables, "insert", lost)
        assert (await post(pipeline, message(), headers=header)).status == 503
    assert (await post(pipeline, message(), headers=header)).status == 202
    other = await post(pipeline, message(content={"subject": "Another", "plainText": "x"}), headers=header)
    assert other.status == 202
    await pipeline.drain()
    assert len(sink.received) == 2
