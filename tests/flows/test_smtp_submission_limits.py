"""How much the SMTP server takes, of whom, and for how long: nobody fills it, and nobody holds up the others."""

from __future__ import annotations

import asyncio
import resource
from dataclasses import replace

import pytest

from email_core.data_plane.sandbox_limits import SandboxLimits
from email_core.domains.documents import Limit
from smtp_relay.options import TimeLimits
from tests.kit.pipeline import Pipeline, build_pipeline
from tests.kit.requests import message, post
from tests.kit.smtp_relay import (
    MESSAGE,
    QUICK,
    SENDER,
    RawClient,
    RelayFiles,
    RunningRelay,
    add_user,
    change_service,
    running_relay,
)
from tests.kit.storage_proxy import Fault, Rule, StorageProxy

pytestmark = pytest.mark.peers


async def test_recipient_51_is_told_to_come_in_another_message(relay: RunningRelay, pipeline: Pipeline) -> None:
    client = await relay.with_recipient(*(f"r{number}@example.test" for number in range(50)))
    assert (await client.ask("RCPT TO:<r51@example.test>")).startswith("452 4.5.3 ")
    await client.ask("DATA")
    await client.send(MESSAGE + b".\r\n")
    reply = await client.reply()
    row = await pipeline.services.spool.read(f"{pipeline.service.key}:{reply.split()[-1]}", with_content=False)
    assert row is not None and len(row.ledger.entries) == 50


async def test_message_that_is_larger_than_declared_sizes_allow_is_refused(pipeline: Pipeline, relay_files: RelayFiles) -> None:
    user, password = await add_user(pipeline)
    async with running_relay(pipeline.services, relay_files, max_bytes=10_000) as relay:
        relay.user, relay.password = user, password
        client = await relay.logged_in()
        assert (await client.ask(f"MAIL FROM:<{SENDER}> SIZE=10001")).startswith("552 5.3.4 ")
        assert (await client.ask(f"MAIL FROM:<{SENDER}> SIZE=10000")).startswith("250 ")
        await client.ask("RCPT TO:<ann@example.test>")
        await client.ask("DATA")
        await client.send(MESSAGE + b"0123456789\r\n" * 1000 + b".\r\n")
        assert (await client.reply()).startswith("552 5.3.4 ")
        # It is read to its end, so the connection is as good as before.
        assert (await client.ask("NOOP")).startswith("250 ")
        client = await relay.in_data()
        await client.send(MESSAGE + b"0123456789\r\n" * 3000)
        assert (await client.reply()).startswith("552 5.3.4 ")
        assert await client.is_closed()
    assert pipeline.queues.noted == []


