"""Storage goes away while clients submit by SMTP: each is asked to come again, and then its message goes through once."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from email_core.delivery.spool import SUBMISSIONS, SpoolItem
from tests.flows.test_smtp_submission_drain import stored
from tests.flows.test_smtp_submission_process import environment, process
from tests.kit.mime_submission import mime
from tests.kit.pipeline import Noted, Pipeline
from tests.kit.receiver import Receiver
from tests.kit.smtp_relay import SENDER, RawClient, RelayFiles, add_user, plain
from tests.kit.storage_proxy import Fault, Rule, StorageProxy

pytestmark = [pytest.mark.peers, pytest.mark.long, pytest.mark.timeout(240)]

CLIENTS = 5
TABLES = [Rule("tables.insert", Fault.DROPPED, times=None)]
QUEUES = [Rule("queues.enqueue", Fault.THROTTLED, times=None)]
OUTAGES = {"all": [Rule("", Fault.DROPPED, times=None)], "tables": TABLES, "queues": QUEUES}


async def logged_in(port: int, files: RelayFiles, user: str, password: str) -> RawClient:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=files.trusting(), server_hostname="localhost")
    client = RawClient(reader, writer)
    await client.reply()
    await client.ask("EHLO client.test")
    assert (await client.ask(f"AUTH PLAIN {plain(user, password)}")).startswith("235 ")
    return client


async def sent(client: RawClient, number: int) -> str:
    """The first refusal, or the reply to a message to two recipients; the connection goes on."""
    for line in (f"MAIL FROM:<{SENDER}>", f"RCPT TO:<a{number}@example.test>", f"RCPT TO:<b{number}@example.test>", "DATA"):
        reply = await client.ask(line)
        if reply.startswith("4"):
            assert (await client.ask("RSET")).startswith("250 ")
            return reply
    await client.send(mime(Message_ID=f"<m{number}@client.test>"))
    return await client.ask(".")


@pytest.mark.parametrize("away", OUTAGES)
async def test_outage_is_451_for_each_and_the_repetition_of_each_goes_through_once(
    azurite: str, pipeline: Pipeline, sink: Receiver, relay_files: RelayFiles, away: str
) -> None:
    user, password = await add_user(pipeline)
    async with StorageProxy(azurite) as proxy:
        variables = environment(pipeline, relay_files, AzureWebJobsStorage=proxy.connection_string)
        async with process(variables) as (_, ports):
            clients = [await logged_in(ports["tls"], relay_files, user, password) for _ in range(CLIENTS)]
            assert (await sent(clients[0], 99)).startswith("250 ")
            proxy.rules = list(OUTAGES[away])
            refused = await asyncio.gather(*(sent(client, number) for number, client in enumerate(clients)))
            assert {each[:10] for each in refused} == {"451 4.3.0 "}
            proxy.rules = []
            taken = await asyncio.gather(*(sent(client, number) for number, client in enumerate(clients)))
            assert {each[:24] for each in taken} == {"250 2.0.0 Ok: queued as "}

    assert len(await stored(pipeline)) == 1 + CLIENTS * (2 if away == "queues" else 1)
    items = {SpoolItem.decode(each.text) for each in proxy.enqueued if each.queue == SUBMISSIONS}
    assert len(items) == 1 + CLIENTS * (2 if away == "tables" else 1)
    for item in items:  # one without a row comes again until it is given up
        await pipeline.work(Noted(SUBMISSIONS, item, 0.0))
    await pipeline.drain()
    arrived = Counter(recipient for each in sink.received for recipient in each.recipients)
    assert arrived == {f"{side}{number}@example.test": 1 for number in (99, *range(CLIENTS)) for side in "ab"}
