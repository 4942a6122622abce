"""How much a worker has in hand at once: so many things, and so many bytes of them, first come first served.

What does not fit waits a while for its turn and is refused then; of what waits there is a bound as well, for it takes memory
too. Small things are not counted in bytes, so none of them ever waits behind a large one for more than a free place.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from email_core.errors import WorkerBusy

SMALL = 64 * 1024  # bytes; below it there is nothing to gain by counting them
MOST_WAITING = 10  # times as many as may be in hand


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    size: int
    turn: asyncio.Future[None]


class Capacity:
    """Places for `most` things of `most_bytes` together. `patience` is how many seconds one waits for its place.

    A thing that is larger than everything that there is gets a place when nothing else has one. For one event loop.
    """

    def __init__(self, what: str, *, most: int, most_bytes: int, patience: float) -> None:
        """`what` names the things in the reason of a refusal, in the plural."""
        self._what = what
        self._most = most
        self._most_bytes = most_bytes
        self._patience = patience
        self._waiting: deque[_Waiter] = deque()
        self.taken = 0  # places
        self.bytes_taken = 0

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._patient())

    @asynccontextmanager
    async def place(self, size: int) -> AsyncIterator[None]:
        """A place for a thing of that many bytes while the context lasts. Raises WorkerBusy when there is none in time."""
        counted = size if size > SMALL else 0
        if self._fits(counted) and not self._must_queue(counted):
            self._take(counted)
        else:
            await self._turn(counted)
        try:
            yield
        finally:
            self.taken -= 1
            self.bytes_taken -= counted
            self._let_in()

    def _fits(self, size: int) -> bool:
        enough = not size or self.bytes_taken + size <= self._most_bytes or not self.bytes_taken
        return self.taken < self._most and enough

    def _must_queue(self, size: int) -> bool:
        """Whether somebody is first: for a small one, anybody who waits for a place; a large one waits for bytes as well."""
        return any(not waiter.size or size for waiter in self._patient())

    def _take(self, size: int) -> None:
        self.taken += 1
        self.bytes_taken += size

    async def _turn(self, size: int) -> None:
        bytes_waiting = sum(waiter.size for waiter in self._patient())
        too_many_bytes = size and bytes_waiting and bytes_waiting + size > self._most_bytes
        if self.waiting >= self._most * MOST_WAITING or too_many_bytes:
            raise WorkerBusy(f"{self.taken} {self._what} in hand, and as many waiting as there may be")
        waiter = _Waiter(size, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(self._patience):
                await waiter.turn
        except BaseException as ended:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            else:  # its turn came in the very moment in which it gave up
                self.taken -= 1
                self.bytes_taken -= size
            self._let_in()
            if isinstance(ended, TimeoutError):
                why = f"{self.taken} {self._what} of {self.bytes_taken} bytes in hand for {self._patience:g} seconds"
                raise WorkerBusy(why) from None
            raise

    def _patient(self) -> list[_Waiter]:
        """Those who wait, in their order, without those who gave up in this turn of the loop and could not leave yet."""
        return [waiter for waiter in self._waiting if not waiter.turn.done()]

    def _let_in(self) -> None:
        """Give what is free to those who wait, in their order; a large one that does not fit holds up large ones only."""
        held_up = False
        for waiter in self._patient():
            if self.taken >= self._most:
                return
            if waiter.size and (held_up or not self._fits(waiter.size)):
                held_up = True
                continue
            self._waiting.remove(waiter)
            self._take(waiter.size)
            waiter.turn.set_result(None)
