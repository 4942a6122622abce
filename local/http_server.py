"""The HTTP side of the functions host: finds the function of a request, as an ASGI application on uvicorn.

One deviation from the real host, so that an app can refuse a large request in its own words: a declared Content-Length
above `unread_above` is passed on with an empty body, unread, and the connection is closed after the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn

from local.function_index import HostedFunction, IndexingError
from local.http_exchange import (
    Answer,
    BadRequest,
    decode_path,
    http_datum,
    plain_answer,
    query_parameters,
    request_headers,
    request_url,
    response_of,
    with_client,
    with_public_host,
)
from local.invocation import Invoker
from local.manual_runs import ManualRuns
from local.routes import Route, RouteError, parse_route

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_LIMIT = 104_857_600  # bytes; Kestrel's limit in the Functions host, FUNCTIONS_REQUEST_BODY_SIZE_LIMIT changes it
BODY_RATE = 240.0  # bytes a second, Kestrel MinRequestBodyDataRate; slower bodies are answered 408
KEEP_ALIVE_SECONDS = 130  # Kestrel KeepAliveTimeout
LINGER_SECONDS = 0.5  # for the client's share of closing a connection, when the host stops

_log = logging.getLogger("local.host")


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Sizes are in bytes, times in seconds."""

    route_prefix: str = ""
    body_limit: int = BODY_LIMIT
    unread_above: int = BODY_LIMIT  # POSTRIDER_MAX_REQUEST_BYTES: what the app refuses by its Content-Length
    function_key: str = ""
    body_grace: float = 5.0  # Kestrel MinRequestBodyDataRate, grace period
    linger: float = 5.0  # how long an unread body is drained, so that the client gets to read the answer (as Kestrel)


Routes = Sequence[tuple[Route, HostedFunction]]


def build_routes(functions: Sequence[HostedFunction], prefix: str) -> Routes:
    """The routes of all HTTP functions in the order given. Raises IndexingError for one that the host refuses."""
    routes: list[tuple[Route, HostedFunction]] = []
    for function in functions:
        if function.trigger_type != "httpTrigger":
            continue
        template = function.trigger.get("route") or function.name
        try:
            route = parse_route(template, function.trigger.get("methods") or (), prefix)
        except RouteError as error:
            raise IndexingError(f"cannot load the {function.name} function: {error}") from error
        for other, owner in routes:
            everything = not (route.methods and other.methods)
            if other.template.lower() == route.template.lower() and (everything or route.methods & other.methods):
                raise IndexingError(
                    f"cannot load the {function.name} function: The route specified conflicts with the route of '{owner.name}'."
                )
        routes.append((route, function))
    return routes


class _Target(NamedTuple):
    function: HostedFunction
    path: str
    values: dict[str, str]
    query: dict[str, str]


