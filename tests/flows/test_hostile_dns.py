"""A domain whose name servers mean harm: there is an answer within seconds, it is bounded, and nothing breaks."""

from __future__ import annotations

import time

import dns.message
import dns.rcode
import dns.rdatatype
import msgspec
import pytest

from email_core.dns import exchange
from email_core.dns.authority import ZoneServers
from email_core.dns.resolver import DnsResolver
from email_core.domains.diagnosis import diagnose, records_of_kind
from email_core.domains.dns_faults import DnsFault, Finding
from email_core.domains.documents import RECORD_STATES
from email_core.domains.observation import observe
from tests.kit.clock import FakeClock
from tests.kit.dns_server import Answering, DnsServer, failing, serving
from tests.kit.domain_zones import PLATFORM, keys_of, wanted
from tests.kit.fault_tables import FaultTable

DOMAIN = "hostile.test"
FOUND = {DOMAIN: {"NS": [f"ns.{DOMAIN}."]}, f"ns.{DOMAIN}": {"A": ["127.0.0.1"]}}
LONGEST = 8.0  # seconds for everything, with the real time-outs


def hostile(answering: Answering) -> Answering:
    """The servers are found, and then they are hostile."""

    def answer(query: dns.message.Message) -> dns.message.Message | None:
        finding = query.question[0].rdtype in (dns.rdatatype.NS, dns.rdatatype.A, dns.rdatatype.AAAA)
        return serving(FOUND, zone="test")(query) if finding else answering(query)

    return answer


def each_name(**by_type: list[str]) -> Answering:
    """Every name has these records."""

    def answer(query: dns.message.Message) -> dns.message.Message | None:
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        return serving({name: by_type}, zone=DOMAIN)(query)

    return answer


def next_alias(query: dns.message.Message) -> dns.message.Message | None:
    """Each name is an alias of another that is an alias."""
    name = query.question[0].name.to_text(omit_final_dot=True).lower()
    label, _, rest = name.partition(".")
    target = f"a{int(label[1:]) + 1}.{rest}." if label[1:].isdigit() else f"a1.{DOMAIN}."
    return serving({name: {"CNAME": [target]}}, zone=DOMAIN)(query)


def next_include(query: dns.message.Message) -> dns.message.Message | None:
    """Each SPF record includes two others."""
    name = query.question[0].name.to_text(omit_final_dot=True).lower()
    return serving({name: {"TXT": [f'"v=spf1 include:a.{name[:200]} include:b.{name[:200]} -all"']}}, zone=DOMAIN)(query)


LONG = " ".join(f'"{"z" * 250}"' for _ in range(240))  # one TXT of 60 KB
SILENT: Answering = lambda query: None  # noqa: E731

FAULTS = {
    "silence": (hostile(SILENT), {DnsFault.TIMED_OUT}),
    "silence of the resolver too": (SILENT, {DnsFault.TIMED_OUT}),
    "SERVFAIL": (hostile(failing(dns.rcode.SERVFAIL)), {DnsFault.SERVER_FAILURE}),
    "REFUSED": (hostile(failing(dns.rcode.REFUSED)), {DnsFault.REFUSED}),
    "SERVFAIL of the resolver too": (failing(dns.rcode.SERVFAIL), {DnsFault.SERVER_FAILURE}),
    "aliases without end": (hostile(next_alias), {DnsFault.LOOP}),
    "alias of itself": (hostile(each_name(CNAME=[f"loop.{DOMAIN}."])), {DnsFault.LOOP}),
    "names without any records": (hostile(each_name()), {DnsFault.RECORD_MISSING}),
    "TXT of 60 KB": (hostile(each_name(TXT=[LONG], MX=["10 x.test."])), None),
    "a thousand TXT": (hostile(each_name(TXT=[f'"{number:04d}{"y" * 40}"' for number in range(1000)])), None),
    "SPF that includes a thousand": (
        hostile(each_name(TXT=['"v=spf1 ' + " ".join(f'" "include:i{n}.{DOMAIN}' for n in range(1000)) + ' -all"'])), None,
    ),
    "SPF that includes others without end": (hostile(next_include), None),
    "names longer than a name may be": (hostile(each_name(CNAME=[".".join(["y" * 60] * 4) + "."])), None),
}  # fmt: skip


def _told(codes: set[DnsFault] | None) -> str:
    return f"{', '.join(sorted(codes))}" if codes else "What is wrong with its records"


