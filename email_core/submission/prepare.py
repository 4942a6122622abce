"""Preparing: an accepted draft becomes signed bytes and one envelope per destination domain.

When there is just one envelope its first attempt runs here and now, impatiently. Whatever keeps a message from being
signed makes it wait on the ordinary retry schedule: nothing goes out unsigned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from email_core import maillog
from email_core.clock import Clock
from email_core.delivery.claim import Claims
from email_core.delivery.deliver import Deliverer
from email_core.delivery.ledger import Entry, Ledger
from email_core.delivery.outcome import AttemptReport, Disposition, TimelineEvent
from email_core.delivery.rows import MessageFacts, SpooledRow
from email_core.delivery.settle import Settler, waiting
from email_core.delivery.spool import SUBMISSIONS, Spool, SpoolItem
from email_core.domains.directory import Directory
from email_core.domains.sending import SendingDomain
from email_core.errors import ConfigurationMissing, WorkerBusy
from email_core.message.compose import compose
from email_core.message.draft import Draft, decode_draft
from email_core.settings import Settings
from email_core.signing.dkim import SigningError, sign

SIGNATURE_SLACK = 7 * 24 * 3600.0  # seconds; receivers may verify late (RFC 6376 section 3.5, x=)
LARGE = 64 * 1024  # bytes; beyond it composing and hashing take long enough to hold up the event loop


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message ready to go: its bytes, what is now known of it, and how it was signed."""

    signed: bytes
    facts: MessageFacts
    event: TimelineEvent


@dataclass(frozen=True, slots=True)
class FirstAttempt:
    """What the first attempt came to. Without `facts` and `signed` the message could not be signed, and is prepared again."""

    report: AttemptReport
    facts: MessageFacts | None = None
    signed: bytes = b""


@dataclass(frozen=True, slots=True)
class Preparer:
    """Prepares messages and starts their delivery."""

    spool: Spool
    claims: Claims
    directory: Directory
    deliverer: Deliverer
    settler: Settler
    settings: Settings
    clock: Clock

    async def prepare(self, item: SpoolItem, *, dequeue_count: int) -> None:
        """Work an item of the queue `submissions`: claim, compose, sign, and deliver or split."""
        row = await self.claims.take(SUBMISSIONS, item, dequeue_count=dequeue_count)
        if row is None:
            return
        ended: FirstAttempt | None = None
        try:
            async with self.deliverer.room.place(row.facts.size):
                ended = await self._prepare(row)
        except WorkerBusy as busy:
            await self.deliverer.put_back(SUBMISSIONS, item, row, busy)
        finally:
            if ended is not None:  # what was sent is written down, however the place was left
                await self.settler.settle(row, ended.report, facts=ended.facts, signed=ended.signed)

    async def _prepare(self, row: SpooledRow) -> FirstAttempt | None:
        """Prepare the message of a claimed row; what is to be settled then, None when it was split."""
        async with self.claims.released_on_fault(row):
            prepared = await self._prepared(row)
        if prepared is None:
            return FirstAttempt(waiting(row, now=self.clock.now(), why="the message can't be signed yet"))
        ledgers = split_by_domain(row.ledger.entries)
        maillog.prepared(
            row.message, size=len(prepared.signed), envelopes=len(ledgers), selectors=str(prepared.event.facts["selectors"])
        )
        if len(ledgers) > 1:
            timeline = [*row.timeline, prepared.event]
            async with self.claims.released_on_fault(row):
                await self.spool.split(
                    row,
                    facts=prepared.facts,
                    ledgers=ledgers,
                    timeline=timeline,
                    signed=prepared.signed,
                    now=self.clock.now(),
                )
            return None
        report = await self.deliverer.attempt(row, prepared.facts, prepared.signed, impatient=True)
        story = replace(report, timeline=(prepared.event, *report.timeline))
        return FirstAttempt(story, _concluded(prepared.facts, report), prepared.signed)

    async def _prepared(self, row: SpooledRow) -> Prepared | None:
        """The message ready to go; None when it has to wait, because an administrator must provide something."""
        try:
            return await self._signed(row)
        except (ConfigurationMissing, SigningError) as error:
            # The caller may read the timeline, so that tells what waits, not why: the log has the reason.
            maillog.fault("prepare", error=error, message=row.message)
            return None

    async def _signed(self, row: SpooledRow) -> Prepared:
        draft = decode_draft(await self.spool.content(row))
        domain = await self.directory.domain(row.facts.domain)
        if domain is None or not domain.verified:
            raise ConfigurationMissing(f"domain {row.facts.domain} is not there or not verified any more")
        if not domain.signing_keys:
            raise ConfigurationMissing(f"domain {domain.name} has no active DKIM selector")
        draft = _with_display_name(draft, domain)
        message_id = draft.message_id or f"<{row.operation_id}@{domain.name}>"
        now = self.clock.now()
        if row.facts.size > LARGE:
            signed = await asyncio.to_thread(
                _composed_and_signed, draft, domain, message_id, row.facts.accepted_at, now, self.settings
            )
        else:
            signed = _composed_and_signed(draft, domain, message_id, row.facts.accepted_at, now, self.settings)
        selectors = ", ".join(f"{key.selector}._domainkey.{key.domain} ({key.algorithm})" for key in domain.signing_keys)
        return Prepared(
            signed,
            replace(
                row.facts,
                status="Succeeded",
                message_id=message_id,
                bounce_domain=domain.mail_from_domain or self.settings.bounce_domain,
            ),
            TimelineEvent(now, "signed", {"selectors": selectors, "size": len(signed), "messageId": message_id}),
        )


def _concluded(facts: MessageFacts, report: AttemptReport) -> MessageFacts:
    """The facts after the first attempt: a message that was handed to nobody, because all are suppressed, has Failed."""
    if all(outcome.disposition is Disposition.SUPPRESSED for outcome in report.outcomes):
        return replace(facts, status="Failed", error_code="EmailDroppedAllRecipientsSuppressed")
    return facts


def split_by_domain(entries: Sequence[Entry]) -> list[Ledger]:
    """A ledger for each destination domain, in the order in which the domains first appear."""
    envelopes: dict[str, list[Entry]] = {}
    for entry in entries:
        envelopes.setdefault(entry.address.rpartition("@")[2], []).append(entry)
    return [Ledger(tuple(members)) for members in envelopes.values()]


def _composed_and_signed(
    draft: Draft, domain: SendingDomain, message_id: str, date: float, now: float, settings: Settings
) -> bytes:
    message = compose(draft, message_id=message_id, date=date)
    # A retry sends the same bytes, so the signature must hold for as long as anything can be retried, and a while after.
    valid_for = (draft.time_to_live or settings.time_to_live) + SIGNATURE_SLACK
    return sign(message, domain.signing_keys, now=now, valid_for=valid_for) + message


def _with_display_name(draft: Draft, domain: SendingDomain) -> Draft:
    if draft.sender.display_name:
        return draft
    display_name = domain.sender_usernames.get(draft.sender.local.lower(), "")
    return replace(draft, sender=replace(draft.sender, display_name=display_name)) if display_name else draft