class HttpFront:
    """The ASGI application."""

    def __init__(self, routes: Routes, invoker: Invoker, settings: HttpSettings, manual_runs: ManualRuns | None = None) -> None:
        self._routes = routes
        self._invoker = invoker
        self._settings = settings
        self._manual_runs = manual_runs or ManualRuns((), invoker)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} is not served")
        headers = request_headers(scope["headers"])
        length = int(headers.get("content-length", "0"))
        # A body without a Content-Length does not reach a function: the host copies it only if ContentLength > 0.
        chunked = "transfer-encoding" in headers
        unread = chunked or length > min(self._settings.body_limit, self._settings.unread_above)
        target = self._find(scope, headers, length)
        if isinstance(target, Answer):
            answer = target
        else:
            try:
                body = b"" if unread else await _read_body(receive, length, self._settings.body_grace)
            except TimeoutError:
                body, unread = b"", True
                answer = plain_answer(408)
            else:
                if body is None:
                    return  # the client went away
                if isinstance(target, HostedFunction):
                    answer = self._manual_runs.start(target, body)
                else:
                    answer = await self._run(target, scope, headers, body)
        close = [(b"connection", b"close")] if unread else []
        await send({"type": "http.response.start", "status": answer.status, "headers": [*answer.headers, *close]})
        await send({"type": "http.response.body", "body": answer.body, "more_body": unread})
        if unread:
            # The answer is out; closing at once, with the request still arriving, would reset the connection under it.
            await _drain(receive, self._settings.linger)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _find(self, scope: Message, headers: dict[str, str], length: int) -> _Target | HostedFunction | Answer:
        """Which function the request is for or asks to be run, or what the host answers by itself."""
        try:
            path = decode_path(scope["raw_path"])
        except BadRequest as error:
            return plain_answer(400, str(error))
        if path.lower() in ("/admin/host/status", "/admin/host/ping"):
            return Answer(200, [(b"content-type", b"application/json")], json.dumps({"state": "Running"}).encode())
        by_hand = self._manual_runs.find(scope["method"], path, scope.get("client"), headers, length)
        if by_hand is not None:
            return by_hand
        for route, function in self._routes:
            values = route.match(scope["method"], path)
            if values is None:
                continue
            query = query_parameters(scope["query_string"])
            if not self._may_call(function, headers, query):
                return plain_answer(401)
            return plain_answer(413) if length > self._settings.body_limit else _Target(function, path, values, query)
        return plain_answer(404)

    def _may_call(self, function: HostedFunction, headers: dict[str, str], query: dict[str, str]) -> bool:
        if str(function.trigger.get("authLevel", "FUNCTION")).upper() == "ANONYMOUS":
            return True
        given = headers.get("x-functions-key") or query.get("code", "")
        key = self._settings.function_key
        return bool(key) and hmac.compare_digest(given.encode("utf-8"), key.encode("utf-8"))

    async def _run(self, target: _Target, scope: Message, headers: dict[str, str], body: bytes) -> Answer:
        headers = with_client(with_public_host(headers, scope["scheme"], scope.get("server")), scope.get("client"))
        url = request_url(scope["scheme"], headers.get("host", ""), target.path, scope["query_string"])
        data = http_datum(scope["method"], url, headers, target.query, target.values, body)
        try:
            return response_of(await self._invoker.invoke(target.function, data, {}))
        except Exception as error:
            # As the host: whatever a function raises is a 500 that says nothing.
            _log.error("Function %s failed: %s %s", target.function.name, scope["method"], target.path, exc_info=error)
            return plain_answer(500)


async def _read_body(receive: Receive, length: int, grace: float) -> bytes | None:
    """The body of a request, None when the client went away. Raises TimeoutError when it comes too slowly."""
    loop = asyncio.get_running_loop()
    chunks: list[bytes] = []
    received, start, more = 0, loop.time(), length > 0
    while more:
        async with asyncio.timeout_at(start + grace + received / BODY_RATE):
            message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message["body"])
        received += len(message["body"])
        more = message["more_body"]
    return b"".join(chunks)


async def _drain(receive: Receive, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive()).get("more_body", False):
                pass


class HttpServer(uvicorn.Server):
    """uvicorn on sockets that are bound already; the host handles signals, not the server."""

    def __init__(
        self, front: HttpFront, *, stop_seconds: int, certificate: Path | None = None, key: Path | None = None
    ) -> None:
        self.scheme = "https" if certificate else "http"
        super().__init__(
            uvicorn.Config(
                front,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,  # X-Forwarded-* reach the function, which knows what it may believe
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=stop_seconds,
                ssl_certfile=certificate,
                ssl_keyfile=key,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        aborting = asyncio.create_task(self._abort_what_lingers())
        try:
            await super().shutdown(sockets)
        finally:
            aborting.cancel()

    async def _abort_what_lingers(self) -> None:
        """A client that keeps an idle connection does not answer the end of TLS, and asyncio would wait 30 seconds for it."""
        while True:
            await asyncio.sleep(LINGER_SECONDS)
            for connection in list(self.server_state.connections):
                if connection.transport.is_closing():
                    connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
