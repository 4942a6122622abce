"""The SMTP server is killed while it takes what came back on port 25: whoever sent it sends it again, and it counts once.

The server is a process, and between it and storage is a proxy that stalls one request; there it is killed. The sender, which
saw no 250, comes again to the next server. That is done at every request that a report makes, and after the last one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

import pytest

from email_core.delivery.spool import SpoolItem
from email_core.message.address import parse_address
from email_core.submission.accept import Accepted
from email_core.suppression.unsubscribe_token import make_token
from smtp_relay.inbound import build_inbound
from tests.flows.test_inbound import GONE, kinds, managed, on_list, statuses
from tests.flows.test_smtp_submission_process import environment, process
from tests.kit.mime_submission import mime, submit
from tests.kit.pipeline import DELIVERIES, DOMAIN, Noted, Pipeline, build_pipeline, draft_to
from tests.kit.receiver import Receiver
from tests.kit.smtp_relay import RawClient, RelayFiles
from tests.kit.storage_proxy import Fault, Rule, StorageProxy
from tests.kit.suppression import notice
from tests.unit.returns.bounce_texts import dsn, words
from tests.unit.returns.test_arf_report import arf

pytestmark = [pytest.mark.peers, pytest.mark.long, pytest.mark.timeout(600)]

TAKEN = "250 2.0.0 Ok: noted"
WITHIN = 60.0  # seconds for anything that another process does


@dataclass
class Case:
    """A message that was delivered to `recipient`, and what comes back about it: to `address`, with this content."""

    recipient: str
    accepted: Accepted
    address: str
    content: bytes


@dataclass
class Port25:
    """Servers one after the other before one storage: the next one is started when the last one was killed."""

    pipeline: Pipeline
    files: RelayFiles
    proxy: StorageProxy
    _server: asyncio.subprocess.Process | None = None
    _ports: dict[str, int] = field(default_factory=dict)
    _running: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def taken(self, case: Case, stalled: Rule | None = None) -> str:
        """Send a report; the reply, empty when the server is killed before it, because the rule strikes."""
        if self._server is None:
            variables = environment(self.pipeline, self.files, AzureWebJobsStorage=self.proxy.connection_string)
            self._server, self._ports = await self._running.enter_async_context(process(variables))
        self.proxy.requests.clear()
        self.proxy.rules = [stalled] if stalled else []
        sending = asyncio.create_task(_send(self._ports["inbound"], case))
        async with asyncio.timeout(WITHIN):
            while not sending.done() and not any(each.fault for each in self.proxy.requests):
                await asyncio.sleep(0.005)
        if not sending.done():
            await self.kill()
        return await sending

    async def kill(self) -> None:
        if self._server is not None:
            self._server.kill()
            self._server = None
        await self._running.aclose()


async def _send(port: int, case: Case) -> str:
    """The last reply that came; empty when the server was gone before."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = RawClient(reader, writer)
    reply = await client.reply()
    with suppress(ConnectionError):
        for line in ("EHLO mx.fabrikam.test", "MAIL FROM:<>", f"RCPT TO:<{case.address}>", "DATA"):
            if reply:
                reply = await asyncio.wait_for(client.ask(line), WITHIN)
        if reply:
            assert reply.startswith("354 "), reply
            await client.send(case.content)
            reply = await asyncio.wait_for(client.ask("."), WITHIN)
    await client.close()
    return reply


def octets(raw: str) -> bytes:
    """A message as it goes over the wire, before the dot."""
    return raw.rstrip("\n").replace("\n", "\r\n").encode() + b"\r\n"


async def delivered(pipeline: Pipeline, sink: Receiver, recipient: str) -> tuple[Accepted, str]:
    """A message that came by SMTP and was delivered, and the reverse-path that it had."""
    accepted = await submit(pipeline, mime(), recipient)
    await pipeline.drain()
    return accepted, sink.received[-1].reverse_path


async def bounce(pipeline: Pipeline, sink: Receiver, recipient: str) -> Case:
    accepted, path = await delivered(pipeline, sink, recipient)
    return Case(recipient, accepted, path, octets(dsn(GONE.format(recipient))))


