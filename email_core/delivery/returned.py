"""What a report that came back means for the ledger of its envelope. Pure.

Only a recipient that counts as delivered changes, and only by a report of failure: it bounced late. Everything else is told on
the timeline and changes nothing. A report that was told before, in the same words, is told once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from email_core.delivery.arf_report import FeedbackReport
from email_core.delivery.bounce_classes import classify
from email_core.delivery.bounce_report import BounceReport
from email_core.delivery.ledger import REPLY_LENGTH, Entry, Ledger
from email_core.delivery.outcome import Reply, Stage, TimelineEvent
from email_core.delivery.rows import SpooledRow
from email_core.delivery.status_report import Action, RecipientReport
from email_core.message.address import AddressError, parse_address
from email_core.message.status import RecipientStatus

RETURNED = "returned"  # the kinds of the timeline's events
REPORTED = "reported"
COMPLAINT = "complaint"
MOST_REPORTS = 100  # events of reports on one timeline: whoever knows a reverse-path can send any number of them
MOST_UNNAMED = 5  # recipients of one report that are nobody's here and told all the same


@dataclass(frozen=True, slots=True)
class Change:
    """What a report changes: the ledger as it is then, the events to be added, the recipients that bounced or complained."""

    ledger: Ledger
    events: tuple[TimelineEvent, ...] = ()
    entries: tuple[Entry, ...] = ()


def is_full(row: SpooledRow) -> bool:
    """Whether as many reports were told of an envelope as may be."""
    return sum(event.kind in (RETURNED, REPORTED, COMPLAINT) for event in row.timeline) >= MOST_REPORTS


def after_report(row: SpooledRow, report: BounceReport, *, now: float) -> Change:
    """What a report of delivery changes."""
    told = {event.facts.get("mark") for event in row.timeline}
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
        late = bounced_late(entry, each, certain=certain, now=now, by=report.reporting_mta)
        entries[entries.index(entry)] = late
        changed.append(late)
        facts = {**_facts(report, each, late, mark), "bounceClass": late.bounce_class, "rule": late.rule}
        events.append(TimelineEvent(now, RETURNED, facts))
    return Change(replace(row.ledger, entries=tuple(entries)), tuple(events), tuple(changed))


def after_feedback(row: SpooledRow, report: FeedbackReport, *, now: float) -> Change:
    """What a feedback report changes: nobody's status, for the mail was delivered. Its entries are those who are meant."""
    mark = hashlib.sha256("\n".join((report.feedback, *report.recipients, report.reporter)).encode()).hexdigest()[:16]
    if is_full(row) or any(event.facts.get("mark") == mark for event in row.timeline):
        return Change(row.ledger)
    meant = [entry for entry in _sent(row.ledger.entries) if _is_named(entry, report.recipients)]
    sent = _sent(row.ledger.entries)
    if not meant and len(sent) == 1:
        meant = sent  # most providers hide the recipient, and there was no other one
    addresses = [entry.address for entry in meant]
    facts: dict[str, object] = {"recipients": addresses, "feedback": str(report.feedback), "by": report.reporter, "mark": mark}
    return Change(row.ledger, (TimelineEvent(now, COMPLAINT, facts),), tuple(meant))


def concerned(entries: Sequence[Entry], report: RecipientReport) -> tuple[Entry | None, bool]:
    """The recipient that a report is about, and whether it is about this very address.

    One that names another address than that of the only recipient is about it all the same: the mail was forwarded, and came
    back from there. What is said of the other address says nothing of ours.
    """
    sent = _sent(entries)
    for addresses in (report.addresses, report.mentioned):
        for entry in sent:
            if _is_named(entry, addresses):
                return entry, True
    if len(sent) == 1:
        return sent[0], not report.addresses
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


def _is_named(entry: Entry, addresses: Sequence[str]) -> bool:
    return _key(entry.address) in {_key(address) for address in addresses}


def _key(address: str) -> str:
    try:
        return parse_address(address).key
    except AddressError:
        return address.lower()
