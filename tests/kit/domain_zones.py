"""A domain whose DNS is set up in many ways: the records that it should have, and zones in which they stand otherwise."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import dns.rdatatype
import dns.rrset
import dns.zonefile

from email_core.dns.looks import Look, LookStatus, Trouble, failed_look, host_text
from email_core.domains.records import DnsRecord, records_for
from tests.kit.knot import txt

TOKEN = "0b6f9a52-5f0e-4f0c-9a53-6f7b6a2a1d11"
PLATFORM = "platform.test"
DKIM_ZONE = f"dkim.{PLATFORM}"
SPF_HOST = f"spf.{PLATFORM}"
MX_HOST = f"mx.{PLATFORM}"
MAIL_FROM_LABEL = "bounces"


def rsa(seed: str) -> str:
    """A key record of the size of RSA-2048. Nobody verifies with it, so any octets do."""
    octets = b"".join(hashlib.sha256(f"{seed}{part}".encode()).digest() for part in range(10))[:294]
    return f"v=DKIM1; k=rsa; p={base64.b64encode(octets).decode()}"


def ed25519(seed: str) -> str:
    """A key record of Ed25519."""
    return f"v=DKIM1; k=ed25519; p={base64.b64encode(hashlib.sha256(seed.encode()).digest()).decode()}"


RSA1, RSA2, ED1, ED2 = rsa("one"), rsa("two"), ed25519("one"), ed25519("two")
SELECTORS = (("postrider1", RSA1), ("postrider1-ed", ED1), ("postrider2", RSA2), ("postrider2-ed", ED2))


def wanted(domain: str, *, cname: bool = False) -> list[DnsRecord]:
    """What the domain is to publish, with a MAIL FROM of its own."""
    return records_for(
        domain,
        verification_token=TOKEN,
        selectors=SELECTORS,
        spf_include=SPF_HOST,
        dkim_zone=DKIM_ZONE if cname else "",
        mail_from_domain=f"{MAIL_FROM_LABEL}.{domain}",
        bounce_host=MX_HOST,
    )


def keys_of(domain: str) -> dict[str, str]:
    """The keys of the domain's selectors by their full names."""
    return {f"{selector}._domainkey.{domain}": record for selector, record in SELECTORS}


@dataclass(frozen=True)
class Line:
    """A record of a zone. A name is relative to the domain, unless it ends with a dot. The value of a TXT is one text, and is
    cut into strings; `raw` stands in the zone file as it is. `{domain}` and `{zone}` are filled in.
    """

    name: str
    type: str
    value: str
    raw: bool = False

    def text(self, domain: str, zone: str) -> str:
        """As a line of the zone's file, with names in full."""
        name, value = (text.replace("{domain}", domain).replace("{zone}", zone) for text in (self.name, self.value))
        full = name if name.endswith(".") else f"{domain}." if name == "@" else f"{name}.{domain}."
        return f"{full} 60 IN {self.type} {txt(value) if self.type == 'TXT' and not self.raw else value}"


def lines_of(records: Sequence[DnsRecord]) -> list[Line]:
    """Records as they should be."""
    return [
        Line(f"{record.name}.", record.type, f"{record.value}." if record.type in ("CNAME", "MX") else record.value)
        for record in records
    ]


def platform_lines(targets: Sequence[str]) -> list[str]:
    """The platform's own zone, with the DKIM targets of the domains given."""
    lines = [Line("spf", "TXT", "v=spf1 ip4:192.0.2.1 -all"), Line("mx", "A", "192.0.2.2")]
    for domain in targets:
        lines += [Line(f"{selector}.{domain}.{DKIM_ZONE}.", "TXT", record) for selector, record in SELECTORS]
    return [line.text(PLATFORM, PLATFORM) for line in lines]


def served(lines: Sequence[str]) -> list[str]:
    """The lines with those that let the zone's own server be found."""
    return ["@ NS ns1", "ns1 A 127.0.0.1", *lines]


class SeenZones:
    """Looks at zones that stand in memory: what a perfect name server would say of the lines. `asked` has every question."""

    def __init__(self, lines: Sequence[str], *, zone: str, authoritative: bool = True) -> None:
        self._zone = zone
        self._authoritative = authoritative
        self.asked: list[tuple[str, str]] = []
        self._names: dict[str, dict[str, dns.rrset.RRset]] = {}
        for line in lines:
            # One by one, for a CNAME beside other records is refused in a whole zone.
            for rrset in dns.zonefile.read_rrsets(line, rdclass=None, default_ttl=60):
                types = self._names.setdefault(host_text(rrset.name), {})
                types.setdefault(dns.rdatatype.to_text(rrset.rdtype), rrset).update(rrset)

    async def zone(self, name: str) -> str:
        return self._zone

    async def recursive_look(self, name: str, kind: str) -> Look:
        return self._look(name, kind)

    async def look(self, name: str, kind: str) -> Look:
        self.asked.append((name, kind))
        return self._look(name, kind)

    def _look(self, name: str, kind: str) -> Look:
        aliases: list[str] = []
        current = name
        while True:
            types = self._types(current)
            target = host_text(types["CNAME"][0].target) if types and "CNAME" in types else ""
            if types is None:
                return self._none(name, kind, LookStatus.NO_DOMAIN, aliases)
            if kind in types:
                return self._some(name, kind, types[kind], aliases, target)
            if not target:
                return self._none(name, kind, LookStatus.NO_RECORDS, aliases)
            if target in aliases:
                return failed_look(name, kind, Trouble.LOOP, f"{name} is an alias that leads nowhere", aliases)
            aliases.append(target)
            current = target

    def _types(self, name: str) -> dict[str, dns.rrset.RRset] | None:
        found = self._names.get(name)
        if found is not None:
            return found
        if any(other.endswith(f".{name}") for other in self._names):
            return {}
        above = name.partition(".")[2]
        # RFC 4592: a wildcard answers unless something is at the name above.
        while above:
            if f"*.{above}" in self._names:
                return self._names[f"*.{above}"]
            if above in self._names or any(other.endswith(f".{above}") for other in self._names):
                return None
            above = above.partition(".")[2]
        return None

    def _none(self, name: str, kind: str, status: LookStatus, aliases: Sequence[str]) -> Look:
        return Look(name, kind, status, aliases=tuple(aliases), ttl=60.0, server="fake", authoritative=self._authoritative)

    def _some(self, name: str, kind: str, rrset: dns.rrset.RRset, aliases: Sequence[str], beside: str) -> Look:
        if kind == "TXT":
            records = tuple(b"".join(rdata.strings).decode() for rdata in rrset)
        elif kind == "MX":
            records = tuple(f"{mx.preference} {host_text(mx.exchange)}" for mx in rrset)
        else:
            records = tuple(str(rdata) for rdata in rrset)
        return Look(
            name, kind, LookStatus.FOUND, records, (), tuple(aliases), beside, 60.0, "fake", self._authoritative
        )  # fmt: skip
