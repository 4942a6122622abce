"""The connections of the storage pipeline: how answers may come, when a connection is used again, and what breaks one."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from azure.core.exceptions import (
    ServiceRequestError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)

from email_core.storage.transport import StorageRequest, StorageResponse, StorageTransport
from tests.kit.server_tls import ServerTls, server_tls

__all__ = ["server_tls"]

Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: one\r\n\r\nok"


class Server:
    """Has a conversation with each connection, and counts them. `client` is what asks it."""

    client: StorageTransport

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self.connections = 0
        self.open = 0
        self.most_open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._conversation(reader, writer)
        finally:
            self.open -= 1
            writer.close()


def saying(*answers: bytes) -> Conversation:
    """Each request gets the next answer; after the last one the connection is closed."""

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await request_of(reader)
            writer.write(answer)
            await writer.drain()

    return conversation


async def request_of(reader: asyncio.StreamReader) -> bytes:
    """A request, with its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((line[15:] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), b"0")
    return head + await reader.readexactly(int(length))


@asynccontextmanager
async def serving(
    conversation: Conversation, *, tls: ssl.SSLContext | None = None, **changes: float
) -> AsyncIterator[tuple[Server, Callable[..., Awaitable[StorageResponse]]]]:
    """A server, and how to ask it something."""
    served = Server(conversation)
    listening = await asyncio.start_server(served.serve, "127.0.0.1", 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    limits: dict[str, float] = {"connections": 8, "keep_alive": 30.0, "connect_timeout": 5.0, "read_timeout": 5.0, **changes}
    transport = served.client = StorageTransport(**limits)  # type: ignore[arg-type]

    async def ask(method: str = "GET", body: bytes | AsyncIterable[bytes] = b"", **headers: str) -> StorageResponse:
        url = f"{'https' if tls else 'http'}://localhost:{port}/account/things?x=%2F"
        sent = {**headers, **({"Content-Length": str(len(body))} if isinstance(body, bytes) and body else {})}
        return await transport.send(StorageRequest("tables.get", method, url, sent, body))

    try:
        yield served, ask
    finally:
        await transport.close()
        listening.close()


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (OK, 200, b"ok"),
        (b"HTTP/1.1 204 No Content\r\nETag: one\r\n\r\n", 204, b""),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nETag: one\r\n\r\n", 404, b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: one\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n", 200, b"ok"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ok"),
    ],
    ids=["length", "none", "empty", "chunked", "continue"],
)
@pytest.mark.parametrize("at_once", [True, False], ids=["whole", "piecemeal"])
async def test_answer_in_any_form_is_read_and_the_connection_used_again(
    answer: bytes, status: int, body: bytes, at_once: bool
) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await request_of(reader):
            for start in range(0, len(answer), len(answer) if at_once else 1):
                writer.write(answer[start : start + (len(answer) if at_once else 1)])
                await writer.drain()
                await asyncio.sleep(0)

    async with serving(conversation) as (server, ask):
        for _ in range(2):
            answered = await ask()
            assert (answered.status_code, answered.headers.get("etag"), answered.content) == (status, "one", body)
    assert server.connections == 1


async def test_request_goes_over_the_wire_as_it_stands() -> None:
    asked: list[bytes] = []

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await request_of(reader):
            asked.append(request)
            writer.write(OK)

    async with serving(conversation) as (_, ask):
        await ask("PUT", b"body", Accept="application/json")
        await ask("PUT")
        await ask("DELETE")
    lines = [request.split(b"\r\n") for request in asked]
    assert lines[0][0] == b"PUT /account/things?x=%2F HTTP/1.1"
    assert lines[0][-1] == b"body"
    assert {b"Accept: application/json", b"Content-Length: 4"} < set(lines[0])
    assert b"Content-Length: 0" in lines[1]
    assert not any(line.startswith((b"Accept-Encoding", b"Content-Type", b"User-Agent")) for line in lines[2])


async def test_header_with_a_line_break_is_not_sent() -> None:
    async with serving(saying(OK)) as (_, ask):
        for value in ("x\r\nEvil: 1", "x\nEvil: 1", "x\rEvil: 1"):
            with pytest.raises(ValueError):
                await ask(ETag=value)


BROKEN: Sequence[tuple[str, bytes]] = [
    ("nothing", b""),
    ("half a head", b"HTTP/1.1 200 OK\r\nContent-Le"),
    ("half a body", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok"),
    ("half a chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok"),
    ("no HTTP", b"220 mail.example ESMTP\r\n"),
    ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
    ("an endless head", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000),
]


@pytest.mark.parametrize("answer", [answer for _, answer in BROKEN], ids=[name for name, _ in BROKEN])
async def test_answer_that_breaks_is_no_answer(answer: bytes) -> None:
    async with serving(saying(answer)) as (_, ask):
        with pytest.raises(ServiceResponseError):
            await ask()


async def test_service_that_says_nothing_is_given_up() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(conversation, read_timeout=0.05) as (_, ask):
        with pytest.raises(ServiceResponseTimeoutError):
            await ask()


async def test_large_body_whose_answer_comes_early_is_not_sent_to_its_end() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await reader.read()

    class Endless:
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield bytes(65536)

    async with serving(conversation) as (_, ask):
        assert (await ask("PUT", Endless(), **{"Content-Length": "1000000000"})).status_code == 413


async def test_tls_server_that_is_not_trusted_gets_no_request(server_tls: ServerTls) -> None:
    async with serving(saying(OK), tls=server_tls.server("localhost")) as (_, ask):
        with pytest.raises(ServiceRequestError, match="certificate"):
            await ask()
