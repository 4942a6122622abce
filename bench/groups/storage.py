"""Storage: what CPU one operation costs our process, beside the SDK's clients for the same operation against the same Azurite.

Only the CPU of this process counts: what Azurite needs is its own. The floor is a request by aiohttp with the signature and
nothing else; whoever speaks HTTP by aiohttp pays at least that.
"""

from __future__ import annotations

import asyncio
import gc
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from bench.azurite import azurite
from bench.figures import OURS, Bench, Beside, Contender, Figure, Group
from bench.groups.storage_clients import ITEM, VISIBILITY, BareClient, Client, OurClient, SdkClient, entity
from email_core.storage import Value

SDK, FLOOR = "the SDK", "bare aiohttp"
_NAME = "bench"  # of the table
_IN_FLIGHT = 16
_COUNT = 120  # operations in each round
_SHORT_QUEUE = 32  # items; Azurite sorts a queue at each request, and who waits for long between two pays for waking up
_WHAT = {
    "insert": "insert an entity of 12 properties and 2 KB",
    "get": "read it by its keys",
    "merge": "change 3 of its properties if its ETag still is the same",
    "enqueue": "put an item of 100 bytes on a queue",
    "dequeue": "receive an item",
    "delete": "delete a received item",
}
_OF_QUEUES = frozenset(("enqueue", "dequeue", "delete"))
Call = Callable[[], Awaitable[object]]


@contextmanager
def _open(bench: Bench) -> Iterator[Sequence[Figure]]:
    with azurite(bench.root, bench.scratch) as connection_string, asyncio.Runner() as runner:
        clients = runner.run(_clients(connection_string))
        try:
            yield [_figure(operation, clients, runner) for operation in _WHAT]
        finally:
            for client in (clients.ours, clients.sdk, clients.bare):
                runner.run(client.close())


class _Clients(NamedTuple):
    ours: OurClient
    sdk: SdkClient
    bare: BareClient
    stored: dict[str, Value]  # an entity
    empty_queue: str


async def _clients(connection_string: str) -> _Clients:
    """Made inside of the event loop, as a session of aiohttp wants it."""
    ours = OurClient(connection_string, _NAME)
    stored, empty_queue = entity(), f"{_NAME}-empty"
    await ours.storage.ensure(tables=[_NAME], queues=[empty_queue])
    await ours.storage.tables.insert(_NAME, stored)
    return _Clients(ours, SdkClient(connection_string, _NAME), BareClient(connection_string, _NAME), stored, empty_queue)


def _figure(operation: str, clients: _Clients, runner: asyncio.Runner) -> Figure:
    def contender(name: str, client: Client) -> Contender:
        return Contender(name, lambda: runner.run(_round(client, clients, operation)))

    return Figure(
        f"storage.{operation}",
        f"CPU to {_WHAT[operation]}, {_IN_FLIGHT} in flight",
        "ms",
        [contender(OURS, clients.ours), contender(SDK, clients.sdk), contender(FLOOR, clients.bare)],
        better="less",
        goals=[Beside(SDK, 0.25)],
    )


async def _round(client: Client, clients: _Clients, operation: str) -> float:
    """Milliseconds of CPU for one operation."""
    spent, done = 0.0, 0
    while done < _COUNT:
        calls = await _calls(client, clients, operation)
        await _connect(client, clients, operation)
        left = iter(calls)
        gc.collect()  # what was made to be measured with is nobody's garbage
        began = time.process_time()
        async with asyncio.TaskGroup() as group:
            for _ in range(_IN_FLIGHT):
                group.create_task(_work(left))
        spent += time.process_time() - began
        done += len(calls)
    return spent / done * 1000


async def _connect(client: Client, clients: _Clients, operation: str) -> None:
    """Have the connections that will be used: Azurite closes them after five seconds, and opening one is not the operation."""
    if operation in _OF_QUEUES:
        queue, client.queue = client.queue, clients.empty_queue
        await asyncio.gather(*(client.dequeue() for _ in range(_IN_FLIGHT)))
        client.queue = queue
    else:
        await asyncio.gather(*(client.get(clients.stored, "") for _ in range(_IN_FLIGHT)))


async def _work(calls: Iterator[Call]) -> None:
    for call in calls:
        await call()


async def _calls(client: Client, clients: _Clients, operation: str) -> list[Call]:
    """Calls to be measured, once what they need is there."""
    storage = clients.ours.storage
    if operation in _OF_QUEUES:
        queue = client.queue = f"{_NAME}-{uuid.uuid4().hex}"
        await clients.sdk.create_queue(queue)
        if operation == "enqueue":
            return [client.enqueue] * _COUNT
        for _ in range(_SHORT_QUEUE):
            await storage.queues.enqueue(queue, ITEM)
        if operation == "dequeue":
            return [client.dequeue] * _SHORT_QUEUE
        return [_bound(client.delete, item) for item in await storage.queues.receive(queue, _SHORT_QUEUE, VISIBILITY)]
    entities = [entity() for _ in range(_COUNT)]
    if operation == "insert":
        return [_bound(client.insert, each, "") for each in entities]
    etags = [await storage.tables.insert(_NAME, each) for each in entities]
    method = client.get if operation == "get" else client.merge
    return [_bound(method, each, etag) for each, etag in zip(entities, etags, strict=True)]


def _bound(method: Callable[..., Awaitable[object]], *arguments: object) -> Call:
    return lambda: method(*arguments)


GROUP = Group(
    "storage",
    "CPU for each round trip to storage",
    "Azurite (npm), the Azure Storage SDKs (pip)",
    [f"storage.{operation}" for operation in _WHAT],
    _open,
)
