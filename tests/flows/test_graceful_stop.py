"""The functions host is asked to stop while conversations run: they finish; what takes too long is given back and not lost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from email_core.delivery.ledger import Entry
from email_core.delivery.spool import Spool
from tests.kit.kill_door import Client, DoorCounts
from tests.kit.kill_hosts import HostSlot
from tests.kit.kill_messages import Message
from tests.kit.kill_world import World, kill_world
from tests.kit.peers import require
from tests.kit.world import missing_reason

pytestmark = [pytest.mark.peers, pytest.mark.long]

MESSAGES = [Message(number, f"00000000-0000-4000-8000-{number:012}", (f"r{number}@a.test",)) for number in range(1, 13)]
CLAIM = 10  # seconds
DOT_SECONDS = 3.0  # well below a claim
FINAL_WITHIN = 60.0


@pytest.fixture
async def slow_world(tmp_path: Path) -> AsyncIterator[World]:
    """Its receiver takes its time to answer the final dot."""
    require(not missing_reason(), missing_reason())
    async with kill_world(tmp_path, 1, dot=(DOT_SECONDS, DOT_SECONDS), claim=CLAIM) as world:
        yield world


async def accepted(world: World, slot: HostSlot) -> None:
    """Send all messages through the door of a host."""
    client = Client(world, [slot.port], random.Random(1), DoorCounts())
    for message in MESSAGES:
        await client.send(message)
    await client.close()


async def entries(world: World) -> list[Entry]:
    spool = Spool(world.storage)
    rows = [await spool.read(world.row_key(message), with_content=False) for message in MESSAGES]
    return [entry for row in rows if row is not None for entry in row.ledger.entries]


async def all_final(world: World) -> list[Entry]:
    """The entries once they all have their final outcome."""
    async with asyncio.timeout(FINAL_WITHIN):
        while True:
            found = await entries(world)
            if len(found) == len(MESSAGES) and all(entry.status.final for entry in found):
                return found


async def test_host_that_is_stopped_finishes_its_conversations_and_nothing_is_redelivered(slow_world: World) -> None:
    slot = slow_world.slots[0]
    await slot.start()
    await accepted(slow_world, slot)
    await slow_world.receiver.first_message()  # at the final dot, which is answered much later

    status = await slot.stop()

    finished = [entry for entry in await entries(slow_world) if entry.status == "Delivered"]
    await slot.start()
    found = await all_final(slow_world)
    assert await slot.stop() == 0
    arrivals = await slow_world.receiver.stop()
    assert status == 0
    assert finished  # it did not stop before the answer
    assert Counter(arrivals.values()) == {1: len(MESSAGES)}
    assert {(str(entry.status), entry.possible_duplicate, entry.tries) for entry in found} == {("Delivered", False, 1)}
    assert "takeover=True" not in slot.log.read_text()


async def test_host_that_is_stopped_gives_back_what_takes_too_long_and_it_is_flagged(slow_world: World) -> None:
    slot = slow_world.slots[0]
    slot.patience = 1
    await slot.start()
    await accepted(slow_world, slot)
    await slow_world.receiver.first_message()

    status = await slot.stop()

    unfinished = {entry.address for entry in await entries(slow_world) if not entry.status.final}
    slot.patience = 20
    await slot.start()
    found = await all_final(slow_world)
    assert await slot.stop() == 0
    arrivals = await slow_world.receiver.stop()
    twice = {name.partition(" ")[2] for name, count in arrivals.items() if count > 1}
    assert status == 0
    assert unfinished
    assert {str(entry.status) for entry in found} == {"Delivered"}
    assert len(arrivals) == len(MESSAGES)
    assert twice and twice <= {entry.address for entry in found if entry.possible_duplicate}
