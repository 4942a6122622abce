"""Each round trip to storage fails in turn, before and after it takes effect: nothing accepted is lost, nothing final repeated.

The table says what comes of it. A round trip that the code makes and the table does not have fails a test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.flows.storage_fault_table import STEPS, Scene, Step, Trip
from tests.kit.fault_tables import FaultTable
from tests.kit.faulty_pipeline import FaultyPipeline, Installation
from tests.kit.storage_proxy import Fault, Rule

pytestmark = pytest.mark.peers

WITHOUT_EFFECT = (Fault.DROPPED, Fault.CUT_REQUEST, Fault.THROTTLED, Fault.SERVER_ERROR)
WITH_EFFECT = (Fault.LOST_ANSWER, Fault.CUT_ANSWER)
LASTING_WITHOUT_EFFECT = (Fault.DROPPED, Fault.THROTTLED)
LASTING_WITH_EFFECT = (Fault.LOST_ANSWER,)
# A read has no body that could be cut, and no effect: an answer that is lost is a request that was dropped.
READS = ("tables.get", "tables.query", "content.get")


TABLES = [
    FaultTable(
        "storage",
        ("Step", "Round trip", "Fails once", "Never gets there", "Takes effect, its answer lost"),
        [
            (step.name, f"`{trip.operation}` {trip.name}", trip.once, trip.never, trip.after)
            for step in STEPS
            for trip in step.trips
        ],
    )
]


@dataclass(frozen=True)
class Cell:
    """A round trip of a step that fails in one way, and what must come of it. `number` is among equal ones of the step."""

    step: Step
    trip: Trip
    number: int
    fault: Fault
    times: int | None
    outcome: str

    def rule(self) -> Rule:
        # No queue takes anything while a queue takes nothing: to put an item back would be no test otherwise.
        name = "" if self.trip.operation == "queues.enqueue" else self.trip.name
        return Rule(self.trip.operation, self.fault, name, self.number, self.times)

    def __str__(self) -> str:
        times = "once" if self.times else "always"
        return f"{self.step.name}-{self.trip.operation}-{self.trip.name}-{self.number}-{self.fault.value}-{times}"


def cells() -> Iterator[Cell]:
    for step in STEPS:
        before: Counter[tuple[str, str]] = Counter()
        for trip in step.trips:
            before[trip.operation, trip.name] += 1
            place = step, trip, before[trip.operation, trip.name]
            if trip.operation in READS:
                once, never, after = (Fault.DROPPED, Fault.THROTTLED, Fault.CUT_ANSWER), (Fault.DROPPED,), (Fault.CUT_ANSWER,)
            else:
                once, never, after = (*WITHOUT_EFFECT, *WITH_EFFECT), LASTING_WITHOUT_EFFECT, LASTING_WITH_EFFECT
            yield from (Cell(*place, fault, 1, trip.once) for fault in once)
            yield from (Cell(*place, fault, None, trip.never) for fault in never)
            yield from (Cell(*place, fault, None, trip.after) for fault in after)


async def judged(scene: Scene, seen: str) -> str:
    """What became of the messages in the end, in the words of the table, once all promises are seen to be kept."""
    pipeline, words = scene.pipeline, [seen]
    final_then = {operation_id: await final(pipeline, operation_id) for operation_id in scene.owed}
    arrived_then = {operation_id: pipeline.arrived(operation_id) for operation_id in scene.owed}
    await pipeline.drain()
    for operation_id in scene.refused:
        arrived = pipeline.arrived(operation_id)
        assert set(arrived.values()) <= {1}, "a request that was refused is at most one message"
        words.append("sent" if arrived else "not sent")
    for operation_id in scene.owed:
        entries = [entry for row in await pipeline.rows(operation_id) for entry in row.ledger.entries]
        arrived = pipeline.arrived(operation_id)
        wanted = {recipient["address"] for recipient in scene.body["recipients"]["to"]}
        assert sorted(entry.address for entry in entries) == sorted(wanted)
        assert {str(entry.status) for entry in entries} <= {"Delivered", "Failed"}
        assert set(arrived) == {entry.address for entry in entries if entry.status == "Delivered"}
        flagged = {entry.address for entry in entries if entry.possible_duplicate}
        assert {recipient for recipient, count in arrived.items() if count > 1} <= flagged
        for recipient in final_then[operation_id]:
            assert arrived[recipient] == arrived_then[operation_id][recipient], "nobody whose state is final is sent to again"
        words += ["Failed"] * (not arrived)
        words += ["sent twice"] * (max(arrived.values(), default=0) > 1) + ["flagged"] * bool(flagged)
    return ", ".join(words)


async def final(pipeline: FaultyPipeline, operation_id: str) -> set[str]:
    """The recipients whose state is final."""
    rows = await pipeline.rows(operation_id)
    return {entry.address for row in rows for entry in row.ledger.entries if entry.status.final}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
async def test_step_makes_the_round_trips_of_the_table(installation: Installation, step: Step) -> None:
    async with installation.pipeline() as pipeline:
        scene = await step.arrange(pipeline)
        pipeline.proxy.requests.clear()
        await scene.act(scene)
        made = Counter((request.operation, request.name) for request in pipeline.proxy.requests)
    assert made == Counter((trip.operation, trip.name) for trip in step.trips)


@pytest.mark.parametrize("cell", tuple(cells()), ids=str)
async def test_round_trip_that_fails_loses_and_repeats_nothing(installation: Installation, cell: Cell) -> None:
    async with installation.pipeline() as pipeline:
        scene = await cell.step.arrange(pipeline)
        pipeline.proxy.requests.clear()
        pipeline.proxy.rules = [cell.rule()]
        seen = await scene.act(scene)
        struck = [request.fault for request in pipeline.proxy.requests if request.fault]
        pipeline.proxy.rules = []
        assert struck == [cell.fault] if cell.times else len(struck) >= 4, "all tries of the pipeline"
        assert await judged(scene, seen) == cell.outcome
