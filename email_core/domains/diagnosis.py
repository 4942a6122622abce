"""From what was seen in the DNS to what is to be told: verified, or what was found, what was expected, why, and the remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from email_core.dns.looks import Look, LookStatus, Trouble
from email_core.domains.dns_faults import TEXTS, DnsFault, Finding, shown
from email_core.domains.documents import MAIL_FROM, DomainDocument
from email_core.domains.judgement import (
    Wrong,
    dmarc_values,
    judge_dmarc,
    judge_exchanger,
    judge_spf,
    judge_token,
    wrong,
)
from email_core.domains.key_judgement import judge_key
from email_core.domains.observation import SPF_PURPOSES, Observations, wildcard_parent
from email_core.domains.records import DnsRecord, Purpose
from email_core.domains.wrong_places import relative_name

# The first record of a kind is required; of the others, Ed25519 is only a second signature.
_PURPOSES: dict[str, tuple[Purpose, ...]] = {
    "Domain": (Purpose.DOMAIN,),
    "SPF": (Purpose.SPF,),
    "DKIM": (Purpose.DKIM, Purpose.DKIM_ED25519),
    "DKIM2": (Purpose.DKIM2, Purpose.DKIM2_ED25519),
    "DMARC": (Purpose.DMARC,),
    MAIL_FROM: (Purpose.MAIL_FROM_MX, Purpose.MAIL_FROM_SPF),
}
_OPTIONAL = (Purpose.DKIM_ED25519, Purpose.DKIM2_ED25519)
_TROUBLES = {
    Trouble.TIMED_OUT: DnsFault.TIMED_OUT,
    Trouble.SERVER_FAILURE: DnsFault.SERVER_FAILURE,
    Trouble.REFUSED: DnsFault.REFUSED,
    Trouble.LOOP: DnsFault.LOOP,
    Trouble.UNREACHABLE: DnsFault.UNUSABLE,
    Trouble.UNUSABLE: DnsFault.UNUSABLE,
}
_LONGEST_CACHED = 7 * 86_400.0  # seconds; no resolver keeps anything longer (RFC 8767 section 4)


def records_of_kind(kind: str, records: Sequence[DnsRecord]) -> list[DnsRecord]:
    """The records that a verification of this kind looks for, the required one first."""
    order = _PURPOSES[kind]
    return sorted((record for record in records if record.purpose in order), key=lambda record: order.index(record.purpose))


def published_keys(document: DomainDocument) -> dict[str, str]:
    """The TXT values of a domain's selectors, by their full names."""
    domain = document.from_sender_domain
    return {f"{selector.name}._domainkey.{domain}": selector.public_record for selector in document.selectors}


def diagnose(kind: str, records: Sequence[DnsRecord], keys: Mapping[str, str], seen: Observations) -> Finding:
    """What the look came to for a kind. Raises ValueError when the domain has no record of it."""
    wanted = records_of_kind(kind, records)
    if not wanted:
        raise ValueError(f"the domain has no record of the kind {kind}")
    required = [diagnose_record(record, keys, seen) for record in wanted if record.purpose not in _OPTIONAL]
    finding = next((finding for finding in required if not finding.verified), None)
    if finding is not None:
        return finding
    optional = [diagnose_record(record, keys, seen) for record in wanted if record.purpose in _OPTIONAL]
    missed = next((finding for finding in optional if not finding.verified), None)
    if missed is not None:
        reason = f"The record is verified. Its second key, of Ed25519, is not, and is not required: {missed.reason}"
        return replace(required[0], code=missed.code, reason=reason, remedy=missed.remedy)
    return next((finding for finding in [*required, *optional] if finding.code), required[0])


def diagnose_record(record: DnsRecord, keys: Mapping[str, str], seen: Observations) -> Finding:
    """What the look came to for one record."""
    look = seen.look(record.name, "TXT" if record.type == "CNAME" else record.type)
    if look.failed:
        return _failed(record, look, seen)
    fault = _judge(record, look, keys, seen)
    if fault is None:
        return _verified(record, look, keys, seen)
    inherited = _inherited(record, fault, seen)
    if inherited is not None:
        return inherited
    elsewhere = _wildcard(record, look, seen) or (_elsewhere(record, keys, seen) if fault.absent else None)
    count = seen.spf.get(record.name)
    if count is not None and count.failed and fault.absent and elsewhere is None:
        # Ours may be behind the include that could not be looked up.
        return _told(record, wrong(DnsFault.UNUSABLE, fault.values, other=count.failed), seen, temporary=True)
    if elsewhere is None and fault.fault is DnsFault.RECORD_MISSING and look.status is LookStatus.NO_DOMAIN:
        fault = _not_in_dns(record, look, seen) or fault
    return _second_hand(_told(record, elsewhere or fault, seen), look, seen)


def _judge(record: DnsRecord, look: Look, keys: Mapping[str, str], seen: Observations) -> Wrong | None:
    if record.purpose is Purpose.DOMAIN:
        return judge_token(record, look)
    if record.purpose in SPF_PURPOSES:
        return judge_spf(record, look, seen.spf.get(look.name))
    if record.purpose is Purpose.DMARC:
        return judge_dmarc(record, look)
    if record.purpose is Purpose.MAIL_FROM_MX:
        return judge_exchanger(record, look)
    return judge_key(record, look, keys)


