"""A worker of the queues as a process that can be killed: `python -m tests.kit.worker`, configured by the environment.

It does what the functions host does with the queue functions, with a visibility short enough for a test to wait for.
"""

from __future__ import annotations

import asyncio
import sys

from email_core.clock import SystemClock
from email_core.delivery.spool import DELIVERIES, SUBMISSIONS, SpoolItem
from email_core.errors import EntityMissing
from email_core.services import Services, build_services
from email_core.settings import load_settings
from email_core.storage import QueueItem

VISIBILITY = 4.0  # seconds; longer than a run may take here
BATCH = 8


async def work(services: Services, queue: str, item: QueueItem) -> None:
    run = services.preparer.prepare if queue == SUBMISSIONS else services.deliverer.deliver
    await run(SpoolItem.decode(item.text), dequeue_count=item.dequeue_count)
    try:
        await services.storage.queues.delete(queue, item)
    except EntityMissing:
        print(f"an item of {queue} was worked for longer than it was ours", file=sys.stderr)


async def poll(services: Services, queue: str) -> None:
    while True:
        items = await services.storage.queues.receive(queue, BATCH, VISIBILITY)
        for result in await asyncio.gather(*(work(services, queue, item) for item in items), return_exceptions=True):
            if isinstance(result, BaseException):
                print(f"{queue}: {result!r}", file=sys.stderr, flush=True)
        await asyncio.sleep(0.02 if items else 0.1)


async def main() -> None:
    services = build_services(load_settings(), SystemClock())
    await asyncio.gather(poll(services, SUBMISSIONS), poll(services, DELIVERIES))


if __name__ == "__main__":
    asyncio.run(main())
