"""Settling: what an attempt came to is written down once, and the next attempt is arranged.

The order matters. The retry item goes first, with its delay: should the run die before the merge, the item finds the old
attempt number, and the item of this run is delivered again. Then one ETag merge writes ledger, status and timeline. The
activity row and the managed suppression list come last, for they only tell what the ledger already knows.

Whatever storage refuses on the way, who has the message is written down: an outcome that is lost is a message sent again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from email_core import maillog
from email_core.clock import Clock
from email_core.delivery.dsn_sending import arrange_notices
from email_core.delivery.ledger import Entry, Ledger, Settlement, settled
from email_core.delivery.managed_list import tell_managed_list
from email_core.delivery.outcome import AttemptReport, Disposition, Outcome, TimelineEvent
from email_core.delivery.rows import MessageFacts, SpooledRow
from email_core.delivery.spool import DELIVERIES, SUBMISSIONS, Spool, SpoolItem
from email_core.errors import EntityChanged, StorageRefused, StorageUnavailable
from email_core.insights.activity import StatusUpdate, record
from email_core.settings import Settings
from email_core.storage import Storage, StorageLimit

HAND_OVER_DELAY = 1.0  # seconds; long enough for the merge that follows the item
# What was sent can't be called back, so its outcome is worth more tries than an ordinary write.
_SETTLE_PAUSES = (0.5, 2.0, 5.0, 10.0, 20.0)


@dataclass(frozen=True, slots=True)
class Settler:
    """Writes what attempts came to."""

    storage: Storage
    spool: Spool
    settings: Settings
    clock: Clock

    async def settle(
        self,
        row: SpooledRow,
        report: AttemptReport,
        *,
        facts: MessageFacts | None = None,
        signed: bytes = b"",
    ) -> None:
        """Write the outcomes of an attempt on a claimed row. `signed` is kept when another attempt will need it.

        Raises EntityChanged when the claim was taken over meanwhile: the other run answers for the row then.
        """
        now = self.clock.now()
        facts = facts or row.facts
        settlement = settled(
            row.ledger,
            report,
            now=now,
            accepted_at=facts.reopened_at or facts.accepted_at,
            expires_at=facts.expires_at,
            pauses=self.settings.retry_pauses,
            random=random.random,
        )
        facts = _ended_facts(facts, settlement)
        timeline = [*row.timeline, *report.timeline, *_conclusion(settlement, now)]
        keep = signed if settlement.retry_at is not None and not (row.signed or row.signed_blob) else b""
        try:
            if settlement.retry_at is not None:
                await self._enqueue_retry(row, settlement, has_signed=bool(signed or row.signed or row.signed_blob))
            await arrange_notices(self.spool, self.settings, row, settlement.ledger, facts, now=now)
            await self._merge(row, settlement.ledger, facts, timeline, keep)
        except (StorageUnavailable, StorageRefused, StorageLimit):
            await self._save_outcomes(row, settlement.ledger, facts, timeline)
            raise
        await self.tell(row, facts, settlement.ledger)

    async def tell(self, row: SpooledRow, facts: MessageFacts, ledger: Ledger) -> None:
        """Tell the logs and the managed list what is new in a ledger, once it is written. Raises nothing."""
        changed = _changed(row.ledger, ledger)
        await asyncio.gather(
            tell_outcomes(self.storage, row, facts, changed), tell_managed_list(self.storage.tables, row, facts, changed)
        )

    async def _enqueue_retry(self, row: SpooledRow, settlement: Settlement, *, has_signed: bool) -> None:
        retry_at = settlement.retry_at or 0.0
        # A message that could not be signed is prepared again; one that was signed goes out with the same bytes.
        queue = DELIVERIES if has_signed else SUBMISSIONS
        item = SpoolItem(row.message, row.row, settlement.ledger.attempt)
        await self.spool.enqueue(queue, item, delay=max(retry_at - self.clock.now(), HAND_OVER_DELAY))

    async def _merge(
        self, row: SpooledRow, ledger: Ledger, facts: MessageFacts, timeline: Sequence[TimelineEvent], signed: bytes
    ) -> None:
        changed = facts if facts != row.facts else None
        etag = row.etag
        for pause in (*_SETTLE_PAUSES, None):
            out_of_time = pause is None or self.clock.now() + pause > row.ledger.claim_until
            try:
                try:
                    held = replace(row, etag=etag)
                    await self.spool.update(held, ledger=ledger, facts=changed, timeline=timeline, signed=signed)
                    return
                except EntityChanged:
                    # The claim was taken over; or our own merge took effect and only its answer was lost; or the row was
                    # touched without touching the claim, by a sweeper whose clock is ahead or by a note on its timeline.
                    current = await self.spool.read(row.message, row.row, with_content=False)
                    if current is None or current.ledger.claim_token != ledger.claim_token:
                        raise
                    if current.ledger.attempt == ledger.attempt:
                        return
                    if current.ledger.attempt != row.ledger.attempt or pause is None:
                        raise
                    etag = current.etag
            except StorageUnavailable as unavailable:  # of the merge, or of the read that tells what became of it
                if out_of_time:
                    raise
                maillog.fault("settle", error=unavailable, message=row.message)
                await self.clock.sleep(pause or 0.0)

    async def _save_outcomes(
        self, row: SpooledRow, ledger: Ledger, facts: MessageFacts, timeline: Sequence[TimelineEvent]
    ) -> None:
        """Write who has what, and leave the attempt open: the item of this run does it again for those who are left."""
        # A ledger that is finished has no next attempt, or the sweeper would look for its item.
        due = 0.0 if ledger.finished else self.clock.now()
        saved = replace(ledger, attempt=row.ledger.attempt, next_attempt_at=due)
        try:
            await self.spool.update_held(row, ledger=saved, facts=facts, timeline=timeline)
        except (StorageUnavailable, StorageRefused, StorageLimit, EntityChanged) as error:
            # The claim runs out then, and whoever takes it over marks the open recipients as possible duplicates.
            maillog.fault("save-outcomes", error=error, message=row.message)


def waiting(row: SpooledRow, *, now: float, why: str) -> AttemptReport:
    """The report of a run that could not even try: everyone open is deferred, and the timeline says why."""
    outcomes = tuple(Outcome(address, Disposition.DEFERRED, reason=why) for address in row.ledger.open_addresses)
    return AttemptReport(outcomes, (TimelineEvent(now, "waiting", {"why": why}),))


def _changed(before: Ledger, after: Ledger) -> list[Entry]:
    return [
        new
        for old, new in zip(before.entries, after.entries, strict=True)
        if (new.status, new.tries) != (old.status, old.tries)
    ]


def _conclusion(settlement: Settlement, now: float) -> list[TimelineEvent]:
    events = [
        TimelineEvent(now, "expired", {"recipient": entry.address, "tries": entry.tries})
        for entry in settlement.ledger.entries
        if entry.status == "Expired" and entry.at == now
    ]
    if settlement.retry_at is not None:
        facts: dict[str, object] = {"at": settlement.retry_at, "attempt": settlement.ledger.attempt}
        events.append(TimelineEvent(now, "next-attempt", facts))
    return events


def _ended_facts(facts: MessageFacts, settlement: Settlement) -> MessageFacts:
    """An operation that never came as far as delivery ends with its recipients, or its caller would ask for ever."""
    if settlement.retry_at is not None or facts.status != "Running":
        return facts
    why = "It could not be prepared for sending within its time to live."
    return replace(facts, status="Failed", error_code="EmailDropped", error_reason=why)


async def tell_outcomes(storage: Storage, row: SpooledRow, facts: MessageFacts, changed: Sequence[Entry]) -> None:
    """Tell the mail log and the activity log of recipients' new states, once they are written. Raises nothing."""
    for entry in changed:
        maillog.outcome(
            row.message,
            entry.address,
            disposition=entry.status,
            attempt=row.ledger.attempt,
            reply=entry.reply,
            host=entry.host,
            bounce_class=entry.bounce_class,
        )
    await record_activity(storage, row, [status_update(row, facts, entry) for entry in changed])


async def record_activity(storage: Storage, row: SpooledRow, updates: Sequence[StatusUpdate]) -> None:
    """Write rows of the activity log. Raises nothing: the ledger has it, and is the truth; doing it again would be worse."""
    try:
        await record(storage, updates)
    except (StorageUnavailable, StorageRefused, StorageLimit) as error:
        maillog.activity_lost(row.message, reason=str(error))


def status_update(row: SpooledRow, facts: MessageFacts, entry: Entry) -> StatusUpdate:
    """The activity row of a recipient's new state."""
    delivered = entry.status == "Delivered"
    return StatusUpdate(
        service_key=row.service_key,
        correlation_id=row.operation_id,
        at=entry.at,
        recipient=entry.address,
        status=entry.status,
        attempt=row.ledger.attempt,
        sender=facts.sender,
        message_id=facts.message_id,
        code=entry.code,
        enhanced=entry.enhanced,
        hard_bounce=entry.hard_bounce,
        failure_reason="" if delivered else entry.bounce_class,
        failure_message="" if delivered else entry.reply,
        host=entry.host,
        possible_duplicate=entry.possible_duplicate,
    )
