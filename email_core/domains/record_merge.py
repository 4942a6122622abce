"""What becomes of the records that a zone has already when ours are published in it. Pure: it decides, others write.

Nothing that is not ours is ever taken out. An SPF record of the owner gets our include, because a domain may have only one;
every other difference at a name of ours is a conflict, which is told with its remedy.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from email_core.domains.records import DnsRecord, Purpose

_SPF_PURPOSES = (Purpose.SPF, Purpose.MAIL_FROM_SPF, Purpose.BOUNCE_SPF)
_MX_PURPOSES = (Purpose.MAIL_FROM_MX, Purpose.BOUNCE_MX)
_KEY_PURPOSES = (Purpose.DKIM, Purpose.DKIM2, Purpose.DKIM_ED25519, Purpose.DKIM2_ED25519)
_spf = re.compile(r"v=spf1(?: |$)", re.IGNORECASE)  # RFC 7208 section 4.5
_dmarc = re.compile(r"v\s*=\s*DMARC1\s*(?:;|$)", re.IGNORECASE)  # RFC 7489 section 6.3
_all = re.compile(r"[-+~?]?all", re.IGNORECASE)


class Outcome(StrEnum):
    """What came of a record. Only the first and the third write."""

    PUBLISHED = "published"
    THERE = "already there"
    MERGED = "merged"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Present:
    """What a name holds now: the values of the record's own type, where a CNAME leads, whether there is anything else."""

    values: tuple[str, ...] = ()
    cname: str = ""
    others: bool = False


@dataclass(frozen=True, slots=True)
class Merge:
    """What one record comes to: the values that its name is to have, and for people why."""

    outcome: Outcome
    values: tuple[str, ...]
    reason: str = ""


def merge(record: DnsRecord, present: Present, *, earlier: Collection[str] = (), owned: bool = True) -> Merge:
    """What becomes of a name when `record` is published there.

    `earlier` are keys that we published before: they may be replaced. `owned`: whose domain it is was proven, so that a key in
    the platform's zone which somebody else left for it goes as well.
    """
    if record.type == "CNAME":
        return _alias(record, present)
    if present.cname:
        return _conflict(
            present, f"a CNAME to {present.cname} stands there, and no other record may stand beside it: delete it"
        )
    if _same(record, record.value) in {_same(record, value) for value in present.values}:
        return _there(record, present, earlier)
    match record.purpose:
        case purpose if purpose in _SPF_PURPOSES:
            return _spf_record(record, present)
        case purpose if purpose in _KEY_PURPOSES:
            return _key(record, present, earlier)
        case Purpose.DKIM_TARGET if not owned:
            return _key(record, present, earlier)
        case Purpose.DKIM_TARGET:
            # A name below the platform's own zone, which has no other use.
            return _alone(record, present)
        case Purpose.DMARC:
            return _policy(record, present)
        case purpose if purpose in _MX_PURPOSES and present.values:
            hosts = ", ".join(present.values)
            return _conflict(
                present, f"mail for this name goes elsewhere already ({hosts}): delete that MX, or take another name"
            )
    return Merge(Outcome.PUBLISHED, (*present.values, record.value))


def spf_records(values: Iterable[str]) -> list[str]:
    """The SPF records among TXT values."""
    return [value for value in values if _spf.match(value)]


def spf_with_include(existing: str, host: str) -> str | None:
    """An SPF record with `include:host` before its `all`, unchanged when it includes it already.

    None when the record says something else of that host before. RFC 7208 section 5.1: nothing behind `all` is looked at.
    """
    terms = existing.split()
    end = next((index for index, term in enumerate(terms) if _all.fullmatch(term)), len(terms))
    wanted = f"include:{host}".lower()
    for term in terms[1:end]:
        mechanism = term.lower().rstrip(".")
        if mechanism.removeprefix("+") == wanted:
            return existing
        if mechanism[:1] in "-~?" and mechanism[1:] == wanted:
            return None
    if end == len(terms):
        # Without `all`, modifiers such as redirect= come last by custom; where they stand does not matter to receivers.
        end = next((index for index, term in enumerate(terms) if re.match(r"(redirect|exp)=", term, re.IGNORECASE)), end)
    return " ".join([*terms[:end], f"include:{host}", *terms[end:]])


