"""Health over plain HTTP on a port of its own: for probes, and for what collects counters. It tells no detail and no secret."""

from __future__ import annotations

import asyncio
import json
import math
from contextlib import suppress

from email_core import maillog
from email_core.errors import EntityMissing, StorageRefused, StorageUnavailable
from email_core.sealing import SealingError
from smtp_relay.listeners import listening_on
from smtp_relay.relay import Relay
from smtp_relay.sealing_check import CHECK_SECONDS, check_sealing_key

KEPT_SECONDS = 5.0  # how long an answer of storage is told again: who asks for health often must not load it
_HEAD_SECONDS = 5.0
_MOST_HEAD = 8 * 1024
_MOST_AT_ONCE = 50  # probes: each takes a file descriptor, and mail needs those

_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}
_JSON, _TEXT = "application/json", "text/plain; version=0.0.4; charset=utf-8"


class Health:
    """`/health`: the process is alive. `/ready`: it can take mail. `/metrics`: counters."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._server: asyncio.Server | None = None
        self._storage = ("", -math.inf)  # state, and when it was found out
        self._asking = asyncio.Lock()
        self._probes = 0

    async def start(self, host: str, port: int, *, any_port: bool) -> None:
        """Listen, unless `port` is 0. Raises PortUnavailable."""
        if not port and not any_port:
            return
        self._server = await asyncio.start_server(self._serve, sock=listening_on(host, port), limit=_MOST_HEAD)

    @property
    def port(self) -> int:
        return int(self._server.sockets[0].getsockname()[1]) if self._server is not None else 0

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._probes >= _MOST_AT_ONCE:
            writer.close()
            return
        self._probes += 1
        try:
            await self._exchange(reader, writer)
        finally:
            self._probes -= 1
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_HEAD_SECONDS + CHECK_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
                status, kind, body = await self._answer(method, target.partition("?")[0])
                lines = [
                    f"HTTP/1.1 {status} {_REASONS[status]}", f"Content-Type: {kind}", f"Content-Length: {len(body)}",
                    "Cache-Control: no-store", "Connection: close", "", "",
                ]  # fmt: skip
                writer.write("\r\n".join(lines).encode() + (b"" if method == "HEAD" else body))
                await writer.drain()

    async def _answer(self, method: str, path: str) -> tuple[int, str, bytes]:
        if method not in ("GET", "HEAD"):
            return 405, _JSON, b'{"error":"use GET"}'
        match path:
            case "/health":
                return 200, _JSON, b'{"status":"alive"}'
            case "/ready":
                checks = await self._checks()
                ready = all(state == "ok" for state in checks.values())
                told = {"status": "ready" if ready else "not ready", "checks": checks, "warnings": self._warnings()}
                return 200 if ready else 503, _JSON, json.dumps(told).encode()
            case "/metrics":
                return 200, _TEXT, self._metrics().encode()
        return 404, _JSON, b'{"error":"there are /health, /ready and /metrics"}'

    async def _checks(self) -> dict[str, str]:
        usable = self._relay.services.clock.now() < self._relay.certificates.expires
        return {
            "storage": await self._storage_state(),
            "certificate": "ok" if usable else "expired",
            "draining": "yes" if self._relay.draining else "ok",
        }

    def _warnings(self) -> list[str]:
        # A new file that can't be used takes nobody out of service while the certificate before is good.
        problem = self._relay.certificates.problem
        return ["the certificate files can't be used, and the certificate before still is; the log says why"] if problem else []

    async def _storage_state(self) -> str:
        async with self._asking:  # one asks, and those who came meanwhile get what it was told
            return await self._told_by_storage()

    async def _told_by_storage(self) -> str:
        clock = self._relay.services.clock
        state, since = self._storage
        if clock.monotonic() - since < KEPT_SECONDS:
            return state
        try:
            await check_sealing_key(self._relay.services.directory)
            state = "ok"
        except SealingError as error:
            maillog.fault("smtp-health", error=error)
            state = "POSTRIDER_SEALING_KEY does not open what is stored; the log says with which key it was sealed"
        except (StorageUnavailable, StorageRefused, EntityMissing, TimeoutError) as error:
            maillog.fault("smtp-health", error=error)
            state = "storage does not answer, or refuses; the log has the answer"
        self._storage = (state, clock.monotonic())
        return state

    def _metrics(self) -> str:
        relay = self._relay
        members = relay.connections.members
        return relay.counters.text(
            {
                ("connections", (("state", "logged-in"),)): members,
                ("connections", (("state", "stranger"),)): len(relay.connections) - members,
                ("certificate_expires", ()): relay.certificates.expires,
                ("certificate_problem", ()): float(bool(relay.certificates.problem)),
            }
        )
