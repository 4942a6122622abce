"""The functions of the queue `administration`: what becomes of a task that can't be done."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import msgspec
import pytest

from email_core.administration import work as tasks
from email_core.delivery.spool import SpoolItem
from email_core.domains.tasks import decode_task
from email_core.errors import StorageRefused, StorageUnavailable
from email_core.triggers import queues

TASK = '{"type":"remove","resource":"/x","operation":"y"}'


class FakeQueues:
    def __init__(self) -> None:
        self.put: list[tuple[str, str, float]] = []

    async def enqueue(self, queue: str, text: str, *, delay: float = 0.0) -> None:
        self.put.append((queue, text, delay))


def functions(kept: FakeQueues) -> dict[str, Callable[[func.QueueMessage], Awaitable[None]]]:
    """The registered functions by the queue that they listen on."""
    services = SimpleNamespace(storage=SimpleNamespace(queues=kept), administration=lambda: None)

    class FakeWorker:
        async def services(self) -> Any:
            return services

    app = func.FunctionApp()
    queues.register(app, FakeWorker())  # type: ignore[arg-type]
    return {function.get_trigger().queue_name: function.get_user_function() for function in app.get_functions()}  # type: ignore


def message(text: str, tries: int = 1) -> func.QueueMessage:
    from azure.functions.queue import QueueMessage

    return QueueMessage(id="item", body=text, dequeue_count=tries)  # type: ignore[no-any-return,no-untyped-call]


@pytest.mark.parametrize("fault", [StorageUnavailable("away"), StorageRefused("merge", 403, "Forbidden", "no role")])
async def test_task_that_storage_keeps_from_being_done_is_put_back_and_keeps_its_tries(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    async def failing(admin: object, text: str) -> None:
        raise fault

    monkeypatch.setattr(tasks, "work", failing)
    kept = FakeQueues()
    await functions(kept)["administration"](message(TASK, tries=7))
    [(queue, text, delay)] = kept.put
    assert (queue, decode_task(text), delay) == ("administration", decode_task(TASK), queues.POSTPONED_SECONDS)


async def test_task_that_storage_refuses_for_good_waits_longer_each_time_and_is_given_up_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = StorageRefused("merge", 403, "Forbidden", "no role")

    async def failing(admin: object, text: str) -> None:
        assert decode_task(text) == decode_task(TASK)
        raise refused

    monkeypatch.setattr(tasks, "work", failing)
    kept = FakeQueues()
    work, text = functions(kept)["administration"], TASK
    for _ in range(queues.MOST_POSTPONED):
        await work(message(text))
        text = kept.put[-1][1]
    delays = [delay for _, _, delay in kept.put]
    assert delays[:4] == [60.0, 120.0, 240.0, 480.0]
    assert set(delays[6:]) == {queues.LONGEST_POSTPONED}
    for tries in (1, 2):  # the host's tries
        with pytest.raises(StorageRefused):
            await work(message(text, tries))
    assert len(kept.put) == queues.MOST_POSTPONED


async def test_notice_that_storage_refuses_waits_longer_each_time_and_is_never_lost() -> None:
    item, worked = SpoolItem("service:operation", "envelope:001", 3), []

    class Refusing:
        async def work(self, given: SpoolItem) -> None:
            worked.append(given)
            raise StorageUnavailable("away")

    kept = FakeQueues()
    services: Any = SimpleNamespace(storage=SimpleNamespace(queues=kept), notifier=Refusing())
    text = item.encode()
    for _ in range(2 * queues.MOST_POSTPONED):
        await queues.notify(services, text)
        text = kept.put[-1][1]
    assert worked == [item] * len(worked)
    assert [delay for _, _, delay in kept.put][:2] == [60.0, 120.0]
    assert kept.put[-1][2] == queues.LONGEST_POSTPONED


async def test_task_that_is_none_is_left_to_the_host() -> None:
    kept = FakeQueues()
    with pytest.raises(msgspec.ValidationError):
        await functions(kept)["administration"](message('{"type":"unknown"}'))
    assert kept.put == []


async def test_task_that_is_given_up_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "postrider"):
        await functions(FakeQueues())["administration-poison"](message(TASK, tries=8))
    assert caplog.messages[0].startswith("task-given-up task=")
    assert "item=item tries=8" in caplog.messages[0]
