"""Port 25 as the Internet sees it."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from functools import partial
from typing import BinaryIO

import pytest

from email_core.returns.mime_parts import MAX_BYTES
from smtp_relay.door import Visit
from smtp_relay.inbound import MAX_RECIPIENTS, Inbound, InboundDoor, build_inbound
from smtp_relay.replies import Reply
from tests.flows.test_inbound import GONE, delivered, statuses
from tests.kit.pipeline import Pipeline
from tests.kit.receiver import Receiver
from tests.kit.smtp_relay import RelayFiles, running_relay
from tests.unit.returns.bounce_texts import dsn

pytestmark = pytest.mark.peers


async def test_port_25_takes_a_bounce_over_smtp_and_refuses_everybody_else(
    pipeline: Pipeline, sink: Receiver, relay_files: RelayFiles
) -> None:
    accepted, path = await delivered(pipeline, sink, "gone@fabrikam.test")
    inbound = build_inbound(pipeline.services)
    async with running_relay(pipeline.services, relay_files, inbound=partial(InboundDoor, inbound)) as relay:
        code, replies = await asyncio.to_thread(_say, relay.port("inbound"), path, dsn(GONE.format("gone@fabrikam.test")))
    assert (code, replies) == (250, [550, 550])
    assert await statuses(pipeline, accepted) == {"gone@fabrikam.test": "Bounced"}


def _say(port: int, path: str, raw: str) -> tuple[int, list[int]]:
    """A bounce as a mail server sends it; the replies to it, and to recipients that are none of ours."""
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.ehlo("mx.fabrikam.test")
        client.mail("")
        refused = [client.rcpt(address)[0] for address in ("ann@contoso.test", "postmaster@bounce.postrider.test")]
        client.rcpt(path)
        return client.data(raw.replace("\n", "\r\n").encode())[0], refused


async def test_report_that_returns_a_large_message_is_taken_and_its_beginning_kept(
    pipeline: Pipeline, sink: Receiver, relay_files: RelayFiles
) -> None:
    accepted, path = await delivered(pipeline, sink, "gone@fabrikam.test")
    door = KeepingDoor(build_inbound(pipeline.services))
    returned = ("x" * 70 + "\n") * (8 * 2**20 // 71) + "y" * 60_000  # a line of that length, too
    raw = dsn(GONE.format("gone@fabrikam.test")).replace("Body with 550", f"{returned}\nBody with 550")
    async with running_relay(pipeline.services, relay_files, inbound=door) as relay:
        code, _ = await asyncio.to_thread(_say, relay.port("inbound"), path, raw)
    assert (code, door.kept) == (250, [MAX_BYTES])
    assert await statuses(pipeline, accepted) == {"gone@fabrikam.test": "Bounced"}


async def test_report_that_is_larger_than_any_message_of_ours_is_refused(
    pipeline: Pipeline, sink: Receiver, relay_files: RelayFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted, path = await delivered(pipeline, sink, "gone@fabrikam.test")
    monkeypatch.setattr(InboundDoor, "max_bytes", 100_000)
    raw = dsn(GONE.format("gone@fabrikam.test")) + "x\n" * 50_000
    async with running_relay(
        pipeline.services, relay_files, inbound=partial(InboundDoor, build_inbound(pipeline.services))
    ) as relay:
        code, _ = await asyncio.to_thread(_say, relay.port("inbound"), path, raw)
        declared = await asyncio.to_thread(_declare, relay.port("inbound"), 100_001)
    assert (code, declared) == (552, 552)
    assert await statuses(pipeline, accepted) == {"gone@fabrikam.test": "Delivered"}


async def test_port_25_offers_tls_and_no_login_and_tells_nobody_who_is_here(
    pipeline: Pipeline, sink: Receiver, relay_files: RelayFiles
) -> None:
    _, path = await delivered(pipeline, sink, "ann@fabrikam.test")
    async with running_relay(
        pipeline.services, relay_files, inbound=partial(InboundDoor, build_inbound(pipeline.services))
    ) as relay:
        offered, codes = await asyncio.to_thread(_ask, relay.port("inbound"), path)
    assert {"starttls", "pipelining", "size", "8bitmime", "smtputf8"} <= offered["clear"]
    assert "starttls" not in offered["tls"]
    assert all("auth" not in each for each in offered.values())
    # AUTH in the clear and by TLS, VRFY of one that is taken and of one that is not, EXPN.
    assert codes["login"] == [502, 502]
    assert codes["names"] == [252, 252, 502]
    assert codes["recipients"] == [250] * MAX_RECIPIENTS + [452]


class KeepingDoor:
    """Makes doors that note how much of a message they are handed."""

    def __init__(self, inbound: Inbound) -> None:
        self.inbound = inbound
        self.kept: list[int] = []

    def __call__(self, visit: Visit) -> InboundDoor:
        door = InboundDoor(self.inbound, visit)
        take = door.message

        async def noted(content: BinaryIO, size: int) -> Reply:
            self.kept.append(content.seek(0, 2))
            content.seek(0)
            return await take(content, size)

        door.message = noted  # type: ignore[method-assign]
        return door


def _declare(port: int, size: int) -> int:
    """The reply to MAIL with that size."""
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.ehlo("mx.fabrikam.test")
        return client.mail("", [f"size={size}"])[0]


def _ask(port: int, path: str) -> tuple[dict[str, set[str]], dict[str, list[int]]]:
    """What is offered before and by TLS, and the replies to what a stranger tries."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.ehlo("mx.fabrikam.test")
        offered = {"clear": set(client.esmtp_features)}
        login = [client.docmd("AUTH", "PLAIN AGFubgB4")[0]]
        client.starttls(context=context)
        client.ehlo("mx.fabrikam.test")
        offered["tls"] = set(client.esmtp_features)
        login.append(client.docmd("AUTH", "PLAIN AGFubgB4")[0])
        names = [client.docmd("VRFY", path)[0], client.docmd("VRFY", "nobody")[0], client.docmd("EXPN", "list")[0]]
        client.mail("anybody@else.test")
        recipients = [client.rcpt(path)[0] for _ in range(MAX_RECIPIENTS + 1)]
    return offered, {"login": login, "names": names, "recipients": recipients}
