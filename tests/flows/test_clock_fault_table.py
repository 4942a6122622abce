"""Clocks that jump, and clocks that differ: no mail is lost, none is sent twice unmarked, and no receiver is stormed.

A queue counts its delays itself, so a worker's clock decides only what the pipeline makes of the time.
"""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit.azurite import Azurite
from tests.kit.clock import FakeClock
from tests.kit.fault_tables import FaultTable
from tests.kit.faulty_pipeline import FaultyPipeline, HostItem, Installation
from tests.kit.peers import require
from tests.kit.requests import message, post
from tests.kit.storage_proxy import Fault, Rule
from tests.kit.world import missing_reason

pytestmark = pytest.mark.peers

MINUTE, HOUR = 60.0, 3600.0
DIGITS = "147adf"  # of the operations of many messages: the sweeper looks at one digit after the other
WATCHED = 80 * MINUTE
PAUSES = (1 * MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE)  # the schedule's, give or take a fifth
ATTEMPTS = 5  # within that time
SWEEP_SECONDS = 300.0
LATER = ["451 4.3.0 later", "250 2.1.5 now"]
DEFERRED = {"to": [{"address": "ok@a.test"}, {"address": "later@a.test"}]}
TWO_DOMAINS = {"to": [{"address": "ok@a.test"}, {"address": "ok@b.test"}]}


class AnotherClock:
    """The clock of another machine: the same time passes, and it says something else."""

    def __init__(self, clock: FakeClock, ahead: float) -> None:
        self._clock = clock
        self._ahead = ahead
        self.monotonic = clock.monotonic
        self.advance = clock.advance
        self.sleep = clock.sleep

    def now(self) -> float:
        return self._clock.now() + self._ahead


@dataclass
class Scene:
    """Two workers, the clock of the second of them ahead by five minutes or more, and one message."""

    one: FaultyPipeline
    two: FaultyPipeline
    operation_id: str = ""
    accepted_at: float = 0.0

    async def accept(self, worker: FaultyPipeline, **changes: object) -> HostItem:
        """Accept the message at a worker; its item."""
        self.one.sink.replies = {"later@a.test": list(LATER)}
        self.operation_id = str(uuid.uuid4())
        answer = await post(worker, message(**changes), headers={"operation-id": self.operation_id})
        assert answer.status == 202
        self.accepted_at = worker.clock.monotonic()
        [item] = worker.collect()
        return item

    async def work_at(self, *workers: FaultyPipeline) -> None:
        """Work what is due first, once at each of the workers."""
        for worker in workers:
            self.hand_over(worker)
            assert await worker.step() is not None

    def hand_over(self, worker: FaultyPipeline) -> None:
        """Let a worker have all items: they are on the same queues."""
        for other in (self.one, self.two):
            if other is not worker:
                other.collect()
                worker.items += other.items
                other.items.clear()
        worker.collect()

    async def outcome(self, worker: FaultyPipeline) -> tuple[str, int]:
        """What came of it when one worker has done the rest: sends and final states, and after how many minutes."""
        self.hand_over(worker)
        while worker.collect() and (await worker.step()) is not None:
            pass
        arrived = worker.arrived(self.operation_id)
        entries = [entry for row in await worker.rows(self.operation_id) for entry in row.ledger.entries]
        flagged = {entry.address for entry in entries if entry.possible_duplicate}
        assert {recipient for recipient, count in arrived.items() if count > 1} <= flagged
        times = {0: "not sent", 1: "sent once", 2: "sent twice"}[max(arrived.values(), default=0)]
        words = [times, "/".join(sorted({str(entry.status) for entry in entries})), *["flagged"] * bool(flagged)]
        return ", ".join(words), round((worker.clock.monotonic() - self.accepted_at) / MINUTE)


Story = Callable[[Scene], Awaitable[FaultyPipeline]]


@dataclass(frozen=True)
class Case:
    """What the clocks do, and what comes of it. `minutes` from acceptance to delivery, by a clock on the wall."""

    name: str
    story: Story
    outcome: str
    minutes: int


def accepted_then(seconds: float) -> Story:
    async def story(scene: Scene) -> FaultyPipeline:
        await scene.accept(scene.one)
        scene.one.clock.jump(seconds)
        return scene.one

    return story


def deferred_then(seconds: float) -> Story:
    async def story(scene: Scene) -> FaultyPipeline:
        await scene.accept(scene.one, recipients=DEFERRED)
        await scene.work_at(scene.one)
        scene.one.clock.jump(seconds)
        return scene.one

    return story


