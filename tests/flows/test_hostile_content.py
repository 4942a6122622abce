"""Hostile content: an answer within a second of work and within the memory bound, and what is accepted goes its way."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.kit.fault_tables import FaultTable
from tests.kit.hostile_content import HOSTILE, LARGEST, Hostile
from tests.kit.hostile_run import Measured, World
from tests.kit.pipeline import build_pipeline

MOST_CPU = 1.0  # seconds for the answer
MOST_MEMORY = 4 * LARGEST  # bytes above an idle worker, for the answer
MOST_DELIVERY_MEMORY = 10 * LARGEST  # the same for composing, signing and sending, with what the answer left behind

TABLES = [
    FaultTable(
        "hostile-content",
        ("Content", "Where", "Answer", "What becomes of it"),
        [(each.content, each.where, str(each.answer), "delivered" if each.answer == 202 else "nothing") for each in HOSTILE],
    )
]


class Workers:
    """Sends a hostile request through a worker of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def measured(self, hostile: Hostile) -> Measured:
        assert self._process.stdin
        assert self._process.stdout
        print(hostile.name, file=self._process.stdin, flush=True)
        return msgspec.json.decode(self._process.stdout.readline(), type=Measured)


async def provisioned(connection_string: str) -> World:
    pipeline = await build_pipeline(connection_string, routes="capture://127.0.0.1:9")
    await pipeline.close()
    return World(connection_string, pipeline.service.name)


@pytest.fixture(scope="module")
def workers(azurite: str) -> Iterator[Workers]:
    world = msgspec.json.encode(asyncio.run(provisioned(azurite))).decode()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.kit.hostile_run"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    ) as process:  # fmt: skip
        assert process.stdin
        print(world, file=process.stdin, flush=True)
        yield Workers(process)
        process.stdin.close()


@pytest.mark.peers
@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_hostile_content_is_answered_and_delivered_within_bounds(hostile: Hostile, workers: Workers) -> None:
    found = workers.measured(hostile)
    assert (found.name, found.status) == (hostile.name, hostile.answer), found
    assert found.door_cpu < MOST_CPU
    assert found.door_memory < MOST_MEMORY
    if hostile.answer == 202:
        assert found.recipient == "Delivered"
        assert found.delivery_memory < MOST_DELIVERY_MEMORY
