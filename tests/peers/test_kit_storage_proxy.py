"""The storage proxy of the test kit: it changes nothing unless told to, and every fault is what it says it is."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest

from email_core.errors import EntityExists, StorageUnavailable
from email_core.storage import Insert, Merge, Storage, pipeline
from tests.kit.azurite import Azurite, unique_name
from tests.kit.faulty_pipeline import storage_without_backoff
from tests.kit.pipeline import SEALING_KEY, build_pipeline, draft_to
from tests.kit.receiver import receiver
from tests.kit.storage_proxy import Enqueued, Fault, Rule, StorageProxy
from tests.kit.waiting import wait_until
from tests.kit.world import ROOT

pytestmark = pytest.mark.peers

WITHOUT_EFFECT = (Fault.DROPPED, Fault.CUT_REQUEST, Fault.THROTTLED, Fault.TOO_MANY, Fault.SERVER_ERROR)
WITH_EFFECT = (Fault.LOST_ANSWER, Fault.CUT_ANSWER)


@contextmanager
def azurite_of_its_own(folder: Path) -> Iterator[str]:
    """The queues of the shared one hold items of other tests, which a worker would take for its own."""
    folder.mkdir()
    running = Azurite(folder)
    try:
        yield running.connection_string
    finally:
        running.stop()


@pytest.fixture
async def proxy(azurite: str) -> AsyncIterator[StorageProxy]:
    async with StorageProxy(azurite) as running:
        yield running


@pytest.fixture
async def storage(proxy: StorageProxy) -> AsyncIterator[Storage]:
    opened = storage_without_backoff(proxy.connection_string)
    yield opened
    await opened.close()


@pytest.fixture
async def table(storage: Storage) -> str:
    name = unique_name("t")
    await storage.ensure(tables=[name])
    return name


def entity(row_key: str = "r", **values: str) -> dict[str, str]:
    return {"PartitionKey": "p", "RowKey": row_key, **values}


async def test_proxy_without_rules_passes_every_operation_through(proxy: StorageProxy, storage: Storage, table: str) -> None:
    queue = unique_name("q")
    await storage.ensure(queues=[queue], containers=["content"])
    proxy.requests.clear()
    etag = await storage.tables.insert(table, entity(text="é\r\n"))
    await storage.tables.transact(table, [Insert(entity("s")), Merge("p", "r", {"text": "ö"}, etag)])
    await storage.tables.upsert(table, entity("s", text="one\ttwo"))
    found = await storage.tables.get(table, "p", "r")
    await storage.tables.merge(table, "p", "r", {"text": "ü"}, etag=found.etag if found else "")
    texts = [row.values["text"] async for row in storage.tables.query(table, "", page_size=1)]
    await storage.tables.delete(table, "p", "s")
    await storage.queues.enqueue(queue, "an ïtem")
    [item] = await storage.queues.receive(queue, 1, 30)
    await storage.queues.delete(queue, await storage.queues.extend(queue, item, 60))
    assert await storage.queues.depth(queue) == 0
    content = os.urandom(3 * 1024 * 1024)
    name = uuid.uuid4().hex
    await storage.content.put(name, content)
    assert await storage.content.get(name) == content
    await storage.content.delete(name)
    assert (texts, item.text) == (["ü", "one\ttwo"], "an ïtem")
    assert proxy.counts == storage.round_trips
    assert proxy.counts["tables.query"] == 2  # pages of one row each
    assert proxy.enqueued == [Enqueued(queue, "an ïtem", 0.0)]
    assert {request.name for request in proxy.requests} == {table, queue, "content"}


@pytest.mark.parametrize("fault", [*WITHOUT_EFFECT, *WITH_EFFECT], ids=lambda fault: fault.value)
async def test_fault_once_is_hidden_by_the_retry_and_counted(
    proxy: StorageProxy, storage: Storage, table: str, fault: Fault
) -> None:
    proxy.rules = [Rule("tables.insert", fault)]
    if fault in WITH_EFFECT:
        with pytest.raises(EntityExists):  # it met its own effect
            await storage.tables.insert(table, entity())
    else:
        await storage.tables.insert(table, entity())
    assert [request.fault for request in proxy.requests if request.operation == "tables.insert"] == [fault, None]
    assert storage.round_trips["tables.insert"] == 2
    assert await storage.tables.get(table, "p", "r") is not None


@pytest.mark.parametrize("fault", [*WITHOUT_EFFECT, *WITH_EFFECT, Fault.STALLED], ids=lambda fault: fault.value)
async def test_fault_at_every_try_surfaces(
    proxy: StorageProxy, storage: Storage, table: str, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    await storage.close()
    monkeypatch.setattr(pipeline, "READ_SECONDS", 0.1)  # before the next session is made
    proxy.rules = [Rule("tables.insert", fault, table, times=None)]
    with pytest.raises(StorageUnavailable):
        await storage.tables.insert(table, entity())
    monkeypatch.undo()
    await storage.close()
    assert storage.round_trips["tables.insert"] == proxy.counts["tables.insert"] == 4
    assert (await storage.tables.get(table, "p", "r") is not None) is (fault in WITH_EFFECT)


async def test_fault_large_blob_cut_in_its_request_stores_nothing(proxy: StorageProxy, storage: Storage) -> None:
    await storage.ensure(containers=["content"])
    name, content = uuid.uuid4().hex, os.urandom(4 * 1024 * 1024)
    await storage.content.put(name, b"before")
    proxy.rules = [Rule("content.put", Fault.CUT_REQUEST, times=None), Rule("content.get", Fault.CUT_ANSWER)]
    with pytest.raises(StorageUnavailable):
        await storage.content.put(name, content)
    assert await storage.content.get(name) == b"before"
    assert proxy.counts["content.get"] == 2


async def test_fault_delayed_takes_effect_when_its_time_has_passed(proxy: StorageProxy, storage: Storage, table: str) -> None:
    proxy.rules = [Rule("tables.insert", Fault.DELAYED, seconds=0.2)]
    inserting = asyncio.create_task(storage.tables.insert(table, entity()))
    while not proxy.counts["tables.insert"]:
        await asyncio.sleep(0)
    assert await storage.tables.get(table, "p", "r") is None
    await inserting
    assert await storage.tables.get(table, "p", "r") is not None


async def test_rule_strikes_the_request_that_it_names_and_no_other(proxy: StorageProxy, storage: Storage, table: str) -> None:
    proxy.rules = [
        Rule("tables.insert", Fault.THROTTLED, "another"),
        Rule("tables.upsert", Fault.THROTTLED, table),
        Rule("tables.insert", Fault.SERVER_ERROR, table, number=2, times=2),
    ]
    for number in range(4):
        await storage.tables.insert(table, entity(str(number)))
    faults = [request.fault for request in proxy.requests if request.operation == "tables.insert"]
    assert faults == [None, Fault.SERVER_ERROR, Fault.SERVER_ERROR, None, None, None]


async def test_functions_host_behind_the_proxy_gets_over_single_faults(tmp_path: Path) -> None:
    rules = [
        Rule("queues.receive", Fault.THROTTLED),
        Rule("queues.delete", Fault.LOST_ANSWER),
        Rule("tables.merge", Fault.LOST_ANSWER, number=2),
        Rule("tables.merge", Fault.CUT_ANSWER, number=5),
        Rule("tables.get", Fault.CUT_ANSWER),
        Rule("tables.query", Fault.SERVER_ERROR),
    ]
    with azurite_of_its_own(tmp_path / "azurite") as connection_string:
        async with receiver() as sink, StorageProxy(connection_string) as proxy:
            routes = f"capture://127.0.0.1:{sink.port}"
            pipeline = await build_pipeline(connection_string, routes=routes)
            accepted = [await pipeline.accept(draft_to(f"r{number}@a.test")) for number in range(6)]
            proxy.rules = rules
            async with functions_host(tmp_path, proxy.connection_string, routes) as log:
                # In a thread, for the proxy and the receiver live in this loop.
                await asyncio.to_thread(
                    wait_until, lambda: proxy.counts["queues.delete"] > len(accepted), timeout=30, what="work of all items"
                )
            rows = [await pipeline.row(each) for each in accepted]
            await pipeline.close()
    assert {str(entry.status) for row in rows for entry in row.ledger.entries} == {"Delivered"}, log.read_text()
    assert sorted(message.recipients[0] for message in sink.received) == [f"r{number}@a.test" for number in range(6)]
    assert [rule.seen >= rule.number for rule in rules] == [True] * len(rules)


@asynccontextmanager
async def functions_host(folder: Path, connection_string: str, routes: str) -> AsyncIterator[Path]:
    """The functions host with the real app as a process; its log."""
    settings = {
        "AzureWebJobsStorage": connection_string, "POSTRIDER_SEALING_KEY": str(SEALING_KEY), "POSTRIDER_ROUTES": routes,
    }  # fmt: skip
    log = folder / "host.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "local.functions_host", "--root", str(ROOT), "--state", str(folder / "state"),
            "--http-port", "0", cwd=ROOT, env={**os.environ, **settings}, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        yield log
    finally:
        with suppress(ProcessLookupError):  # it ended by itself: the log says why
            process.terminate()
        await process.wait()
