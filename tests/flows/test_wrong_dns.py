"""Each way in which a domain's DNS can be wrong, in a real zone that a real name server serves: what is told about it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from email_core.dns.authority import ZoneServers
from email_core.dns.resolver import DnsResolver
from email_core.domains.diagnosis import diagnose, records_of_kind
from email_core.domains.dns_faults import DnsFault, Finding
from email_core.domains.observation import observe
from tests.flows.dns_fault_table import SITUATIONS, Situation
from tests.kit.clock import FakeClock
from tests.kit.domain_zones import PLATFORM, keys_of, platform_lines, served, wanted
from tests.kit.knot import Knot, missing_reason
from tests.kit.peers import require

pytestmark = pytest.mark.peers

KEPT = [situation for situation in SITUATIONS if situation.keeps]


def zone_of(situation: Situation) -> str:
    return f"s{SITUATIONS.index(situation)}.test"


def domain_of(situation: Situation) -> str:
    return f"mail.{zone_of(situation)}" if situation.sub else zone_of(situation)


@pytest.fixture(scope="module")
def zones() -> Iterator[Knot]:
    """A zone for each situation, and the platform's."""
    require(not missing_reason(), missing_reason())
    targets = [domain_of(situation) for situation in KEPT if situation.cname and situation.targets]
    content = {PLATFORM: served(platform_lines(targets))}
    for situation in KEPT:
        if situation.zone:
            lines = [line.text(domain_of(situation), zone_of(situation)) for line in situation.lines]
            content[zone_of(situation)] = served(lines)
    with Knot(content, broken=["broken.test"]) as server:
        yield server


def servers(zones: Knot) -> ZoneServers:
    return ZoneServers(DnsResolver(zones.address, lifetime=3.0), port=zones.port, allow_private=True)


async def found(zones: Knot, kind: str, domain: str, *, cname: bool = False) -> Finding:
    records = records_of_kind(kind, wanted(domain, cname=cname))
    seen = await observe(servers(zones), domain, records, now=FakeClock().now())
    return diagnose(kind, records, keys_of(domain), seen)


@pytest.mark.parametrize("situation", KEPT, ids=lambda situation: situation.label)
async def test_situation_in_a_real_zone_has_its_own_explanation(zones: Knot, situation: Situation) -> None:
    finding = await found(zones, situation.kind, domain_of(situation), cname=situation.cname)

    assert (finding.verified, finding.code, finding.temporary) == (situation.verified, situation.code, situation.temporary)
    assert situation.says in f"{finding.reason} {finding.remedy}"
    assert bool(finding.reason and finding.remedy) == (finding.code is not None) or situation.verified
    assert finding.expected
    assert "{" not in finding.reason + finding.remedy


async def test_zone_that_its_server_could_not_load_is_a_temporary_failure(zones: Knot) -> None:
    finding = await found(zones, "SPF", "broken.test")

    assert (finding.verified, finding.code, finding.temporary) == (False, DnsFault.SERVER_FAILURE, True)
    assert "SERVFAIL" in finding.reason


async def test_records_as_they_should_be_are_seen_by_the_zones_own_servers_in_one_round(zones: Knot) -> None:
    domain = zone_of(next(situation for situation in KEPT if situation.label == "SPF: as it should be"))
    look = await servers(zones).look(domain, "TXT")

    assert (look.authoritative, look.server, look.ttl) == (True, "127.0.0.1", 60.0)
    assert await servers(zones).zone(f"a.b.{domain}") == domain


def test_explanations_are_each_tried() -> None:
    """The codes of what only hostile servers do, or what storage knows, are in the tests of those."""
    elsewhere = {
        DnsFault.OWNED_ELSEWHERE, DnsFault.DOMAIN_FIRST, DnsFault.OLD_VALUE, DnsFault.TIMED_OUT, DnsFault.SERVER_FAILURE,
        DnsFault.REFUSED, DnsFault.UNUSABLE,
    }  # fmt: skip
    assert {situation.code for situation in SITUATIONS if situation.code} | elsewhere == set(DnsFault)
