"""The DNS records that a domain's owner is asked to publish, and those of the platform's own zone.

Purposes of a domain's records are those of ACS (Domain, SPF, DKIM, DKIM2, DMARC) plus ours for Ed25519 selectors, which
ACS does not have. Names and host names in values are absolute, in lower case and without the last dot.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from email_core.domains.documents import AZURE_MANAGED, DomainDocument
from email_core.settings import Settings

TTL = 3600  # seconds; what ACS asks for
VERIFICATION_PREFIX = "postrider-domain-verification="  # ACS: ms-domain-verification=
MX_PREFERENCE = 10

_MOST_NAME = 253  # RFC 1035 section 2.3.4, in its presentation form
_MOST_STRING = 255  # RFC 1035 section 3.3.14: octets of one character-string of a TXT record
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_name = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_token = re.compile(r"[A-Za-z0-9_-]+")
_address_characters = re.compile(r"[0-9A-Fa-f.:/]+")
# RFC 7489 section 6.2: "," and "!" separate parts of a report address, ";" ends the tag.
_report_address = re.compile(r"[^\s;,!@]+@[^\s;,!@]+")


class RecordError(ValueError):
    """Something that no record can be made of; the text names the value and the rule."""


class Purpose(StrEnum):
    """What a record is for. The first five are the keys of verificationRecords in the ACS management plane."""

    DOMAIN = "Domain"
    SPF = "SPF"
    DKIM = "DKIM"
    DKIM2 = "DKIM2"
    DMARC = "DMARC"
    DKIM_ED25519 = "DKIMEd25519"
    DKIM2_ED25519 = "DKIM2Ed25519"
    MAIL_FROM_MX = "MailFromMX"  # of a reverse-path below the domain: bounces come back to us
    MAIL_FROM_SPF = "MailFromSPF"
    DKIM_TARGET = "DKIMTarget"  # in the platform's zone: what a domain's DKIM CNAME points to
    BOUNCE_MX = "BounceMX"
    BOUNCE_SPF = "BounceSPF"
    SENDERS_SPF = "SendersSPF"
    ADDRESS = "Address"
    ADVICE = "Advice"  # what a health report proposes beyond what we ask for


class DmarcPolicy(StrEnum):
    """The p= tag (RFC 7489 section 6.3)."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class DnsRecord:
    """One record to publish. `value` is unquoted and in one piece; `ttl` is in seconds."""

    purpose: Purpose
    type: str
    name: str
    value: str
    ttl: int = TTL


def records_of(document: DomainDocument, settings: Settings) -> list[DnsRecord]:
    """What the owner of a domain publishes, as its document has it; nothing for a managed domain. Raises RecordError."""
    if document.domain_management == AZURE_MANAGED:
        return []
    return records_for(
        document.from_sender_domain,
        verification_token=document.verification_token,
        selectors=public_selectors(document),
        spf_include=settings.spf_include or spf_host(settings.platform_domain),
        dmarc_policy=DmarcPolicy(document.dmarc_policy),
        dkim_zone=settings.dkim_zone,
        mail_from_domain=document.mail_from_sender_domain,
        bounce_host=mx_host(settings.platform_domain),
    )


def target_records_of(document: DomainDocument, settings: Settings) -> list[DnsRecord]:
    """What the platform publishes for a domain in its DKIM zone; nothing without one. Raises RecordError."""
    if not settings.dkim_zone:
        return []
    return dkim_target_records(document.from_sender_domain, public_selectors(document), settings.dkim_zone)


def public_selectors(document: DomainDocument) -> list[tuple[str, str]]:
    """The selectors of a domain with the TXT value of their public key, slot 1 before slot 2."""
    slots = sorted(document.selectors, key=lambda selector: selector.slot)
    return [(selector.name, selector.public_record) for selector in slots]


