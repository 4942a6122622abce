"""The queue functions: decode an item, call one function.

An exception that leaves is our own fault, and the host delivers the item again.
"""

from __future__ import annotations

from typing import Any, Protocol

import azure.functions as func
import msgspec

from email_core import maillog
from email_core.delivery.dsn_sending import NOTICES
from email_core.delivery.spool import DELIVERIES, SUBMISSIONS, SpoolItem
from email_core.domains.tasks import ADMINISTRATION
from email_core.errors import ConfigurationMissing, StorageRefused, StorageUnavailable
from email_core.services import Services, Worker

STORAGE = "AzureWebJobsStorage"
POSTPONED_SECONDS = 60.0  # how long a task waits the first time that storage did not do its part; doubled each time
LONGEST_POSTPONED = 3600.0
MOST_POSTPONED = 12  # times, seven hours: then it is the host's to give a task up; the daily timer puts it again


class Work(Protocol):
    """What is done with an item."""

    async def __call__(self, item: SpoolItem, *, dequeue_count: int) -> None: ...


def register(app: func.FunctionApp, worker: Worker) -> None:
    """Register the workers of the queues, and those of their poison queues."""

    @app.queue_trigger(arg_name="msg", queue_name=SUBMISSIONS, connection=STORAGE)
    async def on_submission(msg: func.QueueMessage) -> None:
        services = await worker.services()
        await _work(services, SUBMISSIONS, msg, services.preparer.prepare)

    @app.queue_trigger(arg_name="msg", queue_name=DELIVERIES, connection=STORAGE)
    async def on_delivery(msg: func.QueueMessage) -> None:
        services = await worker.services()
        await _work(services, DELIVERIES, msg, services.deliverer.deliver)

    @app.queue_trigger(arg_name="msg", queue_name=f"{SUBMISSIONS}-poison", connection=STORAGE)
    async def on_submission_poison(msg: func.QueueMessage) -> None:
        await _keep(worker, SUBMISSIONS, msg)

    @app.queue_trigger(arg_name="msg", queue_name=f"{DELIVERIES}-poison", connection=STORAGE)
    async def on_delivery_poison(msg: func.QueueMessage) -> None:
        await _keep(worker, DELIVERIES, msg)

    @app.queue_trigger(arg_name="msg", queue_name=NOTICES, connection=STORAGE)
    async def on_notice(msg: func.QueueMessage) -> None:
        await notify(await worker.services(), _text(msg))

    @app.queue_trigger(arg_name="msg", queue_name=f"{NOTICES}-poison", connection=STORAGE)
    async def on_notice_poison(msg: func.QueueMessage) -> None:
        maillog.notice_given_up(_text(msg), tries=msg.dequeue_count or 1)

    @app.queue_trigger(arg_name="msg", queue_name=ADMINISTRATION, connection=STORAGE)
    async def on_administration(msg: func.QueueMessage) -> None:
        await administer(await worker.services(), _text(msg))

    @app.queue_trigger(arg_name="msg", queue_name=f"{ADMINISTRATION}-poison", connection=STORAGE)
    async def on_administration_poison(msg: func.QueueMessage) -> None:
        # Nothing is lost with it: what is still to be done is written in the resource, and the daily timer puts it again.
        maillog.task_given_up(_text(msg), item=str(msg.id), tries=msg.dequeue_count or 1)


async def notify(services: Services, text: str) -> None:
    """Work an item of the queue `notices`. When storage is away, or the platform has no keys yet, it keeps its tries."""
    try:
        await services.notifier.work(SpoolItem.decode(text))
    except (StorageUnavailable, StorageRefused, ConfigurationMissing) as fault:
        maillog.fault(NOTICES, error=fault)
        later, delay, _ = postponed(text)
        await services.storage.queues.enqueue(NOTICES, later, delay=delay)


async def administer(services: Services, text: str) -> None:
    """Do a task of the queue `administration`. When storage is away, it is put back and keeps its tries, for some hours."""
    from email_core.administration.work import work

    try:
        await work(services.administration(), text)
    except (StorageUnavailable, StorageRefused) as fault:
        later, delay, times = postponed(text)
        if times > MOST_POSTPONED:
            raise
        maillog.fault(ADMINISTRATION, error=fault)
        await services.storage.queues.enqueue(ADMINISTRATION, later, delay=delay)


def postponed(text: str) -> tuple[str, float, int]:
    """An item that is put back: its text, for how many seconds, and how often it was put back with this time."""
    fields = msgspec.json.decode(text, type=dict[str, Any])
    times = int(fields.get("postponed", 0)) + 1  # who reads an item passes over what it does not know
    delay = min(POSTPONED_SECONDS * 2 ** min(times - 1, MOST_POSTPONED), LONGEST_POSTPONED)
    return msgspec.json.encode({**fields, "postponed": times}).decode(), delay, times


async def _work(services: Services, queue: str, msg: func.QueueMessage, work: Work) -> None:
    item = SpoolItem.decode(msg.get_body())
    tries = msg.dequeue_count or 1
    try:
        await _work_or_postpone(services, queue, item, tries, work)
    except Exception as error:
        # The host tells why in its log, and an item of a poison queue tells nothing: what is known is noted with the message.
        await services.poison_keeper.note_fault(item, error, tries=tries)
        raise


async def _work_or_postpone(services: Services, queue: str, item: SpoolItem, tries: int, work: Work) -> None:
    try:
        await work(item, dequeue_count=tries)
    except (StorageUnavailable, StorageRefused) as fault:
        # Storage that is away for a while must not use up the tries of every item and end all mail as Failed.
        maillog.fault(queue, error=fault, message=item.message)
        await services.claims.postpone(queue, item, str(fault))


async def _keep(worker: Worker, queue: str, msg: func.QueueMessage) -> None:
    services = await worker.services()
    await services.poison_keeper.keep(queue, str(msg.id), _text(msg), dequeue_count=msg.dequeue_count or 1)


def _text(msg: func.QueueMessage) -> str:
    return msg.get_body().decode("utf-8", "replace")
