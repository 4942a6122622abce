"""The functions host on a real storage emulator: queue triggers, queue outputs, poison queues, timers, stopping."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import azure.functions as func
import pytest

from email_core.settings import Secret, StorageSettings
from email_core.storage import QueueItem, Storage, open_storage
from local.host_settings import QueueSettings
from local.queue_listener import QueueListener
from tests.flows.host_process import HostProcess, functions_host
from tests.kit.azurite import unique_name
from tests.kit.waiting import wait_until
from tests.unit.local.builders import hosted, invoker

pytestmark = pytest.mark.peers

APP = """
import asyncio, json, os, pathlib

MARKS = pathlib.Path(os.environ["MARKS"])

def mark(name, **facts):
    with (MARKS / name).open("a") as file:
        file.write(json.dumps(facts) + "\\n")

@app.route("send", methods=["POST"])
@app.queue_output("out", "%WORK%", "AzureWebJobsStorage")
async def send(req: func.HttpRequest, out: func.Out[list[str]]) -> func.HttpResponse:
    out.set(req.get_json())
    return func.HttpResponse(status_code=202)

@app.queue_trigger("msg", "%WORK%", "AzureWebJobsStorage")
async def work(msg: func.QueueMessage, context: func.Context) -> None:
    text = msg.get_body().decode()
    mark("worked", text=text, count=msg.dequeue_count, expires=msg.expiration_time.year, function=context.function_name)
    if text.startswith("bad"):
        raise ValueError(text)
    if text.startswith("slow"):
        while not (MARKS / "go").exists():
            await asyncio.sleep(0.01)
        mark("finished", text=text)

@app.queue_trigger("msg", "%WORK%-poison", "AzureWebJobsStorage")
def poisoned(msg: func.QueueMessage) -> None:
    mark("poisoned", text=msg.get_body().decode(), count=msg.dequeue_count)

@app.timer_trigger("timer", "0 0 0 1 1 *", run_on_startup=True)
async def yearly(timer: func.TimerRequest) -> None:
    mark("ticked", past_due=timer.past_due)
"""


class Marks:
    """What the functions of the app noted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str) -> list[dict[str, object]]:
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def wait(self, name: str, count: int) -> list[dict[str, object]]:
        wait_until(lambda: len(self.read(name)) >= count, timeout=15, what=f"{count} marks of {name}")
        return self.read(name)


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    return Marks(tmp_path)


@pytest.fixture
def host(azurite: str, tmp_path: Path) -> Iterator[HostProcess]:
    queue = unique_name("work")
    environment = {"AzureWebJobsStorage": azurite, "WORK": queue, "MARKS": str(tmp_path)}
    queues = {"maxDequeueCount": 2, "visibilityTimeout": "00:00:00", "maxPollingInterval": "00:00:00.1"}
    asyncio.run(created(azurite, queue))
    with functions_host(tmp_path, APP, environment=environment, host={"queues": queues}) as running:
        yield running


async def created(connection_string: str, queue: str) -> None:
    async with storage(connection_string) as store:
        await store.ensure(queues=[queue])


@asynccontextmanager
async def storage(connection_string: str) -> AsyncIterator[Storage]:
    store = open_storage(StorageSettings(connection_string=Secret(connection_string)))
    try:
        yield store
    finally:
        await store.close()


def test_host_works_what_an_output_binding_enqueued(host: HostProcess, marks: Marks) -> None:
    assert host.request("POST", "/send", json.dumps([f"item {number}" for number in range(40)]).encode())[0] == 202
    worked = marks.wait("worked", 40)
    assert sorted(str(mark["text"]) for mark in worked) == sorted(f"item {number}" for number in range(40))
    assert {(mark["count"], mark["expires"], mark["function"]) for mark in worked} == {(1, 9999, "work")}
    assert marks.wait("ticked", 1) == [{"past_due": False}]


def test_host_moves_what_keeps_failing_to_the_poison_queue_whose_function_gets_it(host: HostProcess, marks: Marks) -> None:
    host.request("POST", "/send", b'["bad", "good"]')
    assert marks.wait("poisoned", 1) == [{"text": "bad", "count": 1}]
    assert [mark["count"] for mark in marks.read("worked") if mark["text"] == "bad"] == [1, 2]


def test_host_stop_finishes_what_runs_and_leaves_the_rest_in_the_queue(host: HostProcess, marks: Marks, azurite: str) -> None:
    host.request("POST", "/send", json.dumps([f"slow {number}" for number in range(30)]).encode())
    marks.wait("worked", 9)  # more than newBatchThreshold: no further batch is fetched
    host.process.terminate()
    host.said("Stopping")
    (marks.folder / "go").touch()
    assert host.process.wait(20) == 0
    worked = marks.read("worked")
    assert 9 <= len(worked) <= 24
    assert sorted(mark["text"] for mark in marks.read("finished")) == sorted(mark["text"] for mark in worked)
    assert asyncio.run(depth(azurite, host.environment["WORK"])) == 30 - len(worked)


async def depth(connection_string: str, queue: str) -> int:
    async with storage(connection_string) as store:
        return await store.queues.depth(queue)


async def test_item_of_a_worker_that_died_is_worked_with_a_higher_count(azurite: str) -> None:
    queue = unique_name("work")
    worked: asyncio.Queue[int] = asyncio.Queue()

    async def work(msg: func.QueueMessage) -> None:
        await worked.put(msg.dequeue_count)

    async with storage(azurite) as store:
        await store.ensure(queues=[queue])
        await store.queues.enqueue(queue, "item")
        await store.queues.receive(queue, 1, 1)  # and then it dies
        async with listening(store, queue, work):
            assert await asyncio.wait_for(worked.get(), 10) == 2
        assert await store.queues.depth(queue) == 0


async def test_item_stays_invisible_for_as_long_as_its_function_runs(azurite: str) -> None:
    queue = unique_name("work")
    renewed: list[QueueItem] = []

    async with storage(azurite) as store:
        extend = store.queues.extend

        async def noting(name: str, item: QueueItem, visibility: float) -> QueueItem:
            renewed.append(await extend(name, item, visibility))
            return renewed[-1]

        async def work(msg: func.QueueMessage) -> None:
            while len(renewed) < 4:  # half a second each: twice as long as it was invisible for at first
                assert await store.queues.receive(queue, 1, 600) == []

        store.queues.extend = noting  # type: ignore[method-assign]
        await store.ensure(queues=[queue])
        await store.queues.enqueue(queue, "item")
        async with listening(store, queue, work, visibility=1.0) as listener:
            async with asyncio.timeout(10):
                while await store.queues.depth(queue):
                    await asyncio.sleep(0.05)
            await listener.stop(5)
        assert len({item.pop_receipt for item in renewed}) == len(renewed) >= 4


@asynccontextmanager
async def listening(store: Storage, queue: str, call: object, *, visibility: float = 600.0) -> AsyncIterator[QueueListener]:
    function = hosted(call, "queueTrigger")  # type: ignore[arg-type]
    settings = QueueSettings(max_polling_interval=0.2)

    async def create(name: str) -> None:
        await store.ensure(queues=[name])

    listener = QueueListener(function, queue, store.queues, create, invoker(), settings, visibility=visibility)
    running = asyncio.create_task(listener.run())
    try:
        yield listener
    finally:
        await listener.stop(5)
        await running
