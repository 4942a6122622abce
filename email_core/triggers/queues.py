"""The queue functions: decode an item, call one function.

An exception that leaves is our own fault, and the host delivers the item again.
"""

from __future__ import annotations

import azure.functions as func

from email_core.delivery.spool import DELIVERIES, SUBMISSIONS, SpoolItem
from email_core.services import Worker

STORAGE = "AzureWebJobsStorage"


def register(app: func.FunctionApp, worker: Worker) -> None:
    """Register the workers of `submissions` and `deliveries`, and those of their poison queues."""

    @app.queue_trigger(arg_name="msg", queue_name=SUBMISSIONS, connection=STORAGE)
    async def on_submission(msg: func.QueueMessage) -> None:
        services = await worker.services()
        await services.preparer.prepare(SpoolItem.decode(msg.get_body()), dequeue_count=msg.dequeue_count or 1)

    @app.queue_trigger(arg_name="msg", queue_name=DELIVERIES, connection=STORAGE)
    async def on_delivery(msg: func.QueueMessage) -> None:
        services = await worker.services()
        await services.deliverer.deliver(SpoolItem.decode(msg.get_body()), dequeue_count=msg.dequeue_count or 1)

    @app.queue_trigger(arg_name="msg", queue_name=f"{SUBMISSIONS}-poison", connection=STORAGE)
    async def on_submission_poison(msg: func.QueueMessage) -> None:
        await _keep(worker, SUBMISSIONS, msg)

    @app.queue_trigger(arg_name="msg", queue_name=f"{DELIVERIES}-poison", connection=STORAGE)
    async def on_delivery_poison(msg: func.QueueMessage) -> None:
        await _keep(worker, DELIVERIES, msg)


async def _keep(worker: Worker, queue: str, msg: func.QueueMessage) -> None:
    services = await worker.services()
    text = msg.get_body().decode("utf-8", "replace")
    await services.poison_keeper.keep(queue, str(msg.id), text, dequeue_count=msg.dequeue_count or 1)
