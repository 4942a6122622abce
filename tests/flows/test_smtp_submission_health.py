"""Health, readiness and counters of the SMTP server."""

from __future__ import annotations

import asyncio
import base64
import json
import socket

import pytest

from email_core.sealing import Sealer
from smtp_relay import health
from tests.kit.peers import require
from tests.kit.pipeline import Pipeline, build_pipeline
from tests.kit.smtp_relay import MESSAGE, RelayFiles, RunningRelay, plain, running_relay
from tests.kit.storage_proxy import Fault, Rule, StorageProxy

pytestmark = pytest.mark.peers


async def ask(relay: RunningRelay, path: str, method: str = "GET") -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port("health"))
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: probe.test\r\n\r\n".encode())
    async with asyncio.timeout(20):
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body


async def test_server_that_works_is_alive_and_ready(relay: RunningRelay) -> None:
    assert await ask(relay, "/health") == (200, '{"status":"alive"}')
    status, body = await ask(relay, "/ready")
    assert (status, json.loads(body)) == (
        200, {"status": "ready", "checks": {"storage": "ok", "certificate": "ok", "draining": "ok"}, "warnings": []}
    )  # fmt: skip
    assert (await ask(relay, "/other"))[0] == 404
    assert (await ask(relay, "/ready", "POST"))[0] == 405


async def test_storage_that_is_away_makes_it_not_ready_and_alive(
    azurite: str, relay_files: RelayFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "KEPT_SECONDS", 0.0)
    async with StorageProxy(azurite) as proxy:
        pipeline = await build_pipeline(proxy.connection_string, routes="capture://127.0.0.1:9")
        async with running_relay(pipeline.services, relay_files) as relay:
            proxy.rules = [Rule("tables.get", Fault.DROPPED, times=None)]
            status, body = await ask(relay, "/ready")
            assert (status, json.loads(body)["checks"]["certificate"]) == (503, "ok")
            assert "127.0.0.1" not in body
            assert (await ask(relay, "/health"))[0] == 200
            proxy.rules = []
            assert (await ask(relay, "/ready"))[0] == 200
        await pipeline.close()


async def test_sealing_key_of_another_installation_makes_it_not_ready(
    relay: RunningRelay, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "KEPT_SECONDS", 0.0)
    other = Sealer.from_setting(base64.b64encode(b"another installation's one key..").decode())
    with monkeypatch.context() as changed:
        changed.setattr(pipeline.services.directory, "_sealer", other)
        status, body = await ask(relay, "/ready")
    assert (status, "POSTRIDER_SEALING_KEY" in json.loads(body)["checks"]["storage"]) == (503, True)
    assert (await ask(relay, "/ready"))[0] == 200


async def test_certificate_files_that_are_broken_are_a_warning_until_the_one_in_use_expires(
    relay: RunningRelay, pipeline: Pipeline
) -> None:
    relay.files.key.write_bytes(b"no key")
    relay.server.relay.certificates.look()
    status, body = await ask(relay, "/ready")
    assert status == 200 and "certificate before still is" in json.loads(body)["warnings"][0]
    assert "postrider_smtp_certificate_problem 1\n" in (await ask(relay, "/metrics"))[1]
    pipeline.clock.advance(10 * 86400)
    status, body = await ask(relay, "/ready")
    assert (status, json.loads(body)["checks"]["certificate"]) == (503, "expired")


async def test_counters_tell_what_happened(relay: RunningRelay) -> None:
    client = await relay.in_data()
    await client.send(MESSAGE + b".\r\n")
    await client.reply()
    await client.ask("MAIL FROM:<a@foreign.test>")
    other = await relay.greeted()
    await other.ask(f"AUTH PLAIN {plain(relay.user, 'wrong')}")
    status, text = await ask(relay, "/metrics")
    lines = text.splitlines()
    assert status == 200
    for line in (
        "postrider_smtp_messages_accepted_total 1", f"postrider_smtp_bytes_total {len(MESSAGE)}",
        'postrider_smtp_refused_total{code="5.1.7",command="MAIL"} 1', 'postrider_smtp_logins_total{mechanism="PLAIN"} 1',
        'postrider_smtp_auth_failures_total{mechanism="PLAIN",reason="credentials"} 1',
        'postrider_smtp_connections{state="logged-in"} 1', 'postrider_smtp_connections{state="stranger"} 1',
        'postrider_smtp_connections_total{port="tls"} 2',
    ):  # fmt: skip
        assert line in lines


async def test_probes_that_say_nothing_take_no_more_than_fifty_places(relay: RunningRelay) -> None:
    silent = [await asyncio.open_connection("127.0.0.1", relay.port("health")) for _ in range(60)]
    async with asyncio.timeout(20):
        ended = [reader for reader, _ in silent[50:] if await reader.read() == b""]
    assert (len(ended), relay.server._health._probes) == (10, 50)
    for _, writer in silent:
        writer.close()
    await relay.wait_until(lambda: relay.server._health._probes == 0, "the places to be free")
    assert (await ask(relay, "/health"))[0] == 200


async def test_many_probes_at_once_ask_storage_once(relay: RunningRelay, pipeline: Pipeline) -> None:
    before = pipeline.storage.round_trips["tables.get"]
    assert {status for status, _ in await asyncio.gather(*(ask(relay, "/ready") for _ in range(20)))} == {200}
    assert pipeline.storage.round_trips["tables.get"] == before + 1


async def test_health_of_a_server_at_all_addresses_is_reached_by_ipv4_and_ipv6(
    pipeline: Pipeline, relay_files: RelayFiles
) -> None:
    require(socket.has_dualstack_ipv6(), "sockets for IPv4 and IPv6 at once")
    async with running_relay(pipeline.services, relay_files, host="::") as relay:
        for address in ("127.0.0.1", "::1"):
            for name, expected in (("health", b"HTTP/1.1 200"), ("submission", b"220 ")):
                reader, writer = await asyncio.open_connection(address, relay.port(name))
                writer.write(b"GET /health HTTP/1.1\r\n\r\n" if name == "health" else b"")
                assert (await reader.readline()).startswith(expected)
                writer.close()


async def test_probe_that_says_nothing_or_too_much_does_no_harm(relay: RunningRelay) -> None:
    for octets in (b"", b"\r\n\r\n", b"\xff\r\n\r\n", b"GET /" + b"x" * 20_000):
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port("health"))
        writer.write(octets)
        writer.write_eof()
        async with asyncio.timeout(20):
            await reader.read()
        writer.close()
    assert (await ask(relay, "/health"))[0] == 200
