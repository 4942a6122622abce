"""The sweeper against real storage: what it finds, what it leaves alone, and that it never makes a receiver be asked twice."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from email_core.delivery import sweep
from email_core.delivery.ledger import Entry, Ledger
from email_core.delivery.rows import MessageFacts
from email_core.delivery.spool import DELIVERIES, MESSAGES, SUBMISSIONS, SpoolItem
from email_core.delivery.sweep import DIGITS, EVERY, turn_at
from email_core.errors import StorageUnavailable
from email_core.submission.accept import Accepted
from tests.kit.pipeline import Noted, Pipeline, draft_to
from tests.kit.receiver import Receiver

pytestmark = pytest.mark.peers

HOUR = 3600.0
CLAIM = 300.0  # seconds; the default of POSTRIDER_CLAIM_SECONDS
ROUND = EVERY * len(DIGITS)  # in which every message is looked at once


def once_deferred() -> dict[str, list[str]]:
    """Replies of a receiver that takes a message at the second try."""
    return {"later@fabrikam.test": ["451 4.3.0 later", "250 2.1.5 now"]}


def turn(pipeline: Pipeline, digit: str) -> None:
    """Let time pass until it is the turn of the ids that begin with a digit."""
    left = (DIGITS.index(digit) - turn_at(pipeline.clock.now())) % len(DIGITS)
    pipeline.clock.advance(left * EVERY)


async def swept(pipeline: Pipeline, accepted: Accepted) -> list[Noted]:
    """What the sweeper enqueues of a message when its turn comes. Other tests have left their rows in the table, too."""
    turn(pipeline, accepted.operation_id[0])
    before = len(pipeline.queues.noted)
    await pipeline.services.sweeper.sweep()
    new = pipeline.queues.noted[before:]
    del pipeline.queues.noted[before:]
    return [noted for noted in new if noted.item.message == message_of(pipeline, accepted)]


def message_of(pipeline: Pipeline, accepted: Accepted) -> str:
    return f"{pipeline.service.key}:{accepted.operation_id}"


def lose_items(pipeline: Pipeline) -> list[Noted]:
    lost = list(pipeline.queues.noted)
    pipeline.queues.noted.clear()
    return lost


async def deferred(pipeline: Pipeline, sink: Receiver) -> Accepted:
    """A message that was deferred once, and whose retry item is lost; it is not overdue yet."""
    sink.replies = once_deferred()
    accepted = await pipeline.accept(draft_to("later@fabrikam.test"))
    await pipeline.step()
    lose_items(pipeline)
    return accepted


async def died(pipeline: Pipeline, accepted: Accepted) -> None:
    """A run that claims the message and is never seen again, nor is its item."""
    item = SpoolItem(message_of(pipeline, accepted))
    assert await pipeline.services.claims.take(SUBMISSIONS, item, dequeue_count=1)
    lose_items(pipeline)


def only_of(pipeline: Pipeline, accepted: Accepted) -> None:
    message = message_of(pipeline, accepted)
    pipeline.queues.noted[:] = [noted for noted in pipeline.queues.noted if noted.item.message == message]


async def test_sweep_deferred_message_whose_item_was_lost_is_delivered(pipeline: Pipeline, sink: Receiver) -> None:
    accepted = await deferred(pipeline, sink)
    pipeline.clock.advance(HOUR)
    [noted] = await swept(pipeline, accepted)
    assert (noted.queue, noted.item.attempt, noted.delay) == (DELIVERIES, 1, 0.0)
    await pipeline.work(noted)
    row = await pipeline.row(accepted)
    [entry] = row.ledger.entries
    assert (entry.status, entry.tries, entry.possible_duplicate) == ("Delivered", 2, False)
    [event] = [event for event in row.timeline if event.kind == "overdue"]
    assert event.facts["queue"] == DELIVERIES and int(str(event.facts["seconds"])) > CLAIM


async def test_sweep_run_that_died_before_anything_was_signed_prepares_again_and_doubts(pipeline: Pipeline) -> None:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    await died(pipeline, accepted)
    pipeline.clock.advance(HOUR)
    [noted] = await swept(pipeline, accepted)
    assert (noted.queue, noted.item) == (SUBMISSIONS, SpoolItem(message_of(pipeline, accepted)))
    await pipeline.work(noted)
    [entry] = (await pipeline.row(accepted)).ledger.entries
    assert (entry.status, entry.possible_duplicate) == ("Delivered", True)


async def test_sweep_envelope_whose_first_item_was_lost_is_delivered(pipeline: Pipeline, sink: Receiver) -> None:
    accepted = await pipeline.accept(draft_to("x@a.test", "y@b.test"))
    await pipeline.step()
    lose_items(pipeline)
    pipeline.clock.advance(HOUR)
    noted = await swept(pipeline, accepted)
    assert [(each.queue, each.item.row, each.item.attempt) for each in noted] == [
        (DELIVERIES, "envelope:001", 0),
        (DELIVERIES, "envelope:002", 0),
    ]
    for each in noted:
        await pipeline.work(each)
    assert sorted(received.recipients for received in sink.received) == [("x@a.test",), ("y@b.test",)]


async def test_sweep_message_that_was_never_claimed_is_left_alone(pipeline: Pipeline) -> None:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    lose_items(pipeline)
    pipeline.clock.advance(100 * HOUR)
    assert await swept(pipeline, accepted) == []


@pytest.mark.parametrize("overdue_by", [-60.0, CLAIM - 1.0])
async def test_sweep_message_that_is_not_overdue_by_a_claim_is_left_alone(
    pipeline: Pipeline, sink: Receiver, overdue_by: float
) -> None:
    accepted = await deferred(pipeline, sink)
    turn(pipeline, accepted.operation_id[0])
    row = await pipeline.row(accepted)
    due = pipeline.clock.now() - overdue_by
    await pipeline.services.spool.update(row, ledger=replace(row.ledger, next_attempt_at=due))
    assert await swept(pipeline, accepted) == []


async def test_sweep_message_of_a_service_that_nobody_knows_is_found(pipeline: Pipeline) -> None:
    """The service was deleted; and every other one in the table is passed on the way."""
    now = pipeline.clock.now()
    facts = MessageFacts(now, now + 72 * HOUR, "http", "s@gone.test", "/domain", 10, "hash")
    messages = [f"{service}:{uuid.uuid4()}" for service in ("2222222222", "mmmmmmmmmm", "zzzzzzzzzz")]
    for message in messages:
        claimed = Ledger((Entry("a@x.test"),), claim_token="died", claim_until=now, next_attempt_at=now)
        await pipeline.services.spool.add(message, facts, claimed, [], b"content")
    lose_items(pipeline)
    pipeline.clock.advance(HOUR)
    for _ in DIGITS:
        pipeline.clock.advance(EVERY)
        await pipeline.services.sweeper.sweep()
    put_back = [noted.item.message for noted in pipeline.queues.noted]
    assert sorted(message for message in put_back if message in messages) == messages


async def test_sweep_of_a_long_backlog_adds_one_item_a_look_and_one_of_them_sends(pipeline: Pipeline, sink: Receiver) -> None:
    """The retry item is there and nobody works the queue for a day: no look finds the message again within a claim."""
    accepted = await deferred(pipeline, sink)
    pipeline.clock.advance(HOUR)
    items = await swept(pipeline, accepted)
    assert len(items) == 1
    assert await swept(pipeline, accepted) == []  # the same turn: just now it was put back
    rounds = int(24 * HOUR / ROUND)
    for _ in range(rounds):
        pipeline.clock.advance(EVERY)
        items += await swept(pipeline, accepted)
    assert len(items) == 1 + rounds
    for noted in items:
        await pipeline.work(noted)
    assert len(sink.received) == 1
    assert [noted for noted in pipeline.queues.noted if noted.item.message == message_of(pipeline, accepted)] == []


async def test_sweep_beside_a_run_that_claims_at_that_moment_enqueues_nothing(
    pipeline: Pipeline, sink: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = await deferred(pipeline, sink)
    pipeline.clock.advance(HOUR)
    spool = pipeline.services.spool
    queue_of = spool.queue_of

    async def claim_meanwhile(row: Any) -> str:
        late = SpoolItem(message_of(pipeline, accepted), attempt=1)
        await pipeline.services.deliverer.deliver(late, dequeue_count=1)
        return await queue_of(row)

    monkeypatch.setattr(spool, "queue_of", claim_meanwhile)
    assert await swept(pipeline, accepted) == []
    assert len(sink.received) == 1


def unavailable(*_: object, **__: object) -> Any:
    raise StorageUnavailable("no answer")


@pytest.mark.parametrize("part", ["query", "get", "merge", "enqueue"])
async def test_sweep_storage_away_ends_quietly_and_the_next_look_puts_back(
    pipeline: Pipeline, sink: Receiver, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    accepted = await deferred(pipeline, sink)
    pipeline.clock.advance(HOUR)
    owner: Any = pipeline.queues if part == "enqueue" else pipeline.storage.tables
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, part, unavailable)
        assert await swept(pipeline, accepted) == []
    assert "fault where=sweep" in caplog.text
    pipeline.clock.advance(EVERY)
    [noted] = await swept(pipeline, accepted)
    await pipeline.work(noted)
    assert len(sink.received) == 1


async def test_sweep_of_a_worker_whose_clock_is_ahead_takes_no_outcome_from_a_run(pipeline: Pipeline, sink: Receiver) -> None:
    """The run is under way, its claim looks long over, and the sweeper touches the row under it."""
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    [noted] = pipeline.queues.noted
    settle = pipeline.services.preparer.settler.settle

    async def sweep_first(*arguments: Any, **options: Any) -> None:
        now = pipeline.clock.now()
        pipeline.clock.jump(2 * HOUR)
        enqueued.extend(await swept(pipeline, accepted))
        pipeline.clock.jump(now - pipeline.clock.now())
        await settle(*arguments, **options)

    enqueued: list[Noted] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            type(pipeline.services.preparer.settler), "settle", lambda _, *args, **options: sweep_first(*args, **options)
        )
        await pipeline.work(noted)
    for each in enqueued:
        await pipeline.work(each)
    assert len(enqueued) == 1
    [entry] = (await pipeline.row(accepted)).ledger.entries
    assert (entry.status, entry.tries, entry.possible_duplicate) == ("Delivered", 1, False)
    assert len(sink.received) == 1


async def test_sweep_of_a_worker_whose_clock_is_ahead_moves_no_attempt(pipeline: Pipeline, sink: Receiver) -> None:
    """Its item waits for the time that the retry item has; and a right clock finds the message when both are lost."""
    accepted = await deferred(pipeline, sink)
    turn(pipeline, accepted.operation_id[0])
    row = await pipeline.row(accepted)
    later = pipeline.clock.now() + HOUR / 2
    await pipeline.services.spool.update(row, ledger=replace(row.ledger, next_attempt_at=later))
    pipeline.clock.jump(2 * ROUND)  # the same digit's turn again
    [early] = await swept(pipeline, accepted)
    pipeline.clock.jump(-2 * ROUND)
    assert (await pipeline.row(accepted)).ledger.next_attempt_at == later
    await pipeline.work(early)
    [waiting] = lose_items(pipeline)
    assert (waiting.delay, len(sink.asked)) == (900.0, 1)
    pipeline.clock.advance(HOUR)
    [noted] = await swept(pipeline, accepted)
    await pipeline.work(noted)
    assert len(sink.received) == 1


async def test_sweep_puts_back_no_more_than_its_bound_and_goes_on_at_the_next_turn(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "MOST_ROWS", 2)
    digit = DIGITS[turn_at(pipeline.clock.now()) % len(DIGITS)]
    messages = []
    for _ in range(5):
        accepted = await pipeline.accept(draft_to("ann@fabrikam.test"), operation_id=digit + str(uuid.uuid4())[1:])
        await died(pipeline, accepted)
        messages.append(message_of(pipeline, accepted))
    pipeline.clock.advance(HOUR)
    found: list[str] = []
    for _ in range(40):  # other tests have left rows of their own
        turn(pipeline, digit)
        done = await pipeline.services.sweeper.sweep()
        assert done.put_back <= 2
        found += [noted.item.message for noted in lose_items(pipeline) if noted.item.message in messages]
        pipeline.clock.advance(1.0)
        if len(found) == len(messages):
            break
    assert sorted(found) == sorted(messages)


async def test_sweep_row_that_cannot_be_read_keeps_no_other_from_being_found(pipeline: Pipeline, sink: Receiver) -> None:
    accepted = await deferred(pipeline, sink)
    pipeline.clock.advance(HOUR)
    past = pipeline.clock.now() - HOUR
    for place, values in enumerate(({"ledgerSize": 3, "ledger0": b"{]["}, {"attempt": "the third"})):
        broken = f"{pipeline.service.key}:{accepted.operation_id[0]}000000{place}-0000-4000-8000-000000000000"
        due = {"claimToken": "newer", "nextAttemptAt": past}
        await pipeline.storage.tables.insert(MESSAGES, {"PartitionKey": broken, "RowKey": "message", **due, **values})
    [noted] = await swept(pipeline, accepted)
    assert noted.item.message == message_of(pipeline, accepted)


async def test_sweep_finished_row_with_a_next_attempt_is_put_right_and_not_put_back(pipeline: Pipeline) -> None:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    await pipeline.drain()
    row = await pipeline.row(accepted)
    past = pipeline.clock.now() - HOUR
    await pipeline.services.spool.update(row, ledger=replace(row.ledger, next_attempt_at=past))
    assert await swept(pipeline, accepted) == []
    assert (await pipeline.row(accepted)).ledger.next_attempt_at == 0.0


async def final_by_delivery(pipeline: Pipeline, sink: Receiver) -> Accepted:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    await pipeline.drain()
    return accepted


async def final_by_expiry(pipeline: Pipeline, sink: Receiver) -> Accepted:
    sink.replies = {"later@fabrikam.test": ["451 4.3.0 never"]}
    accepted = await pipeline.accept(draft_to("later@fabrikam.test"))
    await pipeline.drain()
    return accepted


async def final_by_poison(pipeline: Pipeline, sink: Receiver) -> Accepted:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    item = SpoolItem(message_of(pipeline, accepted))
    await pipeline.services.poison_keeper.keep(SUBMISSIONS, str(uuid.uuid4()), item.encode(), dequeue_count=1)
    return accepted


async def final_by_split(pipeline: Pipeline, sink: Receiver) -> Accepted:
    accepted = await pipeline.accept(draft_to("x@a.test", "y@b.test"))
    await pipeline.step()
    return accepted


async def final_but_for_a_merge(pipeline: Pipeline, sink: Receiver) -> Accepted:
    """The merge of the settling fails in the end, and the outcomes are saved by the other one."""
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    [noted] = pipeline.queues.noted
    merge = pipeline.services.spool.update
    calls = iter(range(100))

    async def only_claim_and_save(*arguments: Any, **options: Any) -> Any:
        if next(calls) in range(1, 7):
            raise StorageUnavailable("no answer")
        return await merge(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.services.spool, "update", only_claim_and_save)
        with pytest.raises(StorageUnavailable):
            await pipeline.work(noted)
    return accepted


@pytest.mark.parametrize(
    "story",
    [final_by_delivery, final_by_expiry, final_by_poison, final_by_split, final_but_for_a_merge],
    ids=lambda story: story.__name__,
)
async def test_row_that_is_done_has_no_next_attempt(pipeline: Pipeline, sink: Receiver, story: Callable[..., Any]) -> None:
    accepted = await story(pipeline, sink)
    row = await pipeline.row(accepted)
    assert row.ledger.finished or row.facts.envelopes
    assert row.ledger.next_attempt_at == 0.0


async def test_row_that_is_claimed_released_or_deferred_has_a_next_attempt(pipeline: Pipeline, sink: Receiver) -> None:
    accepted = await deferred(pipeline, sink)
    now = pipeline.clock.now()
    assert (await pipeline.row(accepted)).ledger.next_attempt_at > now
    pipeline.clock.advance(HOUR)
    row = await pipeline.services.claims.take(DELIVERIES, SpoolItem(message_of(pipeline, accepted), attempt=1), dequeue_count=1)
    assert row is not None
    assert row.ledger.next_attempt_at == pipeline.clock.now() + CLAIM
    await pipeline.services.claims.release(row)
    assert (await pipeline.row(accepted)).ledger.next_attempt_at == pipeline.clock.now()


async def test_clock_set_forward_an_hour_makes_one_early_try_at_the_most(pipeline: Pipeline, sink: Receiver) -> None:
    """Nobody can tell it from an hour that passed: what was due within it is tried, once, and then on its schedule."""
    sink.replies = {"later@fabrikam.test": ["451 4.3.0 not now"]}
    accepted = await pipeline.accept(draft_to("later@fabrikam.test"))
    for _ in range(4):  # the fourth pause is of half an hour
        await pipeline.step()
    only_of(pipeline, accepted)
    [retry] = lose_items(pipeline)
    pipeline.clock.jump(HOUR)
    items = await swept(pipeline, accepted)
    asked = len(sink.asked)
    for noted in (*items, retry):
        await pipeline.work(replace(noted, delay=0.0))
    assert len(sink.asked) - asked == 1
    only_of(pipeline, accepted)
    [following] = pipeline.queues.noted
    assert following.delay >= 0.8 * HOUR


async def test_clock_set_back_an_hour_makes_no_early_try_and_an_hour_of_delay(pipeline: Pipeline, sink: Receiver) -> None:
    sink.replies = once_deferred()
    turned = DIGITS[turn_at(pipeline.clock.now() - HOUR) % len(DIGITS)]
    accepted = await pipeline.accept(draft_to("later@fabrikam.test"), operation_id=turned + str(uuid.uuid4())[1:])
    await pipeline.step()
    began = pipeline.clock.monotonic()
    pipeline.clock.jump(-HOUR)
    assert await swept(pipeline, accepted) == []
    assert pipeline.clock.monotonic() == began  # it was its turn
    steps = await pipeline.drain()
    assert [step.delay for step in steps[1:]] == pytest.approx([900.0, 900.0, 900.0, 900.0], abs=5.0)
    [entry] = (await pipeline.row(accepted)).ledger.entries
    assert (entry.status, entry.tries, len(sink.asked)) == ("Delivered", 2, 2)
    assert pipeline.clock.monotonic() - began < HOUR + 100


async def test_retry_item_of_a_run_that_died_waits_for_the_time_of_the_one_that_came_after(
    pipeline: Pipeline, sink: Receiver
) -> None:
    """The first settling dies behind its retry item; the attempt is done again and settled later, with a later time."""
    sink.replies = {"later@fabrikam.test": ["451 4.3.0 later", "451 4.3.0 later", "250 2.1.5 now"]}
    await pipeline.accept(draft_to("later@fabrikam.test"))
    [first] = lose_items(pipeline)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(pipeline.services.preparer.settler), "_merge", unavailable)
        patch.setattr(type(pipeline.services.preparer.settler), "_save_outcomes", AsyncNothing())
        with pytest.raises(StorageUnavailable):
            await pipeline.work(first)
    [orphan] = lose_items(pipeline)
    pipeline.clock.advance(2 * CLAIM)
    await pipeline.work(first, dequeue_count=2)
    [retry] = lose_items(pipeline)
    await pipeline.work(replace(orphan, delay=0.0))
    [waiting] = lose_items(pipeline)
    assert waiting.item == replace(orphan.item, put_backs=1)
    assert waiting.delay == pytest.approx(retry.delay, abs=1.0)
    assert len(sink.asked) == 2


class AsyncNothing:
    """A coroutine function that does nothing."""

    async def __call__(self, *_: object, **__: object) -> None:
        return None
