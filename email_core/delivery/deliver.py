"""Delivering: an item of the queue `deliveries` becomes one attempt, and the attempt is settled.

Exceptions that leave are our own faults: the host delivers the item again, and after its last try the poison queue ends
the message as Failed. What a receiver or the network does is an outcome, never an exception.

What this worker has no room for, in memory or at its destination, gives its claim back and comes again a little later. That
counts as no try, and as none of the put backs after which an item is given up, for it may go on for as long as the queue is
full. What has waited for longer comes again later, so that a full queue does not keep storage busy with itself: each time
costs a read, a claim, its release and an item. Other mail shares the queue with it all the same, and of a large backlog for
one domain every item takes a run for those few round trips before what stands behind it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from email_core import maillog
from email_core.delivery.attempt import Attempt, Courier
from email_core.delivery.capacity import Capacity
from email_core.delivery.claim import Claims
from email_core.delivery.dsn_due import DSN_DOOR
from email_core.delivery.outcome import AttemptReport
from email_core.delivery.rows import MessageFacts, SpooledRow
from email_core.delivery.settle import Settler, waiting
from email_core.delivery.spool import DELIVERIES, SUBMISSIONS, Spool, SpoolItem
from email_core.delivery.verp import make_feedback_id, make_reverse_path
from email_core.errors import WorkerBusy
from email_core.message.address import parse_address
from email_core.message.dsn_options import MessageOptions, RecipientOptions, notify_of
from email_core.settings import MAX_BYTES_IN_FLIGHT

SETTLE_SHARE = 0.15  # of a claim: kept for writing down what the attempt came to
ROOM_PATIENCE = 2.0  # seconds to wait for room; longer, and those who wait would fill the queue function
BUSY_SHARE = 0.1  # of the time since the message was accepted: how long one that finds no room waits
SHORTEST_BUSY_PAUSE, LONGEST_BUSY_PAUSE = 2.0, 900.0  # seconds; up to half of it is added or taken off

# A tenant reads it: how much the worker has in hand is for the log.
NO_ROOM = "this installation had no room for it until its time was up"


def message_room(most_bytes: int) -> Capacity:
    """Room for the messages that a worker has in memory, of that many bytes together; small ones are not counted."""
    return Capacity("messages", most=1000, most_bytes=most_bytes, patience=ROOM_PATIENCE)  # the host bounds their number


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Makes attempts and settles them."""

    spool: Spool
    claims: Claims
    settler: Settler
    courier: Courier
    verp_keys: Mapping[str, bytes]
    room: Capacity = field(default_factory=lambda: message_room(MAX_BYTES_IN_FLIGHT))

    async def deliver(self, item: SpoolItem, *, dequeue_count: int) -> None:
        """Work an item of the queue `deliveries`: claim, one SMTP conversation, settle."""
        row = await self.claims.take(DELIVERIES, item, dequeue_count=dequeue_count)
        if row is None:
            return
        if await self._sent_to_be_signed(item, row):
            return
        report: AttemptReport | None = None
        try:
            self.courier.refuse_when_full(row.ledger.open_addresses)  # before anything is read for nothing
            async with self.room.place(row.facts.size):
                report = await self._attempt_patiently(row)
        except WorkerBusy as busy:
            await self.put_back(DELIVERIES, item, row, busy)
        finally:
            if report is not None:  # what was sent is written down, however the place was left
                await self.settler.settle(row, report)

    async def _sent_to_be_signed(self, item: SpoolItem, row: SpooledRow) -> bool:
        """Hand the item of a claimed row to the queue `submissions` if nothing is signed yet; whether that was so.

        A run that had signed enqueues its retry here before its merge. When the merge fails, the message is prepared again,
        and that may not come as far: the domain is paused meanwhile, or its keys are gone.
        """
        async with self.claims.released_on_fault(row):
            if await self.spool.queue_of(row) == DELIVERIES:
                return False
        await self.claims.release(row)
        maillog.put_back_item(item.message, queue=SUBMISSIONS, why="it is not signed yet", delay=0.0)
        # As one that stands for itself, should the release not have taken effect.
        await self.spool.enqueue(SUBMISSIONS, replace(item, put_backs=max(item.put_backs, 1)))
        return True

    async def put_back(self, queue: str, item: SpoolItem, row: SpooledRow, busy: WorkerBusy) -> None:
        """Put the item of a claimed row back, as there is no room for it now; nothing was done with it."""
        now = self.claims.clock.now()
        if now >= row.facts.expires_at:
            await self.settler.settle(row, waiting(row, now=now, why=NO_ROOM))
            return
        waited = now - (row.facts.reopened_at or row.facts.accepted_at)
        pause = min(max(BUSY_SHARE * waited, SHORTEST_BUSY_PAUSE), LONGEST_BUSY_PAUSE) * random.uniform(0.5, 1.5)  # noqa: S311
        pause = min(pause, row.facts.expires_at - now)
        await self.claims.release(row, pause=pause)
        maillog.put_back_item(item.message, queue=queue, why=str(busy), delay=pause)
        # Counted as put back once, so that it stands for itself should the release not have taken effect.
        await self.spool.enqueue(queue, replace(item, put_backs=max(item.put_backs, 1)), delay=pause)

    async def _attempt_patiently(self, row: SpooledRow) -> AttemptReport:
        async with self.claims.released_on_fault(row):
            signed = await self.spool.signed(row)
        return await self.attempt(row, row.facts, signed, impatient=False)

    async def attempt(self, row: SpooledRow, facts: MessageFacts, signed: bytes, *, impatient: bool) -> AttemptReport:
        """One attempt for the open recipients of a claimed row."""
        entries = [entry for entry in row.ledger.entries if not entry.status.final]
        tries = max((entry.tries for entry in entries), default=0)
        return await self.courier.attempt_delivery(
            Attempt(
                message=signed,
                reverse_path=self._reverse_path(row, facts),
                recipients=tuple(parse_address(address) for address in row.ledger.open_addresses),
                number=tries,
                impatient=impatient,
                seconds=self._seconds_left(row),
                options=MessageOptions(facts.ret, facts.envid),
                recipient_options={
                    entry.address: RecipientOptions(notify_of(entry.notify), entry.orcpt)
                    for entry in entries
                    if entry.notify or entry.orcpt
                },
            )
        )

    def _seconds_left(self, row: SpooledRow) -> float:
        """What the claim leaves for an attempt: reading the content has taken some of it, and settling needs a share."""
        return max(row.ledger.claim_until - self.claims.clock.now() - SETTLE_SHARE * self.claims.seconds, 1.0)

    def feedback_id(self, row: SpooledRow) -> str:
        """The Feedback-ID of a message, by which a complaint finds it when its reverse-path was hidden."""
        key_id, key = next(iter(self.verp_keys.items()))
        return make_feedback_id(
            service_key=row.service_key, operation_id=row.operation_id, stream=row.facts.door, key_id=key_id, key=key
        )

    def _reverse_path(self, row: SpooledRow, facts: MessageFacts) -> str:
        if facts.door == DSN_DOOR:
            return ""  # RFC 3461 section 6.1: nobody is told about a notification
        key_id, key = next(iter(self.verp_keys.items()))  # the first key makes new ones, all of them are read
        return make_reverse_path(
            service_key=row.service_key,
            operation_id=row.operation_id,
            envelope=row.envelope_number,
            key_id=key_id,
            key=key,
            bounce_domain=facts.bounce_domain,
        )
