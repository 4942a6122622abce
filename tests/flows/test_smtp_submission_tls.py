"""TLS of the SMTP server: what was said before it is forgotten, old versions are refused, and certificates are renewed."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.kit.pipeline import Pipeline
from tests.kit.smtp_relay import QUICK, RawClient, RelayFiles, RunningRelay, plain, running_relay

pytestmark = pytest.mark.peers


async def shown(relay: RunningRelay) -> bytes:
    """The certificate that a new client sees, in DER."""
    client = await relay.client("tls")
    found: bytes = client.writer.get_extra_info("ssl_object").getpeercert(True)
    await client.close()
    return found


async def test_commands_behind_starttls_are_dropped(relay: RunningRelay) -> None:
    client = await relay.client()
    await client.reply()
    await client.ask("EHLO client.test")
    await client.send(f"STARTTLS\r\nEHLO evil.test\r\nAUTH PLAIN {plain(relay.user, relay.password)}\r\n".encode())
    assert (await client.reply()).startswith("220 2.0.0 ")
    await client.start_tls(relay.files.trusting())
    # Were they kept, their replies would come first; and a greeting before TLS does not count after it.
    assert (await client.ask(f"AUTH PLAIN {plain(relay.user, relay.password)}")) == "503 5.5.1 Send EHLO first"
    assert (await client.ask("NOOP")).startswith("250 2.0.0 Ok")


async def test_octets_in_the_place_of_a_handshake_end_the_connection(relay: RunningRelay) -> None:
    client = await relay.client()
    await client.reply()
    assert (await client.ask("STARTTLS")).startswith("220 ")
    await client.send(b"EHLO evil.test\r\n" * 10)
    async with asyncio.timeout(10):
        rest = await client.reader.read()
    assert b"250" not in rest
    await relay.wait_until(lambda: len(relay.server.relay.connections) == 0, "the connection to be forgotten")


@pytest.mark.parametrize("name", ["submission", "tls"])
async def test_handshake_that_never_comes_ends(pipeline: Pipeline, relay_files: RelayFiles, name: str) -> None:
    async with running_relay(pipeline.services, relay_files, limits=replace(QUICK, handshake=0.3)) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port(name))
        client = RawClient(reader, writer)
        if name == "submission":
            await client.reply()
            await client.ask("STARTTLS")
        assert await client.is_closed()
        await relay.wait_until(lambda: len(relay.server.relay.connections) == 0, "the connection to be forgotten")


@pytest.mark.parametrize("name", ["submission", "tls"])
async def test_connection_that_is_reset_during_the_handshake_is_forgotten(
    pipeline: Pipeline, relay_files: RelayFiles, name: str
) -> None:
    async with running_relay(pipeline.services, relay_files, limits=replace(QUICK, handshake=0.5)) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port(name))
        client = RawClient(reader, writer)
        if name == "submission":
            await client.reply()
            await client.ask("STARTTLS")
        await client.send(b"\x16\x03\x01\x02\x00\x01")
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        await relay.wait_until(lambda: len(relay.server.relay.connections) == 0, "the connection to be forgotten")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_tls_1_1_is_refused(relay: RunningRelay) -> None:
    context = relay.files.trusting()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", relay.port("tls"), ssl=context, server_hostname="localhost")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _, writer = await asyncio.open_connection("127.0.0.1", relay.port("tls"), ssl=context, server_hostname="localhost")
    assert writer.get_extra_info("ssl_object").version() == "TLSv1.2"
    writer.close()


async def test_renewed_certificate_is_shown_without_a_restart(pipeline: Pipeline, relay_files: RelayFiles) -> None:
    async with running_relay(pipeline.services, relay_files, certificate_seconds=0.02) as relay:
        before, old = await shown(relay), relay.server.relay.certificates.context
        staying = await relay.greeted()
        written = relay_files.write()
        await relay.wait_until(lambda: relay.server.relay.certificates.context is not old, "the new certificate")
        after = await shown(relay)
        assert after != before
        assert ssl.DER_cert_to_PEM_cert(after).split() == written.decode().split()
        assert (await staying.ask("NOOP")).startswith("250 ")


async def test_expired_certificate_file_keeps_the_old_one_and_is_told(
    pipeline: Pipeline, relay_files: RelayFiles, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_relay(pipeline.services, relay_files, certificate_seconds=0.02) as relay:
        before, certificates = await shown(relay), relay.server.relay.certificates
        yesterday = datetime.now(UTC) - timedelta(days=1)
        relay_files.write(not_before=yesterday - timedelta(days=9), not_after=yesterday)
        await relay.wait_until(lambda: bool(certificates.problem), "the problem to be found")
        assert await shown(relay) == before
        assert "has expired on" in caplog.text
        relay_files.write()
        await relay.wait_until(lambda: not certificates.problem, "the problem to be over")
        assert await shown(relay) != before
