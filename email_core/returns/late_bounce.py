"""Reports that came back are written down: the ledger, the timeline, the activity log and the managed suppression list.

The token of the reverse-path says which envelope is meant, and nobody else can have made it; a report touches that envelope and
no other. The managed list is told first and the ledger last, the other way round than after an attempt: storage that fails in
between makes the sender of the report come again, and the ledger then knows that it has not been told yet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from email_core.clock import Clock
from email_core.delivery.claim import CLOCK_TOLERANCE
from email_core.delivery.dsn_sending import LATE_PAUSE, arrange_notices
from email_core.delivery.ledger import Entry
from email_core.delivery.managed_list import bounce_of, is_simulated, subscription_of
from email_core.delivery.rows import MESSAGE_ROW, SpooledRow
from email_core.delivery.settle import record_activity, tell_outcomes
from email_core.delivery.spool import Spool, envelope_row
from email_core.delivery.verp import VerpToken
from email_core.errors import EntityChanged, EntityMissing, WorkerBusy
from email_core.insights.activity import StatusUpdate
from email_core.message.address import parse_address
from email_core.returns.arf_report import FeedbackReport
from email_core.returns.bounce_report import BounceReport
from email_core.returns.consequences import Change, after_feedback, after_report, has_named, is_full
from email_core.settings import Settings
from email_core.storage import Storage
from email_core.suppression.complaints import Complaint
from email_core.suppression.managed import ManagedList

_MOST_TRIES = 20  # writers of one row that meet


class Taken(StrEnum):
    """What became of a report."""

    CHANGED = "changed"  # a recipient bounced, or its complaint counts
    NOTED = "noted"  # told on the timeline
    KNOWN = "known"  # told before
    UNKNOWN = "unknown"  # there is no such envelope any more
    FULL = "full"  # as many were told of the envelope as may be


_Tell = Callable[[SpooledRow, Change], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class LateBounces:
    """Writes down what reports say. Both methods raise StorageUnavailable, and WorkerBusy while a run has the envelope."""

    storage: Storage
    spool: Spool
    settings: Settings
    clock: Clock

    async def take(self, token: VerpToken, report: BounceReport) -> Taken:
        """A report of delivery."""
        now = self.clock.now()
        return await self._take(token, lambda row: after_report(row, report, now=now), self._bounced, self._tell_bounces)

    async def complain(self, token: VerpToken, report: FeedbackReport) -> Taken:
        """A feedback report: who does not want the mail, and was its only recipient, gets no more of it for a time.

        A token that knows of no envelope, as that of Feedback-ID, means those in which somebody is named.
        """
        now = self.clock.now()

        async def suppress(row: SpooledRow, change: Change) -> None:
            if report.feedback.unwanted and not change.shared:
                await self._complained(row, change, report, now)

        async def tell(row: SpooledRow, change: Change) -> None:
            await record_activity(self.storage, row, [_complaint_update(row, each, report, now) for each in change.entries])

        def change(row: SpooledRow) -> Change:
            return after_feedback(row, report, now=now, split=not token.envelope and row.row != MESSAGE_ROW)

        taken = [await self._take(each, change, suppress, tell) for each in await self._meant(token, report)]
        return min(taken, key=list(Taken).index, default=Taken.UNKNOWN)

    async def _meant(self, token: VerpToken, report: FeedbackReport) -> list[VerpToken]:
        if token.envelope:
            return [token]
        message = f"{token.service_key}:{token.operation_id}"
        row = await self.spool.read(message, with_content=False)
        if row is None or not row.facts.envelopes:
            return [token]
        envelopes = await self.spool.envelopes(message, with_timelines=False)
        return [replace(token, envelope=each.envelope_number) for each in envelopes if has_named(each.ledger.entries, report)]

    async def _take(self, token: VerpToken, make: Callable[[SpooledRow], Change], suppress: _Tell, tell: _Tell) -> Taken:
        message = f"{token.service_key}:{token.operation_id}"
        name = envelope_row(token.envelope) if token.envelope else MESSAGE_ROW
        tried: Change | None = None
        for _ in range(_MOST_TRIES):
            row = await self.spool.read(message, name, with_content=False)
            if row is None or row.facts.envelopes:
                return Taken.UNKNOWN
            if tried is not None and all(event in row.timeline for event in tried.events):
                return await self._told(row, tried, tell)  # our own merge, whose answer was lost
            if is_full(row):
                return Taken.FULL
            if row.ledger.claim_until + CLOCK_TOLERANCE > self.clock.now():
                # Its settling would write over what is written now. Most reports come later by hours.
                raise WorkerBusy("a run has the message of the report")
            change = make(row)
            if not change.events:
                return Taken.KNOWN
            await suppress(row, change)
            # Who submitted the message by SMTP and asked for it is told that it came back after all.
            now = self.clock.now()
            await arrange_notices(self.spool, self.settings, row, change.ledger, row.facts, now=now, least=LATE_PAUSE)
            try:
                await self.spool.update(row, ledger=change.ledger, timeline=[*row.timeline, *change.events])
            except (EntityChanged, EntityMissing):
                tried = change
                continue  # somebody touched it: the row tells
            return await self._told(row, change, tell)
        raise EntityChanged(f"{message} {name} met too many other writers")

    async def _told(self, row: SpooledRow, change: Change, tell: _Tell) -> Taken:
        await tell(row, change)
        return Taken.CHANGED if change.entries else Taken.NOTED

    async def _bounced(self, row: SpooledRow, change: Change) -> None:
        managed = ManagedList(self.storage.tables)
        for entry in change.entries:
            if entry.hard_bounce and not is_simulated(entry):
                # The tries of this recipient, for other recipients make the attempts of the envelope more until the report
                # comes again, and then it would be another bounce.
                await managed.bounced(parse_address(entry.address), bounce_of(row, row.facts, entry, attempt=entry.tries))

    async def _complained(self, row: SpooledRow, change: Change, report: FeedbackReport, now: float) -> None:
        managed = ManagedList(self.storage.tables)
        for entry in change.entries:
            if not is_simulated(entry):
                complaint = Complaint(row.message, now, str(report.feedback), report.reporter, subscription_of(row.facts))
                await managed.complained(parse_address(entry.address), complaint)

    async def _tell_bounces(self, row: SpooledRow, change: Change) -> None:
        await tell_outcomes(self.storage, row, row.facts, change.entries)


def _complaint_update(row: SpooledRow, entry: Entry, report: FeedbackReport, now: float) -> StatusUpdate:
    """The activity row of a complaint: the mail stays what it was, and the reason says what the recipient thinks of it."""
    return StatusUpdate(
        service_key=row.service_key,
        correlation_id=row.operation_id,
        at=now,
        recipient=entry.address,
        status=entry.status,
        attempt=row.ledger.attempt,
        sender=row.facts.sender,
        message_id=row.facts.message_id,
        failure_reason="complaint",
        failure_message=f"{report.feedback} report by {report.reporter or 'a mailbox provider'}",
        host=report.reporter,
    )
