"""Queue triggers, as the storage extension of the Functions host works them.

Up to batchSize messages are fetched, each runs at once, and the next batch is fetched when newBatchThreshold or fewer are
still running. A message stays invisible while its function runs and is deleted when it succeeds. After a failure it comes
back visibilityTimeout later, or goes to `<queue>-poison` when it was dequeued maxDequeueCount times. A poison queue has no
poison queue of its own: there a failed message just stays invisible for what is left of its ten minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from azure.functions.meta import Datum

from email_core.errors import EntityMissing, StorageRefused, StorageUnavailable
from email_core.storage import QueueItem
from local.function_index import HostedFunction
from local.host_settings import QueueSettings
from local.invocation import Invoker

VISIBILITY = 600.0  # seconds; the host's own choice while a function runs, renewed at half of it
FIRST_PAUSE = 0.1  # seconds; the host's shortest pause, after the first empty look; each further one doubles it
HINT_PAUSE = 0.1  # seconds; however many hints come, an empty queue is not looked at more often
_RETRY_PAUSE = 1.0  # seconds after storage did not answer
_POISON = "-poison"

_log = logging.getLogger("local.host")
_STORAGE_FAULTS = (StorageUnavailable, StorageRefused)


CreateQueue = Callable[[str], Awaitable[None]]
"""Creates a queue that is not there, as the host does for poison queues."""


class QueueStore(Protocol):
    """The queue operations that a listener needs; email_core.storage.Queues has them."""

    async def receive(self, queue: str, count: int, visibility: float) -> list[QueueItem]: ...

    async def extend(self, queue: str, item: QueueItem, visibility: float) -> QueueItem: ...

    async def delete(self, queue: str, item: QueueItem) -> None: ...

    async def enqueue(self, queue: str, text: str, *, delay: float = 0.0) -> None: ...


class QueueListener:
    """Works one queue for one function. `visibility` is in seconds and only ever shorter in tests."""

    def __init__(
        self, function: HostedFunction, queue: str, store: QueueStore, create: CreateQueue, invoker: Invoker,
        settings: QueueSettings, *, visibility: float = VISIBILITY,
    ) -> None:  # fmt: skip
        self._function = function
        self._queue = queue
        self._store = store
        self._create = create
        self._invoker = invoker
        self._settings = settings
        self._visibility = visibility
        self._running: set[asyncio.Task[None]] = set()
        self._hint = asyncio.Event()
        self._stopping = asyncio.Event()
        # The host's listener learns at once of what an output binding enqueues. Functions here enqueue by themselves, so any
        # function that has run is the hint to look: a message that the same machine accepts is worked without delay. No
        # function puts anything on a poison queue.
        if self._poison_queue:
            invoker.on_finished.append(self._hint.set)

    async def run(self) -> None:
        """Fetch and work messages until `stop` is called; returns at once then, with functions possibly still running."""
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            self._hint.clear()
            try:
                items = await self._store.receive(self._queue, self._settings.batch_size, self._visibility)
            except EntityMissing:
                items = []  # as the host: a queue that is not there yet is an empty one
            except _STORAGE_FAULTS as error:
                _log.warning("Queue %s cannot be read: %s", self._queue, error)
                await self._sleep(_RETRY_PAUSE)
                continue
            if self._stopping.is_set():
                await self._give_back(items)  # asked for before the stop: nobody would wait for their functions any more
                return
            for item in items:
                self._start(item)
            if items:
                pause = FIRST_PAUSE
                await self._wait_for_threshold()
            else:
                pause = FIRST_PAUSE if await self._idle(pause) else min(2 * pause, self._settings.max_polling_interval)

    async def stop(self, patience: float) -> None:
        """Fetch nothing more and wait `patience` seconds for what is running; what runs longer is cancelled and given back."""
        self._stopping.set()
        self._hint.set()
        if self._running:
            await asyncio.wait(self._running, timeout=patience)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def _give_back(self, items: Sequence[QueueItem]) -> None:
        for item in items:
            try:
                await self._store.extend(self._queue, item, 0)
            except (EntityMissing, *_STORAGE_FAULTS) as error:
                _log.warning("A message of %s stays until it is visible again (%s): %s", self._queue, item.id, error)

    def _start(self, item: QueueItem) -> None:
        task = asyncio.create_task(self._work(item), name=f"{self._function.name} {item.id}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _wait_for_threshold(self) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            while len(self._running) > self._settings.new_batch_threshold and not self._stopping.is_set():
                await asyncio.wait({*self._running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()

    async def _idle(self, pause: float) -> bool:
        """Pause after an empty look; whether a hint cut the pause short."""
        await self._sleep(HINT_PAUSE)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause - HINT_PAUSE):
                await self._hint.wait()
        return self._hint.is_set()

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _work(self, item: QueueItem) -> None:
        holder = _Holder(self._store, self._queue, item, self._visibility)
        try:
            if self._poison_queue and item.dequeue_count > self._settings.max_dequeue_count:
                await self._move_to_poison(item, holder)  # it was never finished: whoever worked it died each time
                return
            await self._run_function(item, holder)
        except EntityMissing:
            _log.warning("A message of %s ran for longer than it was ours: %s", self._queue, item.id)
        except _STORAGE_FAULTS as error:
            _log.warning("A message of %s stays until it is visible again (%s): %s", self._queue, item.id, error)
        finally:
            holder.let_go()

    async def _run_function(self, item: QueueItem, holder: _Holder) -> None:
        try:
            await self._invoker.invoke(self._function, Datum(item.text, "string"), _metadata(item))
        except asyncio.CancelledError:
            await holder.release(0)
            raise
        except Exception as error:
            _log.error(
                "Function %s failed on message %s of %s, dequeued %d times",
                self._function.name, item.id, self._queue, item.dequeue_count, exc_info=error,
            )  # fmt: skip
            if not self._poison_queue:
                return  # left invisible, or a broken function would spin on it
            if item.dequeue_count >= self._settings.max_dequeue_count:
                await self._move_to_poison(item, holder)
            else:
                await holder.release(self._settings.visibility_timeout)
        else:
            await holder.delete()

    @property
    def _poison_queue(self) -> str:
        return "" if self._queue.endswith(_POISON) else f"{self._queue}{_POISON}"

    async def _move_to_poison(self, item: QueueItem, holder: _Holder) -> None:
        _log.error("Message %s of %s goes to %s", item.id, self._queue, self._poison_queue)
        try:
            await self._store.enqueue(self._poison_queue, item.text)
        except EntityMissing:
            await self._create(self._poison_queue)
            await self._store.enqueue(self._poison_queue, item.text)
        await holder.delete()


class _Holder:
    """Keeps a message invisible while it is worked; each renewal changes the receipt that proves it is ours."""

    def __init__(self, store: QueueStore, queue: str, item: QueueItem, visibility: float) -> None:
        self._store = store
        self._queue = queue
        self._item = item
        self._visibility = visibility
        self._changing = asyncio.Lock()
        self._renewing = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        pause = self._visibility / 2
        while True:
            await asyncio.sleep(pause)
            try:
                async with self._changing:
                    self._item = await self._store.extend(self._queue, self._item, self._visibility)
                pause = self._visibility / 2
            except EntityMissing:
                return  # it is somebody else's now; the end of the run will say so
            except _STORAGE_FAULTS as error:
                _log.warning("A message of %s could not be kept invisible: %s", self._queue, error)
                pause = self._visibility / 10

    def let_go(self) -> None:
        self._renewing.cancel()

    async def release(self, delay: float) -> None:
        """Make it visible again after `delay` seconds."""
        async with self._changing:
            self.let_go()
            self._item = await self._store.extend(self._queue, self._item, delay)

    async def delete(self) -> None:
        async with self._changing:
            self.let_go()
            await self._store.delete(self._queue, self._item)


def _metadata(item: QueueItem) -> Mapping[str, Datum]:
    return {
        "Id": Datum(item.id, "string"),
        "DequeueCount": Datum(item.dequeue_count, "int"),
        "InsertionTime": _time(item.inserted_at),
        "ExpirationTime": _time(item.expires_at),
        "NextVisibleTime": _time(item.next_visible_at),
        "PopReceipt": Datum(item.pop_receipt, "string"),
    }


def _time(seconds: float) -> Datum:
    return Datum(datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00"), "string")