async def test_message_of_30_mb_is_streamed_and_kept(relay: RunningRelay, pipeline: Pipeline) -> None:
    line = b"x" * 74 + b"\r\n"
    body = line * ((relay.server.relay.options.max_bytes - len(MESSAGE)) // len(line))
    client = await relay.in_data()
    await client.send(MESSAGE + body + b".\r\n")
    assert (await client.reply()).startswith("250 2.0.0 Ok: queued as ")
    assert len(pipeline.queues.noted) == 1


async def test_limit_that_is_reached_is_told_in_the_words_of_acs(relay: RunningRelay, pipeline: Pipeline) -> None:
    await change_service(pipeline, limits=(Limit(unit="messages", window="day", most=1),))
    replies = []
    for _ in range(2):
        client = await relay.in_data()
        await client.send(MESSAGE + b".\r\n")
        replies.append(await client.reply())
    assert replies[0].startswith("250 ")
    assert replies[1] == "450 4.5.127 Message rejected. Excessive message rate from sender"


async def test_acs_limits_count_messages_whatever_door_they_come_by(
    pipeline: Pipeline, relay_files: RelayFiles, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline.services = replace(pipeline.services, sandbox_limits=SandboxLimits())
    by_http = [(await post(pipeline, message())).status for _ in range(29)]
    user, password = await add_user(pipeline)
    replies = []
    async with running_relay(pipeline.services, relay_files) as relay:
        relay.user, relay.password = user, password
        for sender in ("stranger@else.test", SENDER, SENDER):
            client = await relay.in_data()
            await client.send(MESSAGE.replace(SENDER.encode(), sender.encode()) + b".\r\n")
            replies.append(await client.reply())
    assert by_http == [202] * 29
    assert [reply[:9] for reply in replies] == [
        "501 5.1.7",
        "250 2.0.0",
        "450 4.5.1",
    ]  # what is refused otherwise is not counted
    assert replies[-1] == "450 4.5.127 Message rejected. Excessive message rate from sender"
    assert "limit of 30 messages per minute for custom domains" in caplog.text
    assert (await post(pipeline, message())).status == 429


async def test_storage_that_is_away_is_451_and_nothing_is_kept(azurite: str, relay_files: RelayFiles) -> None:
    async with StorageProxy(azurite) as proxy:
        pipeline = await build_pipeline(proxy.connection_string, routes="capture://127.0.0.1:9")
        user, password = await add_user(pipeline)
        async with running_relay(pipeline.services, relay_files) as relay:
            relay.user, relay.password = user, password
            client = await relay.in_data()
            proxy.rules = [Rule("tables.insert", Fault.DROPPED, "messages", times=None)]
            await client.send(MESSAGE + b".\r\n")
            assert await client.reply() == "451 4.3.0 The message cannot be stored right now: try again later"
            proxy.rules = []
            await client.ask(f"MAIL FROM:<{SENDER}>")
            await client.ask("RCPT TO:<ann@example.test>")
            await client.ask("DATA")
            await client.send(MESSAGE + b".\r\n")
            assert (await client.reply()).startswith("250 2.0.0 ")
        await pipeline.close()


async def test_fault_of_ours_is_451_and_its_detail_is_in_the_log_alone(
    relay: RunningRelay, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a detail")

    monkeypatch.setattr("smtp_relay.session.accept_mime", fail)
    client = await relay.in_data()
    await client.send(MESSAGE + b".\r\n")
    assert await client.reply() == "451 4.3.0 Something went wrong here: try again later"
    assert "a detail" in caplog.text
    assert (await client.ask("NOOP")).startswith("250 ")


@pytest.mark.parametrize("octets", [b"\x00\xff\r\n", b"GET / HTTP/1.1\r\n", b"\r\n", b"x" * 5000 + b"\r\n"])
async def test_garbage_gets_an_error_each_time_and_a_hundred_end_the_connection(relay: RunningRelay, octets: bytes) -> None:
    client = await relay.client()
    await client.reply()
    await client.send(octets * 120)
    said = [await client.reply() for _ in range(100)]
    assert all(each.startswith("500 5.5.") for each in said[:99])
    assert said[99] == "421 4.7.0 Too many errors"
    assert await client.is_closed()


async def test_line_without_an_end_is_not_kept_in_memory(relay: RunningRelay) -> None:
    client = await relay.client()
    await client.reply()
    async with asyncio.timeout(20):
        with pytest.raises(OSError):
            for _ in range(2000):
                await client.send(b"x" * 65536)
    assert await client.is_closed()


async def test_message_that_comes_too_slowly_is_given_up(pipeline: Pipeline, relay_files: RelayFiles) -> None:
    limits = replace(QUICK, data_grace=0.3, least_rate=100_000.0)
    user, password = await add_user(pipeline)
    async with running_relay(pipeline.services, relay_files, limits=limits) as relay:
        relay.user, relay.password = user, password
        client = await relay.in_data()
        replied = asyncio.create_task(client.reply())
        while not replied.done():
            await client.send(b"slow\r\n")
            await asyncio.sleep(0.05)
        assert await replied == "421 4.4.2 The message comes too slowly: connect again"
        assert await client.is_closed()
    assert pipeline.queues.noted == []


@pytest.mark.parametrize("limits", [replace(QUICK, block=0.3), replace(QUICK, data=0.3)], ids=["block", "whole"])
async def test_message_that_stops_coming_is_given_up(pipeline: Pipeline, relay_files: RelayFiles, limits: TimeLimits) -> None:
    user, password = await add_user(pipeline)
    async with running_relay(pipeline.services, relay_files, limits=limits) as relay:
        relay.user, relay.password = user, password
        client = await relay.in_data()
        await client.send(MESSAGE)
        assert (await client.reply()).startswith("421 4.4.2 ")
        assert await client.is_closed()
    assert pipeline.queues.noted == []


async def test_idle_client_is_sent_away(pipeline: Pipeline, relay_files: RelayFiles) -> None:
    user, password = await add_user(pipeline)
    async with running_relay(pipeline.services, relay_files, limits=replace(QUICK, command=0.4)) as relay:
        relay.user, relay.password = user, password
        client = await relay.logged_in()
        assert await client.reply() == "421 4.4.2 Timeout: connect again"
        assert await client.is_closed()
        await relay.wait_until(lambda: len(relay.server.relay.connections) == 0, "the connection to be forgotten")


@pytest.mark.parametrize("line", [b"HELP\r\n", b"EHLO client.test\r\n"], ids=["help", "ehlo"])
async def test_client_that_reads_no_replies_is_cut_off(pipeline: Pipeline, relay_files: RelayFiles, line: bytes) -> None:
    limits = replace(QUICK, write=0.3, farewell=0.3)
    async with running_relay(pipeline.services, relay_files, limits=limits, most_errors=10**9) as relay:
        client = await relay.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        flood = asyncio.create_task(_flood(client, line))
        await relay.wait_until(lambda: len(relay.server.relay.connections) == 1, "the connection")
        await relay.wait_until(lambda: len(relay.server.relay.connections) == 0, "the connection to be cut")
        flood.cancel()


async def _flood(client: RawClient, line: bytes) -> None:
    while True:
        await client.send(line * 1000)


async def test_address_has_twenty_connections_and_another_one_is_turned_away(relay: RunningRelay) -> None:
    clients = [await relay.client(source="127.0.0.77") for _ in range(20)]
    for client in clients:
        assert (await client.reply()).startswith("220 ")
    over = await relay.client(source="127.0.0.77")
    assert (await over.reply()).startswith("421 4.7.0 Too many connections from your address")
    assert await over.is_closed()
    other = await relay.client(source="127.0.0.78")
    assert (await other.reply()).startswith("220 ")


async def test_thousand_idle_connections_keep_nobody_from_sending(relay: RunningRelay, pipeline: Pipeline) -> None:
    """Of fifty addresses, as many as there may be strangers: who comes then takes the place of the oldest."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    idle = [await relay.client(source=f"127.1.{number // 20}.1") for number in range(1000)]
    for client in idle:
        assert (await client.reply()).startswith("220 ")
    client = await relay.in_data()
    await client.send(MESSAGE + b".\r\n")
    assert (await client.reply()).startswith("250 2.0.0 ")
    assert len(pipeline.queues.noted) == 1
    assert (await idle[0].reply()).startswith("421 4.3.2 Too many connections")
    assert (await idle[-1].ask("NOOP")).startswith("250 ")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # KiB, of clients and server together
    assert grown < 150 * 1024
    await asyncio.gather(*(each.close() for each in idle))