def claimed_then(seconds: float) -> Story:
    """The run dies under its claim, before it sends anything."""

    async def story(scene: Scene) -> FaultyPipeline:
        await scene.accept(scene.one)
        await die(scene.one)
        scene.one.clock.jump(seconds)
        return scene.one

    return story


def connected_then(seconds: float) -> Story:
    """The clock jumps while the receiver has the message and has not answered yet."""

    async def story(scene: Scene) -> FaultyPipeline:
        item = await scene.accept(scene.one, recipients=DEFERRED)
        scene.one.sink.data_seconds = 0.2
        working = asyncio.create_task(scene.one.deliver(item))
        while len(scene.one.sink.asked) < 2:
            await asyncio.sleep(0)
        scene.one.clock.jump(seconds)
        await working
        scene.one.sink.data_seconds = 0.0
        return scene.one

    return story


async def die(worker: FaultyPipeline) -> None:
    worker.proxy.rules = [Rule("tables.merge", Fault.LOST_ANSWER, times=None)]
    await worker.step()
    worker.proxy.rules = []


async def accepted_ahead(scene: Scene) -> FaultyPipeline:
    await scene.accept(scene.two)
    return scene.one


async def accepted_behind(scene: Scene) -> FaultyPipeline:
    await scene.accept(scene.one)
    return scene.two


async def deferred_ahead(scene: Scene) -> FaultyPipeline:
    await scene.accept(scene.two, recipients=DEFERRED)
    await scene.work_at(scene.two)
    return scene.one


async def deferred_behind(scene: Scene) -> FaultyPipeline:
    await scene.accept(scene.one, recipients=DEFERRED)
    await scene.work_at(scene.one)
    return scene.two


async def split_ahead(scene: Scene) -> FaultyPipeline:
    await scene.accept(scene.two, recipients=TWO_DOMAINS)
    await scene.work_at(scene.two)
    return scene.one


async def claimed_ahead(scene: Scene) -> FaultyPipeline:
    await scene.accept(scene.two)
    await die(scene.two)
    return scene.one


async def claimed_behind(scene: Scene) -> FaultyPipeline:
    await scene.accept(scene.one)
    await die(scene.one)
    return scene.two


def twice(first: int) -> Story:
    """An item comes twice: again at the other worker, while the message is with the receiver."""

    async def story(scene: Scene) -> FaultyPipeline:
        item = await scene.accept(scene.one)
        workers = (scene.one, scene.two) if first == 1 else (scene.two, scene.one)
        scene.one.items.clear()
        scene.one.sink.data_seconds = 0.3
        working = asyncio.create_task(workers[0].deliver(workers[0].put(item.queue, item.text)))
        while not scene.one.sink.asked:
            await asyncio.sleep(0)
        await workers[1].deliver(workers[1].put(item.queue, item.text))
        await working
        scene.one.sink.data_seconds = 0.0
        return scene.one

    return story


CASES = (
    Case("An hour ahead, with a message accepted", accepted_then(HOUR), "sent once, Delivered", 0),
    Case("An hour back, with a message accepted", accepted_then(-HOUR), "sent once, Delivered", 0),
    Case("An hour ahead, between two attempts", deferred_then(HOUR), "sent once, Delivered", 1),
    Case("An hour back, between two attempts", deferred_then(-HOUR), "sent once, Delivered", 61),
    Case("An hour ahead, with a connection open", connected_then(HOUR), "sent once, Delivered", 1),
    Case("An hour back, with a connection open", connected_then(-HOUR), "sent once, Delivered", 1),
    Case("An hour ahead, under the claim of a run that died", claimed_then(HOUR), "sent once, Delivered, flagged", 0),
    Case("An hour back, under the claim of a run that died", claimed_then(-HOUR), "sent once, Delivered, flagged", 65),
    Case("Accepted 5 minutes ahead, worked by another", accepted_ahead, "sent once, Delivered", 0),
    Case("Accepted 5 minutes behind, worked by another", accepted_behind, "sent once, Delivered", 0),
    Case("Split 5 minutes ahead, delivered by another", split_ahead, "sent once, Delivered", 0),
    Case("Deferred 5 minutes ahead, delivered by another", deferred_ahead, "sent once, Delivered", 6),
    Case("Deferred 5 minutes behind, delivered by another", deferred_behind, "sent once, Delivered", 1),
    Case("Claimed 5 minutes ahead, its run died", claimed_ahead, "sent once, Delivered, flagged", 10),
    Case("Claimed 5 minutes behind, its run died", claimed_behind, "sent once, Delivered, flagged", 0),
    Case("Worked 5 minutes ahead, while its item comes again", twice(2), "sent once, Delivered", 0),
    Case("Worked 5 minutes behind, while its item comes again", twice(1), "sent twice, Delivered, flagged", 0),
)

