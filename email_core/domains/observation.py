"""One round of questions about a domain: everything that is needed to say whether its records are right, and what is wrong.

All of them are asked at once: at the right names, at those where records end up by mistake, and of the recursive resolver,
which shows what others still believe. Only the lookups that an unusual SPF record makes are counted in a second round.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from email_core.dns.looks import Look, LookStatus
from email_core.domains.domain_names import load_suffixes, registrable_domain
from email_core.domains.records import DnsRecord, Purpose
from email_core.domains.spf import parse_spf, spf_values
from email_core.domains.spf_lookups import SpfCount, count_lookups
from email_core.domains.wrong_places import AT_DOMAIN, Place, wrong_places

SPF_PURPOSES = (Purpose.SPF, Purpose.MAIL_FROM_SPF)
_LOOKED_UP = ("include", "a", "mx", "ptr", "exists", "redirect")

Question = tuple[str, str]  # name and type


class Looking(Protocol):
    """What a domain's records are looked at through. No method raises."""

    async def zone(self, name: str) -> str:
        """The zone that a name is in; empty when nobody could tell."""

    async def look(self, name: str, kind: str) -> Look:
        """What the zone's own servers say."""

    async def recursive_look(self, name: str, kind: str) -> Look:
        """What the recursive resolver says."""


@dataclass(frozen=True, slots=True)
class Observations:
    """What was seen of a domain, `at` that time (seconds since the epoch).

    `wildcards` are looks at names that nobody made, by the name that they are directly below. `spf` has the counts of those
    names whose SPF record looks up more than what was asked for.
    """

    domain: str
    zone: str
    organisation: str
    at: float
    looks: Mapping[Question, Look]
    cached: Mapping[Question, Look] = field(default_factory=dict)
    wildcards: Mapping[str, Look] = field(default_factory=dict)
    spf: Mapping[str, SpfCount] = field(default_factory=dict)

    def look(self, name: str, kind: str) -> Look:
        """What was seen there; a name that was not looked at counts as one without records."""
        return self.looks.get((name, kind)) or Look(name, kind, LookStatus.NO_RECORDS)

    def places(self, record: DnsRecord) -> list[Place]:
        """Where that record may be by mistake."""
        return wrong_places(record, self.domain, (self.zone, self.organisation), self.organisation)


async def observe(
    dns: Looking, domain: str, expected: Sequence[DnsRecord], *, now: float, also: Sequence[Question] = ()
) -> Observations:
    """Look for the expected records of a domain. `also` are questions for other purposes, such as a health report."""
    await load_suffixes()
    organisation = registrable_domain(domain)
    # The name servers are found first, once for all questions that follow.
    frame = Observations(domain, await dns.zone(domain), organisation, now, {})
    right = [(record.name, _asked_type(record)) for record in expected]
    wrong = [(place.name, _asked_type(record)) for record in expected for place in frame.places(record)]
    # DMARC of the domain above holds for its sub-domains, so it is asked for whatever was expected.
    inherited = [(f"_dmarc.{organisation}", "TXT") for record in expected if record.purpose is Purpose.DMARC and organisation]
    questions = list(dict.fromkeys([*right, *wrong, *inherited, *also]))
    parents = list(dict.fromkeys(parent for record in expected if (parent := wildcard_parent(record, domain, organisation))))
    nobodys = f"postrider-{secrets.token_hex(6)}"
    looks, cached, wildcards = await asyncio.gather(
        asyncio.gather(*(dns.look(*question) for question in questions)),
        asyncio.gather(*(dns.recursive_look(*question) for question in dict.fromkeys(right))),
        asyncio.gather(*(dns.look(f"{nobodys}.{parent}", "TXT") for parent in parents)),
    )
    seen = dict(zip(questions, looks, strict=True))
    return Observations(
        domain, frame.zone, organisation, now, seen,
        dict(zip(dict.fromkeys(right), cached, strict=True)),
        dict(zip(parents, wildcards, strict=True)),
        await _spf_counts(dns, expected, seen),
    )  # fmt: skip


def wildcard_parent(record: DnsRecord, domain: str, organisation: str) -> str:
    """The name directly below which a wildcard would answer for a record; empty when none can."""
    if record.purpose in AT_DOMAIN:
        return record.name.partition(".")[2] if organisation and domain != organisation else ""
    return record.name.partition(".")[2]


def _asked_type(record: DnsRecord) -> str:
    # The answer to a question for TXT shows a CNAME too, and what it leads to.
    return "TXT" if record.type == "CNAME" else record.type


async def _spf_counts(dns: Looking, expected: Sequence[DnsRecord], seen: Mapping[Question, Look]) -> dict[str, SpfCount]:
    counts: dict[str, SpfCount] = {}
    for record in expected:
        values = spf_values(seen[record.name, "TXT"].records) if record.purpose in SPF_PURPOSES else ()
        if len(values) != 1:
            continue
        published = parse_spf(values[0])
        asked_for = {term.value for term in parse_spf(record.value).terms if term.name == "include"}
        more = [term for term in published.effective if term.name in _LOOKED_UP and term.value not in asked_for]
        if more and not published.invalid:
            counts[record.name] = await count_lookups(published, record.name, dns.look)
    return counts
