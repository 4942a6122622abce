"""Looks at the zone's own servers: how the servers are found, what they may do, and who answers when they do not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from email_core.dns import authority, exchange
from email_core.dns.authority import REMEMBERED, ZoneServers
from email_core.dns.looks import MOST_RECORDS, LookStatus, Trouble
from email_core.dns.resolver import DnsResolver
from tests.kit.clock import FakeClock
from tests.kit.dns_server import Answering, DnsServer, failing, serving

Names = Mapping[str, Mapping[str, Sequence[str]]]

SERVED: Names = {"example.test": {"NS": ["ns.example.test."]}, "ns.example.test": {"A": ["127.0.0.1"]}}


def resolving(names: Names = SERVED) -> Answering:
    """A recursive resolver that knows where the name servers are, and of TXT an old value."""
    told = {name: {**types, "TXT": ['"old"']} if "NS" in types else types for name, types in names.items()}
    return serving(told, zone="example.test", authoritative=False)


def zone_servers(
    resolver: DnsServer, servers: DnsServer | None = None, *, private: bool = True, clock: FakeClock | None = None
) -> ZoneServers:
    stub = DnsResolver(resolver.address, lifetime=1.0)
    port = servers.port if servers else resolver.port
    return ZoneServers(stub, port=port, allow_private=private, monotonic=(clock or FakeClock()).monotonic)


@pytest.fixture(autouse=True)
def short_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time-outs that a test can wait for."""
    monkeypatch.setattr(exchange, "TIMEOUT", 0.3)
    monkeypatch.setattr(exchange, "PATIENCE", 0.1)


async def test_look_asks_the_servers_of_the_zone_and_not_the_cache() -> None:
    async with (
        DnsServer(resolving()) as resolver,
        DnsServer(serving({**SERVED, "example.test": {"TXT": ['"new"']}}, zone="example.test")) as servers,
    ):
        asking = zone_servers(resolver, servers)
        look = await asking.look("example.test", "TXT")
        cached = await asking.recursive_look("example.test", "TXT")

    assert (look.status, look.records, look.authoritative, look.reason) == (LookStatus.FOUND, ("new",), True, "")
    assert (cached.records, cached.authoritative, cached.ttl) == (("old",), False, 300.0)
    assert not any("TXT" in question for question in resolver.questions[:-1])


async def test_look_keeps_the_strings_of_a_text_and_joins_them() -> None:
    names = {**SERVED, "k.example.test": {"TXT": ['"v=DKIM1; p=A" "BC"', '"x"']}}
    async with DnsServer(resolving()) as resolver, DnsServer(serving(names, zone="example.test")) as servers:
        look = await zone_servers(resolver, servers).look("k.example.test", "TXT")

    # In the order of DNSSEC, whatever the server's: the shorter string first.
    assert look.records == ("x", "v=DKIM1; p=ABC")
    assert look.strings == (("x",), ("v=DKIM1; p=A", "BC"))


async def test_name_without_the_record_and_name_that_is_not_there_are_told_apart_with_their_time() -> None:
    async with DnsServer(resolving()) as resolver, DnsServer(serving(SERVED, zone="example.test")) as servers:
        asking = zone_servers(resolver, servers)
        nodata, nothing = await asking.look("ns.example.test", "TXT"), await asking.look("gone.example.test", "TXT")

    assert (nodata.status, nodata.ttl) == (LookStatus.NO_RECORDS, 60.0)
    assert (nothing.status, nothing.authoritative) == (LookStatus.NO_DOMAIN, True)


@pytest.mark.parametrize("name", ["a" * 64 + ".test", "a..test", "x" * 300, "\udcff.test"])
async def test_name_that_cannot_be_in_the_dns_is_not_asked_for(name: str) -> None:
    async with DnsServer(resolving()) as resolver:
        look = await zone_servers(resolver).look(name, "TXT")

    assert look.status is LookStatus.NO_DOMAIN
    assert resolver.questions == []