def records_for(
    domain_name: str,
    *,
    verification_token: str,
    selectors: Sequence[tuple[str, str]],
    spf_include: str,
    dmarc_policy: DmarcPolicy = DmarcPolicy.NONE,
    dmarc_reports: str = "",
    dkim_zone: str = "",
    mail_from_domain: str = "",
    bounce_host: str = "",
) -> list[DnsRecord]:
    """What the owner of a domain publishes, in the order of ACS.

    `selectors` are names with the TXT value of their public key, at most two of RSA and two of Ed25519. With a `dkim_zone`
    they are asked for as CNAMEs to it, as ACS does, so that keys rotate without the owner (`dkim_target_records` are what
    stands there); without it, as the TXT records themselves. An empty `verification_token` leaves the Domain record out,
    for domains that are ours. A `mail_from_domain` sends its bounces to `bounce_host`. DMARC policy `none` is the default
    because the owner's other mail falls under it too. Raises RecordError.
    """
    domain = _checked_name(domain_name)
    records = []
    if verification_token:
        if not _token.fullmatch(verification_token):
            raise RecordError(f"a verification token is of letters, digits, - and _; it is {verification_token!r}")
        records.append(DnsRecord(Purpose.DOMAIN, "TXT", domain, f"{VERIFICATION_PREFIX}{verification_token}"))
    records.append(DnsRecord(Purpose.SPF, "TXT", domain, f"v=spf1 include:{_checked_name(spf_include)} -all"))
    for purpose, selector, public_record in _dkim_purposes(selectors):
        name = _checked_name(f"{selector}._domainkey.{domain}")
        target = _dkim_target(domain, selector, dkim_zone)
        records.append(DnsRecord(purpose, "CNAME", name, target) if target else DnsRecord(purpose, "TXT", name, public_record))
    records.append(DnsRecord(Purpose.DMARC, "TXT", _checked_name(f"_dmarc.{domain}"), _dmarc(dmarc_policy, dmarc_reports)))
    if mail_from_domain:
        mail_from = _checked_name(mail_from_domain)
        records.append(DnsRecord(Purpose.MAIL_FROM_MX, "MX", mail_from, f"{MX_PREFERENCE} {_checked_name(bounce_host)}"))
        records.append(DnsRecord(Purpose.MAIL_FROM_SPF, "TXT", mail_from, f"v=spf1 include:{spf_include} -all"))
    return records


def name_in_zone(name: str, zone: str) -> str:
    """The name as an editor of the zone wants it: `_dmarc.sales`, and `@` for the zone itself. Raises RecordError."""
    if name == zone:
        return "@"
    if not name.endswith(f".{zone}"):
        raise RecordError(f"{name!r} is not in the zone {zone!r}")
    return name.removesuffix(f".{zone}")


def dkim_target_records(domain_name: str, selectors: Sequence[tuple[str, str]], dkim_zone: str) -> list[DnsRecord]:
    """What the platform publishes where a domain's DKIM CNAMEs point to. Raises RecordError."""
    domain = _checked_name(domain_name)
    targets = [(_dkim_target(domain, selector, dkim_zone), public_record) for selector, public_record in selectors]
    return [DnsRecord(Purpose.DKIM_TARGET, "TXT", target, public_record) for target, public_record in targets if target]


def spf_host(platform_domain: str) -> str:
    """The name that every SPF record of ours includes."""
    return f"spf.{platform_domain}"


def mx_host(platform_domain: str) -> str:
    """The host that takes bounces."""
    return f"mx.{platform_domain}"


def platform_records(
    platform_domain: str,
    *,
    bounce_domain: str,
    senders: Sequence[str],
    spf_includes: Sequence[str] = (),
    mx_addresses: Sequence[str] = (),
    ehlo_name: str = "",
) -> list[DnsRecord]:
    """What the platform publishes in its own zone, whatever domains it sends for.

    `senders` are the public addresses or networks (`192.0.2.0/28`) that mail leaves from, `spf_includes` the SPF hosts of
    smarthosts, `mx_addresses` where bounces are taken; `ehlo_name` defaults to the bounce domain. Raises RecordError.
    """
    platform, bounce = _checked_name(platform_domain), _checked_name(bounce_domain)
    ehlo = _checked_name(ehlo_name) if ehlo_name else bounce
    networks = [_network(sender) for sender in senders]
    mechanisms = [f"ip{network.version}:{_shortest(network)}" for network in networks]
    mechanisms += [f"include:{_checked_name(include)}" for include in spf_includes]
    if not mechanisms:
        # "v=spf1 -all" would tell receivers to refuse all of our mail.
        raise RecordError("name at least one sender address, or the SPF host of a smarthost")
    spf = f"v=spf1 include:{_checked_name(spf_host(platform))} -all"
    records = [
        DnsRecord(Purpose.SENDERS_SPF, "TXT", spf_host(platform), f"v=spf1 {' '.join(mechanisms)} -all"),
        DnsRecord(Purpose.BOUNCE_MX, "MX", bounce, f"{MX_PREFERENCE} {_checked_name(mx_host(platform))}"),
        DnsRecord(Purpose.BOUNCE_SPF, "TXT", bounce, spf),
        *(_address_record(mx_host(platform), _network(address)) for address in mx_addresses),
    ]
    # RFC 5321 section 4.1.4 and receivers' PTR checks: the EHLO name leads to the address that we send from.
    records += [_address_record(ehlo, network) for network in networks if network.num_addresses == 1]
    if ehlo != bounce:
        # RFC 7208 section 2.3: receivers may check the EHLO name, and do for a null reverse-path.
        records.append(DnsRecord(Purpose.BOUNCE_SPF, "TXT", ehlo, spf))
    return records


