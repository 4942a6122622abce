"""The claim: one ETag merge that takes a message or an envelope for one attempt, before anything is sent.

Queues deliver at least once, and a replayed Operation-Id may enqueue a second item, so any number of items may point at
one row. The claim lets exactly one of them work; `decide` says what becomes of the others.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum

from email_core import maillog
from email_core.clock import Clock
from email_core.delivery.ledger import claimed
from email_core.delivery.retry_schedule import JITTER
from email_core.delivery.rows import SpooledRow
from email_core.delivery.spool import Spool, SpoolItem
from email_core.errors import EntityChanged, EntityMissing, StorageUnavailable
from email_core.settings import LONGEST_PAUSE

FIRST_PAUSE = 1.0  # seconds, doubled each time; an item that came before what it stands for was written
FAULT_PAUSE = 30.0  # seconds, doubled each time; storage did not answer
LONGEST_FAULT_PAUSE = 900.0
MOST_PUT_BACKS = 12  # about 20 minutes of the first kind, two hours of the second

CLOCK_TOLERANCE = 10.0  # seconds by which the clocks of two workers may differ; no pause of the retry schedule is as short
LONGEST_WAIT = 900.0  # seconds until an item that came before its time is looked at again
# Seconds; longer than the longest pause that a schedule may have, its jitter and a clock that is an hour ahead.
FARTHEST_ATTEMPT = LONGEST_PAUSE * (1 + JITTER) + 3600.0


class ItemExhausted(Exception):
    """An item was put back too often; the host moves it to the poison queue."""


class Verdict(StrEnum):
    """What becomes of an item."""

    CLAIM = "claim"
    DROP = "drop"
    PUT_BACK = "put back"
    POISON = "poison"


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict, its reason for the log, and for PUT_BACK the delay in seconds.

    `counted`: it is one of the put backs after which an item is given up. Waiting for a time that a clock says is none, but
    for the first, which marks the item as one that stands for itself.
    """

    verdict: Verdict
    why: str
    delay: float = 0.0
    counted: bool = True


def decide(item: SpoolItem, row: SpooledRow | None, *, dequeue_count: int, now: float, longest_claim: float) -> Decision:
    """What becomes of an item, given its row.

    An item may be dropped only when another item stands for the same work, or when there is no work. One that was
    delivered before (`dequeue_count` above 1) or put back stands for itself: its run may have died, so it waits for the
    claim to end. One that came too early waits for far longer than the write that it is ahead of can take.

    One that comes before its attempt is due waits for it, a quarter of an hour at a time: a second item of a run that died,
    one that the sweeper of a worker with a fast clock put there. So no number of items makes a receiver be asked sooner. A
    clock that was set back makes its mail wait for as long, and a time that no schedule can have meant is not waited for.
    """
    early = min(FIRST_PAUSE * 2**item.put_backs, longest_claim)
    exhausted = item.put_backs >= MOST_PUT_BACKS
    if row is None:
        if exhausted:
            return Decision(Verdict.DROP, "its row was never written, so it was never acknowledged")
        return Decision(Verdict.PUT_BACK, "its row is not there yet", early)
    ledger = row.ledger
    if row.facts.envelopes or ledger.finished:
        return Decision(Verdict.DROP, "nothing is left to do")
    if item.attempt < ledger.attempt:
        return Decision(Verdict.DROP, "its attempt is settled")
    if item.attempt > ledger.attempt:
        # Even when the claim ran out: the run may still be alive, and its merge on the way.
        if exhausted:
            return Decision(Verdict.DROP, "the attempt before it died and is done again by its own item")
        return Decision(Verdict.PUT_BACK, "the attempt before it is not settled", early)
    held, wait = ledger.claim_until - now, ledger.next_attempt_at - now
    if held <= 0 and ledger.claim_token and CLOCK_TOLERANCE < wait <= FARTHEST_ATTEMPT:
        return Decision(Verdict.PUT_BACK, "its attempt is not due yet", min(wait, LONGEST_WAIT), counted=False)
    # A claim that ends later than any can was written by a clock that is ahead, or ours was set back: nobody's fault.
    askew = longest_claim + CLOCK_TOLERANCE < held <= FARTHEST_ATTEMPT
    if exhausted and not askew:
        return Decision(Verdict.POISON, f"it was put back {item.put_backs} times")
    if held > 0:
        if dequeue_count > 1 or item.put_backs:
            # Looked at again after the time of a claim, however far off its end seems: the clock may be set right meanwhile.
            delay = min(held, longest_claim) + 1.0
            return Decision(Verdict.PUT_BACK, "the claim of an earlier run still holds", delay, counted=not askew)
        return Decision(Verdict.DROP, "another run holds the claim")
    return Decision(Verdict.CLAIM, "the claim ran out" if ledger.claim_until else "free")


