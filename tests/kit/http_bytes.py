"""HTTP/1.1 as bytes, for a proxy that changes none: requests go on as they came, and answers come back whole."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

LONGEST_HEAD = 1024 * 1024  # bytes


def headers_of(head: bytes) -> Mapping[str, str]:
    """The headers of a request or an answer, with names in lower case."""
    lines = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:] if line)
    return {name.strip().lower(): value.strip() for name, _, value in lines}


async def read_chunked(reader: asyncio.StreamReader) -> bytes:
    """A chunked body as it stands, with its trailer."""
    parts = []
    while True:
        parts.append(await reader.readuntil(b"\r\n"))
        if not (size := int(parts[-1].split(b";")[0], 16)):
            return b"".join([*parts, await reader.readuntil(b"\r\n")])
        parts.append(await reader.readexactly(size + 2))


async def _connected(endpoint: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    # A connection for each request: one that is kept may be closed by the service at any time, which no rule asked for.
    url = urlsplit(endpoint)
    return await asyncio.open_connection(url.hostname, url.port, limit=LONGEST_HEAD)


async def send_only(endpoint: str, part: bytes) -> None:
    """Send the beginning of a request, and close the connection."""
    _, writer = await _connected(endpoint)
    writer.write(part)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def forwarded(endpoint: str, request: bytes) -> bytes:
    """The answer of the service, whole and as it stands."""
    reader, writer = await _connected(endpoint)
    try:
        writer.write(request)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        headers = headers_of(head)
        if request.startswith(b"HEAD ") or head.split(b" ", 2)[1] in (b"204", b"304"):
            return head
        if "chunked" in headers.get("transfer-encoding", ""):
            return head + await read_chunked(reader)
        return head + await reader.readexactly(int(headers.get("content-length", "0")))
    finally:
        writer.transport.abort()


def first_part(answer: bytes) -> bytes:
    """The head and half of the body; half of the head where there is no body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return answer[: len(head) + 4 + len(body) // 2] if body else head[: len(head) // 2]
