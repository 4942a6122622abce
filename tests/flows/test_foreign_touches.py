"""A row that others touch while a run has its claim: a note of an older run on its timeline, or a sweeper's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from email_core.delivery.spool import MOST_TOUCHES, SUBMISSIONS, SpoolItem
from email_core.errors import EntityChanged, StorageUnavailable
from email_core.storage import Value
from tests.kit.pipeline import Pipeline, draft_to
from tests.kit.receiver import Receiver

pytestmark = pytest.mark.peers


async def touch(pipeline: Pipeline, message: str, row: str = "message") -> None:
    """What a note of an older run does to a row: its timeline grows and its claim stays."""
    current = await pipeline.services.spool.read(message, row, with_content=False)
    assert current is not None
    await pipeline.services.spool.update(current, ledger=current.ledger, timeline=current.timeline)


def touched_before(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, method: str, *, number: int = 1, times: int = 1
) -> None:
    """Touch the message's row before the calls of an operation of the tables, from the `number`-th on."""
    tables = pipeline.storage.tables
    inner, calls = getattr(tables, method), 0

    async def after_a_touch(table: str, *arguments: Any, **options: Any) -> object:
        nonlocal calls
        if table == "messages":
            calls += 1
            if number <= calls < number + times:
                name = f"{pipeline.service.key}:{operation}"
                entity = await tables.get("messages", name, "message")
                assert entity is not None
                changes: Mapping[str, Value] = {"touched": calls}
                await merge("messages", name, "message", changes, etag=entity.etag)
        return await inner(table, *arguments, **options)

    merge = tables.merge
    operation = pipeline.queues.noted[0].item.message.partition(":")[2]
    monkeypatch.setattr(tables, method, after_a_touch)


async def test_split_of_a_row_that_was_touched_goes_through(
    pipeline: Pipeline, sink: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = await pipeline.accept(draft_to("x@a.test", "y@b.test"))
    touched_before(pipeline, monkeypatch, "transact")
    await pipeline.step()
    row = await pipeline.row(accepted)
    assert (row.facts.envelopes, row.ledger.attempt) == (2, 1)
    await pipeline.drain()
    assert sorted(received.recipients for received in sink.received) == [("x@a.test",), ("y@b.test",)]


async def test_split_of_a_row_that_is_touched_without_an_end_gives_up(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pipeline.accept(draft_to("x@a.test", "y@b.test"))
    touched_before(pipeline, monkeypatch, "transact", times=MOST_TOUCHES)
    with pytest.raises(EntityChanged):
        await pipeline.step()


async def test_release_of_a_row_that_was_touched_gives_the_claim_back(pipeline: Pipeline) -> None:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    item = SpoolItem(f"{pipeline.service.key}:{accepted.operation_id}")
    held = await pipeline.services.claims.take(SUBMISSIONS, item, dequeue_count=1)
    assert held is not None
    await touch(pipeline, item.message)
    await pipeline.services.claims.release(held)
    assert (await pipeline.row(accepted)).ledger.claim_until == 0


async def test_release_of_a_claim_that_was_taken_over_leaves_it_alone(pipeline: Pipeline) -> None:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    item = SpoolItem(f"{pipeline.service.key}:{accepted.operation_id}")
    held = await pipeline.services.claims.take(SUBMISSIONS, item, dequeue_count=1)
    assert held is not None
    pipeline.clock.advance(pipeline.services.claims.seconds + 1)
    other = await pipeline.services.claims.take(SUBMISSIONS, item, dequeue_count=2)
    assert other is not None
    await pipeline.services.claims.release(held)
    row = await pipeline.row(accepted)
    assert (row.ledger.claim_token, row.ledger.claim_until) == (other.ledger.claim_token, other.ledger.claim_until)


def reads_throttled(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, *, times: int) -> None:
    """The reads after the first one, which is the claim's, are throttled so often."""
    read, calls = pipeline.storage.tables.get, 0

    async def throttled(table: str, *arguments: Any, **options: Any) -> object:
        nonlocal calls
        calls += table == "messages"
        if table == "messages" and 1 < calls <= 1 + times:
            raise StorageUnavailable("tables.get: 503 ServerBusy")
        return await read(table, *arguments, **options)

    monkeypatch.setattr(pipeline.storage.tables, "get", throttled)


async def test_settle_whose_read_after_a_touch_is_throttled_tries_again_and_sends_once(
    pipeline: Pipeline, sink: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    merge, merges = pipeline.storage.tables.merge, 0

    async def touched(table: str, *arguments: Any, **options: Any) -> object:
        nonlocal merges
        merges += table == "messages"
        if table == "messages" and merges == 2:  # the first one claims
            await merge(table, *arguments[:2], {"touched": 1}, etag="*")
        return await merge(table, *arguments, **options)

    monkeypatch.setattr(pipeline.storage.tables, "merge", touched)
    reads_throttled(pipeline, monkeypatch, times=2)
    await pipeline.drain()
    assert pipeline.clock.slept == [0.5, 2.0]
    [entry] = (await pipeline.row(accepted)).ledger.entries
    assert (str(entry.status), entry.possible_duplicate) == ("Delivered", False)
    assert len(sink.received) == 1


async def test_settle_that_cannot_merge_saves_the_outcomes_of_a_row_that_was_touched(
    pipeline: Pipeline, sink: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The merge is throttled until its time is over, and the row is touched before the outcomes are saved."""
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    merge, merges = pipeline.storage.tables.merge, 0

    async def throttled(table: str, *arguments: Any, **options: Any) -> object:
        nonlocal merges
        merges += table == "messages"
        if table == "messages" and 2 <= merges <= 7:
            raise StorageUnavailable("tables.merge: 503 ServerBusy")
        if table == "messages" and merges == 8:
            await merge(table, *arguments[:2], {"touched": 1}, etag="*")
        return await merge(table, *arguments, **options)

    monkeypatch.setattr(pipeline.storage.tables, "merge", throttled)
    with pytest.raises(StorageUnavailable):
        await pipeline.step()
    [entry] = (await pipeline.row(accepted)).ledger.entries
    assert (str(entry.status), entry.possible_duplicate) == ("Delivered", False)
    assert len(sink.received) == 1
