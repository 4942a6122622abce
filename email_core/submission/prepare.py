"""Preparing: an accepted draft becomes signed bytes and one envelope per destination domain.

Recipients that a suppression list holds come to their end first, and the others go on without them. When there is just one
envelope its first attempt runs here and now, impatiently. Whatever keeps a message from being signed makes it wait on the
ordinary retry schedule: nothing goes out unsigned, and nothing unchecked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from email_core import maillog
from email_core.clock import Clock
from email_core.delivery.claim import Claims
from email_core.delivery.deliver import Deliverer
from email_core.delivery.dsn_sending import arrange_notices
from email_core.delivery.ledger import Entry, Ledger, concluded
from email_core.delivery.outcome import AttemptReport, Disposition, Outcome, TimelineEvent
from email_core.delivery.rows import MessageFacts, SpooledRow
from email_core.delivery.settle import Settler, waiting
from email_core.delivery.spool import SUBMISSIONS, Spool, SpoolItem, envelope_row
from email_core.dns.resolver import Resolver
from email_core.domains.directory import Directory
from email_core.domains.sending import SendingDomain
from email_core.errors import ConfigurationMissing, WorkerBusy
from email_core.message.compose import compose
from email_core.message.draft import Draft
from email_core.message.mime_draft import MimeDraft, decode_stored
from email_core.message.mime_header import with_feedback_id
from email_core.message.mime_tree import may_have_many_parts
from email_core.message.seven_bit import in_seven_bits
from email_core.message.status import RecipientStatus
from email_core.settings import Settings
from email_core.signing.dkim import SigningError, sign
from email_core.storage import Tables
from email_core.submission.authenticity import Authenticity, authenticity, signed_and_sealed
from email_core.submission.suppress import suppressed

SIGNATURE_SLACK = 7 * 24 * 3600.0  # seconds; receivers may verify late (RFC 6376 section 3.5, x=)
LARGE = 64 * 1024  # bytes; beyond it composing and hashing take long enough to hold up the event loop


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message ready to go: its bytes, what is now known of it, what became of those who are suppressed, how it was signed.

    `signed` is empty when nobody is left to send it to.
    """

    signed: bytes
    facts: MessageFacts
    suppressed: tuple[Outcome, ...]
    events: tuple[TimelineEvent, ...]
    selectors: str = ""


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
    tables: Tables
    resolver: Resolver

    async def prepare(self, item: SpoolItem, *, dequeue_count: int) -> None:
        """Work an item of the queue `submissions`: claim, look up who is suppressed, compose, sign, and deliver or split."""
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
        left = replace(row, ledger=concluded(row.ledger, prepared.suppressed, now=self.clock.now()))
        if left.ledger.finished:
            return _first_attempt(row, prepared, AttemptReport((), ()))
        split = len(split_by_domain([entry for entry in left.ledger.entries if not entry.status.final])) > 1
        ledgers = split_by_domain(left.ledger.entries) if split else [left.ledger]
        maillog.prepared(row.message, size=len(prepared.signed), envelopes=len(ledgers), selectors=prepared.selectors)
        if split:
            await self._split(row, left.ledger, ledgers, prepared)
            return None
        report = await self.deliverer.attempt(left, prepared.facts, prepared.signed, impatient=True)
        return _first_attempt(row, prepared, report)

    async def _split(self, row: SpooledRow, ledger: Ledger, ledgers: Sequence[Ledger], prepared: Prepared) -> None:
        """Give each envelope a row of its own; who is suppressed has a final status there."""
        async with self.claims.released_on_fault(row):
            await self._arrange_notices(row, ledgers, prepared.facts)
            await self.spool.split(
                row,
                facts=prepared.facts,
                ledgers=ledgers,
                timeline=[*row.timeline, *prepared.events],
                signed=prepared.signed,
                now=self.clock.now(),
            )
        await self.settler.tell(row, prepared.facts, ledger)

    async def _arrange_notices(self, row: SpooledRow, ledgers: Sequence[Ledger], facts: MessageFacts) -> None:
        """Have those told of who are suppressed: no attempt of their envelope has to come."""
        before = {entry.address: entry for entry in row.ledger.entries}
        for number, each in enumerate(ledgers, 1):
            envelope = replace(
                row,
                row=envelope_row(number),
                ledger=replace(each, entries=tuple(before[entry.address] for entry in each.entries)),
            )
            await arrange_notices(self.spool, self.settings, envelope, each, facts, now=self.clock.now())

    async def _prepared(self, row: SpooledRow) -> Prepared | None:
        """The message ready to go; None when it has to wait, because an administrator must provide something."""
        try:
            return await self._signed(row)
        except (ConfigurationMissing, SigningError) as error:
            # The caller may read the timeline, so that tells what waits, not why: the log has the reason.
            maillog.fault("prepare", error=error, message=row.message)
            return None

    async def _signed(self, row: SpooledRow) -> Prepared:
        draft = decode_stored(await self.spool.content(row))
        domain = await self.directory.domain(row.facts.domain)
        if domain is None or not domain.verified:
            raise ConfigurationMissing(f"domain {row.facts.domain} is not there or not verified any more")
        if domain.paused:  # what was accepted before waits for the records to come back
            raise ConfigurationMissing(f"sending from {domain.name} is paused: {domain.paused}")
        if not domain.signing_keys:
            raise ConfigurationMissing(f"domain {domain.name} has no active DKIM selector")
        now = self.clock.now()
        dropped = await suppressed(self.tables, row, domain, now=now)
        message_id = draft.message_id or f"<{row.operation_id}@{domain.name}>"
        facts = replace(
            row.facts,
            status="Succeeded",
            message_id=message_id,
            bounce_domain=domain.mail_from_domain or self.settings.bounce_domain,
        )
        if len(dropped.outcomes) == len(row.ledger.open_addresses):
            return Prepared(b"", facts, dropped.outcomes, dropped.events)
        feedback_id = self.deliverer.feedback_id(row)
        make: Callable[[], tuple[bytes, TimelineEvent | None]]
        if isinstance(draft, MimeDraft):
            found = await authenticity(draft.message, self.resolver, now=now)
            make = partial(_signed_as_it_came, draft, domain, found, feedback_id, now, self.settings)
            long = found is not None or row.facts.size > LARGE or may_have_many_parts(draft.message)
        else:
            make = partial(_composed_and_signed, draft, domain, facts, feedback_id, now, self.settings)
            long = row.facts.size > LARGE
        signed, seal = await asyncio.to_thread(make) if long else make()
        selectors = ", ".join(f"{key.selector}._domainkey.{key.domain} ({key.algorithm})" for key in domain.signing_keys)
        event = TimelineEvent(now, "signed", {"selectors": selectors, "size": len(signed), "messageId": message_id})
        return Prepared(signed, facts, dropped.outcomes, (*dropped.events, event, *([seal] if seal else [])), selectors)


