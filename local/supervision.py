"""Runs something inside a local world: starts the world, watches it, hands on signals, and stops all of it in every case."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from local.world import World

Body = Callable[[Mapping[str, str]], Awaitable[int]]


class Signals:
    """SIGINT, SIGTERM and SIGHUP of this process; `handler` is called with each."""

    def __init__(self) -> None:
        self.handler: Callable[[signal.Signals], None] = lambda _: None
        self.received: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._receive, number)

    def _receive(self, number: signal.Signals) -> None:
        if not self.received.done():
            self.received.set_result(number)
        self.handler(number)


async def run_in_world(world: World, body: Body, signals: Signals) -> int:
    """The exit status: the body's, or 128 and the signal's number when one came before the body began.

    Raises ChildFailed when a process of the world ends by itself, and whatever World.start and the body raise.
    """
    starting: asyncio.Future[Any] = asyncio.ensure_future(world.start())
    tasks: list[asyncio.Future[Any]] = [starting]
    try:
        await asyncio.wait([starting, signals.received], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return 128 + signals.received.result()
        running = asyncio.ensure_future(body(starting.result()))
        watching = asyncio.ensure_future(world.watch())
        tasks += [running, watching]
        await asyncio.wait({running, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            watching.result()
        return running.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # A second Ctrl-C is from somebody who does not want to wait for what still runs.
        signals.handler = lambda _: world.kill()
        await world.stop()
