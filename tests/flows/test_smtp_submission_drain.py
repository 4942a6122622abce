"""The SMTP server is told to stop while clients are in DATA: each gets its 250 and is delivered, or 421 and is not kept."""

from __future__ import annotations

import asyncio
import signal

import pytest

from email_core.delivery.spool import MESSAGES, SUBMISSIONS, SpoolItem
from email_core.storage import text_literal
from tests.flows.test_smtp_submission_process import environment, process
from tests.kit.pipeline import Noted, Pipeline
from tests.kit.receiver import Receiver
from tests.kit.smtp_relay import MESSAGE, SENDER, RawClient, RelayFiles, add_user, plain

pytestmark = [pytest.mark.peers, pytest.mark.long, pytest.mark.timeout(240)]

CLIENTS, STALLED = 20, 4  # at once from one address; those that never finish
WITHIN = 90.0  # seconds; a server waits for half a minute


async def in_data(port: int, files: RelayFiles, user: str, password: str, number: int) -> RawClient:
    """A client that has sent half of its message."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=files.trusting(), server_hostname="localhost")
    client = RawClient(reader, writer)
    await client.reply()
    await client.ask("EHLO client.test")
    assert (await client.ask(f"AUTH PLAIN {plain(user, password)}")).startswith("235 ")
    await client.ask(f"MAIL FROM:<{SENDER}>")
    await client.ask(f"RCPT TO:<r{number}@example.test>")
    assert (await client.ask("DATA")).startswith("354 ")
    await client.send(MESSAGE)
    return client


async def replies(client: RawClient) -> list[str]:
    """All that the server still says, once it has closed."""
    said: list[str] = []
    async with asyncio.timeout(WITHIN):
        while True:
            line = (await client.reader.readline()).decode().strip()
            if not line:
                return said
            said.append(line)


async def stored(pipeline: Pipeline) -> set[str]:
    """The operations of the service."""
    key = pipeline.service.key
    where = f"PartitionKey ge {text_literal(f'{key}:')} and PartitionKey lt {text_literal(f'{key};')}"
    rows = pipeline.storage.tables.query(MESSAGES, where, select=("PartitionKey",))
    return {str(row.values["PartitionKey"]).partition(":")[2] async for row in rows}


async def test_stop_while_twenty_clients_are_in_data_answers_each_and_keeps_what_it_said(
    pipeline: Pipeline, sink: Receiver, relay_files: RelayFiles
) -> None:
    user, password = await add_user(pipeline)
    async with process(environment(pipeline, relay_files)) as (server, ports):
        clients = [await in_data(ports["tls"], relay_files, user, password, number) for number in range(CLIENTS)]
        finishing = clients[STALLED:]
        for client in finishing[: len(finishing) // 2]:
            await client.send(b".\r\n")
        server.send_signal(signal.SIGTERM)  # while those are being stored
        for client in finishing[len(finishing) // 2 :]:
            await client.send(b"And more.\r\n")
        for client in finishing[len(finishing) // 2 :]:
            await client.send(b".\r\n")
        said = await asyncio.gather(*(replies(client) for client in clients))
        async with asyncio.timeout(WITHIN):
            assert await server.wait() == 0
        for client in clients:
            await client.close()

    kept = [each[0].split()[-1] for each in said if each and each[0].startswith("250 2.0.0 Ok: queued as ")]
    assert len(kept) == CLIENTS - STALLED, said
    assert [each[-1][:10] for each in said] == ["421 4.3.2 "] * CLIENTS
    assert {len(each) for each in said[:STALLED]} == {1}
    assert await stored(pipeline) == set(kept)
    for operation in kept:
        await pipeline.work(Noted(SUBMISSIONS, SpoolItem(f"{pipeline.service.key}:{operation}"), 0.0))
    assert sorted(each.recipients[0] for each in sink.received) == sorted(
        f"r{number}@example.test" for number in range(STALLED, CLIENTS)
    )
