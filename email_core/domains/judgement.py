"""What a value in the DNS lacks to be the one that is expected: judged without a look at where else it may be.

A judgement is None when the record is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from email_core.dns.looks import Look
from email_core.domains.dns_faults import DnsFault
from email_core.domains.records import VERIFICATION_PREFIX, DnsRecord
from email_core.domains.spf import SpfRecord, Term, parse_spf, spf_values
from email_core.domains.spf_lookups import MOST_LOOKUPS, MOST_VOID, SpfCount

_LEAST_PART = 16  # characters of a value that is taken for the beginning of the right one

_SIGNS = {"~": DnsFault.SPF_SOFT_FAIL, "?": DnsFault.SPF_NEUTRAL, "+": DnsFault.SPF_OPEN}


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong. `fields` fill in its text, `values` are quoted.

    `absent`: nothing of ours is there, so it may be elsewhere.
    """

    fault: DnsFault
    fields: Mapping[str, object] = field(default_factory=dict)
    values: Sequence[str] = ()
    absent: bool = False


def wrong(fault: DnsFault, values: Sequence[str] = (), *, absent: bool = False, **fields: object) -> Wrong:
    """Shorter to write."""
    return Wrong(fault, fields, values, absent)


def missing(look: Look) -> Wrong:
    """Nothing of ours is there."""
    return wrong(DnsFault.RECORD_MISSING, look.records, absent=True)


def judge_token(record: DnsRecord, look: Look) -> Wrong | None:
    """The Domain record."""
    alias = _alias_at_domain(look)
    if alias is not None:
        return alias
    if record.value in look.records:
        return None
    near = sorted(look.records, key=lambda value: VERIFICATION_PREFIX[:-1] not in value.lower())
    token = record.value.removeprefix(VERIFICATION_PREFIX)
    for value in near:
        fault = near_miss(value, record.value, lambda text: text == record.value, blanks=False)
        if fault is not None:
            return wrong(fault, near)
        if value.strip().strip('"') == token:
            return wrong(DnsFault.PREFIX_MISSING, near)
    if any(value.lower().startswith(VERIFICATION_PREFIX) for value in near):
        return wrong(DnsFault.WRONG_TOKEN, near, absent=True)
    return wrong(DnsFault.RECORD_MISSING, near, absent=True)


def judge_spf(record: DnsRecord, look: Look, count: SpfCount | None) -> Wrong | None:
    """An SPF record, with the count of its lookups when it has been made."""
    alias = _alias_at_domain(look)
    if alias is not None:
        return alias
    values = spf_values(look.records)
    if not values:
        return _no_spf(record, look)
    if len(values) > 1:
        return wrong(DnsFault.SPF_SEVERAL, values, count=len(values), value=_include(record).text)
    published = parse_spf(values[0])
    if published.invalid:
        spoiled = _spoiling(values[0])
        return wrong(spoiled or DnsFault.SPF_INVALID, values, other=published.invalid)
    fault = _include_fault(record, published, count)
    if fault is None:
        fault = (_count_fault(count) if count is not None else None) or _all_fault(published)
    return None if fault is None else Wrong(fault.fault, fault.fields, values, fault.absent)


def judge_dmarc(record: DnsRecord, look: Look) -> Wrong | None:
    """A DMARC record: any that is valid, for its policy is the owner's."""
    values = dmarc_values(look.records)
    if len(values) > 1:
        return wrong(DnsFault.DMARC_SEVERAL, values, count=len(values))
    if values:
        tags = tag_list(values[0])
        if tags.get("p", "").lower() in ("none", "quarantine", "reject"):
            return None
        return wrong(DnsFault.DMARC_POLICY, values, other=f"p={tags['p']}" if "p" in tags else "no p= at all")
    for value in look.records:
        fault = near_miss(value, record.value, lambda text: bool(dmarc_values([text])))
        if fault is not None:
            return wrong(fault, look.records)
        if "dmarc1" in value.lower():
            return wrong(DnsFault.DMARC_INVALID, look.records)
        if not value.strip():
            return wrong(DnsFault.EMPTY_VALUE, look.records)
    return missing(look)


def judge_exchanger(record: DnsRecord, look: Look) -> Wrong | None:
    """An MX that has to be the only one."""
    host = record.value.partition(" ")[2]
    hosts = [value.partition(" ")[2] for value in look.records]
    if not hosts:
        return missing(look)
    others = sorted({other or "none (null MX)" for other in hosts if other != host})
    if others:
        return wrong(DnsFault.MX_SEVERAL if host in hosts else DnsFault.MX_WRONG, look.records, other=", ".join(others))
    return None


