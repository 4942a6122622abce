"""The header of the PROXY protocol, by which a TCP load balancer says who the client is. It comes before everything else.

It is read from the socket octet for octet, so that nothing of what follows it, a TLS handshake or a command, is touched.
"""

from __future__ import annotations

import asyncio
import socket

from aiosmtpd.proxy_protocol import V2_CMD, ProxyData, get_proxy

MOST_HEADER = 16 + 4096  # octets: the fixed part of version 2, and addresses with more additions than any balancer sends


class ProxyRefused(Exception):
    """There is no header that can be used; the text says why."""


class _SocketReader:
    """What aiosmtpd's parser reads from."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._most = MOST_HEADER

    async def read(self, n: int = -1) -> bytes:
        if n > self._most or n < 0:
            raise ProxyRefused(f"a PROXY header of more than {MOST_HEADER} octets")
        octets = await asyncio.get_running_loop().sock_recv(self._connection, n) if n else b""
        self._most -= len(octets)
        return octets

    async def readexactly(self, n: int) -> bytes:
        octets = b""
        while len(octets) < n:
            more = await self.read(n - len(octets))
            if not more:
                raise asyncio.IncompleteReadError(octets, n)
            octets += more
        return octets

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        octets = b""
        while not octets.endswith(separator):
            octets += await self.readexactly(1)
        return octets


async def client_of(connection: socket.socket, peer: str, seconds: float) -> str:
    """The client's address by the header; `peer`, the balancer's own, for a connection of its own. Raises ProxyRefused."""
    try:
        async with asyncio.timeout(seconds):
            header: ProxyData = await get_proxy(_SocketReader(connection))
    except (TimeoutError, OSError, EOFError) as error:
        raise ProxyRefused(f"no PROXY header from {peer}: {type(error).__name__}") from error
    # A health check of the balancer itself, whose addresses mean nothing, and need not be there; `whole_raw` is set once all
    # of the header was read.
    if header.version == 2 and header.command == V2_CMD.LOCAL and header.whole_raw:
        return peer
    if not header.valid or header.version != 2 or header.src_addr is None or isinstance(header.src_addr, bytes):
        raise ProxyRefused(f"no PROXY header of version 2 from {peer}: {header.error or 'another version or no address'}")
    return str(header.src_addr)