async def test_servers_at_private_addresses_are_not_asked_and_the_resolver_answers() -> None:
    async with DnsServer(resolving()) as resolver, DnsServer(serving(SERVED, zone="example.test")) as servers:
        look = await zone_servers(resolver, servers, private=False).look("example.test", "TXT")

    assert servers.questions == []
    assert look.records == ("old",)
    assert "127.0.0.1 is a loopback address" in look.reason


async def test_top_level_domains_are_left_in_peace() -> None:
    names: Names = {"test": {"NS": ["ns.test."]}, "ns.test": {"A": ["127.0.0.1"]}}
    async with DnsServer(serving(names, zone="test")) as resolver:
        look = await zone_servers(resolver).look("gone.test", "TXT")

    assert look.status is LookStatus.NO_DOMAIN
    assert "no name servers are known for gone.test" in look.reason
    assert "test. NS udp" not in resolver.questions


async def test_zone_of_a_deep_name_is_found_by_the_answer_that_there_is_nothing() -> None:
    answering = serving(SERVED, zone="example.test")
    async with DnsServer(answering) as server:
        asking = zone_servers(server)
        assert await asking.zone("a.b.c.d.example.test") == "example.test"
        # The servers are known now: a look costs one question.
        before = len(server.questions)
        await asking.look("x.y.example.test", "TXT")

    assert server.questions[before:] == ["x.y.example.test. TXT udp"]


async def test_servers_of_a_zone_are_found_anew_after_a_minute() -> None:
    clock = FakeClock()
    async with DnsServer(serving(SERVED, zone="example.test")) as server:
        asking = zone_servers(server, clock=clock)
        await asking.look("example.test", "TXT")
        clock.advance(REMEMBERED + 1)
        await asking.look("example.test", "TXT")

    assert server.questions.count("example.test. NS udp") == 2