def _verified(record: DnsRecord, look: Look, keys: Mapping[str, str], seen: Observations) -> Finding:
    count = seen.spf.get(record.name)
    if count is not None and count.failed:
        return _told(record, wrong(DnsFault.UNUSABLE, look.records, other=count.failed), seen, temporary=True)
    finding = Finding(True, found=shown(_relevant(record, look)), expected=record.value)
    cached = seen.cached.get((record.name, look.type))
    if cached is None or cached.failed or cached.ttl <= 0 or set(cached.records) == set(look.records):
        return finding
    if _judge(record, cached, keys, seen) is None:
        return finding
    reason, remedy = TEXTS[DnsFault.OLD_VALUE]
    return replace(
        finding, code=DnsFault.OLD_VALUE, reason=reason.format(until=clock_time(seen.at, cached.ttl)), remedy=remedy
    )  # fmt: skip


def _relevant(record: DnsRecord, look: Look) -> Sequence[str]:
    if look.aliases:
        return [f"CNAME {look.aliases[0]}"]
    return [value for value in look.records if value == record.value] or look.records


def _inherited(record: DnsRecord, fault: Wrong, seen: Observations) -> Finding | None:
    """RFC 7489 section 6.6.3: where a sub-domain has no policy, that of the organisational domain holds."""
    name = f"_dmarc.{seen.organisation}"
    if record.purpose is not Purpose.DMARC or fault.fault is not DnsFault.RECORD_MISSING or record.name == name:
        return None
    look = seen.look(name, "TXT")
    if judge_dmarc(record, look) is not None:
        return None
    reason = f"The policy of {name} holds for this sub-domain too."
    return Finding(True, found=shown(dmarc_values(look.records)), expected=record.value, reason=reason)


def _wildcard(record: DnsRecord, look: Look, seen: Observations) -> Wrong | None:
    wildcard = seen.wildcards.get(wildcard_parent(record, seen.domain, seen.organisation))
    if wildcard is None or look.type != "TXT" or not (wildcard.records or wildcard.aliases):
        return None
    if set(wildcard.records) != set(look.records) or wildcard.aliases != look.aliases:
        return None
    return wrong(DnsFault.WILDCARD, [*(f"CNAME {alias}" for alias in look.aliases[:1]), *look.records])


def _elsewhere(record: DnsRecord, keys: Mapping[str, str], seen: Observations) -> Wrong | None:
    kind = "TXT" if record.type == "CNAME" else record.type
    for place in seen.places(record):
        look = seen.look(place.name, kind)
        if look.failed or (look.status is not LookStatus.FOUND and not look.aliases):
            continue
        if _is_ours(record, look, keys, seen):
            return wrong(place.fault, [*(f"CNAME {alias}" for alias in look.aliases[:1]), *look.records], other=place.name)
    return None


def _is_ours(record: DnsRecord, look: Look, keys: Mapping[str, str], seen: Observations) -> bool:
    """Whether the record is there, among whatever else may be at another name."""
    if record.type == "CNAME" and look.aliases[:1] == (record.value,):
        return True
    if record.purpose in (Purpose.DOMAIN, Purpose.DMARC) or record.purpose in SPF_PURPOSES:
        return _judge(record, look, keys, seen) is None
    return any(_judge(record, replace(look, records=(value,), aliases=()), keys, seen) is None for value in look.records)


def _not_in_dns(record: DnsRecord, look: Look, seen: Observations) -> Wrong | None:
    """That a sub-domain is not there says only that nothing was published below it."""
    there = record.name != seen.domain and seen.look(seen.domain, "TXT").status is not LookStatus.NO_DOMAIN
    if there or seen.domain != seen.organisation:
        return None
    return wrong(DnsFault.DOMAIN_NOT_IN_DNS, look.records, name=seen.domain)


def _failed(record: DnsRecord, look: Look, seen: Observations) -> Finding:
    fault = _TROUBLES[look.trouble or Trouble.UNUSABLE]
    return _told(record, wrong(fault, [f"CNAME {alias}" for alias in look.aliases], other=look.reason), seen, temporary=True)


def _second_hand(finding: Finding, look: Look, seen: Observations) -> Finding:
    if look.authoritative or look.ttl <= 0:
        return finding
    until = clock_time(seen.at, look.ttl)
    return replace(finding, reason=f"{finding.reason} A resolver said so, which may hold an old value until {until}.")


def _told(record: DnsRecord, fault: Wrong, seen: Observations, *, temporary: bool = False) -> Finding:
    fields = {
        "name": record.name,
        "type": record.type,
        "value": record.value,
        "relative": relative_name(record.name, seen.zone or seen.organisation),
        **{name: shown([value])[0] if isinstance(value, str) else value for name, value in fault.fields.items()},
    }
    reason, remedy = (text.format(**fields) for text in TEXTS[fault.fault])
    return Finding(False, fault.fault, shown(fault.values), record.value, reason, remedy, temporary)


def clock_time(at: float, seconds: float) -> str:
    """A time some seconds after another, for people: `14:05 UTC`, with the date when it is not on the same day."""
    start = datetime.fromtimestamp(at, UTC)
    end = datetime.fromtimestamp(at + min(seconds, _LONGEST_CACHED), UTC)
    return end.strftime("%H:%M UTC" if end.date() == start.date() else "%Y-%m-%d %H:%M UTC")
