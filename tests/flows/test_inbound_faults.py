"""Storage fails at each round trip of a late bounce or a complaint: 451 and the report comes again, and it counts once."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace

import pytest

from email_core.errors import StorageUnavailable
from email_core.message.address import parse_address
from email_core.suppression.address_rows import digest
from email_core.suppression.managed import ManagedList
from smtp_relay.inbound import build_inbound
from tests.flows.test_inbound import GONE, Port25, kinds
from tests.kit.faulty_pipeline import FaultyPipeline, Installation
from tests.kit.pipeline import DOMAIN
from tests.kit.requests import message, post
from tests.kit.storage_proxy import Fault, Rule
from tests.unit.returns.bounce_texts import dsn
from tests.unit.returns.test_arf_report import arf

pytestmark = pytest.mark.peers
TRIES = 4  # of one operation: the first and three retries

# The round trips of each kind of report, in their order.
STEPS = {
    "bounce": (
        ("tables.get", "messages"), ("tables.get", "suppressions"), ("tables.upsert", "suppressions"),
        ("tables.insert", "suppressions"), ("queues.enqueue", "notices"), ("tables.merge", "messages"),
        ("tables.upsert", "activity"),
    ),
    "complaint": (
        ("tables.get", "messages"), ("tables.get", "messages"), ("tables.get", "suppressions"),
        ("tables.upsert", "suppressions"), ("tables.insert", "suppressions"), ("tables.merge", "messages"),
        ("tables.upsert", "activity"),
    ),
}  # fmt: skip
CELLS = [
    pytest.param(kind, place, fault, id=f"{kind}-{place + 1}-{fault.value}")
    for kind, trips in STEPS.items()
    for place in range(len(trips))
    for fault in (Fault.DROPPED, Fault.THROTTLED, Fault.LOST_ANSWER)
]


@dataclass
class Scene:
    """A delivered message of a submitter by SMTP, whose reverse-path gets a report."""

    worker: FaultyPipeline
    operation_id: str
    recipient: str
    path: str

    async def report(self, kind: str) -> int:
        raw: str | bytes = dsn(GONE.format(self.recipient))
        if kind == "complaint":
            raw = arf(f"Feedback-Type: abuse\nOriginal-Rcpt-To: {self.recipient}", returned="Subject: x\n")
        # A worker that knows nothing of the try before.
        return await Port25(self.worker, build_inbound(self.worker.services)).send(self.path, raw)  # type: ignore[arg-type]

    async def outcome(self) -> tuple[str, list[str], int, list[str]]:
        """Status, events of reports, bounces of the lease and its class, and the statuses in the activity log."""
        [row] = await self.worker.rows(self.operation_id)
        held = await ManagedList(self.worker.storage.tables).get(digest(parse_address(self.recipient)))
        assert held is not None
        found = self.worker.storage.tables.query("activity", f"CorrelationId eq '{self.operation_id}'")
        recorded = sorted([str(each.values["FailureReason"]) async for each in found])
        return str(row.ledger.entries[0].status), kinds(row), held.lease.bounces, recorded


async def scene(worker: FaultyPipeline) -> Scene:
    recipient = f"gone-{uuid.uuid4().hex[:12]}@fabrikam.test"
    accepted = await post(worker, message(recipients={"to": [{"address": recipient}]}))
    await worker.drain()
    [row] = await worker.rows(accepted.body["id"])
    facts = replace(row.facts, door="smtp", submitter=f"news@{DOMAIN}")
    await worker.services.spool.update(row, ledger=row.ledger, facts=facts)
    await worker.warm()
    found = Scene(worker, accepted.body["id"], recipient, worker.sink.received[-1].reverse_path)
    worker.proxy.requests.clear()
    return found


WANT = {
    "bounce": ("Bounced", ["returned"], 1, ["", "invalid_recipient"]),
    "complaint": ("Delivered", ["complaint"], 0, ["", "complaint"]),
}


@pytest.mark.parametrize("kind", STEPS)
async def test_report_makes_the_round_trips_that_are_tried_here(installation: Installation, kind: str) -> None:
    async with installation.pipeline() as worker:
        told = await scene(worker)
        assert await told.report(kind) == 250
        assert tuple((each.operation, each.name) for each in worker.proxy.requests) == STEPS[kind]
        assert await told.outcome() == WANT[kind]


@pytest.mark.parametrize(("kind", "place", "fault"), CELLS)
async def test_report_that_meets_a_fault_comes_again_and_counts_once(
    installation: Installation, kind: str, place: int, fault: Fault
) -> None:
    async with installation.pipeline() as worker:
        told = await scene(worker)
        operation, name = STEPS[kind][place]
        times = 1 if fault is Fault.LOST_ANSWER else TRIES
        number = STEPS[kind][: place + 1].count((operation, name))
        worker.proxy.rules = [Rule(operation, fault, name, number=number, times=times)]
        is_last = place == len(STEPS[kind]) - 1  # the ledger has it then, and a row of the log is worth no report
        if fault is Fault.LOST_ANSWER or is_last:
            assert await told.report(kind) == 250
        else:
            with pytest.raises(StorageUnavailable):
                await told.report(kind)
            [row] = await worker.rows(told.operation_id)
            assert (str(row.ledger.entries[0].status), kinds(row)) == ("Delivered", [])
        worker.proxy.rules = []
        worker.clock.advance(300)
        assert await told.report(kind) == 250
        status, events, bounces, recorded = await told.outcome()
        assert (status, events, bounces) == WANT[kind][:3]
        assert recorded == (WANT[kind][3][:1] if is_last and fault is not Fault.LOST_ANSWER else WANT[kind][3])


async def test_submitter_is_told_once_of_a_bounce_whose_ledger_was_not_written_at_first(installation: Installation) -> None:
    async with installation.pipeline() as worker:
        told = await scene(worker)
        worker.proxy.rules = [Rule("tables.merge", Fault.DROPPED, "messages", times=TRIES)]
        with pytest.raises(StorageUnavailable):
            await told.report("bounce")
        worker.proxy.rules = []
        assert await told.report("bounce") == 250
        await worker.drain()
        notices = [each for each in worker.sink.received if each.reverse_path == "<>"]
        assert [each.recipients for each in notices] == [(f"news@{DOMAIN}",)]
