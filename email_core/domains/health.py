"""The health report of a domain: whether receivers can believe its mail, and what its owner should do.

The whole is as good as the worst of the required checks. What is only advised, and what a receiver demands of large senders
(`health_rules.py`), stands beside them with a level of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import msgspec

from email_core.domains.documents import DomainDocument
from email_core.domains.health_advice import advice_checks
from email_core.domains.health_check import Check, Level, worst
from email_core.domains.health_records import Subject, record_checks
from email_core.domains.health_rules import NOT_MEASURED, SOURCES, Verdict, verdicts
from email_core.domains.observation import Observations
from email_core.management.envelope import timestamp
from email_core.settings import Settings

# Bytes of a report as it is stored: a domain's document has 64 KiB of UTF-16, of which keys and states need most.
MOST_STORED = 10 * 1024

_LONGEST_TEXT = 240  # characters of a reason or a fix, when a report is too large

Report = dict[str, object]


class _Judged(TypedDict):
    """A verdict as it is stored."""

    status: str
    failing: list[dict[str, object]]


def examined(document: DomainDocument, settings: Settings, seen: Observations) -> Report:
    """The report on what was seen. Raises RecordError for a domain that no records can be made for."""
    subject = Subject.of(document, settings, seen)
    checks = [*record_checks(subject), *advice_checks(subject)]
    shown_checks = [_check(check) for check in checks]
    judged = {each.provider: _verdict(each) for each in verdicts(document, {check.name: check for check in checks})}
    report: Report = {
        "domain": document.from_sender_domain,
        "checkedAt": timestamp(seen.at),
        "status": worst(check.level for check in checks if check.required).value,
        "checks": shown_checks,
        "providers": judged,
    }
    return _cut(report, [*shown_checks, *(point for verdict in judged.values() for point in verdict["failing"])])


def unexamined(document: DomainDocument, now: float, why: str) -> Report:
    """The report on a domain that has no records of its own to look at."""
    return {
        "domain": document.from_sender_domain,
        "checkedAt": timestamp(now),
        "status": Level.GREEN.value,
        "note": why,
        "checks": [],
        "providers": {},
    }


def shown(report: Mapping[str, object]) -> Report:
    """A stored report as it is answered: with what no DNS shows, which is the same for all domains."""
    providers = report.get("providers")
    judged = providers if isinstance(providers, dict) else {}
    return {
        **report,
        "providers": {
            name: {
                **verdict,
                "source": SOURCES.get(name, ""),
                "notMeasured": [{"rule": rule, "watch": watch} for rule, watch in NOT_MEASURED.get(name, ())],
            }
            for name, verdict in judged.items()
        },
    }


def _check(check: Check) -> dict[str, object]:
    return {
        "name": check.name,
        "status": check.level.value,
        "required": check.required,
        "found": list(check.found),
        "reason": check.reason,
        "fix": check.fix,
        "source": check.source,
    }


def _verdict(verdict: Verdict) -> _Judged:
    failing: list[dict[str, object]] = [
        {"rule": point.rule, "status": point.level.value, "check": point.check, "fix": point.fix} for point in verdict.points
    ]
    return {"status": verdict.level.value, "failing": failing}


def _cut(report: Report, parts: list[dict[str, object]]) -> Report:
    """A report that may be stored. What a zone holds can be long, and what is good is the first to be left out."""
    for shorten in (_leave_out_what_is_good, _leave_out_what_was_found, _shorten_texts):
        if len(msgspec.json.encode(report)) <= MOST_STORED:
            break
        for each in parts:
            shorten(each)
    return report


def _leave_out_what_is_good(each: dict[str, object]) -> None:
    if each["status"] == Level.GREEN.value:
        each.pop("found", None)


def _leave_out_what_was_found(each: dict[str, object]) -> None:
    each.pop("found", None)


def _shorten_texts(each: dict[str, object]) -> None:
    for name in ("reason", "fix"):
        text = str(each.get(name, ""))
        if len(text) > _LONGEST_TEXT:
            each[name] = f"{text[:_LONGEST_TEXT]}…"
