"""Storage in memory that goes wrong on purpose, in virtual time: tables, queues and blobs with the contracts of the real ones.

An operation may fail, take effect and lose its answer, be slow, or be the last thing that its worker does; a whole service
may be away for a while. What a lost answer means is that of `email_core.storage`: the operation is sent again and meets its
own effect, or no try is ever answered.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import TypeVar

from email_core.errors import EntityChanged, EntityExists, EntityMissing, StorageUnavailable
from email_core.storage import Entity, Insert, Merge, Operation, StoredEntity, Upsert

Result = TypeVar("Result")
Place = tuple[str, str, str]  # table, PartitionKey, RowKey

PROMPT = (0.002, 0.05)  # seconds that an operation takes
SLOW = (15.0, 58.0)  # seconds; with the retries of the storage pipeline, just inside its deadline
GIVEN_UP = 1.6  # seconds of tries until an operation on a service that is away ends


class Died(BaseException):
    """The worker died at this place. Not an Exception, for no handler of a dead worker runs."""


@dataclass(frozen=True, slots=True)
class Outage:
    """Services that do not answer for a while: `tables`, `queues`, `content`. Times are in seconds of virtual time."""

    services: tuple[str, ...]
    begins: float
    ends: float


@dataclass(frozen=True, slots=True)
class FaultMix:
    """How much goes wrong: the share, from 0 to 1, of operations that fail, lose their answer, are slow, or kill their
    worker before or after they take effect. The replies of receivers are lost as often as the answers of storage.
    `vanishing` is the share of deliveries whose item is gone from its queue instead."""

    failing: float = 0.0
    lost: float = 0.0
    slow: float = 0.0
    dying: float = 0.0
    vanishing: float = 0.0
    outage: Outage | None = None


class Faults:
    """Lets operations go wrong as a mix says, until they are stopped. `counts` tells how often something did."""

    def __init__(self, mix: FaultMix, chance: Random) -> None:
        self._mix = mix
        self._chance = chance
        self._on = True
        self.counts: Counter[str] = Counter()

    def stop(self) -> None:
        """From now on everything works."""
        self._on = False

    def strikes(self, fault: str, share: float) -> bool:
        """Whether something with that share happens now; it is counted."""
        struck = self._on and self._chance.random() < share
        self.counts[fault] += struck
        return struck

    def perhaps_die(self) -> None:
        """Raises Died for half the share of the mix: once before an effect and once after it makes the whole."""
        if self.strikes("died", self._mix.dying / 2):
            raise Died

    def reply_lost(self) -> bool:
        """Whether a receiver's reply to the final dot is lost."""
        return self.strikes("lost reply", self._mix.lost)

    def vanishes(self) -> bool:
        """Whether an item is gone when its time has come."""
        return self.strikes("vanished", self._mix.vanishing)

    async def around(self, operation: str, effect: Callable[[], Result]) -> Result:
        """Do an operation, named `service.verb`. Raises StorageUnavailable, Died, and whatever its effect raises."""
        self.perhaps_die()
        seconds = self._chance.uniform(*(SLOW if self.strikes("slow", self._mix.slow) else PROMPT))
        if self.away_for(operation.partition(".")[0]):
            self.counts["away"] += 1
            await asyncio.sleep(GIVEN_UP)
            raise StorageUnavailable(f"{operation}: the service is away")
        there = seconds * self._chance.random()
        await asyncio.sleep(there)
        if self.strikes("failed", self._mix.failing):
            raise StorageUnavailable(f"{operation}: failed")
        result = effect()
        await asyncio.sleep(seconds - there)
        self.perhaps_die()
        if not self.strikes("lost answer", self._mix.lost):
            return result
        if self._chance.random() < 0.5:
            raise StorageUnavailable(f"{operation}: every answer was lost")
        return effect()

    def away_for(self, service: str) -> float:
        """How many seconds more a service is away; 0 when it is there."""
        outage, now = self._mix.outage, asyncio.get_running_loop().time()
        away = outage is not None and service in outage.services and outage.begins <= now < outage.ends
        return outage.ends - now if outage and away else 0.0


