"""What one window of one limit has left, counted across workers in blocks.

One row for each scope, unit and window in table `policies` says how much of the window was taken by workers. A worker takes a
block by an ETag merge and then counts in memory, so several workers never exceed a limit together, whatever becomes of them.

What a worker took and did not use lapses with the window: an idle worker could only give it back by a write that nobody waits
for, and one that was killed never does. So that little can lapse, a block has what is needed now, or twice the one before, and
no more than the worker uses in a minute, than a quarter of what is left, and than MOST_BLOCK. A worker that starts, sends one
message and goes has taken one; a busy one soon takes hundreds; and when a limit is nearly reached the blocks are of one each,
so that no worker is told that nothing is left while another has much.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from email_core.clock import Clock
from email_core.errors import EntityChanged, EntityExists, EntityMissing, StorageUnavailable
from email_core.storage import Delete, Entity, Tables, text_literal

POLICIES = "policies"
MOST_BLOCK = 1000
SHARE = 4  # a block is at most this part of what is left
AHEAD_SECONDS = 60.0  # a block lasts about so long at the pace of the worker
MOST_TRIES = 60  # workers that meet at one row: each round one of them comes through
KEPT_SECONDS = 2 * 86_400.0  # how long the row of a window that is over is kept, for people to look at
_PREFIX = "limit:"
_PAGE = 1000
_BATCH = 100  # operations of a transaction


@dataclass(slots=True)
class Pace:
    """How fast a worker uses one limit; outlives the windows. Times are of the monotonic clock.

    `reach` is how much it takes ahead: it doubles from block to block, up to what is used in AHEAD_SECONDS.
    """

    reach: float = 0.0
    used: int = 0
    since: float = -math.inf

    def wanted(self, now: float) -> float:
        """How large the next block should be."""
        elapsed = now - self.since
        return min(2 * self.reach, AHEAD_SECONDS * self.used / elapsed if elapsed > 0 else math.inf, MOST_BLOCK)

    def took(self, block: int, now: float) -> None:
        """A block was taken. Near a limit it is smaller than wanted, which says nothing of the next window."""
        self.reach, self.used, self.since = max(self.wanted(now), block), 0, now


class Exhausted(Exception):
    """Too little is left of a window, for this worker and in storage; `args[0]` is how much."""


@dataclass(slots=True)
class Window:
    """The window of one limit that begins at `start` and ends at `end` (seconds since the epoch), as one worker sees it.

    `left` may be used without asking; `taken` is what all workers took, as it was last seen. With `etag` empty there is no row.
    """

    partition: str
    row: str
    start: int
    end: int
    pace: Pace
    left: int = 0
    taken: int = 0
    _etag: str = ""
    _seen: bool = True  # that there is no row is what a worker begins with: an insert finds out
    _shared: bool = False  # with other workers: then reading first is cheaper than a merge that fails
    _waiting: int = 0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def use(self, number: int) -> None:
        """Count what is left already."""
        self.left -= number
        self.pace.used += number

    def give_back(self, number: int) -> None:
        """What was counted was not needed."""
        self.left += number
        self.pace.used -= number

    async def refill(self, tables: Tables, clock: Clock, number: int, most: int) -> None:
        """Have `number` left, unless others use it meanwhile.

        Raises Exhausted when the limit of `most` does not allow it, and StorageUnavailable when that can't be known.
        """
        self._waiting += number
        try:
            async with self._lock:
                if self.left < number:
                    await self._take(tables, clock, number, most)
        finally:
            self._waiting -= number

    async def _take(self, tables: Tables, clock: Clock, number: int, most: int) -> None:
        for _ in range(MOST_TRIES):
            wanted = self.pace.wanted(clock.monotonic())
            # What was taken only grows: when it does not do as last seen, nobody has to be asked.
            block = self._block(number, most, wanted)
            if self._shared or not self._seen:
                await self._look(tables)
                block = self._block(number, most, wanted)
            try:
                await self._write(tables, block)
            except (EntityChanged, EntityExists, EntityMissing):
                self._shared, self._seen = True, False
                await clock.sleep(random.uniform(0.0, 0.02))  # noqa: S311 - so that those who met once do not meet again
                continue
            self.left += block
            self.pace.took(block, clock.monotonic())
            return
        raise StorageUnavailable(f"too many workers met at {self.partition} {self.row}")

    def _block(self, number: int, most: int, wanted: float) -> int:
        free, short = max(most - self.taken, 0), number - self.left
        if free < short:
            raise Exhausted(self.left + free)
        return max(short, int(min(max(wanted, self._waiting - self.left), MOST_BLOCK, math.ceil(free / SHARE))))

    async def _look(self, tables: Tables) -> None:
        row = await tables.get(POLICIES, self.partition, self.row)
        etag = row.etag if row is not None else ""
        # As we left it: the others may be gone.
        self._shared = self._shared and not (self._seen and etag == self._etag)
        self.taken = int(row.values.get("taken", 0)) if row is not None else 0
        self._etag, self._seen = etag, True

    async def _write(self, tables: Tables, block: int) -> None:
        taken = self.taken + block
        if self._etag:
            self._etag = await tables.merge(POLICIES, self.partition, self.row, {"taken": taken}, etag=self._etag)
        else:
            entity: Entity = {"PartitionKey": self.partition, "RowKey": self.row, "taken": taken, "ends": float(self.end)}
            self._etag = await tables.insert(POLICIES, entity)
        self.taken = taken


def window_row(name: str, unit: str, start: int) -> str:
    """RowKey of a window, such as `minute|messages|1790000040`."""
    return f"{name}|{unit}|{start}"


def scope_partition(scope: str) -> str:
    """PartitionKey of the windows of a scope."""
    return f"{_PREFIX}{scope}"


async def clean(tables: Tables, now: float) -> int:
    """Delete the rows of windows that ended more than two days before `now`; how many. Raises StorageUnavailable.

    The daily timer calls it. Done twice or half it does no harm: nobody counts in a window that is over.
    """
    where = (
        f"PartitionKey ge {text_literal(_PREFIX)} and PartitionKey lt {text_literal(_PREFIX[:-1] + ';')}"  # ";" comes after ":"
        f" and ends lt {now - KEPT_SECONDS:.3f}"
    )
    deleted = 0
    batch: list[Delete] = []
    async for row in tables.query(POLICIES, where, select=("PartitionKey", "RowKey"), page_size=_PAGE):
        delete = Delete(str(row.values["PartitionKey"]), str(row.values["RowKey"]))
        # A limit per minute leaves up to 1440 rows a day: deleted one by one, those of many services would take hours.
        if batch and (len(batch) == _BATCH or batch[0].partition_key != delete.partition_key):
            deleted += await _delete(tables, batch)
            batch = []
        batch.append(delete)
    return deleted + (await _delete(tables, batch) if batch else 0)


async def _delete(tables: Tables, batch: Sequence[Delete]) -> int:
    """Delete rows of one partition. What another cleaner deletes meanwhile is left to it, and the rest to the next day."""
    try:
        await tables.transact(POLICIES, batch)
    except EntityMissing:
        return 0
    return len(batch)
