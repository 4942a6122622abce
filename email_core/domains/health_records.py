"""The health of the records that we ask a domain's owner for: ownership, SPF, DKIM in both slots, DMARC, MAIL FROM."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from email_core.domains.diagnosis import diagnose_record, published_keys
from email_core.domains.dkim_keys import ADVISED_RSA_BITS, LEAST_RSA_BITS
from email_core.domains.dmarc import Policy, policy_of
from email_core.domains.dns_faults import Finding
from email_core.domains.documents import DomainDocument, SelectorDocument
from email_core.domains.health_check import LOOSE_SPF, Check, Level, fix_with, level_of, quoted, worst
from email_core.domains.judgement import tag_list
from email_core.domains.key_rotation import active_slot, slot_of, unsettled_slot
from email_core.domains.observation import Observations
from email_core.domains.record_merge import Outcome, Present, merge
from email_core.domains.records import DnsRecord, Purpose, records_of
from email_core.domains.spf import parse_spf, spf_values
from email_core.domains.spf_lookups import MOST_LOOKUPS
from email_core.settings import Settings

DAY = 86_400.0
OLDEST_KEY_DAYS = 365  # advice where no rotation is set: a key that leaked unseen is worth a year at the most
ROTATION_DAYS = 14  # that a rotation may take, with caches and retries, before a key counts as old
MANY_LOOKUPS = MOST_LOOKUPS - 1  # the next service that is added breaks the record

_SPF_LOOKED_UP = ("include", "a", "mx", "ptr", "exists", "redirect")
_SLOTS = {1: (Purpose.DKIM, Purpose.DKIM_ED25519), 2: (Purpose.DKIM2, Purpose.DKIM2_ED25519)}
_ending = re.compile(r"\s[~?+]?all$", re.IGNORECASE)

ACS = "Azure Communication Services, email domain verification"


@dataclass(frozen=True, slots=True)
class Subject:
    """A domain whose records were looked at."""

    document: DomainDocument
    settings: Settings
    seen: Observations
    records: Mapping[Purpose, DnsRecord]
    keys: Mapping[str, str]
    policy: Policy | None

    @classmethod
    def of(cls, document: DomainDocument, settings: Settings, seen: Observations) -> Subject:
        """From what is stored and what was seen. Raises RecordError."""
        records = {record.purpose: record for record in records_of(document, settings)}
        return cls(document, settings, seen, records, published_keys(document), policy_of(seen))

    def finding(self, purpose: Purpose) -> Finding:
        """What the look at a record came to."""
        return diagnose_record(self.records[purpose], self.keys, self.seen)


def record_checks(subject: Subject) -> list[Check]:
    """The checks of what we ask for, in the order of ACS."""
    checks = [_ownership(subject), _spf(subject), *_dkim(subject, 1), *_dkim(subject, 2), _dmarc(subject)]
    return [*checks, _mail_from(subject)] if Purpose.MAIL_FROM_MX in subject.records else checks


def key_bits(public_record: str) -> int:
    """The size of the RSA key of a TXT value; 0 for another kind of key, or for what can't be read."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        key = load_der_public_key(base64.b64decode(tag_list(public_record).get("p", ""), validate=True))
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        return 0
    return key.key_size if isinstance(key, RSAPublicKey) else 0


def _ownership(subject: Subject) -> Check:
    return _plain(subject, "Domain", Purpose.DOMAIN, ACS)


def _plain(subject: Subject, name: str, purpose: Purpose, source: str) -> Check:
    finding, record = subject.finding(purpose), subject.records[purpose]
    level = level_of(finding)
    fix = finding.remedy if level is Level.GREEN or finding.temporary else fix_with(finding.remedy, record)
    return Check(name, level, quoted(finding.found), finding.reason, fix, source, unknown=finding.temporary)


