"""Workers that count against the same limits in a storage in memory, which counts its round trips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar, cast

from email_core.domains.documents import Limit
from email_core.errors import EntityMissing, LimitReached
from email_core.storage import Delete, Operation, Tables
from email_core.storage.limits import TRANSACTION_OPERATIONS
from email_core.submission.limits import Limits, Scope
from tests.kit.simulated_storage import FaultMix, Faults, SimulatedTables
from tests.kit.virtual_time import VirtualClock

Result = TypeVar("Result")


class CountingFaults(Faults):
    """Counts the operations as well: `round_trips` by name."""

    def __init__(self, mix: FaultMix, chance: Random) -> None:
        super().__init__(mix, chance)
        self.round_trips: Counter[str] = Counter()

    async def around(self, operation: str, effect: Callable[[], Result]) -> Result:
        self.round_trips[operation] += 1
        return await super().around(operation, effect)


class DeletingTables(SimulatedTables):
    """Takes transactions of deletions, which the pipeline has none of."""

    async def transact(self, table: str, operations: Sequence[Operation]) -> None:
        deletions = [each for each in operations if isinstance(each, Delete)]
        assert len(deletions) == len(operations) <= TRANSACTION_OPERATIONS
        assert len({each.partition_key for each in deletions}) == 1

        def effect() -> None:
            places = [(table, each.partition_key, each.row_key) for each in deletions]
            if not all(place in self.rows for place in places):
                raise EntityMissing(table)
            for place in places:
                del self.rows[place]

        await self._faults.around("tables.transact", effect)


class World:
    """One storage and the workers on it."""

    def __init__(self, *, workers: int = 1, mix: FaultMix | None = None, seed: int = 1) -> None:
        self.faults = CountingFaults(mix or FaultMix(), Random(seed))
        self.tables = DeletingTables(self.faults)
        self.clock = VirtualClock()
        self.workers = [self.worker() for _ in range(workers)]

    def worker(self) -> Limits:
        """One more."""
        return Limits(cast(Tables, self.tables), self.clock)

    @property
    def round_trips(self) -> int:
        return self.faults.round_trips.total()

    def taken(self, row: str) -> int:
        """What the workers took of a window, by the beginning of its row."""
        return sum(int(values.values["taken"]) for (table, _, name), values in self.tables.rows.items() if name.startswith(row))


def scope(*limits: tuple[str, str, int], key: str = "service:abc") -> Scope:
    """A scope with limits of unit, window and number."""
    return Scope(key, f"communication service {key}", tuple(Limit(*limit) for limit in limits))


async def admitted(limits: Limits, scopes: Sequence[Scope], *, tries: int = 1, recipients: int = 1) -> int:
    """How many of so many messages, one after the other, are within the limits."""
    count = 0
    for _ in range(tries):
        try:
            await limits.count(scopes, messages=1, recipients=recipients)
        except LimitReached:
            continue
        count += 1
    return count