def _first_attempt(row: SpooledRow, prepared: Prepared, report: AttemptReport) -> FirstAttempt:
    """What an attempt came to, with those who were suppressed before it."""
    outcomes = (*prepared.suppressed, *report.outcomes)
    story = replace(report, outcomes=outcomes, timeline=(*prepared.events, *report.timeline))
    return FirstAttempt(story, _concluded(prepared.facts, row.ledger, outcomes), prepared.signed)


def _concluded(facts: MessageFacts, before: Ledger, outcomes: Sequence[Outcome]) -> MessageFacts:
    """The facts after the first attempt: a message that was handed to nobody, because all are suppressed, has Failed."""
    # A run that died before may have written down who has it.
    others = {entry.status for entry in before.entries if entry.status.final} - {RecipientStatus.SUPPRESSED}
    if not others and all(outcome.disposition is Disposition.SUPPRESSED for outcome in outcomes):
        return replace(facts, status="Failed", error_code="EmailDroppedAllRecipientsSuppressed")
    return facts


def split_by_domain(entries: Sequence[Entry]) -> list[Ledger]:
    """A ledger for each destination domain, in the order in which the domains first appear."""
    envelopes: dict[str, list[Entry]] = {}
    for entry in entries:
        envelopes.setdefault(entry.address.rpartition("@")[2], []).append(entry)
    return [Ledger(tuple(members)) for members in envelopes.values()]


def _composed_and_signed(
    draft: Draft, domain: SendingDomain, facts: MessageFacts, feedback_id: str, now: float, settings: Settings
) -> tuple[bytes, None]:
    shown = _with_display_name(draft, domain)
    message = compose(shown, message_id=facts.message_id, date=facts.accepted_at, feedback_id=feedback_id)
    return sign(message, domain.signing_keys, now=now, valid_for=_valid_for(draft, settings)) + message, None


def _signed_as_it_came(
    draft: MimeDraft, domain: SendingDomain, found: Authenticity | None, feedback_id: str, now: float, settings: Settings
) -> tuple[bytes, TimelineEvent | None]:
    return signed_and_sealed(
        with_feedback_id(in_seven_bits(draft.message), feedback_id),
        found,
        domain.signing_keys,
        authserv_id=settings.platform_domain,
        now=now,
        valid_for=_valid_for(draft, settings),
    )


def _valid_for(draft: Draft | MimeDraft, settings: Settings) -> float:
    # A retry sends the same bytes, so the signature must hold for as long as anything can be retried, and a while after.
    return (draft.time_to_live or settings.time_to_live) + SIGNATURE_SLACK


def _with_display_name(draft: Draft, domain: SendingDomain) -> Draft:
    if draft.sender.display_name:
        return draft
    display_name = domain.sender_usernames.get(draft.sender.local.lower(), "")
    return replace(draft, sender=replace(draft.sender, display_name=display_name)) if display_name else draft
