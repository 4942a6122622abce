"""A proxy in front of the three services of a storage account that fails as told: real HTTP, and one rule a fault.

    async with StorageProxy(azurite) as proxy:
        proxy.rules = [Rule("tables.merge", Fault.LOST_ANSWER, "messages", number=2)]
        storage = open_storage(StorageSettings(connection_string=Secret(proxy.connection_string)))

Operations are named as `Storage.round_trips` names them. What no rule is about passes through byte for byte, so that a
worker of another process and the clients of the SDKs can be run through the proxy as well.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import socket
import struct
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

from tests.kit.http_bytes import LONGEST_HEAD, first_part, forwarded, headers_of, read_chunked, send_only

_ENDPOINT = re.compile(r"(Table|Queue|Blob)Endpoint=([^;]+)", re.IGNORECASE)
_BATCHED_TABLE = re.compile(rb"^(?:POST|PUT|PATCH|MERGE|DELETE) https?://[^/]+/[^/]+/(\w+)", re.MULTILINE)
_TABLE_VERBS = {"GET": "get", "PATCH": "merge", "MERGE": "merge", "PUT": "upsert", "DELETE": "delete"}
_QUEUE_VERBS = {"POST": "enqueue", "GET": "receive", "PUT": "extend", "DELETE": "delete"}


class Fault(Enum):
    """What becomes of a request. In words, because the fault tables show them."""

    DELAYED = "delayed"  # `seconds` late, and otherwise as it should be
    HELD = "held"  # `seconds` late, and not at all when its client is gone by then
    THROTTLED = "503 ServerBusy"  # with Retry-After when the rule has seconds
    TOO_MANY = "429"
    SERVER_ERROR = "500"
    DROPPED = "dropped"  # the connection is reset, and the service never sees the request
    CUT_REQUEST = "request cut"  # the service sees half of the body, or of the head where there is none, and the end
    LOST_ANSWER = "answer lost"  # the request takes effect, and the connection is reset
    CUT_ANSWER = "answer cut"  # the request takes effect, and the connection ends within the answer
    STALLED = "stalled"  # nothing, until the client goes away


_ANSWERS = {
    Fault.THROTTLED: (503, "ServerBusy", "The server is busy."),
    Fault.TOO_MANY: (429, "TooManyRequests", "Too many requests."),
    Fault.SERVER_ERROR: (500, "InternalError", "The server encountered an internal error. Please retry the request."),
}


@dataclass
class Rule:
    """A fault for the requests of an operation, of any if it is empty; of one table, queue or container if `name` says which.

    It strikes the `number`-th of them and those that follow, `times` in all; None: all of them. Tries count, so once is what
    a retry gets over. `seconds` is the delay, or what Retry-After says.
    """

    operation: str
    fault: Fault
    name: str = ""
    number: int = 1
    times: int | None = 1
    seconds: float = 0.0
    seen: int = 0

    def strikes(self, operation: str, name: str) -> bool:
        """Whether it is about this request, which is counted."""
        if self.operation not in ("", operation) or self.name not in ("", name):
            return False
        self.seen += 1
        return self.seen >= self.number and (self.times is None or self.seen < self.number + self.times)


@dataclass
class Proxied:
    """A request that came, the fault that befell it, and the status that the service gave it: 0 when it gave none."""

    operation: str
    name: str
    target: str
    fault: Fault | None
    status: int = 0


@dataclass(frozen=True)
class Enqueued:
    """An item that the service took, whatever the client was told; `delay` is in seconds."""

    queue: str
    text: str
    delay: float


class _Reset(Exception):
    """The connection is reset here."""


@dataclass
class StorageProxy:
    """Stands in front of the account of a connection string. `requests` has every request, `enqueued` every item that took
    effect; tests may clear both."""

    upstream: str
    rules: list[Rule] = field(default_factory=list)
    requests: list[Proxied] = field(default_factory=list)
    enqueued: list[Enqueued] = field(default_factory=list)

    async def __aenter__(self) -> StorageProxy:
        self._ports: dict[str, int] = {}
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()
        for service, endpoint in _endpoints(self.upstream).items():
            self._servers.append(await self._listen(service, endpoint))
            self._ports[service] = self._servers[-1].sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    @property
    def connection_string(self) -> str:
        """That of the account, with the proxy in the place of its services."""

        def through_here(found: re.Match[str]) -> str:
            path = urlsplit(found[2]).path
            return f"{found[1]}Endpoint=http://127.0.0.1:{self._ports[found[1].lower()]}{path}"

        return _ENDPOINT.sub(through_here, self.upstream)

    @property
    def counts(self) -> Counter[str]:
        """How many requests came of each operation."""
        return Counter(request.operation for request in self.requests)

    async def _listen(self, service: str, endpoint: str) -> asyncio.Server:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._connections.add(task)
            try:
                # The client's way of ending it, or the end of the test.
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                    while await self._exchange(service, endpoint, reader, writer):
                        pass
            except _Reset:
                linger = struct.pack("ii", 1, 0)  # for no time at all: TCP then resets instead of closing
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            finally:
                self._connections.discard(task)
                writer.transport.abort()

        return await asyncio.start_server(serve, "127.0.0.1", 0, limit=LONGEST_HEAD)

    async def _exchange(self, service: str, endpoint: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether another one may follow."""
        head = await reader.readuntil(b"\r\n\r\n")
        headers = headers_of(head)
        size = int(headers.get("content-length", "0"))
        # What the operation is about stands in the first half of its body at the latest, and half is what a cut leaves.
        body = await (
            read_chunked(reader) if "chunked" in headers.get("transfer-encoding", "") else reader.readexactly(size // 2)
        )
        request = self._noted(service, head, body)
        struck = [rule for rule in self.rules if rule.strikes(request.operation, request.name)]  # each of them counts
        rule = struck[0] if struck else None
        request.fault = rule.fault if rule else None
        if request.fault is Fault.CUT_REQUEST:
            await send_only(endpoint, head + body if body else head[: len(head) // 2])
            raise _Reset
        body += await reader.readexactly(size - size // 2)
        if rule is not None and await self._instead(rule, service, reader, writer):
            return True
        answer = await forwarded(endpoint, head + body)
        request.status = int(answer.split(b" ", 2)[1])
        if request.operation == "queues.enqueue" and request.status == 201:
            self.enqueued.append(_enqueued(request, body))
        if request.fault is Fault.LOST_ANSWER:
            raise _Reset
        whole = request.fault is not Fault.CUT_ANSWER
        writer.write(answer if whole else first_part(answer))
        await writer.drain()
        if not whole:
            writer.close()
            await writer.wait_closed()
        return whole

    def _noted(self, service: str, head: bytes, body: bytes) -> Proxied:
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        operation, name = _operation(service, method, target)
        if operation == "tables.transact" and (found := _BATCHED_TABLE.search(body)):
            name = found[1].decode()
        self.requests.append(Proxied(operation, name, target, None))
        return self.requests[-1]

    async def _instead(self, rule: Rule, service: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Do what a rule wants done before the service sees a request; whether it is not to see it at all."""
        match rule.fault:
            case Fault.DROPPED:
                raise _Reset
            case Fault.STALLED:
                await reader.read(1)  # comes back when the client closes the connection
                raise _Reset
            case Fault.DELAYED | Fault.HELD:
                await asyncio.sleep(rule.seconds)
                if rule.fault is Fault.HELD and (reader.at_eof() or reader.exception()):
                    raise _Reset
                return False
            case Fault.THROTTLED | Fault.TOO_MANY | Fault.SERVER_ERROR as fault:
                writer.write(_refusal(service, *_ANSWERS[fault], retry_after=rule.seconds))
                await writer.drain()
                return True
            case _:
                return False


def _endpoints(connection_string: str) -> dict[str, str]:
    return {service.lower(): endpoint for service, endpoint in _ENDPOINT.findall(connection_string)}


def _operation(service: str, method: str, target: str) -> tuple[str, str]:
    """The operation as `Storage.round_trips` names it, and the table, queue or container."""
    path, _, query = target.partition("?")
    below = unquote(path).split("/", 2)[2]  # the account stands first
    name, slash, rest = below.partition("/")
    match service:
        case "table" if below == "$batch":
            return "tables.transact", ""
        case "table" if name.endswith("()"):
            return "tables.query", name.removesuffix("()")
        case "table":
            table, keys, _ = below.partition("(")
            verb = _TABLE_VERBS.get(method, method) if keys else ("create" if table == "Tables" else "insert")
            return f"tables.{verb}", table
        case "queue" if slash:
            return f"queues.{_QUEUE_VERBS.get(method, method)}", name
        case "queue":
            return f"queues.{'depth' if 'comp=metadata' in query and method == 'GET' else 'create'}", name
        case _:
            return (
                f"content.{ {'PUT': 'put', 'GET': 'get', 'DELETE': 'delete'}.get(method, method) if rest else 'create' }",
                name,
            )


def _refusal(service: str, status: int, code: str, text: str, *, retry_after: float) -> bytes:
    if service == "table":
        body = f'{{"odata.error":{{"code":"{code}","message":{{"lang":"en-US","value":"{text}"}}}}}}'
    else:
        body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{text}</Message></Error>'
    lines = [f"HTTP/1.1 {status} {code}", f"x-ms-error-code: {code}", f"Content-Length: {len(body)}"]
    if retry_after:
        lines.append(f"Retry-After: {retry_after:g}")
    return "\r\n".join((*lines, "", body)).encode()


def _enqueued(request: Proxied, body: bytes) -> Enqueued:
    text = ElementTree.fromstring(body).findtext("MessageText", "")
    with contextlib.suppress(ValueError):  # not base64, or not text: an item of somebody else's
        text = base64.b64decode(text, validate=True).decode()
    [delay] = parse_qs(urlsplit(request.target).query).get("visibilitytimeout", ["0"])
    return Enqueued(request.name, text, float(delay))
