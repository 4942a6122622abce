"""What is told about a domain's records, for every row of the table, without any server."""

from __future__ import annotations

import re

import pytest

from email_core.dns.looks import Look, LookStatus, Trouble, failed_look
from email_core.domains.diagnosis import clock_time, diagnose, records_of_kind
from email_core.domains.dns_faults import LONGEST_SHOWN, MOST_SHOWN, TEXTS, DnsFault, Finding, shown
from email_core.domains.observation import Observations, observe
from email_core.domains.wrong_places import wrong_places
from tests.flows.dns_fault_table import SITUATIONS, Situation
from tests.kit.domain_zones import PLATFORM, RSA1, TOKEN, SeenZones, keys_of, platform_lines, wanted
from tests.layout.sources import ROOT

ZONE = "example.test"
NOW = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC


def zones(situation: Situation) -> tuple[SeenZones, str]:
    """The zones of a row, and its domain."""
    domain = f"mail.{ZONE}" if situation.sub else ZONE
    lines = [line.text(domain, ZONE) for line in situation.lines] if situation.zone else []
    relative = platform_lines([domain] if situation.targets else [])
    apex = [f"{ZONE}. 60 IN A 192.0.2.99"] if situation.zone else []
    return SeenZones([*lines, *relative, *apex], zone=ZONE), domain


async def finding_of(situation: Situation) -> Finding:
    seen_zones, domain = zones(situation)
    records = records_of_kind(situation.kind, wanted(domain, cname=situation.cname))
    return diagnose(situation.kind, records, keys_of(domain), await observe(seen_zones, domain, records, now=NOW))


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.label)
async def test_situation_has_its_own_explanation(situation: Situation) -> None:
    finding = await finding_of(situation)

    assert (finding.verified, finding.code, finding.temporary) == (situation.verified, situation.code, situation.temporary)
    assert situation.says in f"{finding.reason} {finding.remedy}"


@pytest.mark.parametrize(
    "situation",
    [row for row in SITUATIONS if row.verified and row.what.endswith("as it should be")],
    ids=lambda situation: situation.label,
)
async def test_record_that_is_right_costs_one_round_of_questions(situation: Situation) -> None:
    seen_zones, domain = zones(situation)
    records = records_of_kind(situation.kind, wanted(domain, cname=situation.cname))
    rounds = Rounds(seen_zones)
    seen = await observe(rounds, domain, records, now=NOW)

    assert diagnose(situation.kind, records, keys_of(domain), seen).verified
    assert rounds.rounds == 1
    assert len(seen_zones.asked) == len(set(seen_zones.asked)) <= 16


class Rounds:
    """Counts how often it was waited for answers before more was asked."""

    def __init__(self, inner: SeenZones) -> None:
        self._inner = inner
        self.rounds = 0
        self._answered = True

    async def zone(self, name: str) -> str:
        return await self._inner.zone(name)

    async def recursive_look(self, name: str, kind: str) -> Look:
        return await self._ask(await self._inner.recursive_look(name, kind))

    async def look(self, name: str, kind: str) -> Look:
        return await self._ask(await self._inner.look(name, kind))

    async def _ask(self, look: Look) -> Look:
        import asyncio

        self.rounds += self._answered
        self._answered = False
        await asyncio.sleep(0)  # the others of the round ask before the first one is answered
        await asyncio.sleep(0)
        self._answered = True
        return look


@pytest.mark.parametrize("trouble", list(Trouble))
@pytest.mark.parametrize("kind", ["Domain", "SPF", "DKIM", "DMARC", "MailFrom"])
async def test_look_that_failed_says_nothing_about_the_record(kind: str, trouble: Trouble) -> None:
    records = records_of_kind(kind, wanted(ZONE))
    looks = {
        (record.name, record.type): failed_look(record.name, record.type, trouble, "the servers are on strike")
        for record in records
    }
    finding = diagnose(kind, records, keys_of(ZONE), Observations(ZONE, ZONE, ZONE, NOW, looks))

    assert (finding.verified, finding.temporary) == (False, True)
    assert finding.code is not None and finding.code.value.startswith("Dns")
    assert "the servers are on strike" in finding.reason


async def test_ed25519_that_can_not_be_looked_at_does_not_keep_rsa_from_being_verified() -> None:
    records = records_of_kind("DKIM", wanted(ZONE))
    rsa, ed = (record.name for record in records)
    looks = {
        (rsa, "TXT"): Look(rsa, "TXT", LookStatus.FOUND, (RSA1,), authoritative=True),
        (ed, "TXT"): failed_look(ed, "TXT", Trouble.TIMED_OUT, "silence"),
    }
    finding = diagnose("DKIM", records, keys_of(ZONE), Observations(ZONE, ZONE, ZONE, NOW, looks))

    assert (finding.verified, finding.code, finding.temporary) == (True, DnsFault.TIMED_OUT, False)


def test_kind_that_the_domain_does_not_have_is_refused() -> None:
    records = [record for record in wanted(ZONE) if not record.purpose.startswith("MailFrom")]
    with pytest.raises(ValueError, match="MailFrom"):
        diagnose("MailFrom", records, {}, Observations(ZONE, ZONE, ZONE, NOW, {}))


def test_faults_all_have_a_reason_and_a_remedy_of_their_own() -> None:
    assert set(TEXTS) == set(DnsFault)
    reasons = [reason for reason, _ in TEXTS.values()]
    assert len(set(reasons)) == len(reasons)
    assert all(reason and remedy for reason, remedy in TEXTS.values())
    assert len({fault.value for fault in DnsFault}) == len(DnsFault)
    assert all(re.fullmatch(r"[A-Z][A-Za-z]+", fault.value) for fault in DnsFault)


def test_values_are_quoted_in_a_bounded_form() -> None:
    values = shown(["x" * 60_000, "a\x00b\r\nc", *["y"] * 100])

    assert len(values) == MOST_SHOWN
    assert len(values[0]) == LONGEST_SHOWN + 1
    assert values[1] == "a?b??c"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "14:13 UTC"), (3600, "15:13 UTC"), (86_400, "2026-09-22 14:13 UTC"), (2**31, "2026-09-28 14:13 UTC")],
)
def test_time_until_which_something_lasts_has_the_date_when_it_is_another_day(seconds: float, text: str) -> None:
    assert clock_time(NOW, seconds) == text


def test_wrong_places_are_never_the_right_one_and_never_too_long() -> None:
    domain = ".".join(["x" * 60] * 3 + ["y" * 30, "test"])
    for record in wanted(domain):
        for place in wrong_places(record, domain, ("y" * 30 + ".test",), "y" * 30 + ".test"):
            assert place.name != record.name
            assert len(place.name) <= 253


async def test_hostile_text_is_never_taken_for_a_template() -> None:
    value = "postrider-domain-verification={0}{name!r}%s"
    seen_zones = SeenZones([f'{ZONE}. 60 IN TXT "{value}"', f"{PLATFORM}. 60 IN A 192.0.2.1"], zone=ZONE)
    records = records_of_kind("Domain", wanted(ZONE))
    finding = diagnose("Domain", records, {}, await observe(seen_zones, ZONE, records, now=NOW))

    assert finding.code is DnsFault.WRONG_TOKEN
    assert finding.found == (value,)
    assert finding.expected.endswith(TOKEN)


def test_codes_of_faults_are_in_the_docs() -> None:
    told = (ROOT / "docs" / "howto" / "domains.md").read_text(encoding="utf-8")
    assert [fault.value for fault in DnsFault if f"`{fault.value}`" not in told] == []