def _spf_record(record: DnsRecord, present: Present) -> Merge:
    existing = spf_records(present.values)
    if not existing:
        return Merge(Outcome.PUBLISHED, (*present.values, record.value))
    if len(existing) > 1:
        return _conflict(
            present, f"there are {len(existing)} SPF records, and receivers take none of them then: make one of them"
        )
    merged: str | None = existing[0]
    for host in _included(record.value):
        merged = spf_with_include(merged, host) if merged is not None else None
    if merged is None:
        return _conflict(present, f"the SPF record excludes {', '.join(_included(record.value))}: take that term out of it")
    if merged == existing[0]:
        return Merge(Outcome.THERE, present.values, f"the SPF record includes it: {merged}")
    values = tuple(merged if value == existing[0] else value for value in present.values)
    return Merge(Outcome.MERGED, values, f"the SPF record there got our include: {merged}")


def _included(spf: str) -> list[str]:
    return [term.removeprefix("include:") for term in spf.split() if term.startswith("include:")]


def _key(record: DnsRecord, present: Present, earlier: Collection[str]) -> Merge:
    known = {_same(record, value) for value in earlier}
    if any(_same(record, value) not in known for value in present.values):
        reason = "another TXT record stands at this selector, and receivers take neither of two: delete it"
        return _conflict(present, reason)
    return Merge(Outcome.PUBLISHED, (record.value,), "the key before was replaced" if present.values else "")


def _alone(record: DnsRecord, present: Present) -> Merge:
    return Merge(Outcome.PUBLISHED, (record.value,), "the value before was replaced" if present.values else "")


def _policy(record: DnsRecord, present: Present) -> Merge:
    policies = [value for value in present.values if _dmarc.match(value)]
    if len(policies) > 1:
        return _conflict(present, f"there are {len(policies)} DMARC records, and receivers take none of them then: keep one")
    if policies:
        return Merge(Outcome.THERE, present.values, f"the owner's DMARC record is kept: {policies[0]}")
    return Merge(Outcome.PUBLISHED, (*present.values, record.value))


def _alias(record: DnsRecord, present: Present) -> Merge:
    held = (present.cname or next(iter(present.values), "")).lower().rstrip(".")
    if held == record.value.lower():
        return Merge(Outcome.THERE, present.values)
    if held:
        return _conflict(present, f"a CNAME to {held} stands there: delete it, or let it lead to {record.value}")
    if present.others:
        return _conflict(present, "other records stand there, and a CNAME may stand beside none: delete them")
    return Merge(Outcome.PUBLISHED, (record.value,))


def _there(record: DnsRecord, present: Present, earlier: Collection[str]) -> Merge:
    """The value is there. At a selector it has to be the only one."""
    if record.purpose in _KEY_PURPOSES and len(present.values) > 1:
        own = {_same(record, value) for value in (*earlier, record.value)}
        if any(_same(record, value) not in own for value in present.values):
            return _conflict(present, "another TXT record stands beside our key, and receivers take neither of two: delete it")
        return Merge(Outcome.PUBLISHED, (record.value,), "the key before was taken away")
    if record.purpose is Purpose.DKIM_TARGET and len(present.values) > 1:
        return _alone(record, present)
    if record.purpose in _SPF_PURPOSES and len(spf_records(present.values)) > 1:
        return _spf_record(record, present)
    return Merge(Outcome.THERE, present.values)


def _conflict(present: Present, reason: str) -> Merge:
    return Merge(Outcome.CONFLICT, present.values, reason)


def _same(record: DnsRecord, value: str) -> str:
    """A value fit for comparing: blanks tell nothing in an SPF or DKIM record, and neither does case in an MX."""
    if record.type == "TXT":
        return re.sub(r"\s+", "" if record.purpose in (*_KEY_PURPOSES, Purpose.DKIM_TARGET) else " ", value).strip()
    return value.lower().rstrip(".")
