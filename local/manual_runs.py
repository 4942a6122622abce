"""Functions that are run by hand: `POST /admin/functions/{name}` of the Functions host, for timers and from this machine alone.

The real host takes it for every function that no request triggers, and on Azure wants its master key. Here there is no key, as
in Core Tools: who reaches the loopback addresses of this machine may run its timers. The JSON type keeps web pages out, which
a browser lets send nothing but forms and plain text elsewhere; the Host keeps those out that have the browser take a name of
their own for this machine, and what a proxy on this machine brings in from others.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from azure.functions.meta import Datum

from local.function_index import HostedFunction
from local.http_exchange import Answer, plain_answer
from local.invocation import Invoker

MOST_BODY = 65_536  # bytes; `{"input": ""}` is all that a timer is given

_PATH = re.compile(r"/admin/functions/([^/]+)/?", re.IGNORECASE)

_log = logging.getLogger("local.host")


class ManualRuns:
    """Starts timer functions that somebody asks for, and waits for them when the host stops."""

    def __init__(self, functions: Sequence[HostedFunction], invoker: Invoker) -> None:
        self._functions = {function.name.lower(): function for function in functions}
        self._invoker = invoker
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    def find(
        self, method: str, path: str, client: Sequence[object] | None, headers: Mapping[str, str], length: int
    ) -> HostedFunction | Answer | None:
        """The function that a request asks to be run, the refusal, or None when it asks for something else."""
        found = _PATH.fullmatch(path)
        if found is None or method != "POST":
            return None
        if client is None or not ip_address(str(client[0])).is_loopback or not _asks_this_machine(headers):
            return plain_answer(401)
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return plain_answer(415, 'Send Content-Type: application/json and the body {"input": ""}.')
        if length > MOST_BODY:
            return plain_answer(413)
        function = self._functions.get(found[1].lower())
        if function is None:
            return plain_answer(404)
        if function.trigger_type != "timerTrigger":
            text = f"{function.name} is no timer: send a request to its route, or put an item into its queue."
            return plain_answer(400, text)
        return function

    def start(self, function: HostedFunction, body: bytes) -> Answer:
        """Run a function beside whatever else runs; 202 at once, as the host answers."""
        try:
            wanted = json.loads(body)
        except ValueError:
            wanted = None
        if not isinstance(wanted, dict):
            return plain_answer(400, 'The body must be the JSON object {"input": ""}.')
        task = asyncio.create_task(self._run(function), name=f"{function.name} by hand")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return plain_answer(202)

    async def run(self) -> None:
        """Until `stop` is called; there is nothing to listen to, for requests bring the work."""
        await self._stopping.wait()

    async def stop(self, patience: float) -> None:
        """Wait up to `patience` seconds for what was started; what runs longer is cancelled."""
        self._stopping.set()
        if self._running:
            await asyncio.wait(self._running, timeout=patience)
        for task in self._running:
            task.cancel()

    async def _run(self, function: HostedFunction) -> None:
        request = {"IsPastDue": False, "Schedule": {"AdjustForDST": True}, "ScheduleStatus": None}
        try:
            await self._invoker.invoke(function, Datum(json.dumps(request), "json"), {})
        except Exception as error:
            # As for a run on its schedule: whoever asked has the 202 already, so the log tells.
            _log.error("Function %s failed when it was run by hand", function.name, exc_info=error)
        else:
            _log.info("Function %s was run by hand", function.name)


def _asks_this_machine(headers: Mapping[str, str]) -> bool:
    """Whether a request was meant for this machine when it was sent, and not for somebody who handed it on."""
    try:
        host = urlsplit(f"//{headers.get('host', '')}").hostname or "localhost"
        here = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
    return here and not any(name in headers for name in ("forwarded", "x-forwarded-for", "x-forwarded-host"))