class SimulatedTables:
    """Entities by key, with ETags. `on_change` sees each entity before (None: new) and after a write."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._etags = itertools.count(1)
        self.rows: dict[Place, StoredEntity] = {}
        self.on_change: Callable[[Place, StoredEntity | None, StoredEntity], None] = lambda place, before, after: None

    async def get(self, table: str, partition_key: str, row_key: str, *, select: Sequence[str] = ()) -> StoredEntity | None:
        return await self._faults.around("tables.get", lambda: self.rows.get((table, partition_key, row_key)))

    async def query(
        self, table: str, filter: str, *, select: Sequence[str] = (), page_size: int | None = None
    ) -> AsyncIterator[StoredEntity]:
        holds = predicate(filter)
        found = await self._faults.around(
            "tables.query", lambda: sorted(place for place, row in self.rows.items() if place[0] == table and holds(row.values))
        )
        for place in found:
            yield self.rows[place]

    async def delete(self, table: str, partition_key: str, row_key: str, *, etag: str = "*") -> None:
        await self._faults.around("tables.delete", lambda: self.rows.pop((table, partition_key, row_key), None))

    async def insert(self, table: str, entity: Entity) -> str:
        return await self._faults.around("tables.insert", lambda: self._do(table, [Insert(entity)]))

    async def merge(self, table: str, partition_key: str, row_key: str, changes: Entity, *, etag: str) -> str:
        operation = Merge(partition_key, row_key, changes, etag)
        return await self._faults.around("tables.merge", lambda: self._do(table, [operation]))

    async def upsert(self, table: str, entity: Entity) -> None:
        await self._faults.around("tables.upsert", lambda: self._do(table, [Upsert(entity)]))

    async def transact(self, table: str, operations: Sequence[Operation]) -> None:
        await self._faults.around("tables.transact", lambda: self._do(table, operations))

    def _do(self, table: str, operations: Sequence[Operation]) -> str:
        """All of the operations or none; the ETag of the last."""
        changes = [self._change(table, operation) for operation in operations]
        for place, values in changes:
            before, after = self.rows.get(place), StoredEntity(values, str(next(self._etags)))
            self.rows[place] = after
            self.on_change(place, before, after)
        return after.etag

    def _change(self, table: str, operation: Operation) -> tuple[Place, dict[str, str | int | float | bool | bytes]]:
        match operation:
            case Insert(entity) | Upsert(entity):
                place = (table, str(entity["PartitionKey"]), str(entity["RowKey"]))
                if isinstance(operation, Insert) and place in self.rows:
                    raise EntityExists(place)
                return place, dict(entity)
            case Merge(partition_key, row_key, changes, etag):
                place = (table, partition_key, row_key)
                if place not in self.rows:
                    raise EntityMissing(place)
                if etag not in ("*", self.rows[place].etag):
                    raise EntityChanged(place)
                return place, {**self.rows[place].values, **changes}
        raise TypeError(f"the pipeline does no {operation} in a transaction")


_WORDS = {"and": "and", "or": "or", "eq": "==", "ne": "!=", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<word>[A-Za-z]\w*)|(?P<other>[()]|[\d.]+))")


@cache
def predicate(filter: str) -> Callable[[Entity], bool]:
    """What an OData filter lets through, of the kind that the pipeline writes: comparisons, `and`, `or` and brackets."""
    written, end = [], 0
    while end < len(filter.rstrip()):
        token = _TOKEN.match(filter, end)
        assert token, f"the simulation reads no filter like {filter[end:]!r}"
        end = token.end()
        if token["text"]:
            written.append(repr(token["text"][1:-1].replace("''", "'")))
        else:
            written.append(token["other"] or _WORDS.get(token["word"]) or f"values[{token['word']!r}]")
    code = compile(" ".join(written) or "True", "filter", "eval")
    return lambda values: bool(eval(code, {"values": values}))


class SimulatedContent:
    """Blobs by name."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._blobs: dict[str, bytes] = {}

    async def put(self, name: str, data: bytes) -> None:
        await self._faults.around("content.put", lambda: self._blobs.update({name: data}))

    async def get(self, name: str) -> bytes:
        def effect() -> bytes:
            if name not in self._blobs:
                raise EntityMissing(name)
            return self._blobs[name]

        return await self._faults.around("content.get", effect)


@dataclass(eq=False)
class QueuedItem:
    """An item of a queue. `dequeue_count` is how often it was delivered, `visible_at` when it is seen next, in virtual time:
    never, while the host holds it."""

    id: str
    queue: str
    text: str
    dequeue_count: int = 0
    visible_at: float = math.inf

    @property
    def held(self) -> bool:
        """Whether the host has it, and has not given it back."""
        return self.visible_at == math.inf


class SimulatedQueues:
    """Items that come out of hiding when their time is over. `deliver` is what the host does with each; one that `vanishes`
    is gone instead.

    `items` has every item that is not deleted, hidden or not; `drained` is set while there is none.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._numbers = itertools.count(1)
        self.items: dict[str, QueuedItem] = {}
        self.drained = asyncio.Event()
        self.deliver: Callable[[QueuedItem], object] = lambda item: None
        self.vanishes: Callable[[QueuedItem], bool] = lambda item: False

    async def enqueue(self, queue: str, text: str, *, delay: float = 0.0) -> None:
        await self._faults.around("queues.enqueue", lambda: self._add(queue, text, math.ceil(delay)))

    async def delete(self, item: QueuedItem) -> None:
        await self._faults.around("queues.delete", lambda: self._remove(item))

    async def release(self, item: QueuedItem, seconds: float) -> None:
        """Give an item back, to be seen after that long."""
        await self._faults.around("queues.release", lambda: self.hide(item, seconds))

    def hide(self, item: QueuedItem, seconds: float) -> None:
        """Keep an item out of sight for that long, without faults, and deliver it then."""
        loop = asyncio.get_running_loop()
        item.visible_at = loop.time() + seconds
        loop.call_at(item.visible_at, self._appear, item)

    def _add(self, queue: str, text: str, delay: float) -> None:
        item = QueuedItem(str(next(self._numbers)), queue, text)
        self.items[item.id] = item
        self.drained.clear()
        self.hide(item, delay)

    def _remove(self, item: QueuedItem) -> None:
        self.items.pop(item.id, None)
        if not self.items:
            self.drained.set()

    def _appear(self, item: QueuedItem) -> None:
        if away := self._faults.away_for("queues"):
            self.hide(item, away)
        elif item.id in self.items and item.visible_at <= asyncio.get_running_loop().time():
            if self.vanishes(item):
                self._remove(item)
                return
            item.visible_at = math.inf
            self.deliver(item)


class SimulatedStorage:
    """An account whose services share their faults."""

    def __init__(self, faults: Faults) -> None:
        self.tables = SimulatedTables(faults)
        self.queues = SimulatedQueues(faults)
        self.content = SimulatedContent(faults)
