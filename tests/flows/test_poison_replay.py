"""Poison: what is kept of an item that could not be worked, and that a replay sends to those who were left, once."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from azure.functions.queue import QueueMessage

from email_core.delivery.kept_items import POISON, KeptItem, kept_items
from email_core.delivery.ledger import POISONED
from email_core.delivery.replay import VERIFIED_WITHIN, Replayer, signed_until
from email_core.delivery.spool import DELIVERIES, SUBMISSIONS, SpoolItem
from email_core.delivery.sweep import DIGITS, EVERY, turn_at
from email_core.errors import EntityMissing, StorageUnavailable
from email_core.settings import LONGEST_CLAIM
from email_core.submission.accept import Accepted
from email_core.submission.prepare import SIGNATURE_SLACK
from email_core.triggers.queues import _work
from tests.kit.pipeline import Pipeline, draft_to
from tests.kit.receiver import Receiver
from tests.kit.requests import get, message, post

pytestmark = pytest.mark.peers

HOUR = 3600.0
DAY = 24 * HOUR


def replayer(pipeline: Pipeline) -> Replayer:
    return Replayer(pipeline.storage, pipeline.services.spool, pipeline.clock)


async def kept(pipeline: Pipeline, item_id: str) -> KeptItem:
    [found] = [kept async for kept in kept_items(pipeline.storage.tables) if kept.id == item_id]
    return found


async def is_kept(pipeline: Pipeline, item: KeptItem) -> bool:
    return await pipeline.storage.tables.get(POISON, item.queue, item.id) is not None


async def poisoned(pipeline: Pipeline, queue: str, item: SpoolItem) -> KeptItem:
    """The host gave this item up."""
    item_id = str(uuid.uuid4())
    await pipeline.services.poison_keeper.keep(queue, item_id, item.encode(), dequeue_count=1)
    pipeline.queues.noted.clear()
    return await kept(pipeline, item_id)


async def accepted_and_poisoned(pipeline: Pipeline, *recipients: str) -> tuple[Accepted, KeptItem]:
    """A message that was never prepared."""
    accepted = await pipeline.accept(draft_to(*(recipients or ("ann@fabrikam.test",))))
    return accepted, await poisoned(pipeline, SUBMISSIONS, SpoolItem(f"{pipeline.service.key}:{accepted.operation_id}"))


async def deferred_and_poisoned(pipeline: Pipeline, sink: Receiver) -> tuple[Accepted, KeptItem]:
    """A message that one recipient has, one refused and one deferred; the retry is poison."""
    sink.replies = {
        "later@fabrikam.test": ["451 4.3.0 later", "250 2.1.5 now"],
        "no@fabrikam.test": ["550 5.1.1 no such user"],
    }
    accepted = await pipeline.accept(draft_to("ok@fabrikam.test", "later@fabrikam.test", "no@fabrikam.test"))
    await pipeline.step()
    [retry] = pipeline.queues.noted
    return accepted, await poisoned(pipeline, retry.queue, retry.item)


async def test_keep_tells_what_state_the_message_was_in_and_what_its_runs_died_of(pipeline: Pipeline) -> None:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    item = SpoolItem(f"{pipeline.service.key}:{accepted.operation_id}")

    async def fail(item: SpoolItem, *, dequeue_count: int) -> None:
        raise KeyError("ann@fabrikam.test has a secret")

    for tries in (1, 2):
        with pytest.raises(KeyError):
            await _work(pipeline.services, SUBMISSIONS, QueueMessage(id="1", body=item.encode(), dequeue_count=tries), fail)
    found = await poisoned(pipeline, SUBMISSIONS, item)
    assert found.item == item
    assert found.state is not None
    assert (found.state.status, found.state.attempt, found.state.open) == ("Running", 0, 1)
    assert [event.kind for event in found.state.story] == ["accepted", "fault", "fault"]
    assert found.fault is not None
    assert (found.fault.facts["error"], found.fault.facts["try"]) == ("KeyError", 2)
    assert str(found.fault.facts["where"]).startswith("email_core/triggers/queues.py:")
    assert "secret" not in repr(found.state) and "ann@" not in repr(found.state)


async def test_fault_that_cannot_be_noted_leaves_the_exception_as_it_is(pipeline: Pipeline) -> None:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    item = SpoolItem(f"{pipeline.service.key}:{accepted.operation_id}")

    async def fail(item: SpoolItem, *, dequeue_count: int) -> None:
        raise KeyError("a bug")

    async def away(*_: object, **__: object) -> None:
        raise StorageUnavailable("no answer")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.storage.tables, "merge", away)
        with pytest.raises(KeyError):
            await _work(pipeline.services, SUBMISSIONS, QueueMessage(id="1", body=item.encode()), fail)


async def test_keep_item_that_waits_for_a_claim_is_not_poison_yet(pipeline: Pipeline) -> None:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    item = SpoolItem(f"{pipeline.service.key}:{accepted.operation_id}")
    await pipeline.services.claims.take(SUBMISSIONS, item, dequeue_count=1)
    item_id = str(uuid.uuid4())
    await pipeline.services.poison_keeper.keep(SUBMISSIONS, item_id, item.encode(), dequeue_count=1)
    assert await pipeline.storage.tables.get(POISON, SUBMISSIONS, item_id) is None


async def test_keep_item_that_is_delivered_again_keeps_what_it_knew(pipeline: Pipeline) -> None:
    _, first = await accepted_and_poisoned(pipeline)
    await pipeline.services.poison_keeper.keep(SUBMISSIONS, first.id, first.text, dequeue_count=2)
    assert await kept(pipeline, first.id) == first
    assert first.state is not None and first.state.open == 1


@pytest.mark.parametrize("text", ["x" * 49_000, "ä" * 24_000, "\x00 \U0001f600"])
async def test_keep_item_of_any_size_and_form_is_kept_whole(pipeline: Pipeline, text: str) -> None:
    item_id = str(uuid.uuid4())
    await pipeline.services.poison_keeper.keep(SUBMISSIONS, item_id, text, dequeue_count=1)
    assert (await kept(pipeline, item_id)).text == text


async def test_keep_message_whose_run_died_marks_who_may_have_it(pipeline: Pipeline, sink: Receiver) -> None:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    item = SpoolItem(f"{pipeline.service.key}:{accepted.operation_id}")
    await pipeline.services.claims.take(SUBMISSIONS, item, dequeue_count=1)
    pipeline.clock.advance(LONGEST_CLAIM)
    dead = await poisoned(pipeline, SUBMISSIONS, item)
    [entry] = (await pipeline.row(accepted)).ledger.entries
    assert (entry.status, entry.rule, entry.possible_duplicate) == ("Failed", POISONED, True)
    await replayer(pipeline).replay(dead)
    await pipeline.drain()
    [entry] = (await pipeline.row(accepted)).ledger.entries
    assert (entry.status, entry.possible_duplicate) == ("Delivered", True)


async def test_replay_message_that_was_never_prepared_sends_it_and_its_operation_succeeds(
    pipeline: Pipeline, sink: Receiver
) -> None:
    sent = await post(pipeline, message())
    operation = sent.body["id"]
    dead = await poisoned(pipeline, SUBMISSIONS, SpoolItem(f"{pipeline.service.key}:{operation}"))
    assert (await get(pipeline, operation)).body["status"] == "Failed"
    done = await replayer(pipeline).replay(dead)
    assert (done.refused, done.recipients) == ("", ("ann@fabrikam.test",))
    answer = await get(pipeline, operation)
    assert (answer.body["status"], answer.body["error"]) == ("Running", None)
    assert not await is_kept(pipeline, dead)
    [noted] = pipeline.queues.noted
    assert (noted.queue, noted.item.attempt, noted.delay) == (SUBMISSIONS, 2, 0.0)
    await pipeline.drain()
    answer = await get(pipeline, operation)
    assert (answer.body["status"], answer.body["recipients"][0]["status"]) == ("Succeeded", "Delivered")
    assert len(sink.received) == 1


async def kept_only(pipeline: Pipeline, queue: str, item: SpoolItem) -> KeptItem:
    """An item that is kept, and whose message was not ended: the host stopped in between, and the poison item is gone, too."""
    dead = KeptItem(str(uuid.uuid4()), queue, item.encode(), 5, pipeline.clock.now())
    await pipeline.storage.tables.insert(POISON, dead.entity())
    pipeline.queues.noted.clear()
    return dead


async def test_replay_item_of_a_message_that_was_never_ended_nor_claimed_is_worked(pipeline: Pipeline, sink: Receiver) -> None:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    item = SpoolItem(f"{pipeline.service.key}:{accepted.operation_id}", put_backs=12)
    dead = await kept_only(pipeline, SUBMISSIONS, item)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.storage.tables, "delete", killed_before)
        with pytest.raises(Killed):
            await replayer(pipeline).replay(dead)
    [noted] = pipeline.queues.noted
    assert (noted.queue, noted.item) == (SUBMISSIONS, replace(item, put_backs=0))
    assert not (await replayer(pipeline).replay(dead)).refused
    assert not await is_kept(pipeline, dead)
    await pipeline.drain()
    assert len(sink.received) == 1


async def test_replay_item_of_a_retry_that_was_never_ended_waits_for_its_time(pipeline: Pipeline, sink: Receiver) -> None:
    sink.replies = {"later@fabrikam.test": ["451 4.3.0 later", "250 2.1.5 now"]}
    await pipeline.accept(draft_to("later@fabrikam.test"))
    await pipeline.step()
    [retry] = pipeline.queues.noted
    dead = await kept_only(pipeline, retry.queue, retry.item)
    await replayer(pipeline).replay(dead)
    [noted] = pipeline.queues.noted
    assert (noted.queue, noted.item) == (DELIVERIES, retry.item)
    pipeline.queues.noted.clear()
    await pipeline.work(noted)
    [waiting] = pipeline.queues.noted
    assert waiting.delay > 0 and sink.received == []
    await pipeline.drain()
    assert len(sink.received) == 1


async def test_replay_message_that_an_earlier_version_ended_is_opened(pipeline: Pipeline, sink: Receiver) -> None:
    """That version wrote the reason and no rule."""
    accepted, dead = await deferred_and_poisoned(pipeline, sink)
    row = await pipeline.row(accepted)
    entries = tuple(replace(entry, rule="") if entry.rule == POISONED else entry for entry in row.ledger.entries)
    await pipeline.services.spool.update(row, ledger=replace(row.ledger, entries=entries))
    done = await replayer(pipeline).replay(dead)
    assert (done.refused, done.recipients) == ("", ("later@fabrikam.test",))
    await pipeline.drain()
    assert [received.recipients for received in sink.received] == [("ok@fabrikam.test",), ("later@fabrikam.test",)]


async def test_replay_opens_those_alone_that_the_poison_ended(pipeline: Pipeline, sink: Receiver) -> None:
    accepted, dead = await deferred_and_poisoned(pipeline, sink)
    before = {entry.address: entry for entry in (await pipeline.row(accepted)).ledger.entries}
    assert before["later@fabrikam.test"].rule == POISONED
    done = await replayer(pipeline).replay(dead)
    assert done.recipients == ("later@fabrikam.test",)
    opened = await pipeline.row(accepted)
    after = {entry.address: entry for entry in opened.ledger.entries}
    assert (after["later@fabrikam.test"].status, after["later@fabrikam.test"].tries) == ("Deferred", 1)
    assert {name: entry for name, entry in after.items() if name != "later@fabrikam.test"} == {
        name: entry for name, entry in before.items() if name != "later@fabrikam.test"
    }
    assert (opened.timeline[-1].kind, opened.timeline[-1].facts["item"]) == ("replayed", dead.id)
    [noted] = pipeline.queues.noted
    assert (noted.queue, noted.item.attempt) == (DELIVERIES, opened.ledger.attempt)
    await pipeline.drain()
    assert [received.recipients for received in sink.received] == [("ok@fabrikam.test",), ("later@fabrikam.test",)]


async def test_replay_envelope_leaves_the_others_alone(pipeline: Pipeline, sink: Receiver) -> None:
    accepted = await pipeline.accept(draft_to("x@a.test", "y@b.test"))
    await pipeline.step()
    first = next(noted for noted in pipeline.queues.noted if noted.item.row == "envelope:001")
    pipeline.queues.noted.remove(first)
    await pipeline.drain()
    dead = await poisoned(pipeline, first.queue, first.item)
    assert (await pipeline.row(accepted, "envelope:001")).ledger.entries[0].status == "Failed"
    await replayer(pipeline).replay(dead)
    await pipeline.drain()
    assert [received.recipients for received in sink.received] == [("y@b.test",), ("x@a.test",)]
    assert (await pipeline.row(accepted)).facts.status == "Succeeded"


async def test_replay_gives_a_time_to_live_of_its_own(pipeline: Pipeline, sink: Receiver) -> None:
    """Accepted more than five days ago, which is longer than anything is tried: it is tried again on the whole schedule."""
    accepted, dead = await deferred_and_poisoned(pipeline, sink)
    sink.replies = {"later@fabrikam.test": ["451 4.3.0 never"]}
    pipeline.clock.advance(5.5 * DAY)
    await replayer(pipeline).replay(dead)
    row = await pipeline.row(accepted)
    assert (row.facts.reopened_at, row.facts.expires_at) == (pipeline.clock.now(), pipeline.clock.now() + 72 * HOUR)
    began = pipeline.clock.now()
    await pipeline.drain()
    [entry] = [entry for entry in (await pipeline.row(accepted)).ledger.entries if entry.address.startswith("later")]
    assert entry.status == "Expired"
    assert pipeline.clock.now() - began > 60 * HOUR


async def test_replay_ends_before_the_signature_does(pipeline: Pipeline, sink: Receiver) -> None:
    accepted, dead = await deferred_and_poisoned(pipeline, sink)
    pipeline.clock.advance(72 * HOUR + SIGNATURE_SLACK - VERIFIED_WITHIN - HOUR)
    done = await replayer(pipeline).replay(dead)
    row = await pipeline.services.spool.read(f"{pipeline.service.key}:{accepted.operation_id}")
    assert row is not None
    assert row.facts.expires_at == done.expires_at == signed_until(row.signed) - VERIFIED_WITHIN
    assert done.expires_at - pipeline.clock.now() == pytest.approx(HOUR, abs=60)


async def test_replay_message_whose_signature_is_over_is_refused(pipeline: Pipeline, sink: Receiver) -> None:
    accepted, dead = await deferred_and_poisoned(pipeline, sink)
    pipeline.clock.advance(72 * HOUR + SIGNATURE_SLACK - VERIFIED_WITHIN + HOUR)
    before = await pipeline.row(accepted)
    done = await replayer(pipeline).replay(dead)
    assert "DKIM signature" in done.refused and "as a new one" in done.remedy
    assert await is_kept(pipeline, dead)
    assert await pipeline.row(accepted) == before
    assert pipeline.queues.noted == []


async def test_replay_message_whose_content_is_gone_is_refused(pipeline: Pipeline, sink: Receiver) -> None:
    _, dead = await deferred_and_poisoned(pipeline, sink)

    async def missing(_: object) -> bytes:
        raise EntityMissing("no blob")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.services.spool, "signed", missing)
        done = await replayer(pipeline).replay(dead)
    assert "content" in done.refused
    assert await is_kept(pipeline, dead)


async def foreign(pipeline: Pipeline, sink: Receiver) -> KeptItem:
    item_id = str(uuid.uuid4())
    await pipeline.services.poison_keeper.keep(SUBMISSIONS, item_id, "not json", dequeue_count=1)
    return await kept(pipeline, item_id)


async def gone(pipeline: Pipeline, sink: Receiver) -> KeptItem:
    return await poisoned(pipeline, SUBMISSIONS, SpoolItem(f"{pipeline.service.key}:{uuid.uuid4()}"))


async def of_another_form(pipeline: Pipeline, sink: Receiver) -> KeptItem:
    return await poisoned(pipeline, SUBMISSIONS, SpoolItem("https://contoso.test/emails?a=b#c"))


async def of_a_newer_version(pipeline: Pipeline, sink: Receiver) -> KeptItem:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    message = f"{pipeline.service.key}:{accepted.operation_id}"
    ledger = b'[{"address":"ann@fabrikam.test","status":"Teleported"}]'
    changes = {"ledger0": ledger, "ledgerSize": len(ledger)}
    await pipeline.storage.tables.merge("messages", message, "message", changes, etag="*")
    return await poisoned(pipeline, SUBMISSIONS, SpoolItem(message))


async def ended(pipeline: Pipeline, sink: Receiver) -> KeptItem:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    await pipeline.drain()
    return await poisoned(pipeline, SUBMISSIONS, SpoolItem(f"{pipeline.service.key}:{accepted.operation_id}"))


async def split(pipeline: Pipeline, sink: Receiver) -> KeptItem:
    accepted = await pipeline.accept(draft_to("x@a.test", "y@b.test"))
    await pipeline.drain()
    return await poisoned(pipeline, SUBMISSIONS, SpoolItem(f"{pipeline.service.key}:{accepted.operation_id}"))


@pytest.mark.parametrize(
    ("story", "said"),
    [
        (foreign, "no item of this version"),
        (gone, "not there any more"),
        (of_another_form, "cannot be read"),
        (of_a_newer_version, "cannot be read"),
        (ended, "another end"),
        (split, "split into"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_replay_item_without_anything_to_open_is_refused_with_a_remedy(
    pipeline: Pipeline, sink: Receiver, story: Callable[..., Any], said: str
) -> None:
    dead = await story(pipeline, sink)
    done = await replayer(pipeline).replay(dead)
    assert said in done.refused
    assert f"./postrider poison forget {dead.id}" in done.remedy
    assert await is_kept(pipeline, dead)
    assert pipeline.queues.noted == []
    await replayer(pipeline).forget(dead)
    assert not await is_kept(pipeline, dead)


class Killed(BaseException):
    """The command died here."""


async def killed_before(*_: object, **__: object) -> None:
    raise Killed


def killed_after(operation: Callable[..., Any]) -> Callable[..., Any]:
    async def die(*arguments: object, **options: object) -> None:
        await operation(*arguments, **options)
        raise Killed

    return die


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", ["update", "enqueue", "delete"])
@pytest.mark.parametrize("worked", [False, True], ids=["again at once", "again when all is done"])
async def test_replay_that_is_killed_at_any_step_sends_once_and_is_done_by_the_next(
    pipeline: Pipeline, sink: Receiver, step: str, after: bool, worked: bool
) -> None:
    accepted, dead = await deferred_and_poisoned(pipeline, sink)
    owner: Any = pipeline.storage.tables if step == "delete" else pipeline.services.spool
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, step, killed_after(getattr(owner, step)) if after else killed_before)
        with pytest.raises(Killed):
            await replayer(pipeline).replay(dead)
    if worked:
        await pipeline.drain()
    if await is_kept(pipeline, dead):
        assert not (await replayer(pipeline).replay(dead)).refused
    await pipeline.drain()
    assert not await is_kept(pipeline, dead)
    assert [received.recipients for received in sink.received] == [("ok@fabrikam.test",), ("later@fabrikam.test",)]
    assert not any(entry.possible_duplicate for entry in (await pipeline.row(accepted)).ledger.entries)


async def test_replay_that_is_killed_before_its_item_is_found_by_the_sweeper(pipeline: Pipeline, sink: Receiver) -> None:
    """Even when no run had ever claimed the message."""
    accepted, dead = await accepted_and_poisoned(pipeline)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.services.spool, "enqueue", killed_before)
        with pytest.raises(Killed):
            await replayer(pipeline).replay(dead)
    pipeline.clock.advance(HOUR)
    turn = (DIGITS.index(accepted.operation_id[0]) - turn_at(pipeline.clock.now())) % len(DIGITS)
    pipeline.clock.advance(turn * EVERY)
    await pipeline.services.sweeper.sweep()
    [noted] = [noted for noted in pipeline.queues.noted if accepted.operation_id in noted.item.message]
    await pipeline.work(noted)
    assert len(sink.received) == 1


async def test_replay_twice_does_nothing_the_second_time(pipeline: Pipeline, sink: Receiver) -> None:
    accepted, dead = await deferred_and_poisoned(pipeline, sink)
    await replayer(pipeline).replay(dead)
    await pipeline.drain()
    row = await pipeline.row(accepted)
    again = await replayer(pipeline).replay(dead)
    assert (again.begun, again.recipients) == (True, ())
    await pipeline.drain()
    assert await pipeline.row(accepted) == row
    assert len(sink.received) == 2


async def test_replay_second_item_of_a_message_that_is_open_again_only_goes_away(pipeline: Pipeline, sink: Receiver) -> None:
    accepted, dead = await accepted_and_poisoned(pipeline)
    second = await poisoned(pipeline, SUBMISSIONS, SpoolItem(f"{pipeline.service.key}:{accepted.operation_id}"))
    await replayer(pipeline).replay(dead)
    done = await replayer(pipeline).replay(second)
    assert (done.begun, done.refused) == (True, "")
    assert len(pipeline.queues.noted) == 1
    assert not await is_kept(pipeline, second)


async def test_replay_that_turns_poison_again_can_be_replayed_again(pipeline: Pipeline, sink: Receiver) -> None:
    accepted, dead = await accepted_and_poisoned(pipeline)
    await replayer(pipeline).replay(dead)
    [noted] = pipeline.queues.noted
    again = await poisoned(pipeline, noted.queue, noted.item)
    row = await pipeline.row(accepted)
    assert (row.facts.status, row.ledger.entries[0].status) == ("Failed", "Failed")
    assert not (await replayer(pipeline).replay(again)).refused
    await pipeline.drain()
    assert len(sink.received) == 1


async def test_replay_beside_another_replay_opens_once(pipeline: Pipeline, sink: Receiver) -> None:
    """Both have read the row; the slower one meets another ETag and finds the event of the faster one."""
    accepted, dead = await accepted_and_poisoned(pipeline)
    slow = replayer(pipeline)
    update = pipeline.services.spool.update
    raced: list[object] = []

    async def after_the_other(*arguments: Any, **options: Any) -> Any:
        if not raced:
            raced.append(None)
            await replayer(pipeline).replay(dead)
        return await update(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.services.spool, "update", after_the_other)
        assert not (await slow.replay(dead)).refused
    events = [event.kind for event in (await pipeline.row(accepted)).timeline]
    assert events.count("replayed") == 1
    await pipeline.drain()
    assert len(sink.received) == 1


async def test_note_of_a_fault_leaves_the_claim_of_another_run_alone(pipeline: Pipeline, sink: Receiver) -> None:
    """A run fails while another one has the message: the note must not cost that one its outcome."""
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    [noted] = pipeline.queues.noted
    keeper = pipeline.services.poison_keeper
    settler = type(pipeline.services.preparer.settler)
    settle = settler.settle

    async def note_first(*arguments: Any, **options: Any) -> None:
        await keeper.note_fault(noted.item, KeyError("a bug"), tries=2)
        await settle(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settler, "settle", note_first)
        await pipeline.work(replace(noted))
    [entry] = (await pipeline.row(accepted)).ledger.entries
    assert (entry.status, entry.possible_duplicate, len(sink.received)) == ("Delivered", False, 1)
