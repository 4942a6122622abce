"""Which notifications an envelope owes its submitter (RFC 3461). Pure: the ledger and what its client asked for tell.

Everything is read from what is written down, so asking again finds the same notifications under the same names, and one that
was sent before is not sent again: those that came to their end together are reported together, and a success keeps its name
when a late bounce takes a recipient out of it. Only the submitter of an SMTP message is told, whose reverse-path was checked
when it was accepted; a notification has the null reverse-path and another door, so nothing is ever told about one.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from email_core.delivery.dsn import ReportedRecipient, status_code
from email_core.delivery.ledger import Entry, Ledger
from email_core.delivery.routes import SIMULATOR_DOMAIN
from email_core.delivery.rows import MessageFacts, SpooledRow
from email_core.message.status import Action, RecipientStatus

SMTP_DOOR, DSN_DOOR = "smtp", "dsn"
DELAYED_AFTER = 4 * 3600.0  # seconds; RFC 3461 section 5.2.5 leaves it to the server
HAND_OVER_DELAY = 1.0  # seconds; long enough for the merge that follows the item

# RFC 3461 section 4.1: a client that says nothing may be taken to want FAILURE, or FAILURE and DELAY. A failure has to be told
# (RFC 5321 section 6.1); a delay that most people never hear of is told to those who ask.
UNSAID = frozenset(("FAILURE",))

_NAMESPACE = uuid.UUID("6f0d8c43-0a5b-5d0e-9d1c-1c1f3e2f6a57")
_FAILURES = frozenset(
    (
        RecipientStatus.BOUNCED,
        RecipientStatus.FILTERED,
        RecipientStatus.SUPPRESSED,
        RecipientStatus.EXPIRED,
        RecipientStatus.FAILED,
    )
)
_SUCCESSES = frozenset((RecipientStatus.DELIVERED, RecipientStatus.QUARANTINED))  # the receiver has it, wherever it put it


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification that is owed: what became of these recipients. `operation_id` is the same each time it is derived."""

    action: Action
    entries: tuple[Entry, ...]
    operation_id: str


def may_be_told(facts: MessageFacts) -> bool:
    """Whether anybody may get notifications about a message: the verified submitter of one that came by SMTP."""
    return facts.door == SMTP_DOOR and bool(facts.submitter)


def wants(entry: Entry, event: str) -> bool:
    """Whether the client asked for notifications of an event of NOTIFY for a recipient."""
    return event in (frozenset(entry.notify.split(",")) if entry.notify else UNSAID)


def when_due(before: Ledger, after: Ledger, facts: MessageFacts, *, now: float) -> list[float]:
    """After which pauses, in seconds, an envelope has to be looked at when its ledger becomes another. Mostly never."""
    if not may_be_told(facts):
        return []
    pauses = []
    changed = [(old, new) for old, new in zip(before.entries, after.entries, strict=True) if new.status is not old.status]
    if any(_event(new) and wants(new, _event(new)) for _, new in changed):
        pauses.append(HAND_OVER_DELAY)
    due = facts.accepted_at + DELAYED_AFTER
    first_deferral = any(
        new.status is RecipientStatus.DEFERRED and old.status is RecipientStatus.PENDING and wants(new, "DELAY")
        for old, new in changed
    )
    if first_deferral and facts.expires_at > due:
        pauses.append(max(due - now, HAND_OVER_DELAY))
    return pauses


def due_notifications(row: SpooledRow, *, now: float) -> list[Notification]:
    """The notifications that an envelope owes by what is written of it, those that were sent before among them."""
    if not may_be_told(row.facts):
        return []
    ended: dict[tuple[Action, float], list[Entry]] = {}
    for entry in row.ledger.entries:
        event = _event(entry)
        if event and wants(entry, event):
            ended.setdefault((_action(entry), entry.at), []).append(entry)
    found = [Notification(key[0], tuple(entries), _operation_id(row, *key, entries)) for key, entries in ended.items()]
    late = [entry for entry in row.ledger.entries if entry.status is RecipientStatus.DEFERRED and wants(entry, "DELAY")]
    if late and now >= row.facts.accepted_at + DELAYED_AFTER:
        # One for each envelope, whoever of it is still late: its recipients are tried together.
        found.append(Notification(Action.DELAYED, tuple(late), _operation_id(row, Action.DELAYED, 0.0, ())))
    return found


def reported(entry: Entry, action: Action, facts: MessageFacts, words: tuple[str, str]) -> ReportedRecipient:
    """What a notification says of a recipient; `words` are cause and remedy, for people."""
    return ReportedRecipient(
        address=entry.address,
        action=action,
        status=status_code(entry.enhanced, action, expired=entry.status is RecipientStatus.EXPIRED),
        original=entry.orcpt,
        reply=entry.reply if entry.code else "",
        reason="" if entry.code else entry.reply,
        remote=entry.host,
        last_attempt_at=entry.at if entry.tries else 0.0,
        retry_until=facts.expires_at if action is Action.DELAYED else 0.0,
        meaning=words[0],
        remedy=words[1],
    )


def _event(entry: Entry) -> str:
    if entry.status in _FAILURES:
        return "FAILURE"
    return "SUCCESS" if entry.status in _SUCCESSES else ""


def _action(entry: Entry) -> Action:
    if entry.status in _FAILURES:
        return Action.FAILED
    # The simulator is where its recipients end; everybody else's mail goes on to a server that may hand it on itself.
    return Action.DELIVERED if entry.address.rpartition("@")[2] == SIMULATOR_DOMAIN else Action.RELAYED


def _operation_id(row: SpooledRow, action: Action, at: float, entries: Sequence[Entry]) -> str:
    """Names a notification. Who failed stays failed; who has the mail may bounce late, so the time stands for them."""
    meant = sorted(entry.address for entry in entries) if action is Action.FAILED else [repr(at)]
    return str(uuid.uuid5(_NAMESPACE, "\n".join((row.message, row.row, action, *meant))))