def dmarc_values(texts: Sequence[str]) -> list[str]:
    """Those TXT values that are DMARC records (RFC 7489 section 6.6.3)."""
    # The version is first and in these very letters (section 6.3).
    return [text for text in texts if "".join(text.partition(";")[0].split()) in ("v=DMARC1", "V=DMARC1")]


def tag_list(text: str) -> dict[str, str]:
    """The tags of a value (RFC 6376 section 3.2), names in lower case, without blanks around."""
    parts = (part.partition("=") for part in text.split(";") if "=" in part)
    return {name.strip().lower(): value.strip() for name, _, value in parts}


def near_miss(value: str, expected: str, same: Callable[[str], bool], *, blanks: bool = True) -> DnsFault | None:
    """Which mistake of an editor makes a value of the one that is right. `blanks`: single ones belong into the value."""
    bare = value.replace('" "', "").replace('"', "").strip(" ()")
    if '"' in value and same(bare):
        return DnsFault.QUOTES
    if "\\" in value and same(bare.replace("\\", "")):
        return DnsFault.BACKSLASHES
    if same((" " if blanks else "").join(value.split())):
        return DnsFault.LINE_BREAK
    if value.lower() == expected.lower():
        return DnsFault.CASE_CHANGED
    if len(value) >= _LEAST_PART and value != VERIFICATION_PREFIX and expected.startswith(value):
        return DnsFault.TRUNCATED
    return None


def _alias_at_domain(look: Look) -> Wrong | None:
    if look.aliases:
        return wrong(DnsFault.CNAME_AT_DOMAIN, [f"CNAME {look.aliases[0]}", *look.records], other=look.aliases[0])
    if look.alias_beside:
        return wrong(DnsFault.CNAME_BESIDE, [f"CNAME {look.alias_beside}", *look.records], other=look.alias_beside)
    return None


def _spoiling(value: str) -> DnsFault | None:
    if '"' in value:
        return DnsFault.QUOTES
    if "\\" in value:
        return DnsFault.BACKSLASHES
    return DnsFault.LINE_BREAK if any(character.isspace() and character != " " for character in value) else None


def _no_spf(record: DnsRecord, look: Look) -> Wrong:
    for value in look.records:
        fault = near_miss(value, record.value, lambda text: bool(spf_values([text])))
        if fault is not None:
            return wrong(fault, look.records)
        if value.lower().lstrip().startswith(("v=spf", "spf1", "spf2")):
            return wrong(DnsFault.SPF_INVALID, look.records, other=value.split(" ")[0][:40])
    return missing(look)


def _include(record: DnsRecord) -> Term:
    """The include that was asked for."""
    return next(term for term in parse_spf(record.value).terms if term.name == "include")


def _include_fault(record: DnsRecord, published: SpfRecord, count: SpfCount | None) -> Wrong | None:
    include = _include(record)
    named = [term for term in published.terms if term.name in ("include", "redirect") and term.value == include.value]
    if any(term in published.effective and term.qualifier in ("+", "") for term in named):
        return None
    if count is not None and include.value in count.includes:
        return None
    if not named:
        return wrong(DnsFault.SPF_INCLUDE_MISSING, absent=True, value=include.text)
    behind = named[0] not in published.effective
    why = "it stands behind the all" if behind else f"the sign {named[0].qualifier} lets no mail pass"
    return wrong(DnsFault.SPF_INCLUDE_UNUSED, value=include.text, other=why)


def _count_fault(count: SpfCount) -> Wrong | None:
    if count.loop:
        return wrong(DnsFault.SPF_LOOP, other=count.loop)
    if count.lookups > MOST_LOOKUPS:
        return wrong(DnsFault.SPF_LOOKUPS, count=count.lookups)
    if count.broken:
        return wrong(DnsFault.SPF_INCLUDE_BROKEN, other=count.broken)
    if len(count.void) > MOST_VOID:
        return wrong(DnsFault.SPF_VOID, count=len(count.void), other=", ".join(count.void[:5]))
    return None


def _all_fault(published: SpfRecord) -> Wrong | None:
    last = published.all
    if last is not None:
        return wrong(_SIGNS[last.qualifier]) if last.qualifier in _SIGNS else None
    return None if published.redirect else wrong(DnsFault.SPF_NO_ALL)