async def test_referral_to_a_zone_below_is_followed() -> None:
    def above(query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        question = query.question[0]
        if question.rdtype == dns.rdatatype.TXT and question.name.to_text() == "k._domainkey.example.test.":
            if len(answered) == 0:
                answered.append("referred")
                response.authority.append(dns.rrset.from_text("_domainkey.example.test.", 300, "IN", "NS", "ns.example.test."))
                return response
            below = serving({"k._domainkey.example.test": {"TXT": ['"key"']}}, zone="_domainkey.example.test")
            return below(query)  # type: ignore[return-value]
        return serving(SERVED, zone="example.test")(query)  # type: ignore[return-value]

    answered: list[str] = []
    async with DnsServer(above) as server:
        look = await zone_servers(server).look("k._domainkey.example.test", "TXT")

    assert (answered, look.records, look.reason) == (["referred"], ("key",), "")


async def test_alias_is_followed_into_another_zone_with_its_own_servers() -> None:
    names: Names = {
        **SERVED,
        "other.test": {"NS": ["ns.other.test."]},
        "ns.other.test": {"A": ["127.0.0.1"]},
        "k.example.test": {"CNAME": ["K.Other.test."]},
        "k.other.test": {"TXT": ['"key"']},
    }
    async with DnsServer(serving(names, zone="example.test")) as server:
        look = await zone_servers(server).look("k.example.test", "TXT")

    assert (look.aliases, look.records, look.status) == (("k.other.test",), ("key",), LookStatus.FOUND)


async def test_alias_to_nothing_keeps_its_target() -> None:
    names: Names = {**SERVED, "k.example.test": {"CNAME": ["gone.example.test."]}}
    async with DnsServer(serving(names, zone="example.test")) as server:
        look = await zone_servers(server).look("k.example.test", "TXT")

    assert (look.aliases, look.status) == (("gone.example.test",), LookStatus.NO_DOMAIN)


async def test_alias_beside_records_is_noticed() -> None:
    def both(query: dns.message.Message) -> dns.message.Message:
        response = serving({**SERVED, "k.example.test": {"TXT": ['"key"']}}, zone="example.test")(query)
        assert response is not None
        if query.question[0].rdtype == dns.rdatatype.TXT:
            response.answer.append(dns.rrset.from_text("k.example.test.", 300, "IN", "CNAME", "x.test."))
        return response

    async with DnsServer(both) as server:
        look = await zone_servers(server).look("k.example.test", "TXT")

    assert (look.records, look.alias_beside, look.aliases) == (("key",), "x.test", ())


def chain(length: int) -> Names:
    links = {f"c{number}.example.test": {"CNAME": [f"c{number + 1}.example.test."]} for number in range(length)}
    return {**SERVED, **links, f"c{length}.example.test": {"TXT": ['"end"']}}


@pytest.mark.parametrize(("length", "status"), [(8, LookStatus.FOUND), (9, LookStatus.FAILED)])
async def test_chain_of_aliases_is_followed_eight_times(length: int, status: LookStatus) -> None:
    async with DnsServer(serving(chain(length), zone="example.test")) as server:
        look = await zone_servers(server).look("c0.example.test", "TXT")

    assert (look.status, look.trouble) == (status, None if status is LookStatus.FOUND else Trouble.LOOP)


async def test_alias_of_itself_is_a_loop() -> None:
    names: Names = {
        **SERVED,
        "a.example.test": {"CNAME": ["B.example.test."]},
        "b.example.test": {"CNAME": ["a.example.test."]},
    }
    async with DnsServer(serving(names, zone="example.test")) as server:
        look = await zone_servers(server).look("a.example.test", "TXT")

    assert (look.status, look.trouble) == (LookStatus.FAILED, Trouble.LOOP)


def in_other_letters(answering: Answering) -> Answering:
    """Answers of a server that changes the case of every name, the question's too."""

    def answer(query: dns.message.Message) -> dns.message.Message | None:
        response = answering(query)
        assert response is not None
        return dns.message.from_text(response.to_text().replace("example.test.", "eXaMpLe.TeSt."))

    return answer


async def test_names_in_other_letters_are_the_same_names() -> None:
    names: Names = {**SERVED, "k.example.test": {"CNAME": ["z.example.test."]}, "z.example.test": {"TXT": ['"key"']}}
    async with DnsServer(in_other_letters(serving(names, zone="example.test"))) as server:
        look = await zone_servers(server).look("k.example.test", "TXT")

    assert (look.records, look.aliases) == (("key",), ("z.example.test",))


async def test_long_answer_comes_over_tcp_and_is_cut() -> None:
    texts = [f'"{number:05d}{"x" * 20}"' for number in range(MOST_RECORDS + 100)]
    names: Names = {**SERVED, "big.example.test": {"TXT": texts}}
    async with DnsServer(serving(names, zone="example.test")) as server:
        look = await zone_servers(server).look("big.example.test", "TXT")

    assert server.questions[-2:] == ["big.example.test. TXT udp", "big.example.test. TXT tcp"]
    assert len(look.records) == MOST_RECORDS


def truncating(query: dns.message.Message) -> dns.message.Message | None:
    response = serving(SERVED, zone="example.test")(query)
    assert response is not None
    if query.question[0].rdtype == dns.rdatatype.TXT:
        response.flags |= dns.flags.TC
    return response


def only_txt(answering: Answering) -> Answering:
    """A fault for TXT alone, so that the servers are found."""

    def answer(query: dns.message.Message) -> dns.message.Message | None:
        is_txt = query.question[0].rdtype == dns.rdatatype.TXT
        return answering(query) if is_txt else serving(SERVED, zone="example.test")(query)

    return answer


def nonsense(query: dns.message.Message) -> dns.message.Message:
    return dns.message.make_response(dns.message.make_query("unasked.test", "MX"))


@pytest.mark.parametrize(
    ("answering", "trouble"),
    [
        (only_txt(failing(dns.rcode.SERVFAIL)), Trouble.SERVER_FAILURE),
        (only_txt(failing(dns.rcode.REFUSED)), Trouble.REFUSED),
        (only_txt(failing(dns.rcode.NOTAUTH)), Trouble.UNUSABLE),
        (only_txt(lambda query: None), Trouble.TIMED_OUT),
        (only_txt(nonsense), Trouble.TIMED_OUT),
        (truncating, Trouble.UNUSABLE),
    ],
    ids=["SERVFAIL", "REFUSED", "NOTAUTH", "silence", "another answer", "truncated over TCP"],
)
async def test_fault_of_every_server_is_a_temporary_failure(answering: Answering, trouble: Trouble) -> None:
    async with DnsServer(answering) as server:
        look = await zone_servers(server).look("example.test", "TXT")

    assert (look.status, look.trouble) == (LookStatus.FAILED, trouble)
    assert "example.test TXT" in look.reason


async def test_fault_of_the_zones_servers_is_made_up_for_by_the_resolver() -> None:
    async with DnsServer(resolving()) as resolver, DnsServer(failing(dns.rcode.REFUSED)) as servers:
        look = await zone_servers(resolver, servers).look("example.test", "TXT")

    assert (look.records, look.authoritative) == (("old",), False)
    assert "the resolver answered" in look.reason
    assert "REFUSED" in look.reason


async def test_second_server_is_asked_when_the_first_one_is_dead() -> None:
    names: Names = {
        "example.test": {"NS": ["ns1.example.test.", "ns2.example.test."], "TXT": ['"here"']},
        "ns1.example.test": {"A": ["127.0.0.77"]},  # nothing listens there
        "ns2.example.test": {"A": ["127.0.0.1"]},
    }
    async with DnsServer(serving(names, zone="example.test")) as server:
        look = await zone_servers(server).look("example.test", "TXT")

    assert (look.records, look.server, look.reason) == (("here",), "127.0.0.1", "")


async def test_server_that_does_not_know_edns_is_asked_without() -> None:
    def old(query: dns.message.Message) -> dns.message.Message | None:
        if query.edns >= 0:
            return failing(dns.rcode.FORMERR)(query)
        return serving({**SERVED, "example.test": {"NS": ["ns.example.test."], "TXT": ['"here"']}}, zone="example.test")(query)

    async with DnsServer(old) as server:
        look = await zone_servers(server).look("example.test", "TXT")

    assert look.records == ("here",)


async def test_looks_of_a_round_share_the_failure_to_find_servers() -> None:
    async with DnsServer(lambda query: None) as server:
        asking = zone_servers(server)
        assert await asking.zone("example.test") == ""
        begun = time.monotonic()
        looks = await asyncio.gather(*(asking.look(f"n{number}.example.test", "TXT") for number in range(10)))

    assert {look.trouble for look in looks} == {Trouble.TIMED_OUT}
    assert time.monotonic() - begun < 5.0
    assert server.questions.count("example.test. NS udp") == 1


async def test_server_that_refers_without_end_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority, "LIFETIME", 3.0)

    def deeper(query: dns.message.Message) -> dns.message.Message | None:
        name = query.question[0].name
        if query.question[0].rdtype != dns.rdatatype.TXT or not name.to_text().startswith("x."):
            return serving(SERVED, zone="example.test")(query)
        depth = next(depths)
        response = dns.message.make_response(query)
        parent = ".".join(name.to_text().split(".")[-4 - depth :])
        response.authority.append(dns.rrset.from_text(parent, 300, "IN", "NS", "ns.example.test."))
        return response

    depths = iter(range(1000))
    async with DnsServer(deeper) as server:
        name = "x." + "y." * 40 + "example.test"
        look = await zone_servers(server).look(name, "TXT")

    assert look.trouble is Trouble.LOOP


async def test_resolver_that_the_machine_does_not_have_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = DnsResolver("127.0.0.1:1")
    monkeypatch.setattr(stub, "servers", lambda: ((), 53))
    look = await ZoneServers(stub).look("example.test", "TXT")

    assert (look.status, look.trouble) == (LookStatus.FAILED, Trouble.UNREACHABLE)


async def test_records_of_a_zone_that_has_hundreds_are_all_seen() -> None:
    others = [f'"verification-of-service-{number:03d}"' for number in range(300)]
    names: Names = {**SERVED, "big.example.test": {"TXT": [*others, f'"zz{"x" * 200}"']}}
    async with DnsServer(serving(names, zone="example.test")) as server:
        look = await zone_servers(server).look("big.example.test", "TXT")

    assert len(look.records) == 301
    assert look.records[-1] == "zz" + "x" * 200
