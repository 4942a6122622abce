"""The resolver against a server on loopback: each way in which a question can end."""

from __future__ import annotations

import dns.message
import dns.rcode
import dns.rrset
import pytest

from email_core.dns.answers import Found, MxRecord, NoDomain, NoRecords, TemporaryFailure
from email_core.dns.resolver import LONGEST_CACHED, DnsResolver, ResolverSettingError
from tests.kit.clock import FakeClock
from tests.kit.dns_server import Answering, DnsServer, failing, records


def resolver(server: DnsServer, clock: FakeClock | None = None) -> DnsResolver:
    return DnsResolver(server.address, lifetime=2.0, monotonic=(clock or FakeClock()).monotonic)


async def test_exchangers_are_found_in_lower_case_without_a_last_dot() -> None:
    async with DnsServer(records(MX=["10 MX1.Example.test.", "20 mx2.example.test."])) as server:
        answer = await resolver(server).mx("example.test")
    assert isinstance(answer, Found)
    assert sorted(answer.records) == [MxRecord(10, "mx1.example.test"), MxRecord(20, "mx2.example.test")]
    assert answer.ttl == 300.0


async def test_null_mx_has_an_empty_host() -> None:
    async with DnsServer(records(MX=["0 ."])) as server:
        assert await resolver(server).mx("example.test") == Found((MxRecord(0, ""),), 300.0)


async def test_addresses_are_those_of_both_families_ipv4_first() -> None:
    async with DnsServer(records(A=["192.0.2.1"], AAAA=["2001:db8::1"])) as server:
        answer = await resolver(server).addresses("mx.example.test")
    assert answer == Found(("192.0.2.1", "2001:db8::1"), 300.0)


async def test_text_of_several_strings_is_joined_and_long_answers_come_over_tcp() -> None:
    long = '"v=DKIM1; p=' + "A" * 200 + '" "' + "B" * 200 + '"'
    async with DnsServer(records(TXT=[long] + [f'"{"x" * 250}{number}"' for number in range(8)])) as server:
        answer = await resolver(server).txt("s1._domainkey.example.test")
    assert isinstance(answer, Found)
    assert "v=DKIM1; p=" + "A" * 200 + "B" * 200 in answer.records
    assert [question.rpartition(" ")[2] for question in server.questions] == ["udp", "tcp"]


async def test_name_that_does_not_exist_is_not_one_that_has_no_records() -> None:
    async with DnsServer(failing(dns.rcode.NXDOMAIN)) as server:
        assert await resolver(server).mx("example.test") == NoDomain()
        assert await resolver(server).addresses("example.test") == NoDomain()
    async with DnsServer(records()) as server:
        assert await resolver(server).mx("example.test") == NoRecords()
        assert await resolver(server).addresses("example.test") == NoRecords()


def cname_loop(query: dns.message.Message) -> dns.message.Message:
    response = dns.message.make_response(query)
    for one, other in ("example.test.", "other.test."), ("other.test.", "example.test."):
        response.answer.append(dns.rrset.from_text(one, 300, "IN", "CNAME", other))
    return response


def nonsense(query: dns.message.Message) -> dns.message.Message:
    return dns.message.make_response(dns.message.make_query("unasked.test", "MX"))


@pytest.mark.parametrize(
    ("answering", "said"),
    [(failing(dns.rcode.SERVFAIL), "SERVFAIL"), (failing(dns.rcode.REFUSED), "REFUSED"), (cname_loop, "example.test MX"),
     (nonsense, "example.test MX"), (lambda query: None, "no answer to example.test MX in time")],
    ids=["SERVFAIL", "REFUSED", "CNAME loop", "another answer", "silence"],
)  # fmt: skip
async def test_question_that_nobody_could_answer_is_a_temporary_failure(answering: Answering, said: str) -> None:
    async with DnsServer(answering) as server:
        answer = await DnsResolver(server.address, lifetime=0.2).mx("example.test")
    assert isinstance(answer, TemporaryFailure)
    assert said in answer.reason


