"""The PROXY protocol: who the client is when a TCP load balancer stands before the SMTP server."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from tests.kit.pipeline import Pipeline
from tests.kit.smtp_relay import SENDER, RawClient, RelayFiles, RunningRelay, add_user, change_service, plain, running_relay

pytestmark = pytest.mark.peers

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def header(client: str, *, command: int = 1, more: bytes = b"") -> bytes:
    """A header of version 2 for TCP over IPv4, or over IPv6."""
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    server = "::1" if ":" in client else "127.0.0.1"
    addresses = socket.inet_pton(family, client) + socket.inet_pton(family, server) + struct.pack("!HH", 40000, 465) + more
    protocol = 0x21 if ":" in client else 0x11
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, protocol, len(addresses)) + addresses


@pytest.fixture
async def behind(pipeline: Pipeline, relay_files: RelayFiles) -> AsyncIterator[RunningRelay]:
    user, password = await add_user(pipeline)
    async with running_relay(pipeline.services, relay_files, proxy_protocol=True, per_address=2) as relay:
        relay.user, relay.password = user, password
        yield relay


async def connect(relay: RunningRelay, first: bytes, *, name: str = "submission") -> RawClient:
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port(name))
    client = RawClient(reader, writer)
    await client.send(first)
    if name == "tls":
        await client.start_tls(relay.files.trusting())
    return client


@pytest.mark.parametrize("name", ["submission", "tls"])
@pytest.mark.parametrize("address", ["203.0.113.9", "2001:db8::9"])
async def test_client_is_whom_the_header_names(
    behind: RunningRelay, name: str, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    client = await connect(behind, header(address, more=b"\x04\x00\x03abc"), name=name)
    assert (await client.reply()).startswith("220 ")
    await client.ask("EHLO client.test")
    if name == "tls":
        assert (await client.ask(f"AUTH PLAIN {plain(behind.user, behind.password)}")).startswith("235 ")
        assert f"client={address} " in caplog.text


async def test_limit_of_an_address_is_that_of_the_client_and_not_of_the_balancer(behind: RunningRelay) -> None:
    clients = [await connect(behind, header("203.0.113.9")) for _ in range(3)]
    assert [(await client.reply())[:9] for client in clients] == ["220 smtp.", "220 smtp.", "421 4.7.0"]
    other = await connect(behind, header("203.0.113.10"))
    assert (await other.reply()).startswith("220 ")


@pytest.mark.parametrize(
    "first",
    [
        SIGNATURE + struct.pack("!BBH", 0x20, 0, 0), SIGNATURE + struct.pack("!BBH", 0x20, 0x11, 0),
        SIGNATURE + struct.pack("!BBH", 0x20, 0, 6) + b"\x04\x00\x03abc", header("203.0.113.9", command=0),
    ],
    ids=["empty", "family-alone", "additions", "addresses"],
)  # fmt: skip
async def test_health_check_of_the_balancer_is_its_own_client(
    behind: RunningRelay, first: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever addresses the header has, it is LOCAL, and they mean nothing."""
    caplog.set_level("INFO")
    client = await connect(behind, first, name="tls")
    assert (await client.reply()).startswith("220 ")
    await client.ask("EHLO client.test")
    assert (await client.ask(f"AUTH PLAIN {plain(behind.user, behind.password)}")).startswith("235 ")
    assert "client=127.0.0.1 " in caplog.text


@pytest.mark.parametrize(
    "first",
    [
        b"EHLO client.test\r\n", b"PROXY TCP4 203.0.113.9 127.0.0.1 40000 465\r\n", header("203.0.113.9")[:20],
        SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 65535) + b"x" * 10_000, SIGNATURE[:5] + b"x" * 40,
        SIGNATURE + struct.pack("!BBH", 0x21, 0, 0), SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 3) + b"abc",
        SIGNATURE + struct.pack("!BBH", 0x21, 0x31, 216) + b"/" * 216, SIGNATURE + struct.pack("!BBH", 0x11, 0x11, 0),
        header("203.0.113.9", command=7),
    ],
    ids=["none", "version-1", "cut", "huge", "other", "no-address", "short", "unix", "version-0", "command"],
)  # fmt: skip
async def test_connection_without_a_header_that_can_be_used_is_closed(behind: RunningRelay, first: bytes) -> None:
    client = await connect(behind, first)
    client.writer.write_eof()
    assert await client.is_closed()
    assert len(behind.server.relay.connections) == 0


async def login(relay: RunningRelay, address: str) -> tuple[RawClient, str]:
    """A connection from there, and the reply to its log-in."""
    client = await connect(relay, header(address), name="tls")
    await client.reply()
    await client.ask("EHLO client.test")
    return client, await client.ask(f"AUTH PLAIN {plain(relay.user, relay.password)}")


async def test_service_without_public_network_access_takes_nobody_from_the_internet(
    behind: RunningRelay, pipeline: Pipeline
) -> None:
    staying, reply = await login(behind, "203.0.113.9")
    assert reply.startswith("235 ")
    await change_service(pipeline, public_network_access="Disabled")
    assert (await login(behind, "203.0.113.10"))[1] == "535 5.7.3 Authentication unsuccessful"
    inside, reply = await login(behind, "10.0.0.9")
    assert reply.startswith("235 ") and (await inside.ask(f"MAIL FROM:<{SENDER}>")).startswith("250 ")
    assert (await staying.ask(f"MAIL FROM:<{SENDER}>")).startswith("421 4.7.0 The log-in does not hold any more")
