"""Virtual time: an event loop that never waits, so that days of timers pass in the time that their callbacks take.

When nothing is ready to run, the loop's clock jumps to the next timer instead of sleeping until then. Everything that asks
the loop for the time (`asyncio.sleep`, `asyncio.timeout`, `call_later`) follows it; sockets and threads do not.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

BEGINNING = 1_800_000_000.0  # seconds since the epoch at which virtual time begins


class Stalled(RuntimeError):
    """Nothing is ready and no timer is set: every task waits for another, for ever."""


class _Selector(selectors.DefaultSelector):
    """Where a loop would sleep: here the sleep takes no time and counts all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.slept = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise Stalled("every task waits, and no timer is set")
            self.slept += max(timeout, 0.0)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is what its tasks have slept, in seconds from 0."""

    def __init__(self) -> None:
        self._slept_in = _Selector()
        super().__init__(self._slept_in)

    def time(self) -> float:
        return self._slept_in.slept


class VirtualClock:
    """The running loop's time, as the pipeline reads it."""

    def now(self) -> float:
        return BEGINNING + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def run_virtually(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end on a virtual-time loop of its own. Raises Stalled when it can have no end."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
