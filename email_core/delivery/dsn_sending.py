"""Sending delivery status notifications: an item of the queue `notices` says that an envelope may owe some.

The item goes on its queue before the merge that decides, with a short delay, as the retry item does: whoever dies in between
leaves either an item that finds nothing, or one that finds what is owed. The notification is a message of its own under an
Operation-Id that is derived from what it is about, signed with the platform's keys, with the null reverse-path. However often
an item comes, and wherever a run dies, each is stored once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from email_core import maillog
from email_core.clock import Clock
from email_core.delivery.capacity import Capacity
from email_core.delivery.dsn import MAILER_DAEMON, Report, compose_report
from email_core.delivery.dsn_due import DSN_DOOR, Notification, due_notifications, reported, when_due
from email_core.delivery.ledger import Entry, Ledger
from email_core.delivery.managed_list import is_on_managed_list
from email_core.delivery.outcome import TimelineEvent
from email_core.delivery.rows import MESSAGE_ROW, MessageFacts, SpooledRow
from email_core.delivery.spool import Spool, SpoolItem
from email_core.errors import EntityMissing, WorkerBusy
from email_core.message.address import parse_address
from email_core.message.mime_draft import MimeDraft, decode_stored
from email_core.settings import Settings
from email_core.storage import Tables

NOTICES = "notices"
ASKED = "asked"  # of POSTRIDER_SMTP_DSN
EARLY_PAUSE = 1.0  # seconds, doubled each time; an item that came before what it is about was written
BUSY_PAUSE = 10.0
LATE_PAUSE = 60.0  # seconds; a late bounce is no attempt of its own, so only time tells that it is written
MOST_PUT_BACKS = 12  # about an hour; the attempt before died then, and is done again with a notice of its own
SIGNATURE_SLACK = 7 * 24 * 3600.0  # seconds; receivers may verify late (RFC 6376 section 3.5, x=)

Words = Callable[[SpooledRow, Sequence[SpooledRow], float], Mapping[str, tuple[str, str]]]
"""Cause and remedy for each recipient, from the row of a message, those of its envelopes, and the time."""

Sign = Callable[[bytes, float], Awaitable[bytes]]
"""A message with the platform's signatures before it; they hold for as many seconds."""


async def arrange_notices(
    spool: Spool, settings: Settings, row: SpooledRow, after: Ledger, facts: MessageFacts, *, now: float, least: float = 0.0
) -> None:
    """Have an envelope looked at once a new ledger is written, when that may owe a notification, in `least` seconds or later.

    Raises StorageUnavailable.
    """
    if settings.smtp_dsn != ASKED:
        return
    for pause in when_due(row.ledger, after, facts, now=now):
        await spool.enqueue(NOTICES, SpoolItem(row.message, row.row, after.attempt), delay=max(pause, least))


@dataclass(frozen=True, slots=True)
class Notifier:
    """Works the items of the queue `notices`."""

    spool: Spool
    settings: Settings
    clock: Clock
    room: Capacity
    words: Words
    sign: Sign
    tables: Tables

    async def work(self, item: SpoolItem) -> None:
        """Send what an envelope owes. Raises StorageUnavailable, ConfigurationMissing and SigningError; try again then."""
        row = await self.spool.read(item.message, item.row, with_content=False)
        if row is None or row.ledger.attempt < item.attempt:
            await self._put_back(item, "what it is about is not written yet", EARLY_PAUSE * 2**item.put_backs)
            return
        now = self.clock.now()
        # What was split after it had waited is judged by its envelopes: the message's own row knows of nobody's end.
        rows = await self.spool.envelopes(row.message) if row.row == MESSAGE_ROW and row.facts.envelopes else [row]
        owed = [(one, each) for one in rows for each in due_notifications(one, now=now) if not await self._is_stored(one, each)]
        if not owed:
            return
        if await is_on_managed_list(self.tables, parse_address(row.facts.submitter), now=now):
            # Many submitters are no mailbox at all: each failure would bounce there once more. Operation and events tell of it.
            maillog.dropped_item(item.message, queue=NOTICES, why="the managed suppression list holds its submitter's address")
            return
        try:
            async with self.room.place(row.facts.size):
                original, message = await self._original(row)
                for one, each in owed:
                    await self._send(one, message, each, original, now)
        except WorkerBusy as busy:
            await self._put_back(replace(item, put_backs=0), str(busy), BUSY_PAUSE)

    async def _put_back(self, item: SpoolItem, why: str, pause: float) -> None:
        if item.put_backs >= MOST_PUT_BACKS:
            maillog.dropped_item(item.message, queue=NOTICES, why=why)
            return
        maillog.put_back_item(item.message, queue=NOTICES, why=why, delay=pause)
        await self.spool.enqueue(NOTICES, replace(item, put_backs=item.put_backs + 1), delay=pause)

    async def _is_stored(self, row: SpooledRow, notification: Notification) -> bool:
        """Whether a notification is there and was claimed: from then on it is delivered like any other message."""
        stored = await self.spool.read(f"{row.service_key}:{notification.operation_id}", with_content=False)
        return stored is not None and bool(stored.ledger.claim_token)

    async def _original(self, row: SpooledRow) -> tuple[bytes, SpooledRow]:
        """The message as it was submitted, empty when it is not there any more, and its own row."""
        message = await self.spool.read(row.message, MESSAGE_ROW)
        if message is None:
            raise EntityMissing(f"no row of {row.message}")
        try:
            draft = decode_stored(await self.spool.content(message))
        except (EntityMissing, msgspec.DecodeError) as error:
            maillog.fault("notice", error=error, message=row.message)
            return b"", message
        return draft.message if isinstance(draft, MimeDraft) else b"", message

    async def _send(
        self, row: SpooledRow, message: SpooledRow, notification: Notification, original: bytes, now: float
    ) -> None:
        facts, domain = message.facts, self.settings.platform_domain
        words = self.words(message, [row] if facts.envelopes else [], now)
        recipients = [
            reported(entry, notification.action, facts, words.get(entry.address, ("", ""))) for entry in notification.entries
        ]
        message_id = f"<{notification.operation_id}@{domain}>"
        report = Report(
            to=facts.submitter,
            domain=domain,
            host=self.settings.ehlo_name or self.settings.bounce_domain,
            message_id=message_id,
            at=now,
            arrived_at=facts.accepted_at,
            recipients=recipients,
            original=original,
            original_id=facts.message_id,
            envelope_id=facts.envid,
            full=facts.ret == "FULL",
        )
        composed = await asyncio.to_thread(compose_report, report)  # a message of a megabyte takes its time
        signed = await self.sign(composed, self.settings.time_to_live + SIGNATURE_SLACK)
        name = f"{row.service_key}:{notification.operation_id}"
        told: dict[str, object] = {"about": row.operation_id, "action": str(notification.action), "size": len(signed)}
        await self.spool.add_signed(
            name,
            MessageFacts(
                accepted_at=now,
                expires_at=now + self.settings.time_to_live,
                door=DSN_DOOR,
                sender=f"{MAILER_DAEMON}@{domain}",
                domain=facts.domain,
                size=len(signed),
                request_hash=notification.operation_id,
                status="Succeeded",
                message_id=message_id,
            ),
            Ledger((Entry(facts.submitter),), next_attempt_at=now),
            [TimelineEvent(now, "notification", told)],
            signed,
        )
        maillog.notified(
            row.message, notification=notification.operation_id, action=notification.action, recipients=len(recipients)
        )
