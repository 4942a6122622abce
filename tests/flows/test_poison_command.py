"""`./postrider poison` on a storage account of its own."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.functions import QueueMessage

from email_core.delivery.spool import SUBMISSIONS, Spool, SpoolItem
from email_core.errors import EntityMissing, StorageUnavailable
from email_core.triggers.queues import _work
from local import cli
from tests.kit.azurite import _SCRIPT, Azurite
from tests.kit.free_ports import free_port
from tests.kit.peers import require
from tests.kit.pipeline import SEALING_KEY, Pipeline, build_pipeline, draft_to
from tests.kit.receiver import Receiver

pytestmark = pytest.mark.peers

Run = Any  # what the fixture `command` is: words in, exit status and output out


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Nobody else's, so that what is kept is known."""
    require(shutil.which("node"), "node is not installed")
    require(_SCRIPT.exists(), "Azurite is not installed: npm ci")
    server = Azurite(tmp_path_factory.mktemp("azurite"))
    try:
        yield server.connection_string
    finally:
        server.stop()


@pytest.fixture
async def own_pipeline(account: str, sink: Receiver) -> AsyncIterator[Pipeline]:
    built = await build_pipeline(account, routes=f"capture://127.0.0.1:{sink.port}")
    async for row in built.storage.tables.query("poison", ""):
        await built.storage.tables.delete("poison", str(row.values["PartitionKey"]), str(row.values["RowKey"]))
    yield built
    await built.close()