def platform_key_records(signing_domain: str, selectors: Sequence[tuple[str, str]]) -> list[DnsRecord]:
    """The platform's own DKIM keys, which sign for managed domains and for notifications. Raises RecordError."""
    domain = _checked_name(signing_domain)
    keys = _dkim_purposes(selectors)
    return [DnsRecord(purpose, "TXT", _checked_name(f"{name}._domainkey.{domain}"), record) for purpose, name, record in keys]


def zone_lines(records: Iterable[DnsRecord]) -> list[str]:
    """The records as lines of a zone file (RFC 1035 section 5.1), with TXT values cut into strings of 255 octets."""
    return [f"{record.name}. {record.ttl} IN {record.type} {_zone_value(record)}" for record in records]


def _dkim_purposes(selectors: Sequence[tuple[str, str]]) -> list[tuple[Purpose, str, str]]:
    rsa = iter((Purpose.DKIM, Purpose.DKIM2))
    ed25519 = iter((Purpose.DKIM_ED25519, Purpose.DKIM2_ED25519))
    purposes = []
    for selector, public_record in selectors:
        purpose = next(ed25519 if "k=ed25519" in public_record else rsa, None)
        if purpose is None:
            raise RecordError(f"selector {selector!r} is one too many: a domain has two RSA and two Ed25519 selectors at most")
        purposes.append((purpose, selector, public_record))
    return sorted(purposes, key=lambda entry: list(Purpose).index(entry[0]))


def _dkim_target(domain: str, selector: str, dkim_zone: str) -> str:
    """Where the CNAME of a selector points to: each domain has its own keys, so the name holds both. Empty: ask for a TXT."""
    if not dkim_zone:
        return ""
    target = f"{selector}.{domain}.{_checked_name(dkim_zone)}"
    return _checked_name(target) if len(target) <= _MOST_NAME else ""


def _dmarc(policy: DmarcPolicy, reports: str) -> str:
    if not reports:
        return f"v=DMARC1; p={policy}"
    if not _report_address.fullmatch(reports):
        raise RecordError(f"DMARC reports go to one address without blanks, commas, semicolons and '!'; it is {reports!r}")
    return f"v=DMARC1; p={policy}; rua=mailto:{reports}"


def _checked_name(name: str) -> str:
    if len(name) > _MOST_NAME or not _name.fullmatch(name):
        raise RecordError(f"{name[:80]!r} is not a DNS name in lower-case A-labels of at most {_MOST_NAME} characters")
    return name


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        # A scope ("%eth0") is taken by ipaddress with any text in it, and means nothing to others.
        return ipaddress.ip_network(text if _address_characters.fullmatch(text) else "")
    except ValueError as error:
        raise RecordError(f"{text!r} is neither an IP address nor a network such as 192.0.2.0/28") from error


def _shortest(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def _address_record(name: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> DnsRecord:
    if network.num_addresses != 1:
        raise RecordError(f"a host needs a single address, and {network} is a network")
    return DnsRecord(Purpose.ADDRESS, "A" if network.version == 4 else "AAAA", name, str(network.network_address))


def _zone_value(record: DnsRecord) -> str:
    if record.type == "TXT":
        octets = record.value.encode()
        return " ".join(_quoted(octets[start : start + _MOST_STRING]) for start in range(0, max(len(octets), 1), _MOST_STRING))
    return f"{record.value}." if record.type in ("CNAME", "MX") else record.value


def _quoted(octets: bytes) -> str:
    """A character-string of a zone file: quotes and backslashes escaped, and whatever is no printable ASCII as `\\DDD`."""
    characters = (f"\\{chr(o)}" if o in b'"\\' else chr(o) if 0x20 <= o < 0x7F else f"\\{o:03d}" for o in octets)
    return f'"{"".join(characters)}"'