async def test_address_is_found_although_the_question_for_the_other_family_fails() -> None:
    def answer(query: dns.message.Message) -> dns.message.Message:
        four = query.question[0].rdtype == dns.rdatatype.A
        return (records(A=["192.0.2.1"]) if four else failing(dns.rcode.SERVFAIL))(query)  # type: ignore[return-value]

    async with DnsServer(answer) as server:
        assert await resolver(server).addresses("mx.example.test") == Found(("192.0.2.1",), 300.0)


async def test_family_that_could_not_be_told_about_is_not_taken_for_none() -> None:
    def answer(query: dns.message.Message) -> dns.message.Message:
        four = query.question[0].rdtype == dns.rdatatype.A
        return (records() if four else failing(dns.rcode.SERVFAIL))(query)  # type: ignore[return-value]

    async with DnsServer(answer) as server:
        assert isinstance(await resolver(server).addresses("mx.example.test"), TemporaryFailure)


async def test_alias_is_followed() -> None:
    def answer(query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.answer.append(dns.rrset.from_text(query.question[0].name, 300, "IN", "CNAME", "real.test."))
        if query.question[0].rdtype == dns.rdatatype.A:
            response.answer.append(dns.rrset.from_text("real.test.", 300, "IN", "A", "192.0.2.7"))
        return response

    async with DnsServer(answer) as server:
        answered = await resolver(server).addresses("alias.test")
    assert answered == Found(("192.0.2.7",), 300.0)


async def test_answer_is_cached_for_its_time_to_live_and_no_longer() -> None:
    clock = FakeClock()
    async with DnsServer(records(MX=["10 mx.example.test."], A=["192.0.2.1"])) as server:
        asking = resolver(server, clock)
        first = await asking.mx("example.test"), await asking.addresses("mx.example.test")
        clock.advance(LONGEST_CACHED - 1)
        assert (await asking.mx("example.test"), await asking.addresses("mx.example.test")) == first
        assert len(server.questions) == 3
        clock.advance(2)
        await asking.mx("example.test")
        assert len(server.questions) == 4


async def test_answers_that_people_wait_for_are_asked_anew() -> None:
    async with DnsServer(records()) as server:
        asking = resolver(server)
        for _ in range(2):
            await asking.mx("example.test")
            await asking.txt("example.test")
    assert len(server.questions) == 4


async def test_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("email_core.dns.resolver.MAX_CACHED", 2)
    async with DnsServer(records(MX=["10 mx.example.test."])) as server:
        asking = resolver(server)
        for name in ("a.test", "b.test", "c.test", "b.test", "c.test", "a.test"):
            await asking.mx(name)
    assert [question.partition(" ")[0] for question in server.questions] == ["a.test.", "b.test.", "c.test.", "a.test."]


@pytest.mark.parametrize("name", ["a" * 64 + ".test", "a..test", "x" * 300, "." * 5, "\udcff.test"])
async def test_name_that_cannot_be_in_the_dns_does_not_exist(name: str) -> None:
    async with DnsServer(records(MX=["10 mx.example.test."])) as server:
        assert await resolver(server).mx(name) == NoDomain()
    assert server.questions == []


async def test_name_is_never_completed_with_the_search_list_of_the_machine() -> None:
    async with DnsServer(failing(dns.rcode.NXDOMAIN)) as server:
        await resolver(server).mx("nowhere")
    assert server.questions == ["nowhere. MX udp"]


@pytest.mark.parametrize(
    "setting", ["localhost:53", "127.0.0.1:0", "127.0.0.1:70000", "127.0.0.1:dns", "example.test", "::1:x"]
)
def test_setting_that_names_no_resolver_is_refused(setting: str) -> None:
    with pytest.raises(ResolverSettingError, match="POSTRIDER_DNS must be"):
        DnsResolver(setting)


@pytest.mark.parametrize("setting", ["127.0.0.1:5353", "127.0.0.1", "[::1]:5353", "::1", ""])
def test_setting_that_names_a_resolver_is_taken(setting: str) -> None:
    DnsResolver(setting)
