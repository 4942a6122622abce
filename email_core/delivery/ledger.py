"""The ledger of an envelope: where each of its recipients stands, who has the claim, and when the next attempt is due.

Pure: outcomes and the time come in, a new ledger comes out. A recipient whose status is final never changes again here,
and that is what keeps a recipient that was accepted from being sent to a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from email_core.delivery.outcome import AttemptReport, Disposition, Outcome, TimelineEvent
from email_core.delivery.retry_schedule import next_attempt
from email_core.message.status import RecipientStatus

POISONED = "poisoned"  # the rule of a recipient that our own fault ended; only these can be opened again
REPLY_LENGTH = 300  # characters of a reply kept beside its recipient; the timeline has it whole
TIMELINE_EVENTS = 1000  # the first ones and the last ones are kept; keeps a row far below the entity limit


_STATUS = {
    Disposition.DELIVERED: RecipientStatus.DELIVERED,
    Disposition.DEFERRED: RecipientStatus.DEFERRED,
    Disposition.BOUNCED: RecipientStatus.BOUNCED,
    Disposition.FILTERED: RecipientStatus.FILTERED,
    Disposition.QUARANTINED: RecipientStatus.QUARANTINED,
    Disposition.SUPPRESSED: RecipientStatus.SUPPRESSED,
    Disposition.FAILED: RecipientStatus.FAILED,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One recipient. `address` is the forward-path, `kind` to, cc or bcc.

    `tries` counts attempts that reached a verdict, `at` is when the last one did (seconds since the epoch).
    `possible_duplicate`: an earlier attempt may have reached the receiver without our knowing, so the mail may be there twice.
    `hard_bounce`: the receiver said that this very address takes no mail, now or when the managed list noted it.
    `notify` and `orcpt` are what the client asked for by SMTP (RFC 3461), as `dsn_options` keeps it; `notify` is its text.
    """

    address: str
    kind: str = "to"
    status: RecipientStatus = RecipientStatus.PENDING
    tries: int = 0
    at: float = 0.0
    reply: str = ""
    code: int = 0
    enhanced: str = ""
    host: str = ""
    bounce_class: str = ""
    rule: str = ""
    hard_bounce: bool = False
    possible_duplicate: bool = False
    notify: str = ""
    orcpt: str = ""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The state of one envelope. Times are in seconds since the epoch.

    `attempt` is the number of the attempt that comes next or is claimed now, from 0; an item of another number is stale.
    `claim_until` is 0 when nobody holds the claim. A claim that ran out means that a run died. `claim_token` is empty until
    the first claim. `next_attempt_at` is 0 once nothing is left to try, and only then.
    """

    entries: tuple[Entry, ...]
    attempt: int = 0
    claim_until: float = 0.0
    claim_token: str = ""
    next_attempt_at: float = 0.0

    @property
    def finished(self) -> bool:
        """Whether every recipient has its final status."""
        return all(entry.status.final for entry in self.entries)

    @property
    def open_addresses(self) -> tuple[str, ...]:
        """The forward-paths that are still to be tried."""
        return tuple(entry.address for entry in self.entries if not entry.status.final)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an attempt changes: the new ledger, and when to try again (None: nothing is left to try)."""

    ledger: Ledger
    retry_at: float | None


def claimed(ledger: Ledger, *, token: str, until: float) -> Ledger:
    """The ledger under a claim. A claim that is taken over from a run that died makes every open recipient a possible
    duplicate: that run may have passed the final dot (RFC 1047)."""
    return replace(ledger, entries=_doubted(ledger), claim_token=token, claim_until=until, next_attempt_at=until)


def settled(
    ledger: Ledger,
    report: AttemptReport,
    *,
    now: float,
    accepted_at: float,
    expires_at: float,
    pauses: Sequence[float],
    random: Callable[[], float],
) -> Settlement:
    """The ledger after an attempt. A recipient without an outcome counts as deferred, for that loses no mail."""
    outcomes = {outcome.recipient: outcome for outcome in report.outcomes}
    entries = tuple(
        entry if entry.status.final else _after(entry, outcomes.get(entry.address), now=now, counted=not report.handed_over)
        for entry in ledger.entries
    )
    retry_at = _retry_at(entries, report, now, accepted_at, expires_at, pauses, random)
    if retry_at is None:
        entries = tuple(
            entry if entry.status.final else replace(entry, status=RecipientStatus.EXPIRED, at=now) for entry in entries
        )
    return Settlement(
        Ledger(
            entries,
            attempt=ledger.attempt + 1,
            claim_until=0.0,
            claim_token=ledger.claim_token,
            next_attempt_at=retry_at or 0.0,
        ),
        retry_at,
    )


