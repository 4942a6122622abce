"""The functions host in virtual time: the app's own queue functions, and what becomes of an item that they fail on.

As the real one: an item whose worker died is delivered again when its visibility ends, one whose function raised after half
a minute, and one that was delivered eight times in vain goes to the poison queue. The host's own operations on queues can go
wrong like any other, so an item whose work is done may come again. Timers come on their schedule, whatever became of the run
before.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import azure.functions as func
from azure.functions.queue import QueueMessage
from azure.functions.timer import TimerRequest

from email_core.delivery.claim import Claims, ItemExhausted
from email_core.delivery.deliver import Deliverer
from email_core.delivery.poison import PoisonKeeper
from email_core.delivery.sweep import EVERY, Sweeper
from email_core.errors import EntityChanged, EntityExists, StorageUnavailable
from email_core.services import Worker
from email_core.submission.prepare import Preparer
from email_core.triggers import queues as queue_functions
from email_core.triggers import timers
from tests.kit.simulated_storage import Died, QueuedItem, SimulatedQueues

VISIBILITY = 600.0  # seconds; the host renews it at half of it
PAUSE_AFTER_EXCEPTION = 30.0  # seconds; visibilityTimeout of host.json
MOST_TRIES = 8  # maxDequeueCount of host.json

# What may leave a queue function when storage goes wrong; anything else is a bug of the pipeline or of the simulation.
FORESEEN = (StorageUnavailable, EntityChanged, EntityExists, ItemExhausted)


@dataclass(frozen=True, slots=True)
class SimulatedWorker:
    """A worker with what the queue and timer functions use of its services."""

    claims: Claims
    preparer: Preparer
    deliverer: Deliverer
    poison_keeper: PoisonKeeper
    sweeper: Sweeper

    async def services(self) -> SimulatedWorker:
        return self


class SimulatedHost:
    """Runs the functions of the app. `counts` has exceptions by their name, and items that became `poisoned`;
    `unforeseen` the exceptions that no fault of storage explains."""

    def __init__(self, queues: SimulatedQueues, worker: SimulatedWorker) -> None:
        app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
        queue_functions.register(app, cast(Worker, worker))
        self._functions: Mapping[str, Callable[[QueueMessage], Awaitable[None]]] = {
            cast(Any, function.get_trigger()).queue_name: function.get_user_function() for function in app.get_functions()
        }
        clockwork = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
        timers.register(clockwork, cast(Worker, worker))
        functions = {function.get_function_name(): function.get_user_function() for function in clockwork.get_functions()}
        self._sweep = functions["sweep"]
        self._queues = queues
        self.counts: Counter[str] = Counter()
        self.unforeseen: list[str] = []
        self._running: set[asyncio.Task[None]] = set()
        queues.deliver = self._deliver

    async def run_timers(self) -> None:
        """Run the sweeper on its schedule until this is cancelled."""
        while True:
            await asyncio.sleep(EVERY - asyncio.get_running_loop().time() % EVERY)
            try:
                await self._sweep(TimerRequest())
            except Died:
                continue
            except Exception as error:
                self.unforeseen.append(f"sweep: {error!r}")

    def _deliver(self, item: QueuedItem) -> None:
        task = asyncio.get_running_loop().create_task(self._work(item))
        self._running.add(task)  # a loop does not keep its tasks alive
        task.add_done_callback(self._running.discard)

    async def _work(self, item: QueuedItem) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        item.dequeue_count += 1
        delivery = item.dequeue_count
        # Wherever the worker died, in an except clause of the pipeline too, nobody gives the item back.
        with contextlib.suppress(Died, StorageUnavailable):
            await self._invoke(item)
        if item.held and item.dequeue_count == delivery:
            self._queues.hide(item, VISIBILITY - (loop.time() - began) % (VISIBILITY / 2))

    async def _invoke(self, item: QueuedItem) -> None:
        """Run the function on an item, then delete it, give it back, or leave it to its visibility."""
        poison_queue = "" if item.queue.endswith("-poison") else f"{item.queue}-poison"
        if poison_queue and item.dequeue_count > MOST_TRIES:
            await self._poison(item, poison_queue)  # whoever worked it died each time
            return
        message = QueueMessage(id=item.id, body=item.text, dequeue_count=item.dequeue_count)  # type: ignore[no-untyped-call]
        try:
            await self._functions[item.queue](message)
        except Exception as error:
            self._note(item, error)
            if not poison_queue:
                return
            if item.dequeue_count < MOST_TRIES:
                await self._queues.release(item, PAUSE_AFTER_EXCEPTION)
            else:
                await self._poison(item, poison_queue)
        else:
            await self._queues.delete(item)

    async def _poison(self, item: QueuedItem, poison_queue: str) -> None:
        self.counts["poisoned"] += 1
        await self._queues.enqueue(poison_queue, item.text)
        await self._queues.delete(item)

    def _note(self, item: QueuedItem, error: Exception) -> None:
        self.counts[type(error).__name__] += 1
        if not isinstance(error, FORESEEN):
            self.unforeseen.append(f"{item.queue} {item.text}: {error!r}")
