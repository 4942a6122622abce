"""Queue triggers on queues in memory: what is fetched when, and what becomes of a message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import azure.functions as func
import pytest

from email_core.errors import StorageUnavailable
from email_core.storage import QueueItem
from local.host_settings import QueueSettings
from local.http_exchange import http_datum
from local.queue_listener import QueueListener
from tests.unit.local.builders import MemoryQueues, hosted, invoker

AT_ONCE = QueueSettings(visibility_timeout=0.0, max_dequeue_count=3)


@asynccontextmanager
async def listening(
    store: MemoryQueues,
    call: Callable[..., Any],
    settings: QueueSettings = AT_ONCE,
    *,
    queue: str = "work",
    visibility: float = 600.0,
) -> AsyncIterator[QueueListener]:
    listener = QueueListener(
        hosted(call, "queueTrigger"), queue, store, store.create, invoker(), settings, visibility=visibility
    )
    running = asyncio.create_task(listener.run())
    try:
        yield listener
    finally:
        await listener.stop(5)
        await running


async def test_message_that_is_worked_is_deleted_and_shown_with_its_metadata() -> None:
    store = MemoryQueues("hello")
    seen: list[func.QueueMessage] = []

    async def work(msg: func.QueueMessage) -> None:
        seen.append(msg)

    async with listening(store, work):
        await store.settled(lambda: store.texts("work") == [])
    message = seen[0]
    assert (message.id, message.get_body(), message.dequeue_count) == ("id-hello", b"hello", 1)
    assert message.pop_receipt == "receipt-2"
    assert message.insertion_time.isoformat() == "2026-09-21T14:13:20+00:00"
    assert message.time_next_visible.isoformat() == "2026-09-21T14:23:20+00:00"
    assert message.expiration_time.year == 9999


async def test_message_of_a_sync_function_is_worked_in_a_thread() -> None:
    store = MemoryQueues("hello")
    loops: list[str] = []

    def work(msg: func.QueueMessage, context: func.Context) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            loops.append(context.function_name)

    async with listening(store, work):
        await store.settled(lambda: store.texts("work") == [])
    assert loops == ["work"]


async def test_message_that_fails_comes_back_with_a_higher_count_and_then_succeeds() -> None:
    store = MemoryQueues("hello")
    counts: list[int] = []

    async def work(msg: func.QueueMessage) -> None:
        counts.append(msg.dequeue_count)
        if len(counts) < 3:
            raise ValueError("not yet")

    async with listening(store, work):
        await store.settled(lambda: store.texts("work") == [])
    assert counts == [1, 2, 3]
    assert "work-poison" not in store.messages


async def test_message_that_fails_stays_away_for_the_visibility_timeout() -> None:
    store = MemoryQueues("hello")

    async def work(msg: func.QueueMessage) -> None:
        raise ValueError("no")

    async with listening(store, work, QueueSettings(visibility_timeout=30.0)):
        await store.settled(lambda: store.hidden == {"id-hello": 30.0})
    assert store.texts("work") == ["hello"]


async def test_message_that_fails_to_the_last_goes_to_the_poison_queue_which_is_created() -> None:
    store = MemoryQueues("bad", "good")
    counts: list[int] = []

    async def work(msg: func.QueueMessage) -> None:
        if msg.get_body() == b"bad":
            counts.append(msg.dequeue_count)
            raise ValueError("never")

    async with listening(store, work):
        await store.settled(lambda: store.texts("work") == [])
    assert counts == [1, 2, 3]
    assert store.texts("work-poison") == ["bad"]


async def test_message_that_fails_for_the_last_time_goes_to_the_poison_queue_at_once() -> None:
    store = MemoryQueues("bad")

    async def work(msg: func.QueueMessage) -> None:
        raise ValueError("never")

    async with listening(store, work, QueueSettings(max_dequeue_count=1, visibility_timeout=3600.0)):
        await store.settled(lambda: store.texts("work") == [])
    assert store.texts("work-poison") == ["bad"]


async def test_message_that_was_dequeued_too_often_is_poison_without_a_run() -> None:
    store = MemoryQueues("killer")
    for _ in range(3):
        item = (await store.receive("work", 1, 600))[0]
        await store.extend("work", item, 0)  # whoever had it died of it
    runs: list[str] = []

    async def work(msg: func.QueueMessage) -> None:
        runs.append(msg.id)

    async with listening(store, work):
        await store.settled(lambda: store.texts("work") == [])
    assert runs == []
    assert store.texts("work-poison") == ["killer"]


async def test_message_that_fails_on_a_poison_queue_stays_invisible_there() -> None:
    store = MemoryQueues("bad", queue="work-poison")
    ran = asyncio.Event()

    async def work(msg: func.QueueMessage) -> None:
        ran.set()
        raise ValueError("no")

    async with listening(store, work, queue="work-poison") as listener:
        await asyncio.wait_for(ran.wait(), 5)
        await listener.stop(5)
    assert store.hidden == {"id-bad": 600}
    assert list(store.messages) == ["work-poison"]


async def test_batch_is_fetched_again_when_few_enough_are_running() -> None:
    store = MemoryQueues(*(str(number) for number in range(10)))
    gates = {str(number): asyncio.Event() for number in range(10)}
    started: list[str] = []

    async def work(msg: func.QueueMessage) -> None:
        name = msg.get_body().decode()
        started.append(name)
        store.changed.set()
        await gates[name].wait()

    async with listening(store, work, QueueSettings(batch_size=4, new_batch_threshold=2)):
        await store.settled(lambda: len(started) == 4)
        gates["0"].set()
        await store.settled(lambda: "0" not in store.texts("work"))
        assert len(started) == 4  # three are running, which is more than the threshold
        gates["1"].set()
        await store.settled(lambda: len(started) == 8)  # two were running: batch size and threshold together are the most
        for gate in gates.values():
            gate.set()
        await store.settled(lambda: store.texts("work") == [])
    assert [count for call, count in store.calls if call == "receive work"][:3] == [4, 4, 2]


async def test_visibility_is_renewed_while_a_function_runs_and_the_last_receipt_deletes() -> None:
    store = MemoryQueues("long")
    renewed = asyncio.Event()

    async def work(msg: func.QueueMessage) -> None:
        await store.settled(lambda: store.calls.count(("extend long", 0)) >= 3)  # a visibility below a second counts as 0 here
        renewed.set()

    async with listening(store, work, visibility=0.02):
        await store.settled(lambda: store.texts("work") == [])
    assert renewed.is_set()


async def test_message_that_somebody_else_took_meanwhile_is_left_to_them() -> None:
    store = MemoryQueues("slow")
    stolen = asyncio.Event()

    async def work(msg: func.QueueMessage) -> None:
        store.steal("work", "slow")
        stolen.set()

    async with listening(store, work) as listener:
        await asyncio.wait_for(stolen.wait(), 5)
        await listener.stop(5)
    assert store.texts("work") == ["slow"]


async def test_queue_that_is_not_there_yet_is_worked_when_it_comes() -> None:
    store = MemoryQueues(queue="other")

    async def work(msg: func.QueueMessage) -> None: ...

    async with listening(store, work, QueueSettings(max_polling_interval=0.1)):
        await store.create("work")
        store.put("work", "late")
        await store.settled(lambda: store.texts("work") == [])


async def test_storage_that_does_not_answer_stops_no_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryQueues("hello")
    answers = iter([True])
    receive = store.receive

    async def failing(queue: str, count: int, visibility: float) -> list[QueueItem]:
        if next(answers, False):
            raise StorageUnavailable("receive: 503")
        return await receive(queue, count, visibility)

    async def work(msg: func.QueueMessage) -> None: ...

    monkeypatch.setattr(store, "receive", failing)
    monkeypatch.setattr("local.queue_listener._RETRY_PAUSE", 0.0)
    async with listening(store, work):
        await store.settled(lambda: store.texts("work") == [])


async def test_finished_function_is_the_hint_to_look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.queue_listener.FIRST_PAUSE", 3600.0)  # by itself, it would not look again
    monkeypatch.setattr("local.queue_listener.HINT_PAUSE", 0.0)
    store = MemoryQueues()

    async def work(msg: func.QueueMessage) -> None: ...

    async def accept(req: func.HttpRequest) -> None:
        store.put("work", "fresh")

    runner = invoker()
    listener = QueueListener(
        hosted(work, "queueTrigger"), "work", store, store.create, runner, QueueSettings(max_polling_interval=3600.0)
    )
    running = asyncio.create_task(listener.run())
    await store.settled(lambda: store.calls == [("receive work", 0)])
    await runner.invoke(hosted(accept, "httpTrigger"), http_datum("POST", "http://h/", {}, {}, {}, b""), {})
    await store.settled(lambda: store.texts("work") == [])
    await listener.stop(5)
    await running


async def test_stop_lets_a_running_function_finish_and_fetches_nothing_more() -> None:
    store = MemoryQueues("first", "second")
    started, gate = asyncio.Event(), asyncio.Event()

    async def work(msg: func.QueueMessage) -> None:
        started.set()
        await gate.wait()

    async with listening(store, work, QueueSettings(batch_size=1, new_batch_threshold=0)) as listener:
        await asyncio.wait_for(started.wait(), 5)
        stopping = asyncio.create_task(listener.stop(5))
        gate.set()
        await stopping
    assert store.texts("work") == ["second"]


async def test_stop_gives_back_what_a_fetch_that_was_under_way_brings() -> None:
    store = MemoryQueues("late")
    asked, gate = asyncio.Event(), asyncio.Event()
    receive, worked = store.receive, []

    async def slow_receive(queue: str, count: int, visibility: float) -> list[QueueItem]:
        asked.set()
        await gate.wait()
        return await receive(queue, count, visibility)

    async def work(msg: func.QueueMessage) -> None:
        worked.append(msg.get_body())

    store.receive = slow_receive  # type: ignore[method-assign]
    async with listening(store, work) as listener:
        await asyncio.wait_for(asked.wait(), 5)
        await listener.stop(5)
        gate.set()
    assert worked == []
    assert store.texts("work") == ["late"]
    assert store.hidden == {}


async def test_stop_gives_back_what_runs_for_too_long() -> None:
    store = MemoryQueues("endless")
    started = asyncio.Event()

    async def work(msg: func.QueueMessage) -> None:
        started.set()
        await asyncio.Event().wait()

    async with listening(store, work) as listener:
        await asyncio.wait_for(started.wait(), 5)
        await listener.stop(0.01)
    assert store.texts("work") == ["endless"]
    assert store.hidden == {}
