"""The SMTP door of the kill run: clients that repeat a message until they have their 250, as mail servers do.

The Message-ID of a message is its own and stays when it is repeated. Without a Date, what the server calls it changes each
time: a client whose connection ends after the final dot, when nobody can tell whether the message was taken, may make it come
twice, and loses it never. With a Date it is one operation, unless an hour ends meanwhile.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from email_core.delivery.dsn_sending import NOTICES
from email_core.delivery.spool import DELIVERIES, SUBMISSIONS
from tests.kit.kill_door import DoorCounts, DoorRefused, Sender
from tests.kit.kill_hosts import RelaySlot
from tests.kit.kill_messages import Message
from tests.kit.kill_report import Report, stories_of
from tests.kit.kill_smtp_report import SmtpComparison, Told, was_claimed
from tests.kit.kill_world import VISIBILITIES, World
from tests.kit.smtp_relay import RawClient, plain
from tests.kit.storage_proxy import Fault, Rule, StorageProxy

_ANSWER_SECONDS = 20.0
_PAUSE = (0.05, 0.3)  # seconds before the same message is sent again
_LOST = (OSError, asyncio.IncompleteReadError, TimeoutError)  # TLS errors are of the first kind
_QUEUED = re.compile(r"250 2\.0\.0 Ok: (?:already )?queued as (\S+)")
_HALVES = (("tables.insert", "messages"), ("queues.enqueue", SUBMISSIONS))  # of storing a message, made at once
_HALF_SECONDS = 0.15
_ITEM_SECONDS = 2 * max(VISIBILITIES)  # a row that has an item was claimed after that


@asynccontextmanager
async def half_stored(world: World) -> AsyncIterator[None]:
    """Make half of storing late, so that kills come in between: the rows of the first server, the items of the second."""
    async with AsyncExitStack() as stack:
        for relay, (operation, name) in zip(world.relays, _HALVES, strict=True):
            rule = Rule(operation, Fault.HELD, name, times=None, seconds=_HALF_SECONDS)
            proxy = await stack.enter_async_context(StorageProxy(world.azurite.connection_string, [rule]))
            relay.settings = {**relay.settings, "AzureWebJobsStorage": proxy.connection_string}
        yield


class _PutOff(Exception):
    """The server asks to come again."""


class SmtpClient:
    """One client of all services. It keeps its connection while it works, and uses STARTTLS or TLS from the first octet."""

    def __init__(
        self, world: World, chance: random.Random, counts: DoorCounts, told: dict[int, Told], *, relays: Sequence[RelaySlot]
    ) -> None:
        self._world = world
        self._relays = relays
        self._chance = chance
        self._counts = counts
        self._told = told
        self._context = world.relay_files.trusting()
        self._connection: RawClient | None = None
        self._user = ""
        self._dotted = False  # whether anything of the final dot may have been read

    async def send(self, message: Message) -> None:
        """Returns once it was accepted. Raises DoorRefused."""
        told = self._told[message.number] = Told()
        while True:
            self._dotted = False
            try:
                told.accepted_as = await self._try(message)
                self._counts.accepted += 1
                return
            except _LOST as error:
                if isinstance(error, ConnectionRefusedError):
                    self._counts.refused += 1
                else:
                    self._counts.lost += 1
                    told.unknown += self._dotted
            except _PutOff:
                self._counts.put_off += 1
                told.unknown += self._dotted  # storage may have taken what we were told it did not
            await self.close()
            await asyncio.sleep(self._chance.uniform(*_PAUSE))

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.writer.transport.abort()
            self._connection = None

    async def _try(self, message: Message) -> str:
        """The operation id that the server gave it."""
        user = self._world.service_of(message).name
        if user != self._user:
            await self.close()
        if self._connection is None:
            self._connection = await self._logged_in(user)
            self._user = user
        connection = self._connection
        await self._ask(f"MAIL FROM:<{self._world.sender}>", "250")
        for recipient in message.recipients:
            await self._ask(f"RCPT TO:<{recipient}>", "250")
        await self._ask("DATA", "354")
        await connection.send(self._content(message))
        self._dotted = True
        answer = await self._ask(".", "250")
        found = _QUEUED.fullmatch(answer)
        if found is None:
            raise DoorRefused(f"{message.number}: {answer}")
        return found[1]

    async def _logged_in(self, user: str) -> RawClient:
        relay, starttls = self._chance.choice(self._relays), self._chance.random() < 0.5
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", relay.port if starttls else relay.tls_port, ssl=None if starttls else self._context,
                server_hostname=None if starttls else "localhost",
            )  # fmt: skip
            self._connection = connection = RawClient(reader, writer)
            self._checked(await connection.reply(), "220")
            await self._ask("EHLO client.test", "250")
            if starttls:
                await self._ask("STARTTLS", "220")
                await connection.start_tls(self._context)
                await self._ask("EHLO client.test", "250")
        await self._ask(f"AUTH PLAIN {plain(user, self._world.smtp_password)}", "235")
        return connection

    async def _ask(self, line: str, wanted: str) -> str:
        assert self._connection is not None
        async with asyncio.timeout(_ANSWER_SECONDS):
            return self._checked(await self._connection.ask(line), wanted)

    def _checked(self, answer: str, wanted: str) -> str:
        if not answer:
            raise ConnectionResetError("the server has closed")
        if answer.startswith("4"):
            raise _PutOff(answer)
        if not answer.startswith(wanted):
            raise DoorRefused(answer)
        return answer

    def _content(self, message: Message) -> bytes:
        lines = [
            f"From: <{self._world.sender}>", f"To: {', '.join(message.recipients)}", "Subject: A message of the kill run",
            f"Message-ID: <{message.operation_id}@client.test>",
            # Half of them can be told from another message that says the same, and are stored once when they are repeated.
            *(["Date: Sun, 22 Nov 2026 10:00:00 +0000"] if message.number % 2 else []),
            "", *[f"Message {message.number}."] * 5, "",
        ]  # fmt: skip
        return "\r\n".join(lines).encode()


@dataclass
class SmtpDoor:
    """Two or more SMTP servers. `told` is by the numbers of the messages: what their clients know."""

    world: World
    counts: DoorCounts = field(default_factory=DoorCounts)
    queues: Sequence[str] = (SUBMISSIONS, DELIVERIES, NOTICES)
    told: dict[int, Told] = field(default_factory=dict)

    @property
    def slots(self) -> Sequence[RelaySlot]:
        return self.world.relays

    def sender(self, chance: random.Random) -> Sender:
        return SmtpClient(self.world, chance, self.counts, self.told, relays=self.world.relays)

    async def is_settled(self) -> bool:
        """Whether all that is left are items of messages whose server died before their rows: those go round for minutes."""
        depths = [await self.world.storage.queues.depth(queue) for queue in (DELIVERIES, NOTICES)]
        if any(depths):
            return False
        accepted = {told.accepted_as for told in self.told.values()}
        async for rows in stories_of(self.world.storage.tables):
            whole = rows[-1]
            if whole.operation_id not in accepted and not was_claimed(whole):
                if whole.facts.accepted_at > time.time() - _ITEM_SECONDS:
                    return False  # its item may just not have come yet
            elif not all(row.ledger.finished for row in rows if not row.facts.envelopes):
                return False
        return True

    async def compare(self, report: Report, arrivals: Counter[str], tell: Callable[[str], None]) -> None:
        comparison = SmtpComparison(report, self.told, arrivals, self.world.receiver.copies)
        await comparison.compare(stories_of(self.world.storage.tables), tell)
