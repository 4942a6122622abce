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

**How often.** The row says before the item is enqueued that its attempt is due now. So it is not overdue again until
another claim's time has passed, and each look puts at most one item for it on a queue. However long a backlog lasts, a message
has one item more for every 80 minutes of it. The first of them is worked; the others find the claim held or the attempt
settled, and are dropped. An item that was on its way nevertheless is one of those others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import msgspec

from email_core import maillog
from email_core.clock import Clock
from email_core.delivery.outcome import TimelineEvent
from email_core.delivery.rows import MESSAGE_ROW, SpooledRow
from email_core.delivery.spool import MESSAGES, Spool, SpoolItem
from email_core.errors import EntityChanged, EntityMissing, StorageRefused, StorageUnavailable
from email_core.storage import Storage, text_literal

EVERY = 300.0  # seconds from one run to the next; the timer's schedule says the same
DIGITS = "0123456789abcdef"
MOST_ROWS = 5_000  # put back by one run; a queue that lost a million items has them again after 17 hours
LONGEST_SWEEP = 180.0  # seconds; below functionTimeout and the time to the next run


@dataclass
class Sweep:
    """What a run came to: overdue rows `found`, and how many of them got an item (`put_back`)."""

    digit: str
    found: int = 0
    put_back: int = 0


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Looks for overdue rows. `longest_claim` is in seconds."""

    storage: Storage
    spool: Spool
    clock: Clock
    longest_claim: float

    async def sweep(self) -> Sweep:
        """Look at the sixteenth of all messages whose turn it is. A storage fault ends the run; the next one goes on."""
        began = self.clock.monotonic()
        sweep = Sweep(DIGITS[int(self.clock.now() // EVERY) % len(DIGITS)])
        try:
            async for message, name in self._overdue(sweep.digit):
                if sweep.put_back >= MOST_ROWS or self.clock.monotonic() - began > LONGEST_SWEEP:
                    break
                sweep.found += 1
                sweep.put_back += await self._look(message, name)
        except (StorageUnavailable, StorageRefused) as error:
            maillog.fault("sweep", error=error)
        if sweep.found:
            maillog.swept(digit=sweep.digit, found=sweep.found, put_back=sweep.put_back)
        return sweep

    async def _overdue(self, digit: str) -> AsyncIterator[tuple[str, str]]:
        """PartitionKey and RowKey of what is overdue among the operation ids that begin with a digit."""
        due = self.clock.now() - self.longest_claim
        async for service in self._service_keys():
            first, end = (text_literal(f"{service}:{character}") for character in (digit, chr(ord(digit) + 1)))
            rows = self.storage.tables.query(
                MESSAGES,
                f"PartitionKey ge {first} and PartitionKey lt {end} and nextAttemptAt gt 0.0 and nextAttemptAt lt {due:.3f}"
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
        """Put a row back if it is still overdue; whether it was."""
        try:
            row = await self.spool.read(message, name, with_content=False)
            return row is not None and await self._put_back(row)
        except (EntityChanged, EntityMissing):
            return False  # somebody works on it: nothing was lost
        except (msgspec.MsgspecError, TypeError) as error:
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
        overdue = now - ledger.next_attempt_at
        queue = await self.spool.queue_of(row)
        event = TimelineEvent(now, "overdue", {"seconds": round(overdue), "attempt": ledger.attempt, "queue": queue})
        await self.spool.update(row, ledger=replace(ledger, next_attempt_at=now), timeline=[*row.timeline, event])
        await self.spool.enqueue(queue, SpoolItem(row.message, row.row, ledger.attempt))
        maillog.put_back_message(row.message, row=row.row, queue=queue, attempt=ledger.attempt, overdue=overdue)
        return True