def concluded(ledger: Ledger, outcomes: Iterable[Outcome], *, now: float) -> Ledger:
    """The ledger with outcomes that came about without an attempt, such as those of suppressed recipients."""
    known = {outcome.recipient: outcome for outcome in outcomes}

    def after(entry: Entry) -> Entry:
        outcome = None if entry.status.final else known.get(entry.address)
        return entry if outcome is None else _after(entry, outcome, now=now, counted=True)

    return replace(ledger, entries=tuple(map(after, ledger.entries)))


def ended(ledger: Ledger, *, now: float, reason: str) -> Ledger:
    """The ledger when our own fault ends the message: what is not final yet is Failed, by the rule POISONED."""
    entries = tuple(
        entry if entry.status.final else replace(entry, status=RecipientStatus.FAILED, at=now, reply=reason, rule=POISONED)
        for entry in _doubted(ledger)
    )
    # Another token, so that a run that comes back after all does not take this for its own settling.
    return Ledger(entries, attempt=ledger.attempt + 1, claim_token=POISONED)


def reopened(ledger: Ledger, *, now: float, token: str) -> Ledger:
    """The ledger when what `ended` ended is to be tried again, at once: the recipients of the rule POISONED are open.

    It counts as claimed before, by `token`, so that the sweeper finds it should its item be lost.
    """
    entries = tuple(
        replace(entry, status=RecipientStatus.DEFERRED if entry.tries else RecipientStatus.PENDING, reply="", rule="")
        if entry.rule == POISONED
        else entry
        for entry in ledger.entries
    )
    return Ledger(entries, attempt=ledger.attempt + 1, claim_token=token, next_attempt_at=now)


def trimmed(timeline: Sequence[TimelineEvent]) -> tuple[TimelineEvent, ...]:
    """A timeline of bounded length: the beginning and the end tell the story, the retries between are alike."""
    if len(timeline) <= TIMELINE_EVENTS:
        return tuple(timeline)
    half = TIMELINE_EVENTS // 2
    return (*timeline[:half], *timeline[-half:])


def _doubted(ledger: Ledger) -> tuple[Entry, ...]:
    """The entries as they are after a run that died, if one did: whoever is open may have the message already."""
    if not ledger.claim_until:
        return ledger.entries
    return tuple(entry if entry.status.final else replace(entry, possible_duplicate=True) for entry in ledger.entries)


def _after(entry: Entry, outcome: Outcome | None, *, now: float, counted: bool) -> Entry:
    if not counted and (outcome is None or outcome.disposition is Disposition.DEFERRED):
        return entry  # handed over: nobody was asked yet
    if outcome is None:
        return replace(entry, status=RecipientStatus.DEFERRED, tries=entry.tries + 1, at=now)
    reply = outcome.reply
    return replace(
        entry,
        status=_STATUS[outcome.disposition],
        tries=entry.tries + (outcome.disposition is not Disposition.SUPPRESSED),  # nobody was asked
        at=now,
        reply=(str(reply) if reply else outcome.reason)[:REPLY_LENGTH],
        code=reply.code if reply else 0,
        enhanced=reply.enhanced if reply else "",
        host=outcome.mx_host,
        bounce_class=outcome.bounce_class,
        rule=outcome.rule,
        hard_bounce=outcome.suppress,
        possible_duplicate=entry.possible_duplicate or outcome.indeterminate,
    )


def _retry_at(
    entries: Sequence[Entry],
    report: AttemptReport,
    now: float,
    accepted_at: float,
    expires_at: float,
    pauses: Sequence[float],
    random: Callable[[], float],
) -> float | None:
    open_entries = [entry for entry in entries if not entry.status.final]
    if not open_entries:
        return None
    if report.handed_over:
        return now
    asked_for = max((outcome.retry_after for outcome in report.outcomes), default=0.0)
    return next_attempt(
        max(entry.tries for entry in open_entries),
        now=now,
        accepted_at=accepted_at,
        expires_at=expires_at,
        pauses=pauses,
        asked_for=asked_for,
        random=random,
    )
