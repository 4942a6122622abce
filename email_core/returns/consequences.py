"""What a report that came back means for the ledger of its envelope. Pure.

Only a recipient that counts as delivered changes, and only by a report of failure: it bounced late. Everything else is told on
the timeline and changes nothing. A report that was told before, in the same words, is told once.

Recipients of one envelope see the same reverse-path, and those of one message the same Feedback-ID: any of them could have
written a report about another. So an address gets onto the managed list, which is everybody's, only when it was the only one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from email_core.delivery.bounce_classes import classify
from email_core.delivery.ledger import REPLY_LENGTH, Entry, Ledger
from email_core.delivery.outcome import Reply, Stage, TimelineEvent
from email_core.delivery.rows import SpooledRow
from email_core.message.address import AddressError, parse_address
from email_core.message.status import Action, RecipientStatus
from email_core.returns.arf_report import FeedbackReport
from email_core.returns.bounce_report import BounceReport
from email_core.returns.status_report import RecipientReport, typed_address

RETURNED = "returned"  # the kinds of the timeline's events
REPORTED = "reported"
COMPLAINT = "complaint"
MOST_REPORTS = 100  # events of reports on one timeline: whoever knows a reverse-path can send any number of them
MOST_UNNAMED = 5  # recipients of one report that are nobody's here and told all the same


@dataclass(frozen=True, slots=True)
class Change:
    """What a report changes: the ledger as it is then, the events to be added, the recipients that bounced or complained.

    `shared`: another recipient could have written the report, so it suppresses nobody.
    """

    ledger: Ledger
    events: tuple[TimelineEvent, ...] = ()
    entries: tuple[Entry, ...] = ()
    shared: bool = False


def is_full(row: SpooledRow) -> bool:
    """Whether as many reports were told of an envelope as may be."""
    return sum(event.kind in (RETURNED, REPORTED, COMPLAINT) for event in row.timeline) >= MOST_REPORTS


def after_report(row: SpooledRow, report: BounceReport, *, now: float) -> Change:
    """What a report of delivery changes."""
    told = {event.facts.get("mark") for event in row.timeline}
    shared = len(_sent(row.ledger.entries)) > 1
    room = MOST_REPORTS - sum(event.kind in (RETURNED, REPORTED, COMPLAINT) for event in row.timeline)
    entries = list(row.ledger.entries)
    events: list[TimelineEvent] = []
    changed: list[Entry] = []
    unnamed = 0
    for each in report.recipients:
        mark = mark_of(each)
        if mark in told or len(events) >= room:
            continue
        entry, certain = concerned(entries, each)
        if entry is None:
            unnamed += 1
            if unnamed > MOST_UNNAMED:
                continue
        told.add(mark)
        if entry is None or each.action is not Action.FAILED or entry.status is not RecipientStatus.DELIVERED:
            events.append(TimelineEvent(now, REPORTED, _facts(report, each, entry, mark)))
            continue
        late = bounced_late(entry, each, certain=certain and not shared, now=now, by=report.reporting_mta)
        entries[entries.index(entry)] = late
        changed.append(late)
        facts = {**_facts(report, each, late, mark), "bounceClass": late.bounce_class, "rule": late.rule, "shared": shared}
        events.append(TimelineEvent(now, RETURNED, facts))
    return Change(replace(row.ledger, entries=tuple(entries)), tuple(events), tuple(changed), shared)


def after_feedback(row: SpooledRow, report: FeedbackReport, *, now: float, split: bool = False) -> Change:
    """What a feedback report changes: nobody's status, for the mail was delivered. Its entries are those who are meant.

    `split`: it names the message by its Feedback-ID, and `row` is one envelope of several.
    """
    mark = hashlib.sha256("\n".join((report.feedback, *report.recipients, report.reporter)).encode()).hexdigest()[:16]
    if is_full(row) or any(event.facts.get("mark") == mark for event in row.timeline):
        return Change(row.ledger)
    sent = _sent(row.ledger.entries)
    meant = [entry for entry in sent if _is_named(entry, report.recipients)]
    if not meant and len(sent) == 1:
        meant = sent  # most providers hide the recipient, and there was no other one
    shared = split or len(sent) > 1
    facts: dict[str, object] = {
        "recipients": [entry.address for entry in meant],
        "feedback": str(report.feedback),
        "by": report.reporter,
        "shared": shared,
        "mark": mark,
    }
    return Change(row.ledger, (TimelineEvent(now, COMPLAINT, facts),), tuple(meant), shared)


def has_named(entries: Sequence[Entry], report: FeedbackReport) -> bool:
    """Whether a feedback report names one of those that were sent to."""
    return any(_is_named(entry, report.recipients) for entry in _sent(entries))


def concerned(entries: Sequence[Entry], report: RecipientReport) -> tuple[Entry | None, bool]:
    """The recipient that a report is about, and whether it is about this very address.

    One that names another address than that of the only recipient, in a field or in words, is about it all the same: the mail
    was forwarded, and came back from there. What is said of the other address says nothing of ours.

    The original address that a report gives back is the ORCPT that we sent (RFC 3461 section 4.2): what the client said, which
    may be the address of another recipient, or else our recipient. So the final one counts first, and then whose ORCPT it was;
    when it was that of several, nobody can tell. With a final address of somebody else's, it says nothing of ours, as above.
    """
    sent = _sent(entries)
    for entry in sent:
        if _is_named(entry, [report.final]):
            return entry, True
    went_as = [entry for entry in sent if report.original and _key(_orcpt(entry)) == _key(report.original)]
    if len(went_as) > 1:
        return None, False
    # A server may tell the original address by itself, whatever our ORCPT was.
    for entry in went_as or [entry for entry in sent if _is_named(entry, [report.original])]:
        return entry, _is_at_home(entry, report.final)
    for entry in sent:
        if _is_named(entry, report.mentioned):
            return entry, True
    if len(sent) == 1:
        return sent[0], not (report.addresses or report.mentioned)
    return None, False


def bounced_late(entry: Entry, report: RecipientReport, *, certain: bool, now: float, by: str) -> Entry:
    """The recipient once its mail has come back, with the reason and the class of it."""
    host = report.remote_mta or by
    found = classify(_reply(report), stage=Stage.FINAL_DOT, mx_host=host, recipients=(entry.address, *report.addresses))
    return replace(
        entry,
        status=RecipientStatus.BOUNCED,
        at=now,
        reply=_said(report)[:REPLY_LENGTH],
        code=report.code,
        enhanced=report.enhanced,
        host=host,
        bounce_class=found.bounce_class,
        rule=found.rule,
        hard_bounce=found.suppress and certain,
    )


def mark_of(report: RecipientReport) -> str:
    """Names what a report says of a recipient, so that the same is told once. Times and queue ids are not in it."""
    said = (report.action, *report.addresses, report.enhanced, str(report.code), report.remote_mta)
    return hashlib.sha256("\n".join(said).encode("utf-8", "replace")).hexdigest()[:16]


def _reply(report: RecipientReport) -> Reply | None:
    if not (report.code or report.enhanced or report.diagnostic):
        return None
    # A failure without any code is one that no rule for codes should judge.
    return report.reply if report.code or report.enhanced else Reply(599, "", report.diagnostic)


def _said(report: RecipientReport) -> str:
    return str(report.reply) if report.code or report.enhanced else report.diagnostic or "returned without a reason"


def _facts(report: BounceReport, each: RecipientReport, entry: Entry | None, mark: str) -> dict[str, object]:
    return {
        "recipient": entry.address if entry is not None else next(iter(each.addresses), ""),
        "action": str(each.action),
        "reply": _said(each)[:REPLY_LENGTH],
        "host": each.remote_mta,
        "by": report.reporting_mta,
        "mark": mark,
    }


def _sent(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.status is not RecipientStatus.SUPPRESSED]


def _orcpt(entry: Entry) -> str:
    """The address of the ORCPT that a recipient goes out with (see `rcpt_parameters`)."""
    return typed_address(entry.orcpt) if entry.orcpt else entry.address


def _is_at_home(entry: Entry, final: str) -> bool:
    """Whether an address that mail ended at is of the recipient's domain, above it or below it: then it is an alias, and not
    a mailbox elsewhere that the mail was forwarded to.
    """
    ours, theirs = entry.address.rpartition("@")[2], final.rpartition("@")[2]
    return not theirs or f".{theirs}".endswith(f".{ours}") or f".{ours}".endswith(f".{theirs}")


def _is_named(entry: Entry, addresses: Sequence[str]) -> bool:
    return _key(entry.address) in {_key(address) for address in addresses}


def _key(address: str) -> str:
    try:
        return parse_address(address).mailbox
    except AddressError:
        return address.lower()
