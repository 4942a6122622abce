"""Listening: each connection is accepted here, its client made known and counted, and then given to the protocol.

The sockets are accepted by hand, for two reasons: a PROXY header comes before TLS and must be read without a buffer that takes
more than it, and each TLS handshake begins with the certificate that is in use at that moment.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from email_core import maillog
from smtp_relay.door import Door, Visit
from smtp_relay.protocol import RelayProtocol
from smtp_relay.proxy import ProxyRefused, client_of
from smtp_relay.relay import Relay
from smtp_relay.replies import Reply

BACKLOG = 512
_NO_ROOM_SECONDS = 0.2  # pause when the process has no file descriptor left
_OUT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(frozen=True, slots=True)
class Port:
    """What is listened on: `name` is submission, tls or inbound, `number` 0 for a port that the system chooses."""

    name: str
    number: int
    implicit_tls: bool
    make_door: Callable[[Visit], Door]


class PortUnavailable(Exception):
    """A port can't be listened on; the text says which and why."""


class Listener:
    """Listens on one port until it is closed."""

    def __init__(self, relay: Relay, port: Port) -> None:
        self._relay = relay
        self._port = port
        self._opening: set[asyncio.Task[None]] = set()
        self._socket = listening_on(relay.options.host, port.number)
        self._accepting = asyncio.create_task(self._accept())

    @property
    def number(self) -> int:
        return int(self._socket.getsockname()[1])

    async def close(self) -> None:
        """Take no more connections. Those that are there stay."""
        self._accepting.cancel()
        with suppress(asyncio.CancelledError):
            await self._accepting
        self._socket.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, peer = await loop.sock_accept(self._socket)
            except OSError as error:
                if error.errno in _OUT_OF:
                    maillog.fault("smtp-accept", error=error)
                    await asyncio.sleep(_NO_ROOM_SECONDS)
                continue  # else the client was gone before it was accepted
            task = asyncio.create_task(self._open(connection, str(peer[0])))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket, peer: str) -> None:
        relay, counters = self._relay, self._relay.counters
        try:
            with suppress(OSError):  # not on every kind of socket
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = await self._client(connection, peer)
            visit = Visit(uuid.uuid4().hex[:12], client, self._port.name, secure=self._port.implicit_tls)
            protocol = RelayProtocol(relay, visit, self._port.make_door)
            protocol.opening = asyncio.current_task()
            refusal = relay.connections.admit(protocol, client)
            if refusal is not None:
                counters.add("connections_refused_total", reason=refusal.enhanced)
                await self._turn_away(connection, refusal)
                return
            counters.add("connections_total", port=self._port.name)
            await self._hand_over(connection, protocol)
        except ProxyRefused as error:
            counters.add("connections_refused_total", reason="proxy")
            maillog.refused(door="smtp", status=0, code="proxy", reason=str(error), request="")
            connection.close()
        except BaseException:
            connection.close()
            raise

    async def _client(self, connection: socket.socket, peer: str) -> str:
        if not self._relay.options.proxy_protocol:
            return peer
        return await client_of(connection, peer, self._relay.options.limits.proxy)

    async def _turn_away(self, connection: socket.socket, refusal: Reply) -> None:
        if not self._port.implicit_tls:
            with suppress(OSError):
                await asyncio.get_running_loop().sock_sendall(connection, refusal.encode())
        connection.close()

    async def _hand_over(self, connection: socket.socket, protocol: RelayProtocol) -> None:
        loop, relay = asyncio.get_running_loop(), self._relay
        secure = self._port.implicit_tls
        try:
            # As in `Conversation.smtp_STARTTLS`: a reset during the handshake would be waited for without an end.
            async with asyncio.timeout(relay.options.limits.handshake + 1.0):
                await loop.connect_accepted_socket(
                    lambda: protocol, connection, ssl=relay.certificates.context if secure else None,
                    ssl_handshake_timeout=relay.options.limits.handshake if secure else None,
                )  # fmt: skip
        except (OSError, asyncio.CancelledError) as error:  # no TLS, or the client is gone, or its place was needed
            relay.connections.leave(protocol)
            relay.counters.add("connections_refused_total", reason="tls")
            maillog.refused(door="smtp", status=0, code="tls", reason=repr(error), request=protocol.visit.id)
            connection.close()
        finally:
            protocol.opening = None


def listening_on(host: str, port: int) -> socket.socket:
    """A socket that listens, for IPv4 as well when `host` is `::`. Raises PortUnavailable."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server(
            (host, port), family=family, backlog=BACKLOG, dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6()
        )
    except OSError as error:
        why = (
            f"{error.strerror}; binding a port below 1024 takes the right to" if error.errno == errno.EACCES else error.strerror
        )
        remedy = "End the program that has it, or set another host or port (POSTRIDER_SMTP_HOST, POSTRIDER_SMTP_…_PORT)"
        raise PortUnavailable(f"port {port} of {host} can't be listened on: {why}. {remedy}") from error
    listening.setblocking(False)
    return listening
