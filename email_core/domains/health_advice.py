"""The health of what we do not ask a domain's owner for: alignment, the reverse-path's SPF, MX, MTA-STS, TLS reports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from email_core.dns.looks import Look
from email_core.domains.dmarc import is_aligned
from email_core.domains.documents import DomainDocument
from email_core.domains.health_check import Check, Level, fix_with, quoted
from email_core.domains.health_records import Subject
from email_core.domains.judgement import tag_list
from email_core.domains.observation import Question
from email_core.domains.records import DnsRecord, Purpose
from email_core.domains.spf import parse_spf, spf_values
from email_core.settings import Settings

_ASK_AGAIN = "Nothing has to be changed for that. Look again: POST checkHealth of the domain."


def questions(document: DomainDocument, settings: Settings) -> list[Question]:
    """What has to be asked for beside the records themselves."""
    domain = document.from_sender_domain
    return [
        (domain, "MX"),
        (f"_mta-sts.{domain}", "TXT"),
        (f"_smtp._tls.{domain}", "TXT"),
        (_reverse_path(document, settings), "TXT"),
    ]


def advice_checks(subject: Subject) -> list[Check]:
    """The checks in the order of their weight."""
    return [_alignment(subject), _reverse_path_spf(subject), _mx(subject), _mta_sts(subject), _tls_reports(subject)]


def _reverse_path(document: DomainDocument, settings: Settings) -> str:
    return document.reverse_path_domain or settings.bounce_domain


def _alignment(subject: Subject) -> Check:
    """Whether DMARC may pass for what we send: one of the two is enough."""
    document, policy, source = subject.document, subject.policy, "RFC 7489 section 3.1"
    author, signer = document.from_sender_domain, document.signing_domain or document.from_sender_domain
    reverse_path = _reverse_path(document, subject.settings)
    strict_dkim, strict_spf = (policy.strict_dkim, policy.strict_spf) if policy else (False, False)
    by_dkim = is_aligned(signer, author, strict=strict_dkim)
    by_spf = is_aligned(reverse_path, author, strict=strict_spf)
    found = (
        f"DKIM d={signer}: {_aligned(by_dkim)}, {'strict' if strict_dkim else 'relaxed'}",
        f"SPF {reverse_path}: {_aligned(by_spf)}, {'strict' if strict_spf else 'relaxed'}",
    )
    if not by_dkim:
        reason = f"The signature is of {signer}, and DMARC with adkim=s wants {author} itself."
        return Check("Alignment", Level.RED, quoted(found), reason, "Take adkim=s out of the DMARC record.", source)
    if by_spf:
        return Check("Alignment", Level.GREEN, quoted(found), "", "", source)
    if document.reverse_path_domain:
        reason = f"SPF of {reverse_path} is not aligned, for the DMARC record has aspf=s; DMARC passes by DKIM."
        return Check("Alignment", Level.AMBER, quoted(found), reason, "Take aspf=s out of the DMARC record.", source)
    reason = "DMARC passes by DKIM. SPF is not aligned, because bounces go to the platform."
    fix = "Nothing has to be done. With a mailFromSubdomain of the domain SPF is aligned as well."
    return Check("Alignment", Level.GREEN, quoted(found), reason, fix, source)


def _aligned(yes: bool) -> str:
    return "aligned" if yes else "not aligned"


def _reverse_path_spf(subject: Subject) -> Check:
    """SPF is asked of the reverse-path's domain, which is the platform's unless the domain has its own."""
    name = _reverse_path(subject.document, subject.settings)
    look, source = subject.seen.look(name, "TXT"), "RFC 7208 section 2.4"
    if look.failed:
        return _unknown("ReversePath", look, source)
    values = spf_values(look.records)
    record = parse_spf(values[0]) if len(values) == 1 else None
    if record is not None and not record.invalid and record.effective:
        return Check("ReversePath", Level.GREEN, quoted(values), f"SPF is asked of {name}.", "", source, required=False)
    reason = f"SPF is asked of {name}, where bounces go, and there is no SPF record that can be used there."
    fix = "Publish the MailFrom records of the domain."
    if not subject.document.reverse_path_domain:
        fix = "The operator publishes the records of the platform's own zone: ./postrider domain platform prints them."
    return Check("ReversePath", Level.RED, quoted(values or look.records), reason, fix, source, required=False)


def _mx(subject: Subject) -> Check:
    domain, source = subject.seen.domain, "RFC 5321 section 5.1, RFC 7505"
    look = subject.seen.look(domain, "MX")
    if look.failed:
        return _unknown("MX", look, source)
    if _hosts(look):
        return Check("MX", Level.GREEN, quoted(look.records), "", "", source, required=False)
    null = bool(look.records)
    reason = f"{domain} says that it takes no mail (null MX)." if null else f"{domain} has no MX."
    reason += " Replies get lost, and some receivers refuse mail from a domain that nobody can answer."
    record = DnsRecord(Purpose.ADVICE, "MX", domain, "10 mail.example.com")
    fix = fix_with("Publish an MX with the host of whoever keeps the mailboxes, in the place of mail.example.com.", record)
    return Check("MX", Level.AMBER, quoted(look.records), reason, fix, source, required=False)


def _hosts(look: Look) -> list[str]:
    return [host for host in (record.partition(" ")[2] for record in look.records) if host]


@dataclass(frozen=True, slots=True)
class _Inbound:
    """A TXT for the mail that a domain takes: at most one with that version, which has a tag that matters."""

    name: str
    version: str
    tag: str
    value: str  # to publish
    reason: str  # why it should be there
    fix: str
    source: str


def _mta_sts(subject: Subject) -> Check:
    domain = subject.seen.domain
    wanted = _Inbound(
        "MTA-STS", "v=STSv1", "id", f"v=STSv1; id={datetime.fromtimestamp(subject.seen.at, UTC):%Y%m%d}",
        "Mail to this domain may be sent in the clear to whoever stands in the way.",
        f"Serve a policy at https://mta-sts.{domain}/.well-known/mta-sts.txt, then publish its version.", "RFC 8461",
    )  # fmt: skip
    return _inbound(subject, wanted, subject.seen.look(f"_mta-sts.{domain}", "TXT"))


def _tls_reports(subject: Subject) -> Check:
    domain = subject.seen.domain
    wanted = _Inbound(
        "TLS-RPT", "v=TLSRPTv1", "rua", f"v=TLSRPTv1; rua=mailto:tls-reports@{domain}",
        "Nobody tells you when mail to this domain can't be sent by TLS.", "Ask for reports.", "RFC 8460",
    )  # fmt: skip
    return _inbound(subject, wanted, subject.seen.look(f"_smtp._tls.{domain}", "TXT"))


def _inbound(subject: Subject, wanted: _Inbound, look: Look) -> Check:
    name, source = wanted.name, wanted.source
    if look.failed:
        return _unknown(name, look, source)
    values = [text for text in look.records if text.partition(";")[0].strip() == wanted.version]
    if len(values) == 1 and tag_list(values[0]).get(wanted.tag):
        return Check(name, Level.GREEN, quoted(values), source=source, required=False)
    if len(values) > 1:
        reason = f"There are {len(values)} records, and with more than one there counts none."
        return Check(name, Level.AMBER, quoted(values), reason, "Delete all but one.", source, required=False)
    mx = subject.seen.look(subject.seen.domain, "MX")
    if not (values or mx.failed or _hosts(mx)):
        reason = "The domain takes no mail, so there is nothing to protect."
        return Check(name, Level.GREEN, reason=reason, source=source, required=False)
    fix = fix_with(wanted.fix, DnsRecord(Purpose.ADVICE, "TXT", look.name, wanted.value))
    return Check(name, Level.AMBER, quoted(look.records), wanted.reason, fix, source, required=False)


def _unknown(name: str, look: Look, source: str) -> Check:
    reason = f"The DNS could not tell: {look.reason}."
    return Check(name, Level.AMBER, (), reason, _ASK_AGAIN, source, required=False, unknown=True)
