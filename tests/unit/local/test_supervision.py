"""Running something in a world: what ends it, with which status, and that the world is stopped in every case."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from typing import Any

import pytest

from local.child import ChildFailed
from local.supervision import Signals, run_in_world


class FakeWorld:
    """A world without processes."""

    def __init__(self, *, start_forever: bool = False, broken: bool = False) -> None:
        self.calls: list[str] = []
        self.child_died = asyncio.Event()
        self.starting = asyncio.Event()
        self._start_forever = start_forever
        self._broken = broken

    async def start(self) -> dict[str, str]:
        self.calls.append("start")
        self.starting.set()
        if self._broken:
            raise ChildFailed("Azurite ended with exit status 1.")
        if self._start_forever:
            await asyncio.Event().wait()
        return {"NAME": "value"}

    async def watch(self) -> None:
        await self.child_died.wait()
        raise ChildFailed("the functions host was ended by SIGKILL.")

    async def stop(self) -> None:
        self.calls.append("stop")
        await asyncio.sleep(0)

    def kill(self) -> None:
        self.calls.append("kill")


async def run(world: Any, body: Any) -> int:
    async with asyncio.timeout(5):
        return await run_in_world(world, body, Signals())


async def test_body_gets_the_variables_and_its_status_is_the_result() -> None:
    world = FakeWorld()

    async def body(variables: Mapping[str, str]) -> int:
        assert variables == {"NAME": "value"}
        return 7

    assert await run(world, body) == 7
    assert world.calls == ["start", "stop"]


async def test_body_that_raises_ends_the_world_too() -> None:
    world = FakeWorld()

    async def body(variables: Mapping[str, str]) -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await run(world, body)
    assert world.calls == ["start", "stop"]


async def test_child_that_dies_ends_the_body_and_is_told() -> None:
    world = FakeWorld()
    ended = asyncio.Event()

    async def body(variables: Mapping[str, str]) -> int:
        world.child_died.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return 0

    with pytest.raises(ChildFailed, match="SIGKILL"):
        await run(world, body)
    assert ended.is_set()
    assert world.calls == ["start", "stop"]


async def test_world_that_does_not_start_is_stopped_and_told() -> None:
    world = FakeWorld(broken=True)

    async def body(variables: Mapping[str, str]) -> int:
        raise AssertionError("there is no world to run in")

    with pytest.raises(ChildFailed, match="Azurite"):
        await run(world, body)
    assert world.calls == ["start", "stop"]


@pytest.mark.parametrize(("sign", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
async def test_signal_while_the_world_starts_stops_it_at_once(sign: signal.Signals, status: int) -> None:
    world = FakeWorld(start_forever=True)

    async def body(variables: Mapping[str, str]) -> int:
        raise AssertionError("there is no world to run in")

    running = asyncio.create_task(run(world, body))
    await world.starting.wait()
    os.kill(os.getpid(), sign)
    assert await running == status
    assert world.calls == ["start", "stop"]


async def test_second_signal_while_the_world_stops_kills_it() -> None:
    world = FakeWorld()
    stopping, gate = asyncio.Event(), asyncio.Event()

    async def stop() -> None:
        stopping.set()
        await gate.wait()

    async def body(variables: Mapping[str, str]) -> int:
        return 0

    def kill() -> None:
        world.calls.append("kill")
        gate.set()

    world.stop, world.kill = stop, kill  # type: ignore[method-assign]
    running = asyncio.create_task(run(world, body))
    await stopping.wait()
    os.kill(os.getpid(), signal.SIGINT)
    assert await running == 0
    assert world.calls == ["start", "kill"]
