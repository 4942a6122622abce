"""Timers that are run by hand: who may, what is refused, and that a stop waits for them."""

from __future__ import annotations

import asyncio
from typing import Any

import azure.functions as func
import pytest

from local.http_server import HttpFront, HttpSettings
from local.manual_runs import MOST_BODY, ManualRuns
from tests.unit.local.builders import hosted, invoker
from tests.unit.local.test_http_server import Client, part, scope

PATH = "/admin/functions/tick"
BODY = b'{"input": ""}'


class Host:
    """A host with the timer `tick` and the route `x`."""

    def __init__(self, *, fails: bool = False) -> None:
        self.ticks: list[func.TimerRequest] = []
        self.ticked = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

        async def tick(timer: func.TimerRequest) -> None:
            self.ticks.append(timer)
            self.ticked.set()
            await self.gate.wait()
            if fails:
                raise ValueError("a bad day")

        async def x(req: func.HttpRequest) -> str:
            return "done"

        functions = [hosted(tick, "timerTrigger", schedule="0 0 3 * * *"), hosted(x, "httpTrigger", route="x")]
        self.runs = ManualRuns(functions, invoker())
        self.front = HttpFront([], invoker(), HttpSettings(), self.runs)

    async def ask(
        self,
        path: str = PATH,
        body: bytes = BODY,
        *,
        method: str = "POST",
        client: Any = ("127.0.0.1", 5),
        kind: str = "application/json",
        **headers: str,
    ) -> int:
        """The status of the answer."""
        named = scope(path, content_length=str(len(body)), content_type=kind, **headers)
        asked = {**named, "method": method, "client": client}
        answers = Client(part(body, more=False))
        await self.front(asked, answers.receive, answers.send)
        return int(answers.answer[0]["status"])


@pytest.mark.parametrize("path", [PATH, "/admin/functions/TICK/"])
@pytest.mark.parametrize("body", [BODY, b"{}"])
async def test_timer_that_is_run_by_hand_runs_once_and_is_not_past_due(path: str, body: bytes) -> None:
    host = Host()

    assert await host.ask(path, body) == 202
    await asyncio.wait_for(host.ticked.wait(), 5)
    await host.runs.stop(5)
    assert [tick.past_due for tick in host.ticks] == [False]
    assert host.ticks[0].schedule_status == {}


@pytest.mark.parametrize("client", [("::1", 5), ("127.0.0.7", 5)])
async def test_timer_is_run_for_every_address_of_this_machine(client: Any) -> None:
    assert await Host().ask(client=client) == 202


@pytest.mark.parametrize("host", ["localhost:7071", "LOCALHOST", "127.0.0.1:7071", "[::1]:7071"])
async def test_timer_is_run_for_every_name_of_this_machine(host: str) -> None:
    assert await Host().ask(host=host) == 202


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"client": ("192.0.2.7", 5)}, 401),
        ({"client": None}, 401),
        ({"host": "evil.test:7071"}, 401),  # a page of theirs, and a DNS that says 127.0.0.1 for it
        ({"host": "127.0.0.1.evil.test"}, 401),
        ({"host": "[::1"}, 401),
        ({"host": "localhost", "x_forwarded_for": "192.0.2.7"}, 401),
        ({"kind": "text/plain"}, 415),
        ({"kind": ""}, 415),
        ({"body": b""}, 400),
        ({"body": b"[]"}, 400),
        ({"body": b"{"}, 400),
        ({"body": b" " * (MOST_BODY + 1)}, 413),
        ({"path": "/admin/functions/tock"}, 404),
        ({"path": "/admin/functions/x"}, 400),
        ({"path": "/admin/functions/"}, 404),
        ({"method": "GET"}, 404),
    ],
    ids=[
        "another machine", "nobody", "another name", "a longer name", "no name of a host", "a proxy", "text", "no type",
        "no body", "a list", "no JSON", "too much", "unknown", "a route",
        "no name", "GET",
    ],
)  # fmt: skip
async def test_request_that_may_run_nothing_is_refused(change: dict[str, Any], status: int) -> None:
    host = Host()

    assert await host.ask(**change) == status
    assert host.ticks == []


async def test_timer_that_fails_by_hand_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    host = Host(fails=True)

    assert await host.ask() == 202
    await host.runs.stop(5)
    assert "Function tick failed when it was run by hand" in caplog.text


async def test_stop_waits_for_what_was_started_by_hand() -> None:
    host = Host()
    host.gate.clear()
    running = asyncio.create_task(host.runs.run())
    await host.ask()
    await asyncio.wait_for(host.ticked.wait(), 5)
    stopping = asyncio.create_task(host.runs.stop(5))
    await asyncio.sleep(0)
    assert not stopping.done()
    host.gate.set()
    await stopping
    await running


async def test_stop_cancels_what_runs_for_longer_than_its_patience() -> None:
    host = Host()
    host.gate.clear()
    await host.ask()
    await asyncio.wait_for(host.ticked.wait(), 5)
    async with asyncio.timeout(5):
        await host.runs.stop(0.01)
