"""`./postrider explain` by the name that the log has for a message: from storage, with addresses as the log shows them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from email_core import maillog
from local import cli
from tests.kit.free_ports import free_port
from tests.kit.pipeline import SEALING_KEY, Pipeline, draft_to
from tests.kit.receiver import Receiver

pytestmark = pytest.mark.peers


@pytest.fixture(autouse=True)
def environment(azurite: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The installation's app settings, as its operator has them."""
    monkeypatch.setenv("AzureWebJobsStorage", azurite)
    monkeypatch.setenv("POSTRIDER_SEALING_KEY", str(SEALING_KEY))
    yield
    maillog.configure(full_addresses=False)


async def explain(root: Path, *arguments: str) -> int:
    return await asyncio.to_thread(cli.main, ["explain", *arguments], root)


async def name_of_a_refused_message(pipeline: Pipeline, sink: Receiver) -> str:
    sink.replies = {"ann.smith@fabrikam.test": ["550 5.1.1 <ann.smith@fabrikam.test>: no such user"]}
    accepted = await pipeline.accept(draft_to("ann.smith@fabrikam.test", "bob@contoso-other.test"))
    await pipeline.drain()
    return f"{pipeline.service.key}:{accepted.operation_id}"


async def test_explain_by_the_name_of_the_log_masks_addresses_everywhere(
    pipeline: Pipeline, sink: Receiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = await name_of_a_refused_message(pipeline, sink)
    capsys.readouterr()
    assert await explain(tmp_path, name) == 0
    told = capsys.readouterr().out
    assert "a***@fabrikam.test: Bounced" in told
    assert "550 5.1.1 <a***@fabrikam.test>: no such user" in told
    assert "RCPT TO:<a***@fabrikam.test>" in told
    assert "b***@contoso-other.test: Delivered" in told
    assert "from          n***@contoso.test" in told
    assert f"Message-ID    <{name.partition(':')[2]}@contoso.test>" in told
    for local in ("ann.", "smith", "bob"):
        assert local not in told


async def test_explain_by_the_name_of_the_log_shows_addresses_where_the_log_does(
    pipeline: Pipeline, sink: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POSTRIDER_LOG_FULL_ADDRESSES", "on")
    name = await name_of_a_refused_message(pipeline, sink)
    capsys.readouterr()
    assert await explain(tmp_path, name, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert {each["address"] for each in told["recipients"]} == {"ann.smith@fabrikam.test", "bob@contoso-other.test"}
    assert told["id"] == name.partition(":")[2]


async def test_explain_of_a_message_that_is_not_there_ends_with_1(
    pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{pipeline.service.key}:7f0b1d6e-4a53-4f0c-9d2b-1c3a5e7f9b11"
    assert await explain(tmp_path, name) == 1
    assert f"there is no message {name}" in capsys.readouterr().err


async def test_explain_with_storage_that_does_not_answer_ends_with_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    away = f"http://127.0.0.1:{free_port()}/devstoreaccount1"
    monkeypatch.setenv(
        "AzureWebJobsStorage",
        f"AccountName=devstoreaccount1;AccountKey=c2VjcmV0;TableEndpoint={away};QueueEndpoint={away};BlobEndpoint={away}",
    )
    assert await explain(tmp_path, "k1:7f0b1d6e-4a53-4f0c-9d2b-1c3a5e7f9b11") == 3
    assert "storage of the installation does not answer" in capsys.readouterr().err


async def test_explain_by_the_name_of_the_log_takes_it_in_capitals(
    pipeline: Pipeline, sink: Receiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = await name_of_a_refused_message(pipeline, sink)
    capsys.readouterr()
    assert await explain(tmp_path, name.upper()) == 0
    assert capsys.readouterr().out.startswith(f"Message {name.partition(':')[2]}\n")


async def test_explain_of_a_row_that_cannot_be_read_says_so_and_ends_with_1(
    pipeline: Pipeline, sink: Receiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = await name_of_a_refused_message(pipeline, sink)
    changes = {"ledger0": b"not json", "ledgerSize": 8, "envelopes": 0}
    await pipeline.storage.tables.merge("messages", name, "message", changes, etag="*")
    capsys.readouterr()
    assert await explain(tmp_path, name) == 1
    assert f"{name} cannot be read by this version of Postrider" in capsys.readouterr().err
