"""The pipeline under faults, in virtual time: all that accepts, claims, prepares, delivers, settles and sweeps is real.

Storage and the courier are fakes for one reason: virtual time. Hours of faults, retries and claims that run out then take a
fraction of a second, and all that is random comes from a seed, so what a seed finds it finds again. Tests against Azurite and
real sockets are elsewhere; this one goes where they can't, to the hundredth way in which two faults meet.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import cast

import pytest

from email_core.delivery import deliver, settle
from email_core.delivery.attempt import Courier
from email_core.delivery.claim import Claims
from email_core.delivery.deliver import Deliverer
from email_core.delivery.envelope import LEAST_SECONDS, Attempt
from email_core.delivery.ledger import Entry
from email_core.delivery.outcome import AttemptReport, Disposition, Outcome
from email_core.delivery.poison import PoisonKeeper
from email_core.delivery.rows import MESSAGE_ROW, SpooledRow, row_of
from email_core.delivery.settle import Settler
from email_core.delivery.spool import MESSAGES, Spool, SpoolItem
from email_core.delivery.sweep import EVERY, Sweeper
from email_core.delivery.verp import read_reverse_path
from email_core.domains.directory import Directory
from email_core.domains.dkim_keys import generate_ed25519, load_private_key
from email_core.domains.sending import CommunicationService, SendingDomain
from email_core.errors import StorageUnavailable, WorkerBusy
from email_core.settings import Settings, StorageSettings
from email_core.signing.dkim import SigningKey
from email_core.storage import Storage, StoredEntity
from email_core.submission.accept import Submission, accept
from email_core.submission.limits import Limits
from email_core.submission.prepare import Preparer
from tests.kit.dns_zone import ZoneResolver
from tests.kit.drafts import a_draft, an_address, an_attachment
from tests.kit.simulated_host import SimulatedHost, SimulatedWorker
from tests.kit.simulated_storage import Died, FaultMix, Faults, Place, QueuedItem, SimulatedStorage
from tests.kit.virtual_time import VirtualClock, run_virtually

MINUTE, HOUR = 60.0, 3600.0

ARRIVALS = 40 * MINUTE  # in which all messages are submitted
FAULTY = 6 * HOUR  # then everything works
DRAINED_BY = 100 * HOUR  # the time to live of the last message, and a day

VERP_KEYS = {"a": b"k" * 32}
SERVICE = CommunicationService("service", "abcdefghij", "simulated", "simulated.localhost", (), ())
SENDER = an_address("noreply@contoso.test")
SIGNING_KEY = SigningKey("contoso.test", "s1", load_private_key(generate_ed25519()))
DOMAIN = SendingDomain("domain", "contoso.test", False, True, "", {}, (SIGNING_KEY,), any_sender=True)
BUSY = 0.2  # how often a destination has all its runs
ATTACHMENTS = ((), (), (an_attachment(b"%" * 200 * 1024),))  # the last one does not fit an entity


@dataclass
class Findings:
    """What a simulation found. Every list must be empty; each line names the message or item.

    `lost`: accepted recipients without exactly one final status that is true. `unmarked`: sent to twice, and not marked as
    possible duplicates. `sent_again`: sent to after their final status was written. `rewritten`: final statuses that changed.
    `undrained`: items left on the queues. `unforeseen`: exceptions that no fault explains. `counts` says what went on.
    """

    lost: list[str] = field(default_factory=list)
    unmarked: list[str] = field(default_factory=list)
    sent_again: list[str] = field(default_factory=list)
    rewritten: list[str] = field(default_factory=list)
    undrained: list[str] = field(default_factory=list)
    unforeseen: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def broken(self) -> dict[str, list[str]]:
        """The promises that were broken: the lists that are not empty."""
        return {name: lines for name, lines in vars(self).items() if name != "counts" and lines}


def simulate(mix: FaultMix, *, seed: int, messages: int) -> Findings:
    """Submit messages while things go wrong, work until nothing is left, and say what came of it."""
    logging.disable(logging.CRITICAL)  # thousands of faults, all on purpose
    try:
        with pytest.MonkeyPatch.context() as patch:
            chance = Random(seed)
            patch.setattr(settle, "random", chance)  # its jitter
            patch.setattr(deliver, "random", chance)
            return run_virtually(_Simulation(mix, chance).run(messages))
    finally:
        logging.disable(logging.NOTSET)


class SimulatedCourier:
    """Receivers that take, defer or bounce a recipient by chance, and that take their time."""

    def __init__(self, chance: Random, faults: Faults, settings: Settings, sent: Callable[[str, str, str], None]) -> None:
        self._chance = chance
        self._faults = faults
        self._settings = settings
        self._sent = sent  # called with message, row and recipient at each final dot

    async def attempt_delivery(self, attempt: Attempt) -> AttemptReport:
        """As the real courier: an attempt whose time runs out has sent nothing, and an impatient one hands over."""
        longest = min(self._settings.run_seconds, attempt.seconds or self._settings.run_seconds)
        if not attempt.impatient:
            self.refuse_when_full(())
        if attempt.impatient:
            longest = min(self._settings.impatience_seconds, longest)
        takes = self._chance.uniform(1.0, 300.0) if self._chance.random() < 0.2 else self._chance.uniform(0.01, 2.0)
        if longest < LEAST_SECONDS or takes > longest:
            await asyncio.sleep(longest if longest >= LEAST_SECONDS else 0.0)
            outcomes = tuple(Outcome(each.addr_spec, Disposition.DEFERRED) for each in attempt.recipients)
            return AttemptReport(outcomes, (), handed_over=attempt.impatient)
        await asyncio.sleep(takes)
        self._faults.perhaps_die()
        report = AttemptReport(tuple(self._converse(attempt, each.addr_spec) for each in attempt.recipients), ())
        self._faults.perhaps_die()
        return report

    def refuse_when_full(self, addresses: Sequence[str]) -> None:
        """As the real courier, raises WorkerBusy while too many runs are at the destination: here by chance."""
        if self._chance.random() < BUSY:
            raise WorkerBusy("too many runs")

    def _converse(self, attempt: Attempt, recipient: str) -> Outcome:
        [disposition] = self._chance.choices(
            [Disposition.DELIVERED, Disposition.DEFERRED, Disposition.BOUNCED], [0.6, 0.3, 0.1]
        )
        reply_lost = disposition is Disposition.DELIVERED and self._faults.reply_lost()
        if disposition is Disposition.DELIVERED:
            token = read_reverse_path(attempt.reverse_path, VERP_KEYS)
            assert token is not None
            row = f"envelope:{token.envelope:03}" if token.envelope else MESSAGE_ROW
            self._sent(f"{token.service_key}:{token.operation_id}", row, recipient)
        if reply_lost:
            return Outcome(recipient, Disposition.DEFERRED, indeterminate=True)
        return Outcome(recipient, disposition)


class SimulatedDirectory:
    """One domain that may send."""

    async def sending_domain(self, service: CommunicationService, sender: object) -> SendingDomain:
        return DOMAIN

    async def domain(self, resource_id: str) -> SendingDomain:
        return DOMAIN


class _Simulation:
    """One run: the parts put together as `email_core.services` does, clients, and an observer of every write and send."""

    def __init__(self, mix: FaultMix, chance: Random) -> None:
        self._chance = chance
        self._findings = Findings()
        self._faults = Faults(mix, chance)
        self._storage = SimulatedStorage(self._faults)
        self._storage.tables.on_change = self._compare
        self._clock = VirtualClock()
        self._settings = settings = Settings(storage=StorageSettings())
        self._directory = cast(Directory, SimulatedDirectory())
        self._accepted: dict[str, Counter[str]] = {}
        self._sends: dict[str, Counter[str]] = defaultdict(Counter)
        storage = cast(Storage, self._storage)
        self._limits = Limits(storage.tables, self._clock)
        self._spool = Spool(storage)
        claims = Claims(self._spool, self._clock, settings.claim_seconds)
        settler = Settler(storage, self._spool, settings, self._clock)
        courier = cast(Courier, SimulatedCourier(chance, self._faults, settings, self._note_send))
        deliverer = Deliverer(self._spool, claims, settler, courier, VERP_KEYS)
        preparer = Preparer(
            self._spool, claims, self._directory, deliverer, settler, settings, self._clock, storage.tables, ZoneResolver({})
        )
        keeper = PoisonKeeper(storage, self._spool, self._clock, settings)
        sweeper = Sweeper(storage, self._spool, self._clock, settings.claim_seconds)
        self._host = SimulatedHost(self._storage.queues, SimulatedWorker(claims, preparer, deliverer, keeper, sweeper))
        self._storage.queues.vanishes = self._vanishes

    async def run(self, messages: int) -> Findings:
        """The whole of it, from the first submission until the queues are empty and the sweeper has nothing left to find."""
        loop, queues = asyncio.get_running_loop(), self._storage.queues
        loop.call_later(FAULTY, self._faults.stop)
        timers = loop.create_task(self._host.run_timers())
        await asyncio.gather(*(self._submit() for _ in range(messages)))
        try:
            async with asyncio.timeout_at(DRAINED_BY):
                await queues.drained.wait()
                while self._wait_for_an_item():
                    await asyncio.sleep(EVERY)
                    await queues.drained.wait()
        except TimeoutError:
            self._findings.undrained = [f"{item.queue} {item.text}" for item in queues.items.values()]
        timers.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await timers
        self._judge()
        self._findings.unforeseen = self._host.unforeseen
        self._findings.counts += self._faults.counts + self._host.counts
        return self._findings

    async def _submit(self) -> None:
        """A client: it tries again with the same Operation-Id until it is told that its message was accepted."""
        chance = self._chance
        addresses = [f"user{number}@d{chance.choice((0, 0, 1, 2))}.test" for number in range(chance.choice((1, 1, 1, 2, 4)))]
        draft = a_draft(sender=SENDER, to=tuple(map(an_address, addresses)), attachments=chance.choice(ATTACHMENTS))
        operation_id = str(uuid.UUID(int=chance.getrandbits(128)))
        # The size only decides whether a thread composes, and threads do not live in virtual time.
        submission = Submission(SERVICE, draft, operation_id, request_hash="hash", size=1000, door="http")
        await asyncio.sleep(chance.uniform(0.0, ARRIVALS))
        for pause in (5.0, 10.0, 20.0, 40.0, 80.0):
            try:
                now = self._clock.now()
                await accept(
                    self._spool, self._directory, self._limits, submission, now=now, time_to_live=self._settings.time_to_live
                )
            except (StorageUnavailable, Died):
                await asyncio.sleep(pause)
                continue
            self._accepted[f"{SERVICE.key}:{operation_id}"] = Counter(addresses)
            return

    def _vanishes(self, item: QueuedItem) -> bool:
        """An item is lost only when its message was claimed before, or is an envelope: the sweeper answers for no other."""
        lost = SpoolItem.decode(item.text)
        return self._is_swept(lost.message, lost.row) and self._faults.vanishes()

    def _is_swept(self, message: str, row: str) -> bool:
        there = (MESSAGES, message, row) in self._storage.tables.rows
        return there and (row != MESSAGE_ROW or bool(self._row(message, row).ledger.claim_token))

    def _wait_for_an_item(self) -> list[str]:
        """The rows that only the sweeper can bring to their end."""
        places = [(message, row) for table, message, row in self._storage.tables.rows if table == MESSAGES]
        swept = (self._row(*place) for place in places if self._is_swept(*place))
        return [f"{row.message} {row.row}" for row in swept if not row.facts.envelopes and not row.ledger.finished]

    def _note_send(self, message: str, row: str, recipient: str) -> None:
        self._sends[message][recipient] += 1
        self._findings.counts["sends"] += 1
        if self._entries(self._row(message, row))[recipient].status.final:
            self._findings.sent_again.append(f"{message} {row} {recipient}")

    def _compare(self, place: Place, before: StoredEntity | None, after: StoredEntity) -> None:
        table, message, row = place
        if table != MESSAGES or before is None:
            return
        now = self._entries(row_of(message, row, after))
        for address, entry in self._entries(row_of(message, row, before)).items():
            if entry.status.final and now[address].status is not entry.status:
                self._findings.rewritten.append(f"{message} {row} {address}: {entry.status}, then {now[address].status}")

    def _row(self, message: str, row: str) -> SpooledRow:
        return row_of(message, row, self._storage.tables.rows[MESSAGES, message, row])

    @staticmethod
    def _entries(row: SpooledRow) -> dict[str, Entry]:
        return {entry.address: entry for entry in row.ledger.entries}

    def _judge(self) -> None:
        """Hold what the tables say at the end against what was accepted and what was sent."""
        messages: dict[str, dict[str, SpooledRow]] = defaultdict(dict)
        for table, message, row in self._storage.tables.rows:
            if table == MESSAGES:
                messages[message][row] = self._row(message, row)
        for message, rows in messages.items():
            split = bool(rows[MESSAGE_ROW].facts.envelopes)
            live = [row for name, row in rows.items() if (name != MESSAGE_ROW) == split]
            entries = [entry for row in live for entry in row.ledger.entries]
            self._judge_sends(message, entries)
            self._findings.counts["overdue"] += sum(event.kind == "overdue" for row in rows.values() for event in row.timeline)
            if message in self._accepted:
                self._judge_accepted(message, rows[MESSAGE_ROW].facts.status, entries)

    def _judge_sends(self, message: str, entries: list[Entry]) -> None:
        for entry in entries:
            if self._sends[message][entry.address] > 1:
                self._findings.counts["duplicates"] += 1
                if not entry.possible_duplicate:
                    self._findings.unmarked.append(f"{message} {entry.address}")

    def _judge_accepted(self, message: str, status: str, entries: list[Entry]) -> None:
        self._findings.counts["recipients"] += self._accepted[message].total()
        lost = self._findings.lost
        if Counter(entry.address for entry in entries) != self._accepted[message]:
            lost.append(f"{message}: accepted {self._accepted[message]}, and the ledgers have {entries}")
        if status == "Running":
            lost.append(f"{message}: the operation is still Running")
        for entry in entries:
            self._findings.counts[entry.status] += 1
            if not entry.status.final:
                lost.append(f"{message} {entry.address}: {entry.status}")
            if entry.status == "Delivered" and not self._sends[message][entry.address]:
                lost.append(f"{message} {entry.address}: Delivered, and never sent")
