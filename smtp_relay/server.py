"""The server: its ports, its certificate, its health, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from email_core import maillog
from email_core.services import Services
from smtp_relay import replies
from smtp_relay.certificates import CertificateFiles
from smtp_relay.connections import Connections
from smtp_relay.counters import Counters
from smtp_relay.credentials import Credentials
from smtp_relay.door import Door, Visit
from smtp_relay.health import Health
from smtp_relay.listeners import Listener, Port
from smtp_relay.lockout import Lockout
from smtp_relay.login import Logins
from smtp_relay.options import RelayOptions
from smtp_relay.relay import Relay
from smtp_relay.session import SubmissionDoor

_FAREWELL_SECONDS = 2.0  # for the last replies to go out


class Server:
    """Runs from `start` to `stop`."""

    def __init__(
        self,
        services: Services,
        options: RelayOptions,
        inbound: Callable[[Visit], Door] | None = None,
        counters: Counters | None = None,
    ) -> None:
        """`inbound` makes the doors of the port for reports, which count in `counters`. Raises CertificateUnusable."""
        counters = counters or Counters()
        self._credentials = Credentials(services)
        self.relay = Relay(
            services=services,
            options=options,
            certificates=CertificateFiles(options.certificate, options.key, services.clock),
            connections=Connections(
                members=options.connections, per_user=options.per_user, strangers=options.strangers,
                per_address=options.per_address,
            ),
            logins=Logins(
                self._credentials, Lockout(), counters, services.clock, failed_seconds=options.limits.failed_login
            ),
            counters=counters,
        )  # fmt: skip
        self._inbound = inbound
        self._listeners: dict[str, Listener] = {}
        self._health = Health(self.relay)
        self._watch: asyncio.Task[None] | None = None
        self._hurried = asyncio.Event()

    async def start(self) -> None:
        """Listen. Raises PortUnavailable."""
        options = self.relay.options
        submission = self._submission_door
        ports = [
            Port("submission", options.submission_port, False, submission),
            Port("tls", options.tls_port, True, submission),
        ]
        if self._inbound is not None:
            ports.append(Port("inbound", options.inbound_port, False, self._inbound))
        for port in ports:
            if port.number or options.any_port:
                self._listeners[port.name] = Listener(self.relay, port)
        await self._health.start(options.host, options.health_port, any_port=options.any_port)
        self._watch = asyncio.create_task(self.relay.certificates.watch(options.certificate_seconds))
        maillog.relay_started(
            options.host, ports=" ".join(f"{name}:{self.port(name)}" for name in self._listeners),
            expires=self.relay.certificates.expires,
        )  # fmt: skip

    def port(self, name: str) -> int:
        """The number of a port that is listened on: submission, tls, inbound or health."""
        return self._health.port if name == "health" else self._listeners[name].number

    def listens(self, name: str) -> bool:
        """Whether there is such a port."""
        return bool(self._health.port) if name == "health" else name in self._listeners

    async def stop(self) -> None:
        """Take no more connections, let transactions end, tell the others to go, and be gone after `limits.drain` at most.

        What has come to its final dot is waited for a little longer, also after `hurry`.
        """
        relay = self.relay
        relay.draining = True
        began = len(relay.connections)
        await asyncio.gather(*(listener.close() for listener in self._listeners.values()))
        for connection in relay.connections.all:
            connection.interrupt(replies.DRAINING)
        hurried = asyncio.create_task(self._hurried.wait())
        await self._wait_until_empty(relay.options.limits.drain, hurried)
        hurried.cancel()
        cut = len(relay.connections)
        for connection in relay.connections.all:
            connection.dismiss(replies.DRAINING)
        await self._wait_until_empty(_FAREWELL_SECONDS)
        if relay.running:  # whatever is half stored is found by the sweeper, or by nobody
            await asyncio.wait(relay.running, timeout=_FAREWELL_SECONDS)
        maillog.relay_stopped(connections=began, cut=cut)
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        await self._health.stop()

    def hurry(self) -> None:
        """Do not let transactions end: whoever asked to stop asks again."""
        self._hurried.set()

    async def _wait_until_empty(self, seconds: float, *ends: asyncio.Task[Any]) -> None:
        empty = asyncio.create_task(self.relay.connections.empty())
        await asyncio.wait((empty, *ends), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        empty.cancel()

    def _submission_door(self, visit: Visit) -> Door:
        relay = self.relay
        return SubmissionDoor(relay.services, self._credentials, relay.options, relay.counters, visit)
