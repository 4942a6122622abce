"""A storage service that answers as a test says: statuses, a connection that breaks, or nothing at all."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from email_core.storage import Queues, Storage, Tables
from email_core.storage.account import Account, SharedKey
from email_core.storage.content import ContentStore
from email_core.storage.pipeline import Connection, Service

BREAK = "break"  # close the connection without an answer
STALL = "stall"  # read the request and never answer


@dataclass(frozen=True)
class Reply:
    """An answer of the server."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Received:
    """A request as it came over the wire; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class FaultyServer:
    """Gives its replies in order, the last of them for ever."""

    def __init__(self, replies: Sequence[Reply | str]) -> None:
        self._replies = list(replies)
        self.received: list[Received] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):  # the client has what it wanted
                await self._answer(reader, writer)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            self.received.append(await _request(head, reader))
            reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
            if reply == STALL:
                await reader.read()  # until the client gives up
            if not isinstance(reply, Reply):
                break
            writer.write(_response(reply))
            await writer.drain()


@asynccontextmanager
async def faulty_storage(*replies: Reply | str) -> AsyncIterator[tuple[Storage, FaultyServer]]:
    """A store whose account is a server with these replies. It does not wait between tries."""
    faulty = FaultyServer(replies)
    server = await asyncio.start_server(faulty.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    storage = storage_at(f"http://127.0.0.1:{port}/account")
    try:
        yield storage, faulty
    finally:
        await storage.close()
        server.close()


def storage_at(endpoint: str) -> Storage:
    """A store whose three services are at one endpoint, and which does not wait between tries."""
    account = Account(endpoint, endpoint, endpoint, SharedKey("account", base64.b64decode("a2V5")))
    counter: Counter[str] = Counter()
    connection = Connection(account, counter, backoff=0.0)
    return Storage(
        account,
        connection,
        Tables(Service(connection, "tables", endpoint, short_form=True)),
        Queues(Service(connection, "queues", endpoint), "base64"),
        ContentStore(Service(connection, "content", endpoint)),
        counter,
    )


async def _request(head: bytes, reader: asyncio.StreamReader) -> Received:
    first, *lines = head.decode().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines if line)}
    return Received(method, target, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


def _response(reply: Reply) -> bytes:
    headers = {"Content-Length": str(len(reply.body)), **reply.headers}
    lines = [f"HTTP/1.1 {reply.status} Said", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + reply.body
