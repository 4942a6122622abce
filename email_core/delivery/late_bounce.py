"""Reports that came back are written down: the ledger, the timeline, the activity log and the managed suppression list.

The token of the reverse-path says which envelope is meant, and nobody else can have made it; a report touches that envelope and
no other. The managed list is told first and the ledger last, the other way round than after an attempt: storage that fails in
between makes the sender of the report come again, and the ledger then knows that it has not been told yet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from email_core import maillog
from email_core.clock import Clock
from email_core.delivery.arf_report import FeedbackReport
from email_core.delivery.bounce_classes import bounces_believed
from email_core.delivery.bounce_report import BounceReport
from email_core.delivery.dsn_sending import arrange_notices
from email_core.delivery.ledger import Entry
from email_core.delivery.returned import Change, after_feedback, after_report, is_full
from email_core.delivery.routes import SIMULATOR_DOMAIN
from email_core.delivery.rows import MESSAGE_ROW, SpooledRow
from email_core.delivery.settle import status_update
from email_core.delivery.spool import Spool, envelope_row
from email_core.delivery.verp import VerpToken
from email_core.errors import EntityChanged, EntityMissing, StorageRefused, StorageUnavailable, WorkerBusy
from email_core.insights.activity import StatusUpdate, record
from email_core.message.address import parse_address
from email_core.settings import Settings
from email_core.storage import Storage, StorageLimit
from email_core.suppression.complaints import Complaint
from email_core.suppression.leases import Bounce
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
        """A feedback report: who does not want the mail gets no more of it for a time."""
        now = self.clock.now()

        async def suppress(row: SpooledRow, change: Change) -> None:
            if report.feedback.unwanted:
                await self._complained(row, change, report, now)

        async def tell(row: SpooledRow, change: Change) -> None:
            await self._record(row, [_complaint_update(row, entry, report, now) for entry in change.entries])

        return await self._take(token, lambda row: after_feedback(row, report, now=now), suppress, tell)

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
            if row.ledger.claim_until > self.clock.now():
                # Its settling would write over what is written now. Most reports come later by hours.
                raise WorkerBusy("a run has the message of the report")
            change = make(row)
            if not change.events:
                return Taken.KNOWN
            await suppress(row, change)
            # Who submitted the message by SMTP and asked for it is told that it came back after all.
            await arrange_notices(self.spool, self.settings, row, change.ledger, row.facts, now=self.clock.now())
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
            if not entry.hard_bounce or _is_simulated(entry):
                continue
            bounce = Bounce(
                message=row.message,
                attempt=row.ledger.attempt,
                at=entry.at,
                bounce_class=entry.bounce_class,
                rule=entry.rule,
                reply=entry.reply,
                subscription=_subscription(row),
                needed=bounces_believed(entry.rule),
            )
            await managed.bounced(parse_address(entry.address), bounce)

    async def _complained(self, row: SpooledRow, change: Change, report: FeedbackReport, now: float) -> None:
        managed = ManagedList(self.storage.tables)
        for entry in change.entries:
            if not _is_simulated(entry):
                complaint = Complaint(row.message, now, str(report.feedback), report.reporter, _subscription(row))
                await managed.complained(parse_address(entry.address), complaint)

    async def _tell_bounces(self, row: SpooledRow, change: Change) -> None:
        for entry in change.entries:
            maillog.outcome(
                row.message,
                entry.address,
                disposition=entry.status,
                attempt=row.ledger.attempt,
                reply=entry.reply,
                host=entry.host,
                bounce_class=entry.bounce_class,
            )
        await self._record(row, [status_update(row, row.facts, entry) for entry in change.entries])

    async def _record(self, row: SpooledRow, updates: list[StatusUpdate]) -> None:
        try:
            await record(self.storage, updates)
        except (StorageUnavailable, StorageRefused, StorageLimit) as error:
            maillog.activity_lost(row.message, reason=str(error))  # the ledger has it, and is the truth


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


def _is_simulated(entry: Entry) -> bool:
    return entry.address.rpartition("@")[2] == SIMULATOR_DOMAIN


def _subscription(row: SpooledRow) -> str:
    return "".join(row.facts.domain.split("/")[2:3])  # /subscriptions/{subscription}/...
