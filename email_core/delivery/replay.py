"""Replaying: the recipients that a poison item ended as Failed are opened again, and the item is worked again.

One ETag merge opens them, under a new attempt number and with an event on the timeline that names the item; then the new
item goes on its queue; then the kept one is deleted. Killed after the first, the next replay of the item finds the event and
goes on from there, and so does the sweeper. Killed after the second, only the deletion is left. Whoever was delivered to,
bounced or expired stays as he is.

An item whose message was never ended has nothing to open: the item itself is what was lost, and it is put on its queue again.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from email_core import maillog
from email_core.clock import Clock
from email_core.delivery.kept_items import POISON, KeptItem
from email_core.delivery.ledger import POISONED, reopened
from email_core.delivery.outcome import TimelineEvent
from email_core.delivery.poison import ERROR_CODE, REASON, UNREADABLE
from email_core.delivery.rows import MessageFacts, SpooledRow
from email_core.delivery.spool import Spool, SpoolItem
from email_core.errors import EntityChanged, EntityMissing
from email_core.message.status import RecipientStatus
from email_core.storage import Storage

# Seconds before the end of a signature, after which a receiver that verifies late would refuse the mail (RFC 6376 section 3.5).
VERIFIED_WITHIN = 24 * 3600.0
FORGET = "look at it with ./postrider poison show, then ./postrider poison forget {item}"
SEND_AGAIN = "send the message again, as a new one; then ./postrider poison forget {item}"


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a replay of an item comes to. `refused` says why it cannot be replayed, and `remedy` what to do instead.

    `row` is its message or envelope as it is now. `recipients` are those that are opened again, and `expires_at` is until
    when they are tried (seconds since the epoch). `begun`: they are open already. An earlier replay opened
    them, or one of another item of the message did, or they were never ended.
    """

    kept: KeptItem
    row: SpooledRow | None = None
    recipients: tuple[str, ...] = ()
    expires_at: float = 0.0
    begun: bool = False
    refused: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Replayer:
    """Replays kept items."""

    storage: Storage
    spool: Spool
    clock: Clock

    async def prospect(self, kept: KeptItem) -> Prospect:
        """What a replay would come to; nothing is changed. Raises what storage raises."""
        item = kept.item
        if item is None:
            why = "it is no item of this version of Postrider; another version or another program wrote it"
            return _refused(kept, None, why, FORGET)
        try:
            row = await self.spool.read(item.message, item.row)
        except UNREADABLE as error:
            why = f"its message cannot be read by this version of Postrider ({type(error).__name__})"
            return _refused(kept, None, why, FORGET)
        if row is None:
            return _refused(kept, None, "its message is not there any more", FORGET)
        row = _with_rules(row)
        recipients = tuple(entry.address for entry in row.ledger.entries if entry.rule == POISONED)
        if not recipients:
            if row.facts.envelopes:
                return _refused(kept, row, "its message was split into envelopes, which have items of their own", FORGET)
            if row.ledger.finished and _replay_of(kept, row) is None:
                return _refused(kept, row, "its recipients have all come to another end: nothing is left to try", FORGET)
            return Prospect(kept, row, begun=True, expires_at=row.facts.expires_at)
        return await self._reopening(kept, row, recipients)

    async def replay(self, kept: KeptItem) -> Prospect:
        """Replay an item, once, however often this is called. Raises what storage raises; call it again then."""
        while True:
            prospect = await self.prospect(kept)
            if prospect.refused or prospect.row is None:
                return prospect
            row = prospect.row
            if not prospect.begun:
                try:
                    row = await self._reopen(prospect, row)
                except (EntityChanged, EntityMissing):
                    continue  # somebody was faster: the row tells
            if _is_wanted(kept, row):
                # Once more after a crash, perhaps; the claim lets one of the items work.
                await self.spool.enqueue(await self.spool.queue_of(row), SpoolItem(row.message, row.row, row.ledger.attempt))
            await self.storage.tables.delete(POISON, kept.queue, kept.id)
            maillog.replayed(row.message, queue=kept.queue, item=kept.id, recipients=len(prospect.recipients))
            return prospect

    async def forget(self, kept: KeptItem) -> None:
        """Delete a kept item; its message stays as it is."""
        await self.storage.tables.delete(POISON, kept.queue, kept.id)

    async def _reopening(self, kept: KeptItem, row: SpooledRow, recipients: tuple[str, ...]) -> Prospect:
        now, facts = self.clock.now(), row.facts
        expires_at = now + (facts.expires_at - (facts.reopened_at or facts.accepted_at))
        try:
            if row.signed or row.signed_blob:
                verified_until = signed_until(await self.spool.signed(row))
                expires_at = min(expires_at, verified_until - VERIFIED_WITHIN)
                if expires_at <= now:
                    until = f"{datetime.fromtimestamp(verified_until, UTC):%Y-%m-%d %H:%MZ}"
                    why = f"its DKIM signature holds until {until}, which is too soon: receivers would refuse it then"
                    return _refused(kept, row, why, SEND_AGAIN)
            elif not await self.spool.content(row):
                raise EntityMissing("no content")
        except EntityMissing:
            return _refused(kept, row, "the content of its message is not there any more", SEND_AGAIN)
        return Prospect(kept, row, recipients, expires_at)

    async def _reopen(self, prospect: Prospect, row: SpooledRow) -> SpooledRow:
        now = self.clock.now()
        ledger = reopened(row.ledger, now=now, token=secrets.token_hex(8))
        facts = replace(_restored(row.facts), reopened_at=now, expires_at=prospect.expires_at)
        told: dict[str, object] = {
            "item": prospect.kept.id,
            "attempt": ledger.attempt,
            "recipients": len(prospect.recipients),
            "expiresAt": facts.expires_at,
        }
        timeline = [*row.timeline, TimelineEvent(now, "replayed", told)]
        return await self.spool.update(row, ledger=ledger, facts=facts, timeline=timeline)


