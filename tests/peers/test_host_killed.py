"""Functions hosts die at any moment, and so does what they talk to: no accepted message is lost, and duplicates are flagged.

The hosts are processes that run the app, with real storage and a real receiver (see `tests.kit.kill_run`). Whatever happens,
at the end each recipient of each accepted message has the outcome that it must have, the receiver has what the ledger says,
and whoever has it twice is marked as a possible duplicate.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit.fault_tables import FaultTable
from tests.kit.kill_hosts import Killer, Trouble
from tests.kit.kill_run import KillRun
from tests.kit.kill_world import CLAIM, World, kill_world
from tests.kit.peers import require
from tests.kit.world import missing_reason

pytestmark = [pytest.mark.peers, pytest.mark.long]

SEED = 20


@dataclass
class Restarts:
    """Something is stopped and started again, `times` times."""

    restart: Callable[[], Awaitable[None]]
    times: int
    done: int = 0

    async def strike(self) -> None:
        await self.restart()
        self.done += 1


def killed_in_turn(world: World) -> Trouble:
    return Killer(world.slots, 100, random.Random(SEED))


def one_killed(world: World) -> Trouble:
    return Killer(world.slots[:1], 12, random.Random(SEED), share_while_starting=0.0)


def killed_while_starting(world: World) -> Trouble:
    return Killer(world.slots, 20, random.Random(SEED), share_while_starting=0.8)


def stopped(world: World) -> Trouble:
    slots = iter(world.slots * 3)

    async def restart() -> None:
        slot = next(slots)
        assert await slot.stop() == 0
        await slot.start()

    return Restarts(restart, 6)


def azurite_restarted(world: World) -> Trouble:
    return Restarts(world.restart_azurite, 1)


def receiver_restarted(world: World) -> Trouble:
    return Restarts(world.restart_receiver, 1)


@dataclass(frozen=True)
class Fault:
    """`fault` and `comes` are for the page; `flags`: whether it may leave possible duplicates at all."""

    fault: str
    comes: str
    trouble: Callable[[World], Trouble]
    messages: int
    flags: bool = True
    greylisting: bool = True
    in_memory: bool = True
    claim: int = CLAIM  # seconds


NOTHING_LOST = "Nothing is lost; whoever has it twice is flagged"
FAULTS = {
    "killed-in-turn": Fault("kill -9 of two hosts in turn, 100 times, 2,000 messages", NOTHING_LOST, killed_in_turn, 2000),
    "one-of-two-killed": Fault(
        "kill -9 of one of two hosts, again and again",
        f"The other one takes over what it had. {NOTHING_LOST}",
        one_killed, 300, greylisting=False,
    ),
    "killed-while-starting": Fault(
        "kill -9 of hosts that are just starting",
        f"The next start finds everything. {NOTHING_LOST}",
        killed_while_starting, 300, greylisting=False,
    ),
    "stopped": Fault(
        "SIGTERM to one host after the other",
        "What runs is finished, exit status 0; nothing arrives twice, nothing is flagged",
        stopped, 300, flags=False, greylisting=False, claim=60,  # however slow the machine is, no claim runs out
    ),
    "azurite-restarted": Fault(
        "Azurite stopped with SIGTERM and started again",
        f"Requests are put off, items wait. {NOTHING_LOST}",
        azurite_restarted, 200, greylisting=False, in_memory=False,
    ),
    "receiver-restarted": Fault(
        "The receiver stopped in the middle of conversations and started again",
        f"Recipients are deferred and tried again. {NOTHING_LOST}",
        receiver_restarted, 200,
    ),
}  # fmt: skip

TABLES = [FaultTable("process", ("Fault", "What comes of it"), [(each.fault, each.comes) for each in FAULTS.values()])]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", FAULTS)
async def test_hosts_under_fault_lose_nothing_and_flag_every_duplicate(name: str, tmp_path: Path) -> None:
    require(not missing_reason(), missing_reason())
    fault = FAULTS[name]
    async with kill_world(tmp_path, SEED, in_memory=fault.in_memory, claim=fault.claim) as world:
        trouble = fault.trouble(world)
        report = await KillRun(world, fault.messages, trouble, SEED, print, greylisting=fault.greylisting).run()

    assert report.clean, str(report)
    assert report.kills == trouble.times  # else this was another test
    assert fault.flags or (report.duplicates, report.flagged, report.takeovers) == (0, 0, 0), str(report)
