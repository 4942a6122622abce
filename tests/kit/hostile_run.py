"""Hostile requests through doors in processes of their own: `python -m tests.kit.hostile_run`.

The first line of standard input is a World, each line after it the name of a hostile request, answered by a line of JSON. A
process for each, because what a request takes at its peak can be read only once: a fork that has sent an ordinary message
first, so that it knows what a worker takes that is idle.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import azure.functions as func
import msgspec

from email_core.auth.hmac_access_key import authorization_headers
from email_core.clock import SystemClock
from email_core.domains.sending import CommunicationService
from email_core.services import Services, Worker, build_services
from email_core.settings import Secret, Settings, StorageSettings
from email_core.storage import open_storage
from email_core.triggers.data_plane import send
from email_core.triggers.http_exchange import answer
from tests.kit.hostile_content import HOSTILE, request_with
from tests.kit.pipeline import SEALING_KEY, NotingQueues
from tests.kit.requests import VERSION, Ready
from tests.kit.smtp_receiver import SmtpReceiver

ADDRESS_SPACE = 3 * 2**30  # bytes; whatever takes more is ended, before it takes the machine with it
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes


@dataclass(frozen=True)
class World:
    """Storage, and a communication service in it."""

    connection_string: str
    service: str


@dataclass(frozen=True)
class Measured:
    """What became of a request. CPU is in seconds, memory in bytes above that of an idle worker."""

    name: str
    status: int
    door_cpu: float
    door_memory: int
    recipient: str = ""
    delivery_memory: int = 0


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT


class Door:
    """The door and the queue functions of one worker."""

    def __init__(self, world: World, sink_port: int) -> None:
        settings = Settings(
            storage=StorageSettings(connection_string=Secret(world.connection_string)),
            sealing_key=SEALING_KEY,
            routes=f"capture://127.0.0.1:{sink_port}",
            allow_private_addresses=True,
        )
        storage = open_storage(settings.storage)
        storage.queues = self.queues = NotingQueues(storage.queues)
        self.services: Services = build_services(settings, SystemClock(), storage=storage)
        self._name = world.service

    async def request(self, body: bytes) -> func.HttpRequest:
        service = next(each for each in await self.services.directory.services() if each.name == self._name)
        return signed_request(service, body)

    async def post(self, request: func.HttpRequest) -> int:
        return (await answer(cast(Worker, Ready(self.services)), request, send)).status_code

    async def deliver(self) -> str:
        """Prepare and deliver what was accepted; the state of its recipient."""
        noted = self.queues.noted.pop()
        await self.services.preparer.prepare(noted.item, dequeue_count=1)
        row = await self.services.spool.read(noted.item.message, with_content=False)
        return str(row.ledger.entries[0].status) if row else "no row"


def signed_request(service: CommunicationService, body: bytes) -> func.HttpRequest:
    target = f"/emails:send?api-version={VERSION}"
    signed = authorization_headers("POST", target, service.host_name, body, service.access_keys[0].secret, time.time())
    headers = {"host": service.host_name, "content-length": str(len(body)), **signed}
    url = f"https://{service.host_name}{target}"
    return func.HttpRequest("POST", url, headers=headers, params={"api-version": VERSION}, body=body)


async def measure(world: World, sink_port: int, name: str, path: Path) -> Measured:
    door = Door(world, sink_port)
    assert await door.post(await door.request(request_with())) == 202
    assert await door.deliver() == "Delivered"
    gc.collect()
    idle = peak()
    request = await door.request(path.read_bytes())
    began = time.process_time()
    status = await door.post(request)
    cpu, memory = time.process_time() - began, peak() - idle
    del request
    recipient, delivery = (await door.deliver(), peak() - idle) if status == 202 else ("", 0)
    await door.services.close()
    return Measured(name, status, cpu, memory, recipient, delivery)


def forked(work: Callable[[], None]) -> int:
    """Do some work in a fork of this process; its id."""
    child = os.fork()
    if not child:
        ended = 1
        try:
            work()
            ended = 0
        finally:
            os._exit(ended)
    return child


def sink(says: int) -> None:
    """Take everything that is delivered and keep none of it; the port is written to that file descriptor."""

    async def serve() -> None:
        async with SmtpReceiver(extensions=("SIZE 50000000", "8BITMIME")) as receiver:
            receiver.messages, receiver.wire = _Forgetful(), _Forgetful()
            os.write(says, f"{receiver.port}\n".encode())
            await asyncio.Event().wait()

    asyncio.run(serve())


class _Forgetful(list[bytes]):
    """Half a gigabyte need not be kept to know that it was taken."""

    def append(self, item: bytes) -> None:
        super().append(b"")


def main() -> None:
    world = msgspec.json.decode(sys.stdin.readline(), type=World)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    hears, says = os.pipe()
    receiver = forked(lambda: sink(says))
    try:
        port = int(os.read(hears, 16))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "request"
            for name in iter(sys.stdin.readline, ""):
                [hostile] = [each for each in HOSTILE if each.name == name.rstrip("\n")]
                path.write_bytes(hostile.request())
                run = functools.partial(measure, world, port, hostile.name, path)
                status = os.waitpid(forked(lambda run=run: tell(asyncio.run(run()))), 0)[1]
                if status:
                    tell(Measured(hostile.name, 0, 0.0, 0, "its worker did not survive it"))
    finally:
        os.kill(receiver, signal.SIGTERM)
        os.waitpid(receiver, 0)


def tell(measured: Measured) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(measured) + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
