"""The senders of the kill run: clients of the HTTP door that try the same Operation-Id again until they have their 202.

What a run needs of its door is `Door`; that of SMTP is in `kill_smtp_door`.

One connection each, kept while it works, over plain HTTP to a host that may be killed at any moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from email_core.auth.hmac_access_key import authorization_headers
from email_core.delivery.spool import DELIVERIES, SUBMISSIONS
from tests.kit.kill_hosts import Slot
from tests.kit.kill_messages import Message
from tests.kit.kill_report import Comparison, Report, stories_of
from tests.kit.kill_world import Service, World

TARGET = "/emails:send?api-version=2025-09-01"
_ANSWER_SECONDS = 10.0
_PAUSE = (0.05, 0.3)  # seconds before the same request is sent again
_LOST = (ConnectionError, asyncio.IncompleteReadError, TimeoutError)


class DoorRefused(Exception):
    """The door answered what no repetition changes; the text has status and body."""


@dataclass(slots=True)
class DoorCounts:
    """`accepted` messages, and tries that came to nothing: `lost` with their connection or without an answer in time, `refused`
    because no host was there, `put_off` by an answer that asks to come again."""

    accepted: int = 0
    lost: int = 0
    refused: int = 0
    put_off: int = 0


class Sender(Protocol):
    """One client of a door."""

    async def send(self, message: Message) -> None:
        """Returns once it was accepted. Raises DoorRefused."""

    async def close(self) -> None: ...


class Door(Protocol):
    """By which way the messages of a run go in. `slots` are the processes that it needs beside the hosts."""

    @property
    def counts(self) -> DoorCounts: ...

    @property
    def slots(self) -> Sequence[Slot]: ...

    @property
    def queues(self) -> Sequence[str]: ...

    def sender(self, chance: random.Random) -> Sender: ...

    async def is_settled(self) -> bool:
        """Whether nothing can come of the items that are left, once no message is sent any more."""

    async def compare(self, report: Report, arrivals: Counter[str], tell: Callable[[str], None]) -> None:
        """Fill a report from storage and what arrived, when everything has stopped."""


@dataclass
class HttpDoor:
    """Each message under an Operation-Id of its own, however often it is sent."""

    world: World
    counts: DoorCounts = field(default_factory=DoorCounts)
    slots: Sequence[Slot] = ()
    queues: Sequence[str] = (SUBMISSIONS, DELIVERIES)

    def sender(self, chance: random.Random) -> Sender:
        return Client(self.world, [slot.port for slot in self.world.slots], chance, self.counts)

    async def is_settled(self) -> bool:
        return False  # whoever sends tries until there is a row for every item

    async def compare(self, report: Report, arrivals: Counter[str], tell: Callable[[str], None]) -> None:
        await Comparison(report, stories_of(self.world.storage.tables), arrivals).compare(tell)


class Client:
    """One client of all services."""

    def __init__(self, world: World, ports: Sequence[int], chance: random.Random, counts: DoorCounts) -> None:
        self._world = world
        self._ports = ports
        self._chance = chance
        self._counts = counts
        self._port = chance.choice(ports)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, message: Message) -> None:
        """Returns once it was accepted. Raises DoorRefused."""
        body, service = message.body(self._world.sender), self._world.service_of(message)
        while True:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    status, answer = await self._post(service, body, message.operation_id)
            except _LOST as error:
                if isinstance(error, ConnectionRefusedError):
                    self._counts.refused += 1
                else:
                    self._counts.lost += 1
                await self.close()
                self._port = self._chance.choice(self._ports)
            else:
                if status == 202:
                    self._counts.accepted += 1
                    return
                if status != 429 and status < 500:
                    raise DoorRefused(f"{message.operation_id}: {status} {answer.decode(errors='replace')}")
                self._counts.put_off += 1
            await asyncio.sleep(self._chance.uniform(*_PAUSE))

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            with contextlib.suppress(*_LOST):
                await self._streams[1].wait_closed()
            self._streams = None

    async def _post(self, service: Service, body: bytes, operation_id: str) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        host = service.host_name
        fields = {
            "Host": host,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Operation-Id": operation_id,
            **authorization_headers("POST", TARGET, host, body, service.access_key, time.time()),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"POST {TARGET} HTTP/1.1\r\n{head}\r\n".encode() + body)
        return await self._answer(reader)

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        lines = head.split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        content = await reader.readexactly(int(fields.get("content-length", "0")))
        if fields.get("connection") == "close":
            await self.close()
        return int(lines[0].split()[1]), content
