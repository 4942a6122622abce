"""Poison: an item that the host gave up on. Its message is ended as Failed, and the item is kept for inspection and replay."""

from __future__ import annotations

import contextlib
import traceback
from dataclasses import dataclass, replace

import msgspec

from email_core import maillog
from email_core.clock import Clock
from email_core.delivery.dsn_sending import arrange_notices
from email_core.delivery.kept_items import POISON, KeptItem, state_of
from email_core.delivery.ledger import Ledger, ended
from email_core.delivery.outcome import TimelineEvent
from email_core.delivery.rows import MessageFacts, SpooledRow
from email_core.delivery.settle import record_activity, status_update
from email_core.delivery.spool import Spool, SpoolItem
from email_core.errors import EntityChanged, EntityExists, EntityMissing, StorageRefused, StorageUnavailable
from email_core.settings import Settings
from email_core.storage import Storage

ERROR_CODE = "EmailDropped"
# A row of another version; a name that no row can have, which is a StorageLimit and so a ValueError.
UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError)
REASON = "The service could not work it and gave up; its operator can look into the matter."


@dataclass(frozen=True, slots=True)
class PoisonKeeper:
    """Keeps poison items and ends their messages."""

    storage: Storage
    spool: Spool
    clock: Clock
    settings: Settings

    async def note_fault(self, item: SpoolItem, error: Exception, *, tries: int) -> None:
        """Write on the timeline what ended a run, for whoever looks at the item once it is poison. Best effort.

        The type of the exception and the line of ours that it came through: its text may quote an address or a secret, and
        stands in the log.
        """
        facts: dict[str, object] = {"error": type(error).__name__, "where": where_of(error), "try": tries}
        try:
            row = await self.spool.read(item.message, item.row, with_content=False)
            if row is None or row.ledger.finished or row.ledger.attempt != item.attempt:
                return
            event = TimelineEvent(self.clock.now(), "fault", facts)
            await self.spool.update(row, ledger=row.ledger, timeline=[*row.timeline, event])
        except (StorageUnavailable, StorageRefused, EntityChanged, EntityMissing, *UNREADABLE) as fault:
            maillog.fault("note-fault", error=fault, message=item.message)

    async def keep(self, queue: str, item_id: str, text: str, *, dequeue_count: int) -> None:
        """Keep an item of a poison queue. The copy is written first, so that a crash in between loses nothing."""
        kept = KeptItem(item_id, queue, text, dequeue_count, self.clock.now())
        with contextlib.suppress(EntityExists):  # the item is delivered again: what is kept already says more
            await self.storage.tables.insert(POISON, kept.entity())
        if kept.item is None:
            maillog.poisoned("-", queue=queue, item=item_id)  # not one of ours: kept, and nothing to end
            return
        maillog.poisoned(kept.item.message, queue=queue, item=item_id)
        try:
            await self._end(kept, kept.item)
        except UNREADABLE as error:
            # The item is kept; to fail here as well would only have the host try it again, and lose it in the end.
            maillog.fault("poison", error=error, message=kept.item.message)

    async def _end(self, kept: KeptItem, item: SpoolItem) -> None:
        while True:
            now = self.clock.now()
            row = await self.spool.read(item.message, item.row, with_content=False)
            if row is None or row.facts.envelopes or row.ledger.finished or item.attempt != row.ledger.attempt:
                return
            await self.storage.tables.upsert(POISON, replace(kept, state=state_of(row)).entity())
            if row.ledger.claim_until > now:
                # A run may have the message, or have died with it: the item waits for the claim to end, as any other, and
                # is not poison yet.
                later = replace(item, put_backs=item.put_backs + 1)
                await self.spool.enqueue(kept.queue, later, delay=row.ledger.claim_until - now + 1.0)
                await self.storage.tables.delete(POISON, kept.queue, kept.id)
                return
            event = TimelineEvent(now, "poisoned", {"why": REASON, "item": kept.id})
            facts = row.facts
            if facts.status == "Running":
                facts = replace(facts, status="Failed", error_code=ERROR_CODE, error_reason=REASON)
            after = ended(row.ledger, now=now, reason=REASON)
            await arrange_notices(self.spool, self.settings, row, after, facts, now=now)
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
        # The message has ended: the item, delivered again, would find nothing to do and tell nobody either.
        await record_activity(self.storage, row, updates)


def where_of(error: BaseException) -> str:
    """Our own line that an exception came through last, as `email_core/delivery/settle.py:83`; empty when it met none."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        _, package, path = frame.filename.replace("\\", "/").rpartition("/email_core/")
        if package:
            return f"email_core/{path}:{frame.lineno}"
    return ""