STORMS = {
    "An hour ahead, with many messages deferred": [HOUR],
    "An hour back, with many messages deferred": [-HOUR],
    "An hour ahead and back again, with many messages deferred": [HOUR, -HOUR],
}

TABLES = [
    FaultTable(
        "clock",
        ("The clock", "What comes of it", "Delivered after"),
        [(case.name, case.outcome, f"{case.minutes} min") for case in CASES]
        + [(name, "one attempt before its time at most", "") for name in STORMS],
    )
]


@pytest.fixture(scope="module")
def azurite() -> Iterator[str]:
    """One of its own, for the sweeper looks at the messages of all tests."""
    require(not missing_reason(), missing_reason())
    with tempfile.TemporaryDirectory(prefix="azurite-") as folder:
        server = Azurite(Path(folder))
        try:
            yield server.connection_string
        finally:
            server.stop()


@asynccontextmanager
async def two_workers(installation: Installation) -> AsyncIterator[Scene]:
    async with installation.pipeline() as one:
        clock = AnotherClock(one.clock, 5 * MINUTE)
        async with installation.pipeline(sink=one.sink, clock=clock) as two:
            yield Scene(one, two)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_clock_that_is_wrong_sends_once_or_marks_it(installation: Installation, case: Case) -> None:
    async with two_workers(installation) as scene:
        last = await case.story(scene)
        assert await scene.outcome(last) == (case.outcome, case.minutes)


@pytest.mark.parametrize("name", STORMS)
async def test_clock_that_jumps_makes_no_retry_storm(installation: Installation, name: str) -> None:
    """The sweeper is at work, and the clock jumps after the second attempt, and perhaps after the third."""
    async with installation.pipeline() as pipeline:
        tried = await tries(pipeline, STORMS[name])
    assert [times for times in tried if early(times) > 1 or not 3 <= len(times) <= ATTEMPTS + 1] == []


async def test_clock_that_is_right_tries_on_schedule(installation: Installation) -> None:
    async with installation.pipeline() as pipeline:
        tried = await tries(pipeline, [])
    assert [times for times in tried if early(times) or len(times) != ATTEMPTS] == []


def early(times: list[float]) -> int:
    """How many tries come before their pause is over, which may be a fifth shorter than the schedule says."""
    return sum(later - earlier < 0.79 * pause for earlier, later, pause in zip(times, times[1:], PAUSES, strict=False))


async def tries(worker: FaultyPipeline, jumps: Sequence[float]) -> list[list[float]]:
    """When each of many recipients is tried that always defer, in seconds of a clock on the wall."""
    tried: dict[str, list[float]] = {f"r{digit}@a.test": [] for digit in DIGITS}
    worker.sink.replies = {recipient: ["451 4.3.0 not now"] for recipient in tried}
    own = [digit + str(uuid.uuid4())[1:] for digit in DIGITS]
    for operation_id, recipient in zip(own, tried, strict=True):
        body = message(recipients={"to": [{"address": recipient}]})
        assert (await post(worker, body, headers={"operation-id": operation_id})).status == 202
    began = sweep_at = worker.clock.monotonic()
    to_jump = [(began + (4 + 6 * number) * MINUTE, jump) for number, jump in enumerate(jumps)]
    while True:
        worker.collect()
        worker.items = [item for item in worker.items if any(each in item.text for each in own)]  # the sweeper finds others
        due = min([*(item.due for item in worker.items), sweep_at, *(at for at, _ in to_jump), began + WATCHED])
        worker.clock.advance(max(due - worker.clock.monotonic(), 0.0))
        if due == began + WATCHED:
            return list(tried.values())
        if to_jump and due == to_jump[0][0]:
            worker.clock.jump(to_jump.pop(0)[1])
        elif due == sweep_at:
            sweep_at += SWEEP_SECONDS
            await worker.services.sweeper.sweep()
        else:
            await worker.step()
            for recipient in worker.sink.asked:
                tried[recipient].append(due)
            worker.sink.asked.clear()