TABLES = (
    FaultTable("hostile-dns", ("The servers", "What is told"), [(name, _told(codes)) for name, (_, codes) in FAULTS.items()]),
)


async def look(server: DnsServer, kind: str) -> Finding:
    dns_servers = ZoneServers(DnsResolver(server.address, lifetime=exchange.TIMEOUT), port=server.port, allow_private=True)
    records = records_of_kind(kind, wanted(DOMAIN, cname=kind == "DKIM2"))
    seen = await observe(dns_servers, DOMAIN, records, now=FakeClock().now())
    return diagnose(kind, records, keys_of(DOMAIN), seen)


@pytest.mark.parametrize("name", FAULTS)
async def test_hostile_servers_get_an_explanation_within_seconds(name: str) -> None:
    answering, codes = FAULTS[name]
    async with DnsServer(answering) as server:
        begun = time.monotonic()
        finding = await look(server, "SPF")
        took = time.monotonic() - begun

    assert took < LONGEST
    assert not finding.verified
    assert finding.reason and finding.remedy
    assert codes is None or finding.code in codes
    # It is kept in a document that may have 64 KiB in all.
    assert len(msgspec.json.encode([finding.found, finding.reason, finding.remedy])) < 16 * 1024
    assert len(server.questions) < 200


@pytest.mark.parametrize("kind", RECORD_STATES)
@pytest.mark.parametrize("name", [name for name in FAULTS if "silence" not in name])
async def test_hostile_servers_break_no_kind_of_record(name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "TIMEOUT", 1.0)
    async with DnsServer(FAULTS[name][0]) as server:
        finding = await look(server, kind)

    assert not finding.verified
    assert finding.code is not None


class Garbage(DnsServer):
    """Answers with octets that are no message."""

    def respond(self, data: bytes, transport: str) -> bytes | None:
        response = super().respond(data, transport)
        assert response is not None
        return response if b"\x00\x02\x00\x01" in data[-8:] else data[:2] + b"\xff" * 40


async def test_octets_that_are_no_message_are_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "TIMEOUT", 0.5)
    async with Garbage(hostile(each_name(TXT=['"x"']))) as server:
        finding = await look(server, "Domain")

    assert (finding.code, finding.temporary) == (DnsFault.TIMED_OUT, True)


async def test_server_that_changes_the_case_of_names_is_believed() -> None:
    domain = DOMAIN
    records = {record.name: {record.type: [f'"{record.value}"']} for record in wanted(domain) if record.purpose == "DMARC"}

    def answer(query: dns.message.Message) -> dns.message.Message | None:
        response = serving({**FOUND, **records}, zone=domain)(query)
        assert response is not None
        return dns.message.from_text(response.to_text().replace(domain, domain.upper()))

    async with DnsServer(answer) as server:
        finding = await look(server, "DMARC")

    assert (finding.verified, finding.code) == (True, None)


async def test_old_value_in_a_resolver_is_told_with_the_time_until_which_it_lasts() -> None:
    record = next(record for record in wanted(DOMAIN) if record.purpose == "Domain")
    spf = next(record for record in wanted(DOMAIN) if record.purpose == "SPF")
    right = {DOMAIN: {"TXT": [f'"{record.value}"', f'"{spf.value}"'], **FOUND[DOMAIN]}}
    old = {**FOUND, DOMAIN: {"TXT": ['"v=spf1 mx -all"'], **FOUND[DOMAIN]}, PLATFORM: {}}
    async with (
        DnsServer(serving(old, zone="test", authoritative=False)) as resolver,
        DnsServer(serving({**FOUND, **right}, zone=DOMAIN)) as servers,
    ):
        zone_servers = ZoneServers(DnsResolver(resolver.address), port=servers.port, allow_private=True)
        records = records_of_kind("SPF", wanted(DOMAIN))
        seen = await observe(zone_servers, DOMAIN, records, now=1_790_000_000.0)  # 2026-09-21 14:13:20 UTC
        finding = diagnose("SPF", records, {}, seen)

    assert (finding.verified, finding.code) == (True, DnsFault.OLD_VALUE)
    assert "until 14:18 UTC" in finding.reason


async def test_wrong_value_that_only_a_resolver_tells_may_be_an_old_one() -> None:
    told = serving({DOMAIN: {"TXT": ['"v=spf1 mx -all"']}}, zone="test", authoritative=False)
    async with DnsServer(told) as resolver:
        finding = await look(resolver, "SPF")

    assert finding.code is DnsFault.SPF_INCLUDE_MISSING
    assert "which may hold an old value until" in finding.reason