@pytest.fixture
def command(
    account: str, own_pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    monkeypatch.setenv("AzureWebJobsStorage", account)
    monkeypatch.setenv("POSTRIDER_SEALING_KEY", str(SEALING_KEY))

    async def run(*words: str) -> tuple[int, str, str]:
        status = await asyncio.to_thread(cli.main, ["poison", *words], tmp_path)
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


async def poisoned(pipeline: Pipeline, item_id: str, *recipients: str) -> str:
    """A message whose runs all failed; its id."""
    accepted = await pipeline.accept(draft_to(*(recipients or ("ann@fabrikam.test",))))
    message = f"{pipeline.service.key}:{accepted.operation_id}"
    item = SpoolItem(message)

    async def fail(item: SpoolItem, *, dequeue_count: int) -> None:
        raise KeyError("ann@fabrikam.test")

    with pytest.raises(KeyError):
        await _work(pipeline.services, SUBMISSIONS, QueueMessage(id="1", body=item.encode()), fail)
    await pipeline.services.poison_keeper.keep(SUBMISSIONS, item_id, item.encode(), dequeue_count=1)
    pipeline.queues.noted.clear()
    pipeline.clock.advance(60)
    return message


async def test_poison_list_of_nothing_says_so(command: Run) -> None:
    assert await command("list") == (0, "Nothing is kept: every item could be worked.\n", "")
    assert await command("list", "--json") == (0, "[]\n", "")
    assert (await command("replay", "--all"))[:2] == (0, "Nothing is kept: there is nothing to replay.\n")


async def test_poison_list_has_a_line_for_each_item_with_its_reason_the_latest_first(
    command: Run, own_pipeline: Pipeline
) -> None:
    first = await poisoned(own_pipeline, "aaaaaaaa-1111-4000-8000-000000000001")
    second = await poisoned(own_pipeline, "aaaaaaaa-2222-4000-8000-000000000002")
    status, out, _ = await command("list")
    heading, *lines = out.splitlines()
    assert (status, heading.split()) == (0, ["ITEM", "KEPT", "QUEUE", "MESSAGE", "WHY"])
    assert [line.split()[0] for line in lines] == ["aaaaaaaa-2", "aaaaaaaa-1"]
    assert second in lines[0] and first in lines[1]
    assert all("submissions" in line and "KeyError at email_core/" in line for line in lines)
    listed = json.loads((await command("list", "--json"))[1])
    assert [(each["message"], each["queue"], each["then"]["openRecipients"]) for each in listed] == [
        (second, "submissions", 1),
        (first, "submissions", 1),
    ]


async def test_poison_show_tells_all_that_is_known_and_no_address(command: Run, own_pipeline: Pipeline) -> None:
    message = await poisoned(own_pipeline, "bbbbbbbb-1111-4000-8000-000000000001")
    status, out, _ = await command("show", "bbbb")
    assert status == 0
    for said in (
        message, "from queue submissions", "KeyError at email_core/triggers/queues.py", "the operation was Running",
        "fault error=KeyError", "the operation is Failed", "a***@fabrikam.test: Failed after 0 tries", "1 recipient to be",
    ):  # fmt: skip
        assert said in out
    assert "ann@" not in out
    shown = json.loads((await command("show", "bbbb", "--json"))[1])
    assert shown["replay"] == {
        "possible": True, "refused": None, "remedy": None, "recipients": 1, "expiresAt": shown["replay"]["expiresAt"],
    }  # fmt: skip
    assert "ann@" not in json.dumps(shown)


async def test_poison_show_full_addresses_where_the_installation_has_them(
    command: Run, own_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    await poisoned(own_pipeline, "bbbbbbbb-1111-4000-8000-000000000001")
    monkeypatch.setenv("POSTRIDER_LOG_FULL_ADDRESSES", "on")
    assert "ann@fabrikam.test: Failed" in (await command("show", "bbbb"))[1]


async def test_poison_replay_sends_the_message_and_forgets_the_item(
    command: Run, own_pipeline: Pipeline, sink: Receiver
) -> None:
    message = await poisoned(own_pipeline, "cccccccc-1111-4000-8000-000000000001")
    status, out, _ = await command("replay", "cccccccc-1111-4000-8000-000000000001")
    assert status == 0
    assert out.startswith("cccccccc: replayed: 1 recipient to be tried again, until ")
    assert (await command("list"))[1].startswith("Nothing is kept")
    row = await own_pipeline.services.spool.read(message, with_content=False)
    assert row is not None and not row.ledger.finished


async def test_poison_replay_all_tells_each_and_ends_with_1_when_one_could_not(command: Run, own_pipeline: Pipeline) -> None:
    await poisoned(own_pipeline, "dddddddd-1111-4000-8000-000000000001")
    await own_pipeline.services.poison_keeper.keep(
        SUBMISSIONS, "eeeeeeee-1111-4000-8000-000000000001", "not \x1b[31mjson", dequeue_count=1
    )
    status, out, _ = await command("replay", "--all")
    good, bad = out.splitlines()
    assert status == 1
    assert good.startswith("dddddddd: replayed: ")
    assert bad.startswith("eeeeeeee: not possible: it is no item of this version")
    assert "./postrider poison forget eeeeeeee-1111-4000-8000-000000000001" in bad
    shown = (await command("show", "eeee"))[1]
    assert "not ?[31mjson" in shown
    told = json.loads((await command("replay", "--all", "--json"))[1])
    assert [each["replay"]["possible"] for each in told] == [False]


@pytest.mark.parametrize(
    ("error", "said"),
    [(StorageUnavailable("queues.enqueue: 503 ServerBusy"), "503"), (EntityMissing("404 QueueNotFound"), "queue")],
)
async def test_poison_replay_all_as_json_tells_what_was_done_before_an_item_that_failed(
    command: Run, own_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    for letter in "ab":
        await poisoned(own_pipeline, f"{letter * 8}-1111-4000-8000-000000000001")
    enqueue, calls = Spool.enqueue, 0

    async def failing(spool: Spool, *arguments: Any, **options: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise error
        await enqueue(spool, *arguments, **options)

    monkeypatch.setattr(Spool, "enqueue", failing)
    status, out, err = await command("replay", "--all", "--json")
    assert status == 1
    assert [each["id"][:8] for each in json.loads(out)] == ["aaaaaaaa"]
    assert err.startswith("postrider: ") and said in err and "Traceback" not in err
    assert [each["id"][:8] for each in json.loads((await command("list", "--json"))[1])] == ["bbbbbbbb"]


async def test_poison_forget_removes_the_item_alone(command: Run, own_pipeline: Pipeline) -> None:
    message = await poisoned(own_pipeline, "ffffffff-1111-4000-8000-000000000001")
    assert await command("forget", "ffff") == (
        0,
        "ffffffff-1111-4000-8000-000000000001: forgotten; its message stays as it is\n",
        "",
    )
    row = await own_pipeline.services.spool.read(message, with_content=False)
    assert row is not None and row.ledger.entries[0].status == "Failed"
    assert (await command("list"))[1].startswith("Nothing is kept")


@pytest.mark.parametrize("action", ["show", "replay", "forget"])
async def test_poison_item_that_is_not_there_or_not_the_only_one_ends_with_1(
    command: Run, own_pipeline: Pipeline, action: str
) -> None:
    for number in (1, 2):
        await poisoned(own_pipeline, f"aaaaaaaa-{number}111-4000-8000-000000000001")
    status, out, err = await command(action, "aaaa")
    assert (status, out) == (1, "")
    assert "2 items" in err and "aaaaaaaa-1111" in err and "aaaaaaaa-2111" in err
    status, out, err = await command(action, "nothing")
    assert (status, out) == (1, "")
    assert "./postrider poison list" in err
    assert len(json.loads((await command("list", "--json"))[1])) == 2


async def test_poison_without_an_installation_says_where_to_put_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AzureWebJobsStorage", raising=False)
    assert await asyncio.to_thread(cli.main, ["poison", "list"], tmp_path) == 1
    assert "./postrider up" in capsys.readouterr().err


def test_poison_list_with_storage_that_does_not_answer_says_what_to_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    away = f"http://127.0.0.1:{free_port()}/devstoreaccount1"
    monkeypatch.setenv(
        "AzureWebJobsStorage",
        f"AccountName=devstoreaccount1;AccountKey=c2VjcmV0;TableEndpoint={away};QueueEndpoint={away};BlobEndpoint={away}",
    )
    monkeypatch.setenv("POSTRIDER_SEALING_KEY", str(SEALING_KEY))

    assert cli.main(["poison", "list"], tmp_path) == 1
    told = capsys.readouterr().err
    assert "the storage of the installation does not answer" in told
    assert "is ./postrider up running?" in told
