"""How SMTP connections end: a message is kept once when its final dot has come, and not at all before."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from email_core.submission import accept_mime as accepting
from tests.kit.pipeline import Pipeline
from tests.kit.smtp_relay import MESSAGE, QUICK, RawClient, RelayFiles, RunningRelay, add_user, running_relay

pytestmark = pytest.mark.peers


def reset(client: RawClient) -> None:
    """Have the connection end with RST."""
    connection: socket.socket = client.writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()


def end(client: RawClient) -> None:
    client.writer.close()


async def gone(relay: RunningRelay) -> None:
    state = relay.server.relay
    await relay.wait_until(lambda: not len(state.connections) and not state.running, "the connection to be forgotten")


@pytest.mark.parametrize("ending", [reset, end])
@pytest.mark.parametrize("octets", [b"", MESSAGE, MESSAGE + b".", MESSAGE + b".\r"], ids=["nothing", "all", "dot", "dot-cr"])
async def test_message_that_is_cut_off_before_its_end_is_not_kept(
    relay: RunningRelay, pipeline: Pipeline, octets: bytes, ending: Callable[[RawClient], None]
) -> None:
    client = await relay.in_data()
    await client.send(octets)
    ending(client)
    await gone(relay)
    assert pipeline.queues.noted == []


class Held:
    """`accept_mime`, held up until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.called = asyncio.Event()
        self.let_go = asyncio.Event()
        self._genuine = accepting.accept_mime
        monkeypatch.setattr("smtp_relay.session.accept_mime", self)

    async def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.called.set()
        await self.let_go.wait()
        return await self._genuine(*arguments, **named)


@pytest.mark.parametrize("ending", [reset, end])
async def test_connection_cut_after_the_final_dot_keeps_one_message(
    relay: RunningRelay, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, ending: Callable[[RawClient], None]
) -> None:
    held = Held(monkeypatch)
    client = await relay.in_data()
    await client.send(MESSAGE + b".\r\n")
    await held.called.wait()
    ending(client)
    await relay.wait_until(lambda: len(relay.server.relay.connections) == 0, "the connection to be forgotten")
    held.let_go.set()
    await gone(relay)
    assert len(pipeline.queues.noted) == 1


async def test_client_that_sends_everything_and_closes_its_side_gets_its_replies(relay: RunningRelay) -> None:
    client = await relay.client()
    client.writer.write(b"EHLO client.test\r\nNOOP\r\nQUIT\r\n")
    client.writer.write_eof()
    async with asyncio.timeout(10):
        said = await client.reader.read()
    assert said.count(b"\r\n250 2.0.0 Ok\r\n") == 1 and said.endswith(b"221 2.0.0 Bye\r\n")


async def test_stop_tells_idle_clients_and_lets_transactions_end(
    pipeline: Pipeline, relay_files: RelayFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, password = await add_user(pipeline)
    async with running_relay(pipeline.services, relay_files) as relay:
        relay.user, relay.password = user, password
        idle, writing = await relay.logged_in(), await relay.in_data()
        held, accepting_now = Held(monkeypatch), await relay.in_data()
        await accepting_now.send(MESSAGE + b".\r\n")
        await held.called.wait()
        port = relay.port()
        stopping = asyncio.create_task(relay.server.stop())
        assert await idle.reply() == "421 4.3.2 Shutting down: connect again"
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
        held.let_go.set()
        assert (await accepting_now.reply()).startswith("250 2.0.0 ")
        assert await accepting_now.reply() == "421 4.3.2 Shutting down: connect again"
        await writing.send(MESSAGE + b".\r\n")
        assert (await writing.reply()).startswith("250 2.0.0 ")
        await stopping
    assert len(pipeline.queues.noted) == 2


async def test_stop_waits_no_longer_than_it_may(pipeline: Pipeline, relay_files: RelayFiles) -> None:
    user, password = await add_user(pipeline)
    async with running_relay(pipeline.services, relay_files, limits=replace(QUICK, drain=0.3)) as relay:
        relay.user, relay.password = user, password
        stalled = await relay.in_data()
        await stalled.send(MESSAGE)
        async with asyncio.timeout(8):
            await relay.server.stop()
        assert await stalled.reply() == "421 4.3.2 Shutting down: connect again"
    assert pipeline.queues.noted == []
