"""Functions and queues for tests of the functions host."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from email_core.errors import EntityMissing
from email_core.storage import QueueItem
from local.function_index import Binding, HostedFunction
from local.invocation import Invoker


def hosted(call: Callable[..., Any], trigger_type: str, **trigger: Any) -> HostedFunction:
    """A function with one trigger, whose parameter is the first one of `call`, and a `context` if there is such a parameter."""
    parameters = list(inspect.signature(call).parameters)
    return HostedFunction(
        name=call.__name__,
        call=call,
        is_async=inspect.iscoroutinefunction(call),
        trigger={"type": trigger_type, "name": parameters[0], **trigger},
        outputs={"$return": {"type": "http", "name": "$return"}} if trigger_type == "httpTrigger" else {},
        wants_context="context" in parameters,
        folder="/app",
    )


async def no_queues(binding: Binding, message: str | bytes) -> None:
    raise AssertionError(f"nothing should be sent to {binding}: {message!r}")


def invoker(function_timeout: float | None = None) -> Invoker:
    return Invoker(no_queues, function_timeout)


class MemoryQueues:
    """Queues that stand still in time: a message that is hidden stays hidden unless it is given back with 0."""

    def __init__(self, *texts: str, queue: str = "work") -> None:
        self.hidden: dict[str, float] = {}
        self.calls: list[tuple[str, int]] = []
        self.changed = asyncio.Event()
        self._receipts = 0
        self.messages: dict[str, list[QueueItem]] = {queue: [self._item(text) for text in texts]}

    def _item(self, text: str) -> QueueItem:
        self._receipts += 1
        return QueueItem(f"id-{text}", text, 0, 1_790_000_000.0, 253402300799.0, 1_790_000_600.0, f"receipt-{self._receipts}")

    def put(self, queue: str, *texts: str) -> None:
        self.messages.setdefault(queue, []).extend(self._item(text) for text in texts)

    def texts(self, queue: str) -> list[str]:
        return [item.text for item in self.messages.get(queue, [])]

    async def settled(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds; it can only begin to when a message changes."""
        async with asyncio.timeout(5):
            while not holds():
                await self.changed.wait()
                self.changed.clear()

    async def receive(self, queue: str, count: int, visibility: float) -> list[QueueItem]:
        if queue not in self.messages:
            raise EntityMissing(queue)
        found = [item for item in self.messages[queue] if item.id not in self.hidden][:count]
        taken = [self._changed(queue, item, visibility, dequeue_count=item.dequeue_count + 1) for item in found]
        self.calls.append((f"receive {queue}", len(taken)))
        self.changed.set()
        return taken

    async def extend(self, queue: str, item: QueueItem, visibility: float) -> QueueItem:
        self._check(queue, item)
        self.calls.append((f"extend {item.text}", int(visibility)))
        return self._changed(queue, item, visibility)

    async def delete(self, queue: str, item: QueueItem) -> None:
        self._check(queue, item)
        self.messages[queue] = [other for other in self.messages[queue] if other.id != item.id]
        self.hidden.pop(item.id)
        self.changed.set()

    async def enqueue(self, queue: str, text: str, *, delay: float = 0.0) -> None:
        if queue not in self.messages:
            raise EntityMissing(queue)
        self.put(queue, text)

    async def create(self, queue: str) -> None:
        self.messages.setdefault(queue, [])

    def steal(self, queue: str, text: str) -> None:
        """Somebody else receives the message."""
        item = next(item for item in self.messages[queue] if item.text == text)
        self._changed(queue, item, 600)

    def _changed(self, queue: str, item: QueueItem, visibility: float, **changes: Any) -> QueueItem:
        self._receipts += 1
        fresh = replace(item, pop_receipt=f"receipt-{self._receipts}", **changes)
        self.messages[queue] = [fresh if other.id == item.id else other for other in self.messages[queue]]
        if visibility:
            self.hidden[item.id] = visibility
        else:
            self.hidden.pop(item.id, None)
        self.changed.set()
        return fresh

    def _check(self, queue: str, item: QueueItem) -> None:
        if item.pop_receipt not in [other.pop_receipt for other in self.messages[queue]]:
            raise EntityMissing(f"{item.text}: the item is somebody else's now")