async def complaint(pipeline: Pipeline, sink: Receiver, recipient: str) -> Case:
    accepted, path = await delivered(pipeline, sink, recipient)
    raw = arf(f"Feedback-Type: abuse\nOriginal-Mail-From: <{path}>\nOriginal-Rcpt-To: {recipient}", returned="Subject: x\n")
    return Case(recipient, accepted, build_inbound(pipeline.services).complaint_addresses[0], raw.rstrip(b"\r\n") + b"\r\n")


async def leaving(pipeline: Pipeline, sink: Receiver, recipient: str) -> Case:
    accepted, _ = await delivered(pipeline, sink, recipient)
    key_id, key = next(iter(build_inbound(pipeline.services).unsubscribe_keys.items()))
    domain = pipeline.provisioner.domain_id("email", DOMAIN)
    token = make_token(domain_id=domain, recipient=parse_address(recipient), key_id=key_id, key=key)
    address = f"unsubscribe+{token}@{pipeline.services.settings.bounce_domain}"
    return Case(recipient, accepted, address, octets(words("", sender=recipient, subject="unsubscribe")))


async def bounced_once(pipeline: Pipeline, proxy: StorageProxy, case: Case) -> None:
    row = await pipeline.row(case.accepted)
    assert ([str(entry.status) for entry in row.ledger.entries], kinds(row)) == (["Bounced"], ["returned"])
    held = await managed(pipeline, case.recipient)
    assert held is not None and (held.lease.bounces, held.lease.bounce_class) == (1, "invalid_recipient")
    items = [each for each in proxy.enqueued if each.queue == "notices" and case.accepted.operation_id in each.text]
    assert items  # the submitter is told, however often it is to be looked at
    reports = len(pipeline.queues.noted)
    for _ in items:
        await pipeline.work(Noted("notices", SpoolItem.decode(items[0].text), 0.0))
    stored = [each for each in pipeline.queues.noted[reports:] if each.queue == DELIVERIES]
    assert len({each.item.message for each in stored}) == 1
    pipeline.queues.noted.clear()


async def complained_once(pipeline: Pipeline, proxy: StorageProxy, case: Case) -> None:
    row = await pipeline.row(case.accepted)
    assert ([str(entry.status) for entry in row.ledger.entries], kinds(row)) == (["Delivered"], ["complaint"])
    held = await managed(pipeline, case.recipient)
    assert held is not None and (held.lease.bounces, held.lease.bounce_class) == (0, "complaint")


async def listed_once(pipeline: Pipeline, proxy: StorageProxy, case: Case) -> None:
    listed = Counter(email for email, _ in await on_list(pipeline))
    assert listed[case.recipient] == 1
    notice(pipeline)


Make = Callable[[Pipeline, Receiver, str], Awaitable[Case]]
Check = Callable[[Pipeline, StorageProxy, Case], Awaitable[None]]


@pytest.mark.parametrize(
    ("make", "check"),
    [(bounce, bounced_once), (complaint, complained_once), (leaving, listed_once)],
    ids=["bounce", "complaint", "unsubscribe"],
)
async def test_report_whose_server_is_killed_at_any_request_counts_once_when_it_comes_again(
    azurite: str, sink: Receiver, relay_files: RelayFiles, make: Make, check: Check
) -> None:
    killed_at: list[str] = []
    reply = ""
    async with StorageProxy(azurite) as proxy:
        while reply != TAKEN:  # then it makes no more requests than it was killed at
            pipeline = await build_pipeline(azurite, routes=f"capture://127.0.0.1:{sink.port}")  # nobody has heard of it yet
            port = Port25(pipeline, relay_files, proxy)
            try:
                case = await make(pipeline, sink, "ann@fabrikam.test")
                reply = await port.taken(case, Rule("", Fault.STALLED, number=len(killed_at) + 1))
                last = proxy.requests[-1]
                killed_at.append(f"{last.operation} {last.name}")
                if reply == TAKEN:
                    await port.kill()  # its sender did not see the reply
                assert await port.taken(case) == TAKEN, f"killed at {killed_at}"
                await check(pipeline, proxy, case)
                again = await pipeline.accept(draft_to(case.recipient))
                await pipeline.drain()
                assert await statuses(pipeline, again) == {case.recipient: "Suppressed"}
            finally:
                await port.kill()
                await pipeline.close()
    assert {"tables.merge messages", "tables.insert suppressions"} & set(killed_at), killed_at
