"""The ASGI side of the functions host, with a client that is a list of messages."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import azure.functions as func

from local.http_server import HttpFront, HttpSettings, build_routes
from local.routes import parse_route
from tests.unit.local.builders import hosted, invoker


class Client:
    """Sends the messages, then nothing more; notes what comes back."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self._messages = list(messages)
        self.answer: list[MutableMapping[str, Any]] = []

    async def receive(self) -> MutableMapping[str, Any]:
        if not self._messages:
            await asyncio.Event().wait()
        return self._messages.pop(0)

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.answer.append(message)


def scope(path: str = "/x", **headers: str) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }


def part(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


class App:
    """One function on /x that notes the bodies it is given."""

    def __init__(self, **settings: Any) -> None:
        self.bodies: list[bytes] = []

        async def x(req: func.HttpRequest) -> str:
            self.bodies.append(req.get_body())
            return "done"

        function = hosted(x, "httpTrigger", route="x", authLevel="ANONYMOUS")
        self.front = HttpFront(build_routes([function], ""), invoker(), HttpSettings(**settings))


async def test_body_in_parts_reaches_the_function_whole() -> None:
    app, client = App(), Client(part(b"ab", more=True), part(b"cd", more=False))
    await app.front(scope(content_length="4"), client.receive, client.send)
    assert app.bodies == [b"abcd"]
    assert client.answer[0]["status"] == 200


async def test_body_that_comes_too_slowly_is_answered_408_and_the_connection_closed() -> None:
    app, client = App(body_grace=0.01, linger=0.01), Client(part(b"a", more=True))
    await app.front(scope(content_length="4"), client.receive, client.send)
    assert app.bodies == []
    assert client.answer[0]["status"] == 408
    assert (b"connection", b"close") in client.answer[0]["headers"]


async def test_client_that_goes_away_in_its_body_starts_no_function() -> None:
    app, client = App(), Client(part(b"a", more=True), {"type": "http.disconnect"})
    await app.front(scope(content_length="4"), client.receive, client.send)
    assert app.bodies == []
    assert client.answer == []


async def test_unread_body_is_drained_for_a_while_after_the_whole_answer() -> None:
    app = App(unread_above=3, linger=0.01)
    client = Client(part(b"abcd", more=True))  # and it never ends
    await app.front(scope(content_length="5"), client.receive, client.send)
    assert app.bodies == [b""]
    assert [message.get("body") for message in client.answer] == [None, b"done", b""]
    assert [message.get("more_body") for message in client.answer[1:]] == [True, False]


async def test_request_of_no_function_is_not_read() -> None:
    app, client = App(), Client()
    await app.front(scope("/y", content_length="4"), client.receive, client.send)
    assert client.answer[0]["status"] == 404


async def test_function_that_runs_into_the_timeout_is_answered_500() -> None:
    async def endless(req: func.HttpRequest) -> str:
        await asyncio.Event().wait()
        return "never"

    function = hosted(endless, "httpTrigger", authLevel="ANONYMOUS")
    front = HttpFront([(parse_route("x", []), function)], invoker(function_timeout=0.01), HttpSettings())
    client = Client()
    await front(scope(), client.receive, client.send)
    assert (client.answer[0]["status"], client.answer[1]["body"]) == (500, b"")


async def test_function_is_told_the_address_of_the_client_behind_what_the_client_says_itself() -> None:
    async def whence(req: func.HttpRequest) -> str:
        return str(req.headers["x-forwarded-for"])

    function = hosted(whence, "httpTrigger", route="x", authLevel="ANONYMOUS")
    client = Client()
    front = HttpFront(build_routes([function], ""), invoker(), HttpSettings())
    asked = {**scope(x_forwarded_for="10.0.0.9"), "client": ("203.0.113.7", 4711)}
    await front(asked, client.receive, client.send)
    assert client.answer[1]["body"] == b"10.0.0.9, 203.0.113.7:4711"
