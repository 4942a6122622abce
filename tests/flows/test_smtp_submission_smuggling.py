"""SMTP smuggling towards us: no sequence but CRLF.CRLF ends a message, and whoever tries another one is hung up on."""

from __future__ import annotations

import pytest

from tests.kit.pipeline import Pipeline
from tests.kit.smtp_relay import MESSAGE, SENDER, RunningRelay

pytestmark = pytest.mark.peers

SEQUENCES = {
    "LF.LF": b"\n.\n", "LF.CR": b"\n.\r", "CR.LF": b"\r.\n", "CR.CR": b"\r.\r", "LF.CRLF": b"\n.\r\n", "CR.CRLF": b"\r.\r\n",
    "CRLF-NUL.CRLF": b"\r\n\0.\r\n", "CRLF.NUL-CRLF": b"\r\n.\0\r\n", "CRLF.LF": b"\r\n.\n", "CRLF.CR": b"\r\n.\r",
    "CRLF.CRCRLF": b"\r\n.\r\r\n", "CRCRLF.CRLF": b"\r\r\n.\r\n", "CRCRLF.CRCRLF": b"\r\r\n.\r\r\n", "LFLF.CRLF": b"\n\n.\r\n",
    "LFCR.LFCR": b"\n\r.\n\r", "CRLF-LF.CRLF": b"\r\n\n.\r\n", "NUL": b"\0", "CR": b"\r", "LF": b"\n",
}  # fmt: skip

SMUGGLED = (
    f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<victim@example.test>\r\nDATA\r\n"
    f"From: <{SENDER}>\r\nSubject: smuggled\r\n\r\nHello\r\n.\r\n"
).encode()


@pytest.mark.parametrize("name", SEQUENCES)
async def test_sequence_ends_no_message_and_ends_the_connection(relay: RunningRelay, pipeline: Pipeline, name: str) -> None:
    client = await relay.in_data()
    await client.send(MESSAGE.removesuffix(b"\r\n") + SEQUENCES[name] + SMUGGLED + b"QUIT\r\n")
    assert (await client.reply()).startswith("550 5.6.11 ")
    assert await client.is_closed()
    assert pipeline.queues.noted == []


@pytest.mark.parametrize("name", ["LF.LF", "CRLF.LF", "CR.CRLF"])
async def test_sequence_that_comes_octet_by_octet_ends_no_message(relay: RunningRelay, pipeline: Pipeline, name: str) -> None:
    client = await relay.in_data()
    await client.send(MESSAGE.removesuffix(b"\r\n"))
    for octet in SEQUENCES[name] + SMUGGLED[:20]:
        await client.send(bytes([octet]))
    assert (await client.reply()).startswith("550 5.6.11 ")
    assert pipeline.queues.noted == []


@pytest.mark.parametrize("hidden", ["NOOP\n", "NOOP\nNOOP\r\n", f"MAIL FROM:<{SENDER}>\nRCPT TO:<victim@example.test>\r\n"])
async def test_command_behind_a_line_feed_is_not_obeyed(relay: RunningRelay, hidden: str) -> None:
    client = await relay.logged_in()
    await client.send(hidden.encode())
    assert await client.reply() == "500 5.5.2 Lines of SMTP end with CR LF, and this one does not"
    assert await client.is_closed()


async def test_line_of_999_octets_is_refused(relay: RunningRelay, pipeline: Pipeline) -> None:
    client = await relay.in_data()
    await client.send(MESSAGE + b"x" * 999 + b"\r\n.\r\n")
    assert (await client.reply()).startswith("550 5.6.0 ")
    assert await client.is_closed()
    client = await relay.in_data()
    await client.send(MESSAGE + b"x" * 998 + b"\r\n.\r\n")
    assert (await client.reply()).startswith("250 ")
    assert len(pipeline.queues.noted) == 1


async def test_dots_are_unstuffed_and_nothing_else_changes(
    relay: RunningRelay, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[bytes] = []

    async def take(*arguments: object, **_: object) -> object:
        taken.append(arguments[3].content)  # type: ignore[attr-defined]
        raise RuntimeError("seen")

    monkeypatch.setattr("smtp_relay.session.accept_mime", take)
    client = await relay.in_data()
    await client.send(MESSAGE + b"..\r\n. x\r\n...y\r\n \t\r\n\xff\xfe\r\n\r\n.\r\n")
    await client.reply()
    assert taken == [MESSAGE + b".\r\n x\r\n..y\r\n \t\r\n\xff\xfe\r\n\r\n"]
