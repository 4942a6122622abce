"""PIPELINING (RFC 2920): commands that come together are answered together, and no reply waits that somebody may need."""

from __future__ import annotations

from typing import Any

import pytest

from smtp_relay.wire import BLOCK
from tests.kit.smtp_relay import MESSAGE, SENDER, RawClient, RunningRelay

pytestmark = pytest.mark.peers

ENVELOPE = [f"MAIL FROM:<{SENDER}>", "RCPT TO:<ann@example.test>", "RCPT TO:<bob@example.test>"]
TAKEN = ["250 2.1.0 Ok", "250 2.1.5 Ok", "250 2.1.5 Ok"]


def octets(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()


def watched(relay: RunningRelay) -> list[list[str]]:
    """The replies that the one connection sends from now on, those that go out together in one list."""
    (connection,) = relay.server.relay.connections.all
    writer: Any = vars(connection)["_writer"]
    written: list[list[str]] = []
    write = writer.write

    def watch(octets: bytes) -> None:
        written.append(octets.decode().splitlines())
        write(octets)

    writer.write = watch
    return written


async def replies(client: RawClient, number: int) -> list[str]:
    return [await client.reply() for _ in range(number)]


async def test_replies_to_a_pipeline_go_out_together_and_in_order(relay: RunningRelay) -> None:
    client = await relay.logged_in()
    written = watched(relay)
    await client.send(octets(*ENVELOPE, "DATA"))
    found = await replies(client, 4)

    assert found[:3] == TAKEN
    assert found[3].startswith("354 ")
    assert written == [found]


async def test_refusal_in_a_pipeline_has_its_place(relay: RunningRelay) -> None:
    client = await relay.logged_in()
    written = watched(relay)
    await client.send(octets(ENVELOPE[0], "RCPT TO:<nobody>", ENVELOPE[1], "NONSENSE", "NOOP", ENVELOPE[2]))
    found = await replies(client, 6)

    assert [each[:3] for each in found] == ["250", "553", "250", "500", "250", "250"]
    assert written == [found[:4], found[4:5], found[5:]]


async def test_reply_does_not_wait_for_a_line_that_has_not_ended(relay: RunningRelay) -> None:
    client = await relay.logged_in()
    await client.send(octets(*ENVELOPE[:2]) + b"RCPT TO:<bob@exam")

    assert await replies(client, 2) == TAKEN[:2]


async def test_reply_to_a_message_does_not_wait_for_the_next_transaction(relay: RunningRelay) -> None:
    client = await relay.in_data()
    written = watched(relay)
    await client.send(MESSAGE + b".\r\n" + octets(*ENVELOPE))
    found = await replies(client, 4)

    assert found[0].startswith("250 2.0.0 Ok: queued as ")
    assert found[1:] == TAKEN
    assert written == [found[:1], found[1:]]


async def test_replies_to_an_endless_pipeline_do_not_pile_up(relay: RunningRelay) -> None:
    client = await relay.logged_in()
    written = watched(relay)
    await client.send(octets(ENVELOPE[0], *[ENVELOPE[1]] * 1000))
    found = await replies(client, 1001)

    assert found[:51] == [TAKEN[0], *[TAKEN[1]] * 50]
    assert all(each.startswith("452 4.5.3 ") for each in found[51:])
    assert max(sum(map(len, each)) for each in written) < 5000


async def test_replies_of_a_pipeline_that_ends_the_connection_are_sent_before_the_last(relay: RunningRelay) -> None:
    client = await relay.logged_in()
    await client.send(octets(*ENVELOPE, "QUIT"))
    found = await replies(client, 4)

    assert found[:3] == TAKEN
    assert found[3].startswith("221 ")
    assert await client.is_closed()


async def test_connection_with_tls_holds_no_more_than_a_block_for_what_is_read(relay: RunningRelay) -> None:
    await relay.logged_in()
    (connection,) = relay.server.relay.connections.all
    transport: Any = vars(connection)["transport"]

    assert len(transport._ssl_protocol._ssl_buffer) == BLOCK
