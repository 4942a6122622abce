"""The round trips of a message without a message: `python -m bench.programs.storage_ceiling`.

The input is a file of JSON: {"connectionString", "count", "kind", "requests", "row", "claim", "settled", "activity"}, where the
last four are the properties that Postrider writes, taken from rows that it wrote. "accept" makes the two round trips of
accepting a message, "deliver" all of them, in the order and with the concurrency of Postrider and the host: so many requests at
a time, and up to 16 items at once from the queue, the next when 8 or fewer are being worked. What is sent is as long, and
signed; nothing of the answers is read but an item's receipt.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import msgspec
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient

from bench.figures import ContenderFailed
from bench.groups.storage_clients import BareClient
from email_core.settings import Secret, StorageSettings
from email_core.storage import QueueItem, Value, open_storage

BATCH, THRESHOLD = 16, 8  # batchSize and newBatchThreshold of host.json
_VISIBILITY = 600
_ITEM = re.compile(rb"<MessageId>(.*?)</MessageId>.*?<PopReceipt>(.*?)</PopReceipt>", re.DOTALL)


class CeilingClient(BareClient):
    """With the operations that Postrider needs beyond those of the storage figures."""

    async def receive(self) -> list[tuple[str, str]]:
        """Id and receipt of each item."""
        query = f"numofmessages={BATCH}&visibilitytimeout={_VISIBILITY}"
        content = await self._items("GET", f"/{self.queue}/messages", query, b"")
        return [(item[1].decode(), item[2].decode()) for item in _ITEM.finditer(content)]

    async def look_up(self, entity: dict[str, Value]) -> None:
        """A read of a row that is not there, as those of most addresses are not."""
        with contextlib.suppress(ContenderFailed):
            await self.get(entity, "")

    async def change(self, entity: dict[str, Value], changes: dict[str, Value]) -> None:
        await self._table("PATCH", self._path(entity), msgspec.json.encode(changes), {"If-Match": "*"})

    async def put(self, entity: dict[str, Value]) -> None:
        await self._table("PUT", self._path(entity), msgspec.json.encode(entity), {})


class Round:
    """One round of so many messages."""

    def __init__(self, task: dict[str, Any], rows: CeilingClient, activity: CeilingClient, lists: CeilingClient) -> None:
        self._task = task
        self._rows = rows
        self._activity = activity
        self._lists = lists
        self._ids = [uuid.uuid4().hex for _ in range(task["count"])]
        # Whose rows are there. The items do not say whom they are for, so any of them will do.
        self._accepted: asyncio.Queue[str] = asyncio.Queue()

    async def accept(self) -> None:
        ids = iter(self._ids)

        async def work() -> None:
            for each in ids:
                row = {**self._task["row"], "PartitionKey": each, "RowKey": "message"}
                await asyncio.gather(self._rows.insert(row, ""), self._rows.enqueue())
                self._accepted.put_nowait(each)

        async with asyncio.TaskGroup() as group:
            for _ in range(self._task["requests"]):
                group.create_task(work())

    async def deliver(self) -> None:
        """Until everything that is accepted meanwhile has been delivered."""
        left = len(self._ids)
        running: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:
            while left:
                items = await self._rows.receive()
                for item in items:
                    task = group.create_task(self._work(*item))
                    running.add(task)
                    task.add_done_callback(running.discard)
                left -= len(items)
                while left and len(running) > THRESHOLD:
                    await asyncio.wait(set(running), return_when=asyncio.FIRST_COMPLETED)

    async def _work(self, item: str, receipt: str) -> None:
        row: dict[str, Value] = {"PartitionKey": await self._accepted.get(), "RowKey": "message"}
        await self._rows.get(row, "")
        await self._rows.change(row, self._task["claim"])
        await self._lists.look_up({"PartitionKey": f"address:{uuid.uuid4().hex}", "RowKey": "address"})
        await self._rows.change(row, self._task["settled"])
        await self._activity.put({**self._task["activity"], "PartitionKey": "ceiling", "RowKey": str(row["PartitionKey"])})
        await self._rows.delete(QueueItem(item, "", 1, 0.0, 0.0, 0.0, receipt))


async def work(task: dict[str, Any]) -> dict[str, Any]:
    """The answer to a task."""
    connection_string = task["connectionString"]
    name = f"ceiling{uuid.uuid4().hex}"  # a queue and tables of this round's own
    tables = [name, f"{name}activity", f"{name}lists"]
    storage = open_storage(StorageSettings(connection_string=Secret(connection_string)))
    await storage.ensure(tables=tables, queues=[name])
    await storage.close()
    rows, activity, lists = (CeilingClient(connection_string, table) for table in tables)
    rows.queue = name
    try:
        this = Round(task, rows, activity, lists)
        began = time.monotonic()
        if task["kind"] == "accept":
            await this.accept()
        else:
            async with asyncio.TaskGroup() as group:
                group.create_task(this.accept())
                group.create_task(this.deliver())
        return {"count": task["count"], "seconds": time.monotonic() - began, "result": ""}
    finally:
        for client in (rows, activity, lists):
            await client.close()
        with TableServiceClient.from_connection_string(connection_string) as service:
            for table in tables:
                service.delete_table(table)
        with QueueClient.from_connection_string(connection_string, name) as queue:
            queue.delete_queue()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us ends us, by ending our input
    for line in sys.stdin:
        try:
            answer = asyncio.run(work(json.loads(Path(json.loads(line)["input"]).read_text())))
        except* Exception as errors:
            answer = {"error": "; ".join(f"{type(error).__name__}: {error}" for error in errors.exceptions)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
