"""Postrider as `./postrider up` starts it, for the mail figures: Azurite, a service that can send, and the functions host."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from azure.storage.queue import QueueClient

from bench.azurite import azurite_server
from bench.figures import Bench, ContenderFailed
from bench.host import Host, functions_host
from bench.mail import send_request
from bench.program import Done, Program
from bench.stored import Stored
from email_core.delivery.spool import DELIVERIES, SUBMISSIONS
from tests.kit.azurite import Azurite
from tests.kit.waiting import wait_until

CONNECTIONS = 16
WARM_UP = 100  # messages before anything is measured
_QUEUE_FUNCTIONS = ("on_submission", "on_delivery")
_PATIENCE = 60.0  # seconds for a round


class Sink:
    """The server that takes what is delivered."""

    def __init__(self, program: Program, scratch: Path) -> None:
        self._program = program
        self._nothing = scratch / "nothing"

    @property
    def port(self) -> int:
        return int(json.loads(self._ask().result)["port"])

    @property
    def arrived(self) -> int:
        return self._ask().count

    def last_of(self, number: int) -> float:
        """The time of the monotonic clock when message `number` had come, counted from the start, and no other since.

        Raises ContenderFailed when it does not come, or one came without a signature.
        """
        try:
            done = wait_until(lambda: self._ask_for(number), timeout=_PATIENCE, what=f"{number} messages at the sink")
        except TimeoutError as error:
            raise ContenderFailed(f"{error}, but {self.arrived}") from None
        if (signed := json.loads(done.result)["signed"]) < done.count:
            raise ContenderFailed(f"{done.count - signed} messages came without a DKIM signature")
        return done.seconds

    def _ask_for(self, number: int) -> Done | None:
        said = self._ask()
        return said if said.count >= number else None

    def _ask(self) -> Done:
        return self._program.do(self._nothing, 0.0, _PATIENCE)


@dataclass(frozen=True, slots=True)
class Sent:
    """What a load came to: requests a second, and when on the monotonic clock the first of them was sent."""

    rate: float
    began: float


class Load:
    """The client of the figures, a process of its own."""

    def __init__(self, program: Program, scratch: Path) -> None:
        self._program = program
        self._file = scratch / "requests.json"

    def send(self, port: int, requests: Sequence[str], *, status: int, connections: int = CONNECTIONS) -> Sent:
        """All of them, each once. Raises Stopped, and ContenderFailed for an answer that is not the one wanted."""
        task = {"port": port, "connections": connections, "status": status, "requests": requests}
        self._file.write_text(json.dumps(task))
        done = self._program.do(self._file, 0.0, _PATIENCE)
        return Sent(done.rate, float(done.result))


class Ceiling:
    """The client that makes a message's round trips to storage and nothing else, a process of its own."""

    def __init__(self, program: Program, scratch: Path) -> None:
        self._program = program
        self._file = scratch / "ceiling.json"

    def rate(self, stored: Stored, kind: str, messages: int, at_once: int = CONNECTIONS) -> float:
        """Messages a second whose round trips the Azurite of an installation has time for; kind is "accept" or "deliver".

        So many are accepted at once. Raises Stopped, ContenderFailed. It has to be asked before what was written is forgotten.
        """
        task = {"connectionString": stored.connection_string, "count": messages, "kind": kind, "requests": at_once}
        self._file.write_text(json.dumps({**task, **stored.written()}))
        return self._program.do(self._file, 0.0, _PATIENCE).rate


class Postrider:
    """A running installation: the ids of its processes, and the port of the functions host."""

    def __init__(self, host: Host, azurite: Azurite, load: Load) -> None:
        self.stored = Stored(azurite.connection_string)
        self.host = host.process.pid
        self.azurite = azurite.process_id
        self.port, self._sender = host.port, host.service.sender_address
        self._key = base64.b64decode(host.service.access_key)
        self._load = load
        self._numbers = count(1)

    def send(self, messages: int) -> Sent:
        """So many requests, all of which must be accepted."""
        requests = [send_request(self.port, self._sender, self._key, next(self._numbers)) for _ in range(messages)]
        return self._load.send(self.port, requests, status=202)

    def wait_until_settled(self) -> None:
        """Until the host has deleted every item. Raises ContenderFailed."""
        queues = [QueueClient.from_connection_string(self.stored.connection_string, name) for name in (SUBMISSIONS, DELIVERIES)]
        try:
            wait_until(
                lambda: not any(queue.get_queue_properties().approximate_message_count for queue in queues),
                timeout=_PATIENCE, what="empty queues",
            )  # fmt: skip
        except TimeoutError as error:
            raise ContenderFailed(str(error)) from None
        finally:
            for queue in queues:
                queue.close()


@contextmanager
def programs(bench: Bench) -> Iterator[Callable[[str], Program]]:
    """Starts programs of `bench/programs` by their names; they end with the block."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(closing(Program([sys.executable, "-m", f"bench.programs.{name}"], bench.root)))


@contextmanager
def postrider(bench: Bench, load: Load, *, sink: Sink | None) -> Iterator[Postrider]:
    """One that delivers to the sink, or one that accepts only: without a sink, its queue functions are switched off.

    Raises ContenderFailed. It has worked a few messages before it is handed out.
    """
    folder = bench.scratch / ("deliver" if sink else "accept")
    folder.mkdir()
    settings = {"POSTRIDER_ACS_LIMITS": "off"}
    if sink:
        settings["POSTRIDER_ROUTES"] = f"capture://127.0.0.1:{sink.port}"
    else:
        settings |= {f"AzureWebJobs.{function}.Disabled": "true" for function in _QUEUE_FUNCTIONS}
    with (
        azurite_server(bench.root, folder) as azurite,
        functions_host(bench.root, folder, azurite.connection_string, **settings) as host,
    ):
        running = Postrider(host, azurite, load)
        running.send(WARM_UP)
        if sink:
            running.wait_until_settled()
        yield running
