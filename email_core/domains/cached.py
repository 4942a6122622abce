"""A value that is read from storage and kept for a short time, and what an outage of storage does to its readers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, NamedTuple, TypeVar

from email_core import maillog
from email_core.clock import Clock
from email_core.errors import StorageUnavailable

# How far beyond its lifetime a value does while storage is away. Most outages of a storage account pass within minutes, and
# a key that was revoked must not open the door much longer.
STALE_SECONDS = 600.0

# How long ago the refresh before may have failed for an old value to be given without waiting. Beyond it storage has most
# likely come back, and a key that was revoked since then must not be good for one reader more.
OUTAGE_SECONDS = 30.0

T = TypeVar("T")


class Cached(Generic[T]):
    """A value that is read again when it is older than `lifetime` seconds; readers that meet share one read and its failure.

    When storage is away, an old value does for up to `STALE_SECONDS` beyond its lifetime. While refreshes fail one after the
    other, readers get it at once, and the next refresh is tried beside them.
    """

    def __init__(self, read: Callable[[], Awaitable[T]], clock: Clock, lifetime: float) -> None:
        self._read = read
        self._clock = clock
        self._lifetime = lifetime
        self._held: _Held[T] | None = None
        self._failed_at = float("-inf")  # of the monotonic clock; the last refresh, if it failed
        self._in_outage = False
        self._reading: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """The value. Raises what the read raises, unless an old value does."""
        held = self._held
        if held is not None and self._age(held) < self._lifetime:
            return held.value
        if self._reading is None:
            self._in_outage = self._clock.monotonic() - self._failed_at < OUTAGE_SECONDS
            self._reading = asyncio.create_task(self._refresh())
            self._reading.add_done_callback(_note_failure)
        if held is not None and self._in_outage and self._usable(held):
            return held.value
        # A task of its own, and shielded: a reader that gives up takes nothing from the others.
        return await asyncio.shield(self._reading)

    async def _refresh(self) -> T:
        failed_at = float("-inf")
        try:
            value = await self._read()
            self._held = _Held(value, self._clock.monotonic())
            return value
        except StorageUnavailable as error:
            held = self._held
            if held is None or not self._usable(held):
                raise
            failed_at = self._clock.monotonic()
            maillog.fault("directory", error=error)
            return held.value
        finally:
            self._failed_at = failed_at
            self._reading = None

    def _age(self, held: _Held[T]) -> float:
        return self._clock.monotonic() - held.read_at

    def _usable(self, held: _Held[T]) -> bool:
        return self._age(held) < self._lifetime + STALE_SECONDS


class _Held(NamedTuple, Generic[T]):
    value: T
    read_at: float  # of the monotonic clock


def _note_failure(reading: asyncio.Task[Any]) -> None:
    # Every reader may have left: asyncio would then complain about a failure that nobody looked at.
    if not reading.cancelled():
        reading.exception()
