"""The sweeper: a message whose next attempt is long overdue has lost its queue item, and gets another one.

Queues keep what they are given, so this should find nothing. It is for a queue that was emptied by hand, for a storage
account that was restored from a backup, and for faults of our own that we do not know of.

**Which rows.** Those that were claimed at least once, or are envelopes, are not final, and were due longer ago than a claim
can last: no run has them, and if their item is still there, it waits behind others. A message that was never claimed is left
alone, for its caller may never have been told that it was accepted.

**How much.** A partition is one message, and its key begins with the service's key and the operation id, a UUID. Each run
looks at the ids that begin with one hexadecimal digit, so a message is looked at every 80 minutes. The services are found by
seeking in the table from one to the next, which is one short query for each of them. The directory is not asked: a service
that was deleted yesterday may have mail under way today.

**In which order.** A run has bounds of rows and of time, and what lies behind them has to wait for a later one. So each look
at a digit begins with another service than the one before, and, once every service was first, with another second digit: in
turn everything is at the beginning.

**How often.** A look leaves an event on the timeline before the item is enqueued, and a row that was put back less than a
claim's time ago is left alone, so each look puts at most one item for it on a queue. However long a backlog lasts, a message
has one item more for every 80 minutes of it. The first of them is worked; the others find the claim held or the attempt
settled, and are dropped. An item that was on its way nevertheless is one of those others. When the attempt was due stays as
it is: a worker whose clock is far ahead takes much for overdue, and the items that it adds wait for the time that is written
there, which no such clock may move.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from email_core import maillog
from email_core.clock import Clock
from email_core.delivery.outcome import TimelineEvent
from email_core.delivery.poison import UNREADABLE
from email_core.delivery.rows import MESSAGE_ROW, SpooledRow
from email_core.delivery.spool import MESSAGES, Spool, SpoolItem
from email_core.errors import EntityChanged, EntityMissing, StorageRefused, StorageUnavailable
from email_core.storage import Storage, text_literal

EVERY = 300.0  # seconds from one run to the next; the timer's schedule says the same
DIGITS = "0123456789abcdef"
OVERDUE = "overdue"  # the event on the timeline
MOST_ROWS = 5_000  # put back by one run; a queue that lost a million items has them again after 17 hours
LONGEST_SWEEP = 180.0  # seconds; below functionTimeout and the time to the next run
MOST_FAULTS = 3  # rows one after the other that storage had no answer for; then it is away, and not the row at fault


@dataclass
class Sweep:
    """What a run came to: overdue rows `found`, and how many of them got an item (`put_back`)."""

    digit: str
    found: int = 0
    put_back: int = 0


def turn_at(now: float) -> int:
    """The number of the run that is due at a time in seconds since the epoch; its last hexadecimal digit is the one looked at.

    The timer fires where one turn ends and the next begins, a little late or, by a clock that is behind, a little early. So
    the time is rounded and not cut.
    """
    return int((now + EVERY / 2) // EVERY)


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Looks for overdue rows. `longest_claim` is in seconds."""

    storage: Storage
    spool: Spool
    clock: Clock
    longest_claim: float

    async def sweep(self) -> Sweep:
        """Look at the sixteenth of all messages whose turn it is, and put back what is overdue.

        A row that cannot be read, or that storage has no answer for, is passed over. Storage that is away ends the run, and so
        do MOST_ROWS and LONGEST_SWEEP; what is left waits for a later one. Raises nothing of these: the log tells.
        """
        turn = turn_at(self.clock.now())
        sweep = Sweep(DIGITS[turn % len(DIGITS)])
        try:
            async with asyncio.timeout(LONGEST_SWEEP):
                await self._look_at_all(turn, sweep)
        except (StorageUnavailable, StorageRefused, TimeoutError) as error:
            maillog.fault("sweep", error=error)
        if sweep.found:
            maillog.swept(digit=sweep.digit, found=sweep.found, put_back=sweep.put_back)
        return sweep

    async def _look_at_all(self, turn: int, sweep: Sweep) -> None:
        faults = 0
        async for message, name in self._overdue(turn):
            if sweep.put_back >= MOST_ROWS:
                return
            sweep.found += 1
            try:
                sweep.put_back += await self._look(message, name)
                faults = 0
            except (StorageUnavailable, StorageRefused) as error:
                faults += 1
                if faults == MOST_FAULTS:
                    raise
                maillog.fault("sweep", error=error, message=message)

    async def _overdue(self, turn: int) -> AsyncIterator[tuple[str, str]]:
        """PartitionKey and RowKey of what is overdue among the operation ids that a turn looks at."""
        due = self.clock.now() - self.longest_claim
        services = [service async for service in self._service_keys()]
        circles, first = divmod(turn // len(DIGITS), max(len(services), 1))
        for service in (*services[first:], *services[:first]):
            for begin, end in _ranges(service, turn % len(DIGITS), circles % len(DIGITS)):
                rows = self.storage.tables.query(
                    MESSAGES,
                    f"PartitionKey ge {text_literal(begin)} and PartitionKey lt {text_literal(end)}"
                    f" and nextAttemptAt gt 0.0 and nextAttemptAt lt {due:.3f}"
                    f" and (claimToken ne '' or RowKey ne {text_literal(MESSAGE_ROW)})",
                    select=("PartitionKey", "RowKey"),
                )
                async for row in rows:
                    yield str(row.values["PartitionKey"]), str(row.values["RowKey"])

    async def _service_keys(self) -> AsyncIterator[str]:
        """The keys of all services that have messages, each found by one query for the first row behind the one before."""
        after = ""
        while True:
            rows = self.storage.tables.query(
                MESSAGES, f"PartitionKey ge {text_literal(after)}", select=("PartitionKey",), page_size=1
            )
            first = await anext(rows, None)
            if first is None:
                return
            service = str(first.values["PartitionKey"]).partition(":")[0]
            yield service
            after = f"{service};"  # the character after the colon

    async def _look(self, message: str, name: str) -> bool:
        """Put a row back if it is still overdue; whether it was. Raises StorageUnavailable and StorageRefused."""
        try:
            row = await self.spool.read(message, name, with_content=False)
            return row is not None and await self._put_back(row)
        except (EntityChanged, EntityMissing):
            return False  # somebody works on it: nothing was lost
        except UNREADABLE as error:
            # A row that cannot be read, perhaps of a newer version, must not keep the sweeper from all those behind it.
            maillog.fault("sweep", error=error, message=message)
            return False

    async def _put_back(self, row: SpooledRow) -> bool:
        """The merge comes before the item: a run that claims meanwhile wins, and a crash leaves the row to a later sweep."""
        now, ledger = self.clock.now(), row.ledger
        if ledger.finished or row.facts.envelopes:
            # It should have no next attempt; without one it is not found again.
            await self.spool.update(row, ledger=replace(ledger, next_attempt_at=0.0))
            return False
        if ledger.claim_until > now or not 0.0 < ledger.next_attempt_at < now - self.longest_claim:
            return False
        # Either way: what a clock that is far ahead has written keeps the others from a row for one look at the most.
        if any(abs(now - event.at) < self.longest_claim for event in row.timeline if event.kind == OVERDUE):
            return False
        overdue = now - ledger.next_attempt_at
        queue = await self.spool.queue_of(row)
        event = TimelineEvent(now, OVERDUE, {"seconds": round(overdue), "attempt": ledger.attempt, "queue": queue})
        await self.spool.update(row, ledger=ledger, timeline=[*row.timeline, event])
        await self.spool.enqueue(queue, SpoolItem(row.message, row.row, ledger.attempt))
        maillog.put_back_message(row.message, row=row.row, queue=queue, attempt=ledger.attempt, overdue=overdue)
        return True


def _ranges(service: str, digit: int, second: int) -> list[tuple[str, str]]:
    """The keys, from one to below another, of the ids of a service that begin with a digit, from a second digit around."""
    begin, end = f"{service}:{DIGITS[digit]}", f"{service}:{chr(ord(DIGITS[digit]) + 1)}"
    if second == 0:
        return [(begin, end)]
    middle = begin + DIGITS[second]
    return [(middle, end), (begin, middle)]
