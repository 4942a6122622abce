"""The kill run: messages go in by HTTP or SMTP while what works them is killed, to a receiver that counts.

All of it is real: Azurite of its own, hosts as processes that run function_app.py, an SMTP receiver as a process. At the
end every recipient of every accepted message is compared: its ledger in storage, and what the receiver has.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from email_core.errors import EntityMissing, StorageUnavailable
from tests.kit.kill_door import Door, HttpDoor
from tests.kit.kill_hosts import Killer, Trouble, lines_about
from tests.kit.kill_report import Report
from tests.kit.kill_smtp_door import SmtpDoor, half_stored
from tests.kit.kill_world import World, kill_world

CLIENTS = 12
MOST_WAITING = 300  # items; Azurite sorts a queue at every delete, so a long one costs all of its time
LOOKAHEAD = 2  # strikes that sending may be ahead of, so that messages are under way at each
DRAIN_SECONDS = 900.0  # at most: the retry pauses of what was deferred twice, on a machine that is too slow for its claims
A_SERVICE = 2000  # messages that one service sends
_DEPTH_PAUSE = 0.5
_PROGRESS_SECONDS = 10.0

Tell = Callable[[str], None]


class KillRun:
    """One run in a world. `tell` gets a line of progress every few seconds."""

    def __init__(
        self,
        world: World,
        messages: int,
        trouble: Trouble,
        seed: int,
        tell: Tell,
        *,
        greylisting: bool = True,
        several: bool = False,
        door: Door | None = None,
    ) -> None:
        """`several` as for `kill_messages.message`; without a `door` they go in by HTTP."""
        self._world = world
        self._messages = messages
        self._tell = tell
        self._chance = random.Random(seed)
        self._trouble = trouble
        self._door: Door = door or HttpDoor(world)
        self._slots = (*world.slots, *self._door.slots)
        self._report = Report(seed, messages, greylisting, several)
        self._next = 0
        self._waiting = 0  # items in all queues, visible or not
        self._room = asyncio.Condition()

    async def run(self) -> Report:
        """Send and kill, wait until the queues are empty, stop everything, and compare."""
        for slot in self._slots:
            await slot.start()
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            watching = [tasks.create_task(self._watch_depth()), tasks.create_task(self._tell_progress(began))]
            async with asyncio.TaskGroup() as working:
                working.create_task(self._make_trouble())
                for number in range(CLIENTS):
                    working.create_task(self._send(random.Random(f"{self._report.seed} client {number}")))
            self._report.sending_seconds = time.monotonic() - began
            await self._drain()
            for task in watching:
                task.cancel()
        self._report.seconds = time.monotonic() - began
        return await self._finish()

    async def _make_trouble(self) -> None:
        """Spread over the messages: each strike waits until its share of them was accepted."""
        trouble, spacing = self._trouble, self._messages / max(self._trouble.times, 1)
        while trouble.done < trouble.times:
            threshold = min((trouble.done + self._chance.random()) * spacing, self._messages)
            async with self._room:
                await self._room.wait_for(lambda: self._door.counts.accepted >= threshold)  # noqa: B023
            await trouble.strike()
            async with self._room:
                self._room.notify_all()

    async def _send(self, chance: random.Random) -> None:
        client = self._door.sender(chance)
        while True:
            async with self._room:
                await self._room.wait_for(self._may_send)
                if self._next >= self._messages:
                    break
                number = self._next
                self._next += 1
            for message in self._report.sent([number]):
                await client.send(message)
            async with self._room:
                self._room.notify_all()
        await client.close()

    def _may_send(self) -> bool:
        trouble = self._trouble
        most = math.ceil((trouble.done + LOOKAHEAD) * self._messages / trouble.times) if trouble.times else self._messages
        return self._next >= self._messages or (self._waiting < self._most_waiting() and self._next < most)

    def _most_waiting(self) -> float:
        return MOST_WAITING + 0.05 * min(self._next, 5000)  # deferred ones wait and are in nobody's way

    async def _watch_depth(self) -> None:
        while True:
            for slot in self._slots:
                slot.check()
            with contextlib.suppress(StorageUnavailable):  # it is being restarted
                self._waiting = await self._depth(*self._door.queues)
            async with self._room:
                self._room.notify_all()
            await asyncio.sleep(_DEPTH_PAUSE)

    async def _depth(self, *queues: str) -> int:
        total = 0
        for queue in queues:
            with contextlib.suppress(EntityMissing):  # no poison queue until there is something for it
                total += await self._world.storage.queues.depth(queue)
        return total

    async def _drain(self) -> None:
        """Until no queue has an item: whatever is not final then was lost."""
        queues = (*self._door.queues, *(f"{queue}-poison" for queue in self._door.queues))
        end = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(StorageUnavailable):
                self._report.items_left = await self._depth(*queues)
                if not self._report.items_left:
                    return
                if await self._door.is_settled():
                    self._report.items_left = 0
                    return
            await asyncio.sleep(_DEPTH_PAUSE)

    async def _tell_progress(self, began: float) -> None:
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            seconds = time.monotonic() - began
            rate = self._door.counts.accepted / seconds
            left = (self._messages - self._door.counts.accepted) / rate if rate else math.inf
            self._tell(
                f"{seconds / 60:.1f} min: {self._door.counts.accepted:,} of {self._messages:,} accepted, "
                f"{self._trouble.done:,} of {self._trouble.times:,} strikes, {self._waiting:,} items in the queues, "
                + (f"{rate:.1f} messages a second, {left / 60:.1f} min left" if left else "waiting for the queues to empty")
            )

    async def _finish(self) -> Report:
        report, world = self._report, self._world
        report.exit_statuses = [await slot.stop() for slot in self._slots]
        arrivals = await world.receiver.stop()
        self._tell("Comparing every recipient with what arrived")
        await self._door.compare(report, arrivals, self._tell)
        report.kills = self._trouble.done
        counts = self._door.counts
        report.requests_lost, report.requests_refused, report.requests_put_off = counts.lost, counts.refused, counts.put_off
        logged = lines_about(self._slots, [*{each.operation_id for each in report.offences}, "takeover=True"])
        report.takeovers = len(logged.pop("takeover=True"))
        for offences in (report.lost, report.unflagged, report.wrong):
            offences[:] = [replace(each, story=(*each.story, *logged.get(each.operation_id, ()))) for each in offences]
        return report


async def run_in(folder: Path, messages: int, kills: int, *, seed: int, tell: Tell) -> Report:
    """One whole run, with a world of its own in `folder`, which has the hosts' logs afterwards."""
    async with kill_world(folder, seed, services=math.ceil(messages / A_SERVICE)) as world:
        killer = Killer(world.slots, kills, random.Random(f"{seed} kills"))
        report = await KillRun(world, messages, killer, seed, tell).run()
        report.kills_while_starting = killer.while_starting
        return report


async def run_smtp_in(folder: Path, messages: int, kills: int, *, seed: int, tell: Tell) -> Report:
    """As `run_in`, by SMTP through two relays, which have two of three kills."""
    services = math.ceil(messages / A_SERVICE)
    async with kill_world(folder, seed, services=services, relays=2) as world, half_stored(world):
        first, second = ((*world.relays, host) for host in world.slots)
        killer = Killer([*first, *second], kills, random.Random(f"{seed} kills"))
        report = await KillRun(world, messages, killer, seed, tell, several=True, door=SmtpDoor(world)).run()
        report.kills_while_starting = killer.while_starting
        report.more["kills of an SMTP server"] = sum(slot.kills for slot in world.relays)
        return report