def _spf(subject: Subject) -> Check:
    finding, record = subject.finding(Purpose.SPF), subject.records[Purpose.SPF]
    level, source = level_of(finding), "RFC 7208"
    lookups = _spf_lookups(subject, record)
    found = (*finding.found, *([f"{lookups} of {MOST_LOOKUPS} DNS lookups"] if lookups else []))
    if level is Level.GREEN and lookups >= MANY_LOOKUPS:
        reason = f"The record needs {lookups} of the {MOST_LOOKUPS} DNS lookups that receivers make; one more breaks it."
        fix = "Take out includes of services that are no longer used, and mechanisms a, mx and ptr."
        return Check("SPF", Level.AMBER, quoted(found), reason, fix, f"{source} section 4.6.4")
    fix = finding.remedy
    if level is not Level.GREEN and not finding.temporary:
        fix = fix_with(finding.remedy, _spf_to_publish(subject, record, finding))
    return Check("SPF", level, quoted(found), finding.reason, fix, source, unknown=finding.temporary)


def _spf_lookups(subject: Subject, record: DnsRecord) -> int:
    """How many lookups a receiver makes, 0 when there is no single record. The plain record was not counted: it has one."""
    count = subject.seen.spf.get(record.name)
    if count is not None:
        return count.lookups
    values = spf_values(subject.seen.look(record.name, "TXT").records)
    terms = parse_spf(values[0]).effective if len(values) == 1 else ()
    return sum(term.name in _SPF_LOOKED_UP for term in terms)


def _spf_to_publish(subject: Subject, record: DnsRecord, finding: Finding) -> DnsRecord | None:
    """The record as it should be, made of the owner's own where that is safe; None when only the owner can tell."""
    values = spf_values(subject.seen.look(record.name, "TXT").records)
    if len(values) > 1:
        return None
    if finding.code in LOOSE_SPF and values:
        closed = _ending.sub("", values[0].rstrip())
        return replace(record, value=f"{closed} -all")
    merged = merge(record, Present(values))
    if merged.outcome not in (Outcome.PUBLISHED, Outcome.MERGED):
        return None
    return replace(record, value=next((value for value in spf_values(merged.values)), record.value))


def _dkim(subject: Subject, slot: int) -> Iterator[Check]:
    """A slot: its RSA key, which mail needs, and its Ed25519 key, which is a second signature."""
    rsa, ed25519 = _SLOTS[slot]
    selectors = {_is_ed25519(selector): selector for selector in slot_of(subject.document, slot)}
    if rsa in subject.records and False in selectors:
        yield _key_check(subject, rsa, selectors[False], slot)
    if ed25519 in subject.records and True in selectors:
        check = _key_check(subject, ed25519, selectors[True], slot)
        level = Level.AMBER if check.level is Level.RED else check.level
        yield replace(check, level=level, required=False, source="RFC 8463")


def _is_ed25519(selector: SelectorDocument) -> bool:
    return "k=ed25519" in selector.public_record


def _key_check(subject: Subject, purpose: Purpose, selector: SelectorDocument, slot: int) -> Check:
    finding, record = subject.finding(purpose), subject.records[purpose]
    signs = active_slot(subject.document) == slot
    found = [*finding.found, f"selector {selector.name}: {'signs' if signs else 'stands by'}"]
    level, reasons, fixes = level_of(finding), [finding.reason], []
    if level is not Level.GREEN and not finding.verified and unsettled_slot(subject.document) == slot:
        level = Level.AMBER
        reasons = ["A rotation is on its way: the DNS need not show the new key yet.", *reasons]
    if level is not Level.GREEN:
        fixes.append(finding.remedy if finding.temporary else fix_with(finding.remedy, record))
    for worse, reason, fix in _key_faults(subject, selector, found, signs=signs):
        level = worst((level, worse))
        reasons.append(reason)
        fixes.append(fix)
    text, fix = (" ".join(part for part in parts if part) for parts in (reasons, fixes))
    return Check(purpose.value, level, quoted(found), text, fix, "RFC 6376, RFC 8301", unknown=finding.temporary)


