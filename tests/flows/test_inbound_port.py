"""Port 25 as the Internet sees it."""

from __future__ import annotations

import asyncio
import smtplib
from functools import partial

import pytest

from smtp_relay.inbound import InboundDoor, build_inbound
from tests.flows.test_inbound import GONE, delivered, statuses
from tests.kit.pipeline import Pipeline
from tests.kit.receiver import Receiver
from tests.kit.smtp_relay import RelayFiles, running_relay
from tests.unit.delivery.bounce_texts import dsn

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
