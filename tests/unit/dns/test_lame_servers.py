"""Name servers of one zone that do not agree: one that does not hold the zone, and one that is behind the other."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from email_core.dns import exchange
from email_core.dns.authority import Turned, ZoneServers
from email_core.dns.looks import LookStatus
from email_core.dns.resolver import DnsResolver
from tests.kit.dns_server import Answering, DnsServer, failing, serving

DOMAIN = "example.test"
SECOND = "127.0.0.2"
TWO = {
    DOMAIN: {"NS": [f"ns1.{DOMAIN}.", f"ns2.{DOMAIN}."]},
    f"ns1.{DOMAIN}": {"A": ["127.0.0.1"]},
    f"ns2.{DOMAIN}": {"A": [SECOND]},
}
HERE = {**TWO, DOMAIN: {**TWO[DOMAIN], "TXT": ['"here"']}}
GONE = TWO


@pytest.fixture(autouse=True)
def short_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "TIMEOUT", 0.5)
    monkeypatch.setattr(exchange, "PATIENCE", 0.2)


def upward(query: dns.message.Message) -> dns.message.Message:
    """A server that does not hold the zone and refers to the root, as old ones do."""
    response = dns.message.make_response(query)
    response.authority.append(dns.rrset.from_text(".", 300, "IN", "NS", "a.root-servers.test."))
    return response


def empty(query: dns.message.Message) -> dns.message.Message:
    """A server that does not hold the zone and says nothing."""
    return dns.message.make_response(query)


def unheard_of(query: dns.message.Message) -> dns.message.Message:
    """One that looked elsewhere and found nothing."""
    return serving({}, zone="test", authoritative=False)(query)  # type: ignore[return-value]


def servers(resolver: DnsServer, port: int) -> ZoneServers:
    return ZoneServers(DnsResolver(resolver.address, lifetime=1.0), port=port, allow_private=True)


@pytest.mark.parametrize("lame", [upward, empty, unheard_of, failing(dns.rcode.REFUSED)], ids=lambda each: each.__name__)
async def test_server_that_does_not_hold_the_zone_says_nothing_of_it(lame: Answering) -> None:
    async with (
        DnsServer(serving(TWO, zone=DOMAIN, authoritative=False)) as resolver,
        DnsServer(lame) as first,
        DnsServer(serving(HERE, zone=DOMAIN), host=SECOND, port=first.port),
    ):
        asking = servers(resolver, first.port)
        looks = [await asking.look(DOMAIN, "TXT", turn=turn) for turn in range(2)]  # each of the two comes first once

    assert {(look.status, look.records, look.server) for look in looks} == {(LookStatus.FOUND, ("here",), SECOND)}
    assert any("TXT" in question for question in first.questions)


@pytest.mark.parametrize("lame", [upward, empty, unheard_of], ids=lambda each: each.__name__)
async def test_zone_whose_servers_do_not_hold_it_is_asked_of_the_resolver(lame: Answering) -> None:
    async with (
        DnsServer(serving(HERE, zone=DOMAIN, authoritative=False)) as resolver,
        DnsServer(lame) as first,
        DnsServer(lame, host=SECOND, port=first.port),
    ):
        look = await servers(resolver, first.port).look(DOMAIN, "TXT")

    assert (look.records, look.authoritative) == (("here",), False)
    assert "no authority" in look.reason


async def test_each_server_of_a_zone_can_be_asked_first() -> None:
    async with (
        DnsServer(serving(TWO, zone=DOMAIN, authoritative=False)) as resolver,
        DnsServer(serving(GONE, zone=DOMAIN)) as first,
        DnsServer(serving(HERE, zone=DOMAIN), host=SECOND, port=first.port),
    ):
        asking = servers(resolver, first.port)
        looks = [await asking.look(DOMAIN, "TXT", turn=turn) for turn in range(4)]
        other = await Turned(asking, 1).look(DOMAIN, "TXT")

    assert {look.status for look in looks} == {LookStatus.NO_RECORDS, LookStatus.FOUND}
    assert [look.server for look in looks[:2]] == [look.server for look in looks[2:]]
    assert other.server == looks[1].server
