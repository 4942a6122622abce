"""Delivering: an item of the queue `deliveries` becomes one attempt, and the attempt is settled.

Exceptions that leave are our own faults: the host delivers the item again, and after its last try the poison queue ends
the message as Failed. What a receiver or the network does is an outcome, never an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from email_core.delivery.attempt import Attempt, Courier
from email_core.delivery.claim import Claims
from email_core.delivery.outcome import AttemptReport
from email_core.delivery.rows import MessageFacts, SpooledRow
from email_core.delivery.settle import Settler
from email_core.delivery.spool import DELIVERIES, Spool, SpoolItem
from email_core.delivery.verp import make_reverse_path
from email_core.message.address import parse_address

SETTLE_SHARE = 0.15  # of a claim: kept for writing down what the attempt came to


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Makes attempts and settles them."""

    spool: Spool
    claims: Claims
    settler: Settler
    courier: Courier
    verp_keys: Mapping[str, bytes]

    async def deliver(self, item: SpoolItem, *, dequeue_count: int) -> None:
        """Work an item of the queue `deliveries`: claim, one SMTP conversation, settle."""
        row = await self.claims.take(DELIVERIES, item, dequeue_count=dequeue_count)
        if row is None:
            return
        async with self.claims.released_on_fault(row):
            signed = await self.spool.signed(row)
        report = await self.attempt(row, row.facts, signed, impatient=False)
        await self.settler.settle(row, report)

    async def attempt(self, row: SpooledRow, facts: MessageFacts, signed: bytes, *, impatient: bool) -> AttemptReport:
        """One attempt for the open recipients of a claimed row."""
        tries = max((entry.tries for entry in row.ledger.entries if not entry.status.final), default=0)
        return await self.courier.attempt_delivery(
            Attempt(
                message=signed,
                reverse_path=self._reverse_path(row, facts),
                recipients=tuple(parse_address(address) for address in row.ledger.open_addresses),
                number=tries,
                impatient=impatient,
                seconds=self._seconds_left(row),
            )
        )

    def _seconds_left(self, row: SpooledRow) -> float:
        """What the claim leaves for an attempt: reading the content has taken some of it, and settling needs a share."""
        return max(row.ledger.claim_until - self.claims.clock.now() - SETTLE_SHARE * self.claims.seconds, 1.0)

    def _reverse_path(self, row: SpooledRow, facts: MessageFacts) -> str:
        key_id, key = next(iter(self.verp_keys.items()))  # the first key makes new ones, all of them are read
        return make_reverse_path(
            service_key=row.service_key,
            operation_id=row.operation_id,
            envelope=row.envelope_number,
            key_id=key_id,
            key=key,
            bounce_domain=facts.bounce_domain,
        )