@dataclass(frozen=True, slots=True)
class Claims:
    """Takes rows for items, and gives them back. `seconds` is how long a claim holds."""

    spool: Spool
    clock: Clock
    seconds: float

    async def take(self, queue: str, item: SpoolItem, *, dequeue_count: int) -> SpooledRow | None:
        """Claim the row of an item: one read and one merge. None when the item was dropped or put back instead.

        Raises ItemExhausted when the item was put back too often.
        """
        token = secrets.token_hex(8)
        while True:
            row = await self.spool.read(item.message, item.row)
            now = self.clock.now()
            if row is not None and row.ledger.claim_token == token:
                return row  # our own merge, whose answer was lost
            decision = decide(item, row, dequeue_count=dequeue_count, now=now, longest_claim=self.seconds)
            if row is None or decision.verdict is not Verdict.CLAIM:
                await self._set_aside(queue, item, decision)
                return None
            ledger = claimed(row.ledger, token=token, until=now + self.seconds)
            try:
                taken = await self.spool.update(row, ledger=ledger)
            except (EntityChanged, EntityMissing):
                continue  # somebody was faster, or our own first try took effect: the row tells
            maillog.claimed(item.message, attempt=item.attempt, takeover=row.ledger.claim_until > 0)
            return taken

    @asynccontextmanager
    async def released_on_fault(self, row: SpooledRow) -> AsyncIterator[None]:
        """Work under a claim before anything is sent: when it fails, the claim is given back."""
        try:
            yield
        except Exception:
            await self.release(row)
            raise

    async def postpone(self, queue: str, item: SpoolItem, why: str) -> None:
        """Put an item back because storage did not answer. Raises ItemExhausted when that went on for hours."""
        if item.put_backs >= MOST_PUT_BACKS:
            raise ItemExhausted(f"{item.message} {item.row}: {why}")
        pause = min(FAULT_PAUSE * 2**item.put_backs, LONGEST_FAULT_PAUSE)
        await self._set_aside(queue, item, Decision(Verdict.PUT_BACK, why, pause))

    async def release(self, row: SpooledRow, *, pause: float = 0.0) -> None:
        """Give a claim back when nothing was sent under it, so that the next delivery of the item need not wait for its end.

        `pause`: seconds until its item comes again. The row says so, or the sweeper would take it for one that lost its item.
        """
        due = self.clock.now() + pause
        try:
            await self.spool.update_held(row, ledger=replace(row.ledger, claim_until=0.0, next_attempt_at=due))
        except (EntityChanged, EntityMissing, StorageUnavailable) as error:
            # The claim then runs out by itself; the caller raises the fault that made it let go.
            maillog.fault("release", error=error, message=row.message)

    async def _set_aside(self, queue: str, item: SpoolItem, decision: Decision) -> None:
        if decision.verdict is Verdict.DROP:
            maillog.dropped_item(item.message, queue=queue, why=decision.why)
            return
        if decision.verdict is Verdict.POISON:
            raise ItemExhausted(f"{item.message} {item.row}: {decision.why}")
        maillog.put_back_item(item.message, queue=queue, why=decision.why, delay=decision.delay)
        later = replace(item, put_backs=max(item.put_backs + decision.counted, 1))
        await self.spool.enqueue(queue, later, delay=decision.delay)