def signed_until(signed: bytes) -> float:
    """When the first of the DKIM signatures of a message ends, in seconds since the epoch (RFC 6376 section 3.5, `x=`).

    Infinite when none has an end.
    """
    header = signed.partition(b"\r\n\r\n")[0]
    unfolded = re.sub(rb"\r\n(?=[ \t])", b"", header)
    fields = [line for line in unfolded.split(b"\r\n") if line[:15].lower() == b"dkim-signature:"]
    ends = [float(found[1]) for field in fields if (found := re.search(rb"[;:\s]x=\s*(\d{1,12})\s*(?:;|$)", field))]
    return min(ends, default=float("inf"))


def _refused(kept: KeptItem, row: SpooledRow | None, why: str, remedy: str) -> Prospect:
    return Prospect(kept, row, refused=why, remedy=remedy.format(item=kept.id))


def _replay_of(kept: KeptItem, row: SpooledRow) -> TimelineEvent | None:
    events = (event for event in reversed(row.timeline) if event.kind == "replayed")
    return next((event for event in events if event.facts.get("item") == kept.id), None)


def _is_wanted(kept: KeptItem, row: SpooledRow) -> bool:
    """Whether a row may have no other item than the one that a kept item stands for.

    Its replay opened the attempt that comes next, or the message was never ended and it is the item of that attempt.
    """
    if row.ledger.finished or row.facts.envelopes:
        return False
    replay = _replay_of(kept, row)
    attempts = {replay.facts.get("attempt") if replay else None, kept.item.attempt if kept.item else None}
    return row.ledger.attempt in attempts


def _with_rules(row: SpooledRow) -> SpooledRow:
    """A row in which whoever a fault of ours ended has the rule POISONED. Earlier versions wrote only the reason."""
    entries = tuple(
        replace(entry, rule=POISONED) if entry.status is RecipientStatus.FAILED and entry.reply == REASON else entry
        for entry in row.ledger.entries
    )
    return replace(row, ledger=replace(row.ledger, entries=entries))


def _restored(facts: MessageFacts) -> MessageFacts:
    """The operation runs again, if it was this that failed it."""
    if (facts.status, facts.error_code, facts.error_reason) == ("Failed", ERROR_CODE, REASON):
        return replace(facts, status="Running", error_code="", error_reason="")
    return facts
