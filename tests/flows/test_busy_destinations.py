"""One bad destination or next hop does not delay the mail for the others."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from email_core.delivery.attempt import ALL_RUNS_TAKEN, Courier
from email_core.delivery.capacity import Capacity
from email_core.delivery.deliver import LONGEST_BUSY_PAUSE, NO_ROOM, SHORTEST_BUSY_PAUSE
from email_core.delivery.destinations import (
    FAILURES_UNTIL_SKIPPED,
    RUNS_PER_DESTINATION,
    SKIPPED_SECONDS,
    Destinations,
)
from email_core.delivery.outcome import Disposition, Stage
from email_core.delivery.time_budget import StageTimeouts
from email_core.errors import WorkerBusy
from email_core.settings import Settings
from tests.kit.clock import FakeClock
from tests.kit.couriers import SHORT_TIMEOUTS, attempt, courier, only, story
from tests.kit.dns_zone import ZoneResolver
from tests.kit.pipeline import DELIVERIES, Noted, Pipeline, build_pipeline, draft_to
from tests.kit.smtp_receiver import DROP, STALL, SmtpReceiver

SLOTS = 24  # as many runs as host.json lets a queue function have
ZONE = {
    "stalling.test": {"MX": [(10, "mx.stalling.test")]},
    "mx.stalling.test": {"A": ["127.0.0.2"]},
    "good.test": {"MX": [(10, "mx.good.test")]},
    "mx.good.test": {"A": ["127.0.0.1"]},
}


def impatient(settings: Settings) -> Settings:
    """With no patience at all a first attempt is handed over to the queue of deliveries at once."""
    return replace(settings, impatience_seconds=0.0)


def with_courier(pipeline: Pipeline, courier: Courier) -> Pipeline:
    """The pipeline with another courier."""
    deliverer = replace(pipeline.services.deliverer, courier=courier)
    services = replace(
        pipeline.services, deliverer=deliverer, preparer=replace(pipeline.services.preparer, deliverer=deliverer)
    )
    return replace(pipeline, services=services)


@pytest.mark.peers
async def test_good_destination_is_served_while_40_messages_wait_for_a_stalling_one(azurite: str) -> None:
    async with SmtpReceiver({"greeting": STALL}, host="127.0.0.2") as stalling, SmtpReceiver(port=stalling.port) as good:
        built = await build_pipeline(azurite, routes="mx", change=impatient)
        settings = replace(built.services.settings, mx_port=stalling.port, ehlo_name="mail.contoso.test")
        pipeline = with_courier(built, Courier(settings, built.clock, ZoneResolver(ZONE)))
        bad = [await pipeline.accept(draft_to(f"u{number}@stalling.test")) for number in range(40)]
        fine = [await pipeline.accept(draft_to(f"u{number}@good.test")) for number in range(RUNS_PER_DESTINATION)]
        await hand_over(pipeline)

        deliveries = list(pipeline.queues.noted)
        pipeline.queues.noted.clear()
        slots = asyncio.Semaphore(SLOTS)
        runs = [asyncio.create_task(in_a_slot(slots, pipeline, noted)) for noted in deliveries]
        waiting: set[asyncio.Task[None]] = set(runs)
        while len(waiting) > RUNS_PER_DESTINATION:  # those of the stalling destination never end
            _, waiting = await asyncio.wait(waiting, timeout=30, return_when=asyncio.FIRST_COMPLETED)

        assert [run.result() for run in runs if run not in waiting] == [None] * (len(runs) - RUNS_PER_DESTINATION)
        assert len(good.messages) == len(fine)
        assert stalling.connections == RUNS_PER_DESTINATION
        put_back = {noted.item.message: noted for noted in pipeline.queues.noted}
        assert len(put_back) == len(bad) - RUNS_PER_DESTINATION
        for message, noted in put_back.items():
            row = await pipeline.services.spool.read(message, with_content=False)
            assert row is not None
            assert (row.ledger.claim_until, [entry.tries for entry in row.ledger.entries]) == (0.0, [0])
            assert (noted.queue, noted.item.attempt) == (DELIVERIES, row.ledger.attempt)
            assert SHORTEST_BUSY_PAUSE / 2 <= noted.delay <= LONGEST_BUSY_PAUSE * 1.5
        for run in waiting:
            run.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await pipeline.close()


async def hand_over(pipeline: Pipeline) -> None:
    """Prepare everything that was accepted; each first attempt is handed over."""
    submissions = list(pipeline.queues.noted)
    pipeline.queues.noted.clear()
    for noted in submissions:
        await pipeline.services.preparer.prepare(noted.item, dequeue_count=1)
    assert {noted.queue for noted in pipeline.queues.noted} == {DELIVERIES}


async def in_a_slot(slots: asyncio.Semaphore, pipeline: Pipeline, noted: Noted) -> None:
    async with slots:
        await pipeline.services.deliverer.deliver(noted.item, dequeue_count=1)


@pytest.mark.peers
async def test_message_put_back_for_want_of_a_run_is_delivered_with_its_first_try(azurite: str) -> None:
    async with SmtpReceiver() as good:
        built = await build_pipeline(azurite, routes="mx", change=impatient)
        settings = replace(built.services.settings, mx_port=good.port, ehlo_name="mail.contoso.test")
        destinations = Destinations(built.clock, most_runs=1)
        pipeline = with_courier(built, Courier(settings, built.clock, ZoneResolver(ZONE), destinations=destinations))
        accepted = await pipeline.accept(draft_to("ann@good.test"))
        await hand_over(pipeline)
        with destinations.run_at("good.test"):
            for _ in range(20):  # more often than an item may be put back for other reasons
                assert await pipeline.step() is not None
            assert good.connections == 0
        await pipeline.drain()
        [entry] = (await pipeline.row(accepted)).ledger.entries
        assert (entry.status, entry.tries, entry.possible_duplicate) == ("Delivered", 1, False)
        await pipeline.close()


@pytest.mark.peers
async def test_message_that_finds_no_run_until_its_time_is_up_expires(azurite: str) -> None:
    built = await build_pipeline(azurite, routes="mx", change=impatient)
    destinations = Destinations(built.clock, most_runs=0)
    settings = replace(built.services.settings, ehlo_name="mail.contoso.test")
    pipeline = with_courier(built, Courier(settings, built.clock, ZoneResolver(ZONE), destinations=destinations))
    accepted = await pipeline.accept(draft_to("ann@good.test", time_to_live=120.0))
    await hand_over(pipeline)
    await pipeline.drain()
    row = await pipeline.row(accepted)
    assert [entry.status for entry in row.ledger.entries] == ["Expired"]
    assert row.ledger.entries[0].reply.endswith(NO_ROOM)
    assert "runs are at" not in str(row.timeline), "how much the worker has in hand is not for tenants"
    await pipeline.close()


@pytest.mark.peers
async def test_message_put_back_after_ten_hours_is_due_again_after_a_quarter_of_an_hour(azurite: str) -> None:
    built = await build_pipeline(azurite, routes="mx", change=impatient)
    settings = replace(built.services.settings, ehlo_name="mail.contoso.test")
    sender = Courier(settings, built.clock, ZoneResolver(ZONE), destinations=Destinations(built.clock, most_runs=0))
    pipeline = with_courier(built, sender)
    accepted = await pipeline.accept(draft_to("ann@good.test"))
    await hand_over(pipeline)
    pipeline.clock.advance(36_000.0)
    room = Capacity("messages", most=0, most_bytes=0, patience=3600.0)  # whoever asks for it waits for an hour
    deliverer = replace(pipeline.services.deliverer, room=room)
    [noted] = pipeline.queues.noted
    pipeline.queues.noted.clear()
    async with asyncio.timeout(60.0):
        await deliverer.deliver(noted.item, dequeue_count=1)
    [again] = pipeline.queues.noted
    assert LONGEST_BUSY_PAUSE / 2 <= again.delay <= LONGEST_BUSY_PAUSE * 1.5
    row = await pipeline.row(accepted)
    assert row.ledger.claim_until == 0.0
    # The row says so, or the sweeper would take it for one that lost its item.
    assert row.ledger.next_attempt_at == pytest.approx(pipeline.clock.now() + again.delay, abs=1.0)
    await pipeline.close()


async def test_full_destination_after_a_relay_was_asked_is_deferred_with_the_story_of_the_relay() -> None:
    async with SmtpReceiver({"greeting": "421 4.3.2 too busy"}) as relay:
        routes = f"smarthost://127.0.0.1:{relay.port}?tls=off,mx"
        sender = courier(routes, zone=ZONE, destinations=Destinations(FakeClock(), most_runs=0))
        report = await sender.attempt_delivery(attempt("ann@good.test"))
        await sender.close()
    outcome = only(report)
    assert (outcome.disposition, outcome.stage, outcome.reason) == (Disposition.DEFERRED, Stage.ROUTE, ALL_RUNS_TAKEN)
    assert not report.handed_over
    assert relay.connections == len(story(report, "connect")) == 1
    assert len(story(report, "route")) == 2


async def test_impatient_attempt_at_a_full_destination_is_handed_over() -> None:
    sender = courier(zone=ZONE, destinations=Destinations(FakeClock(), most_runs=0))
    report = await sender.attempt_delivery(attempt("ann@good.test", impatient=True))
    assert report.handed_over
    assert story(report, "gave-up")[0]["why"] == f"{ALL_RUNS_TAKEN}; handed over to a patient attempt"


async def test_patient_attempt_at_a_full_destination_asks_nobody_and_raises() -> None:
    async with SmtpReceiver() as receiver:
        sender = courier(zone=ZONE, mx_port=receiver.port, destinations=Destinations(FakeClock(), most_runs=0))
        with pytest.raises(WorkerBusy):
            await sender.attempt_delivery(attempt("ann@good.test"))
        with pytest.raises(WorkerBusy):
            sender.refuse_when_full(["ann@good.test"])
        assert receiver.connections == 0


async def test_smarthost_that_gives_no_connection_is_dialled_so_often_and_then_skipped() -> None:
    async with SmtpReceiver({"greeting": DROP}) as down, SmtpReceiver() as backup:
        clock = FakeClock()
        routes = f"smarthost://127.0.0.1:{down.port}?tls=off,smarthost://127.0.0.1:{backup.port}?tls=off"
        sender = courier(routes, clock=clock)
        reports = [await sender.attempt_delivery(attempt()) for _ in range(FAILURES_UNTIL_SKIPPED + 7)]
        assert {only(report).disposition for report in reports} == {Disposition.DELIVERED}
        assert len(backup.messages) == len(reports)
        assert down.connections == FAILURES_UNTIL_SKIPPED
        assert [bool(story(report, "skipped")) for report in reports] == [False] * FAILURES_UNTIL_SKIPPED + [True] * 7
        [skipped] = story(reports[-1], "skipped")
        assert (skipped["port"], skipped["failures"]) == (down.port, FAILURES_UNTIL_SKIPPED)

        clock.advance(SKIPPED_SECONDS)
        await sender.attempt_delivery(attempt())
        await sender.attempt_delivery(attempt())
        assert down.connections == FAILURES_UNTIL_SKIPPED + 1
        await sender.close()


async def test_only_host_that_is_skipped_leaves_the_recipient_deferred_with_its_last_reply() -> None:
    async with SmtpReceiver({"greeting": "421 4.3.2 too busy"}) as busy:
        sender = courier(zone=ZONE, mx_port=busy.port)
        for _ in range(FAILURES_UNTIL_SKIPPED + 1):
            report = await sender.attempt_delivery(attempt("ann@good.test"))
        assert busy.connections == FAILURES_UNTIL_SKIPPED
        outcome = only(report)
        assert (outcome.disposition, outcome.stage) == (Disposition.DEFERRED, Stage.BANNER)
        assert str(outcome.reply) == "421 4.3.2 too busy"
        assert outcome.reason == "not tried now, for it gave no connection 5 times in a row: refused the connection"


async def test_host_that_answers_again_is_dialled_by_everybody() -> None:
    async with SmtpReceiver({"greeting": [*["421 4.3.2 busy"] * FAILURES_UNTIL_SKIPPED, "220 hello"]}) as host:
        clock = FakeClock()
        sender = courier(zone=ZONE, mx_port=host.port, clock=clock)
        for _ in range(FAILURES_UNTIL_SKIPPED):
            await sender.attempt_delivery(attempt("ann@good.test"))
        clock.advance(SKIPPED_SECONDS)
        reports = [await sender.attempt_delivery(attempt("ann@good.test")) for _ in range(2)]
        assert {only(report).disposition for report in reports} == {Disposition.DELIVERED}
        await sender.close()


async def test_host_that_is_only_too_slow_for_impatient_attempts_is_not_skipped() -> None:
    async with SmtpReceiver({"greeting": STALL}) as slow, SmtpReceiver() as backup:
        routes = f"smarthost://127.0.0.1:{slow.port}?tls=off,smarthost://127.0.0.1:{backup.port}?tls=off"
        sender = courier(routes, timeouts=SHORT_TIMEOUTS)
        for _ in range(FAILURES_UNTIL_SKIPPED + 1):
            await sender.attempt_delivery(attempt(impatient=True))
        assert slow.connections == FAILURES_UNTIL_SKIPPED + 1
        for _ in range(FAILURES_UNTIL_SKIPPED + 1):
            await sender.attempt_delivery(attempt())
        assert slow.connections == 2 * FAILURES_UNTIL_SKIPPED + 1
        await sender.close()


async def test_host_that_had_less_time_than_it_may_take_is_not_skipped() -> None:
    """A run that the hosts before it used up proves nothing about the last one, which would have answered."""
    async with SmtpReceiver({"greeting": STALL}) as first, SmtpReceiver({"greeting": STALL}) as second:
        routes = f"smarthost://127.0.0.1:{first.port}?tls=off,smarthost://127.0.0.1:{second.port}?tls=off"
        sender = courier(routes, run_seconds=0.8, timeouts=StageTimeouts())
        await asyncio.gather(*(sender.attempt_delivery(attempt()) for _ in range(FAILURES_UNTIL_SKIPPED)))
        report = await sender.attempt_delivery(attempt())
        assert story(report, "skipped") == []
        assert (first.connections, second.connections) == (FAILURES_UNTIL_SKIPPED + 1, FAILURES_UNTIL_SKIPPED + 1)
        await sender.close()