def _key_faults(
    subject: Subject, selector: SelectorDocument, found: list[str], *, signs: bool
) -> Iterator[tuple[Level, str, str]]:
    """What is wrong with the key itself; its size and age are added to what was found."""
    bits = key_bits(selector.public_record)
    rotate = "Replace it: POST rotateKeys of the domain."
    if bits:
        found.append(f"RSA, {bits} bits")
        if bits < LEAST_RSA_BITS:
            yield Level.RED, f"A key of {bits} bits counts as no signature anywhere.", rotate
        elif bits < ADVISED_RSA_BITS:
            yield Level.AMBER, f"A key of {bits} bits is weak: {ADVISED_RSA_BITS} are advised.", rotate
    began = max(selector.made_at, subject.document.rotated_at) if signs else selector.made_at
    if not selector.made_at:
        return
    age = int((subject.seen.at - began) // DAY)
    found.append(f"{age} days old")
    days = subject.settings.rotation_days
    most = days + ROTATION_DAYS if days else OLDEST_KEY_DAYS
    # A key that stands by has signed nothing, so nobody could wear it out.
    if signs and age > most:
        rule = f"are replaced every {days} days here" if days else "should be replaced once a year"
        yield Level.AMBER, f"The key has signed for {age} days, and keys {rule}.", rotate


def _dmarc(subject: Subject) -> Check:
    finding, policy, source = subject.finding(Purpose.DMARC), subject.policy, "RFC 7489"
    if policy is None or not finding.verified:
        return _plain(subject, "DMARC", Purpose.DMARC, source)
    found = (f"{policy.name}: {policy.value}",)
    weak = list(_policy_faults(policy))
    if not weak:
        return Check("DMARC", Level.GREEN, quoted(found), finding.reason, "", source)
    better = replace(subject.records[Purpose.DMARC], name=policy.name, value=_better_policy(policy, subject.seen.domain))
    remedy = "When reports show that all mail of yours passes, publish a stricter policy."
    return Check("DMARC", Level.AMBER, quoted(found), " ".join(weak), fix_with(remedy, better), source)


def _policy_faults(policy: Policy) -> Iterator[str]:
    if policy.applied == "none":
        yield "The policy is none: receivers deliver mail that somebody else forged."
        if not policy.reports:
            yield "There is no rua=, so nobody tells you who sends in your name."
        return
    if policy.percent < 100:
        yield f"pct={policy.percent}: the policy holds for a part of the mail only."
    if policy.below == "none":
        yield "sp=none: mail that was forged from sub-domains is delivered."


def _better_policy(policy: Policy, domain: str) -> str:
    """The next step on the way to reject: what the owner set otherwise stays."""
    tags = tag_list(policy.value)
    tags["p"] = "quarantine" if tags["p"].lower() == "none" else tags["p"]
    tags.pop("pct", None)
    tags.pop("sp", None)
    tags.setdefault("rua", f"mailto:dmarc@{domain}")
    first = ["v", "p"]
    return "; ".join(f"{name}={tags[name]}" for name in [*first, *(name for name in tags if name not in first)])


def _mail_from(subject: Subject) -> Check:
    """Never red: as long as its records are not seen, the platform's reverse-path is used."""
    purposes = (Purpose.MAIL_FROM_MX, Purpose.MAIL_FROM_SPF)
    findings = [(subject.records[purpose], subject.finding(purpose)) for purpose in purposes]
    wrong = [(record, finding) for record, finding in findings if level_of(finding) is not Level.GREEN]
    found = quoted(value for _, finding in findings for value in finding.found)
    reason = " ".join(finding.reason for _, finding in wrong)
    fix = " ".join(finding.remedy if finding.temporary else fix_with(finding.remedy, record) for record, finding in wrong)
    if wrong and not subject.document.reverse_path_domain:
        reason = f"{reason} Until then the platform's own reverse-path is used."
    return Check("MailFrom", Level.AMBER if wrong else Level.GREEN, found, reason, fix, "RFC 7208, RFC 5321 section 4.5.5")
