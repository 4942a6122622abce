"""Poison: an item that the host gave up on. Its message is ended as Failed, and the item is kept for inspection."""

from __future__ import annotations

from dataclasses import dataclass, replace

from email_core import maillog
from email_core.clock import Clock
from email_core.delivery.ledger import Ledger, ended
from email_core.delivery.outcome import TimelineEvent
from email_core.delivery.rows import MessageFacts, SpooledRow
from email_core.delivery.settle import status_update
from email_core.delivery.spool import Spool, SpoolItem
from email_core.errors import EntityChanged
from email_core.insights.activity import record
from email_core.storage import Storage

POISON = "poison"
REASON = "The service could not work it and gave up; its operator can look into the matter."


@dataclass(frozen=True, slots=True)
class PoisonKeeper:
    """Keeps poison items and ends their messages."""

    storage: Storage
    spool: Spool
    clock: Clock

    async def keep(self, queue: str, item_id: str, text: str, *, dequeue_count: int) -> None:
        """Keep an item of a poison queue. The copy is written first, so that a crash in between loses nothing."""
        now = self.clock.now()
        await self.storage.tables.upsert(
            POISON,
            {
                "PartitionKey": queue,
                "RowKey": item_id,
                "item": text,
                "dequeueCount": dequeue_count,
                "keptAt": now,
            },
        )
        try:
            item = SpoolItem.decode(text)
        except ValueError:
            maillog.poisoned("-", queue=queue, item=item_id)  # not one of ours: kept, and nothing to end
            return
        maillog.poisoned(item.message, queue=queue, item=item_id)
        await self._end(queue, item, now)

    async def _end(self, queue: str, item: SpoolItem, now: float) -> None:
        while True:
            row = await self.spool.read(item.message, item.row, with_content=False)
            if row is None or row.facts.envelopes or row.ledger.finished or item.attempt != row.ledger.attempt:
                return
            if row.ledger.claim_until > now:
                # A run may have the message, or have died with it: the item waits for the claim to end, as any other.
                later = replace(item, put_backs=item.put_backs + 1)
                await self.spool.enqueue(queue, later, delay=row.ledger.claim_until - now + 1.0)
                return
            event = TimelineEvent(now, "poisoned", {"why": REASON})
            facts = row.facts
            if facts.status == "Running":
                facts = replace(facts, status="Failed", error_code="EmailDropped", error_reason=REASON)
            after = ended(row.ledger, now=now, reason=REASON)
            try:
                await self.spool.update(row, ledger=after, facts=facts, timeline=[*row.timeline, event])
            except EntityChanged:
                continue  # a run settled it meanwhile: look again
            await self._report(row, facts, after)
            return

    async def _report(self, row: SpooledRow, facts: MessageFacts, after: Ledger) -> None:
        ended_here = set(row.ledger.open_addresses)
        updates = [status_update(row, facts, entry) for entry in after.entries if entry.address in ended_here]
        for update in updates:
            maillog.final(row.message, update.recipient, status=update.status)
        await record(self.storage, updates)
