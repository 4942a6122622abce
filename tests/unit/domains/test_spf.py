"""SPF records: which terms there are, which can't be read, and what they cost a receiver."""

from __future__ import annotations

import asyncio

import pytest

from email_core.dns.looks import Look, LookStatus, Trouble, failed_look
from email_core.domains import spf_lookups
from email_core.domains.spf import parse_spf, spf_values
from email_core.domains.spf_lookups import count_lookups


def terms(text: str) -> list[tuple[str, str, str]]:
    record = parse_spf(text)
    assert not record.invalid
    return [(term.qualifier, term.name, term.value) for term in record.terms]


def test_terms_are_read_with_qualifier_and_value() -> None:
    text = "v=spf1 a mx:Mail.Example.test. ~ip4:192.0.2.0/24 ip6:2001:db8::/32 ?include:x.test exists:%{i}.y.test -ALL"
    assert terms(text) == [
        ("+", "a", ""), ("+", "mx", "mail.example.test"), ("~", "ip4", "192.0.2.0/24"), ("+", "ip6", "2001:db8::/32"),
        ("?", "include", "x.test"), ("+", "exists", "%{i}.y.test"), ("-", "all", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "word",
    ["a/24", "a//64", "a/24//64", "a:x.test/24//64", "mx/0", "ptr", "ptr:x.test", "redirect=x.test", "exp=%{d}.x.test",
     "unknown=anything", "include:%{d2}.x.test", "A", "+a", "include:x.test."],
)  # fmt: skip
def test_word_that_may_stand_in_a_record_is_read(word: str) -> None:
    assert parse_spf(f"v=spf1 {word} -all").invalid == ""


@pytest.mark.parametrize(
    "word",
    ["include", "include:", "exists", "ip4", "ip4:x.test", "ip4:2001:db8::1", "ip6:192.0.2.1",
     "ip4:192.0.2.1/33", "ipv4:192.0.2.1", "a/33", "a//129", "a/x", "all:x.test", "mx:", "--all", "-", "spf.x.test", "x:y.test",
     "include:192.0.2.1", "include:%{q}.test", "include:50%.test", "redirect=", "include:localhost", "ip6:fe80::1%eth0", "a;",
     '"a'],
)  # fmt: skip
def test_word_that_no_receiver_can_read_makes_the_record_invalid(word: str) -> None:
    assert parse_spf(f"v=spf1 mx {word} -all").invalid == word


def test_modifier_that_stands_twice_makes_the_record_invalid() -> None:
    assert parse_spf("v=spf1 redirect=x.test redirect=y.test").invalid == "redirect=y.test"


def test_terms_behind_all_have_no_effect_and_neither_has_a_redirect_beside_it() -> None:
    record = parse_spf("v=spf1 redirect=r.test mx -all include:late.test")
    assert [term.name for term in record.effective] == ["mx", "all"]
    assert record.redirect == ""
    assert parse_spf("v=spf1 redirect=r.test mx").redirect == "r.test"
    assert [term.name for term in parse_spf("v=spf1 redirect=r.test mx").effective] == ["mx", "redirect"]


def test_records_of_other_kinds_are_no_spf() -> None:
    texts = ["v=spf1", "V=SPF1 -all", "v=spf10 -all", " v=spf1 -all", "v=spf1-all", "spf1", "v=spf2.0/pra -all"]
    assert spf_values(texts) == ("v=spf1", "V=SPF1 -all")


class Zone:
    """TXT by name; anything else has an address."""

    def __init__(self, **texts: str) -> None:
        self.texts = {name.replace("_", ".") + ".test": text for name, text in texts.items()}
        self.asked: list[str] = []

    async def look(self, name: str, kind: str) -> Look:
        self.asked.append(f"{name} {kind}")
        if name.startswith("void"):
            return Look(name, kind, LookStatus.NO_DOMAIN)
        if name.startswith("broken"):
            return failed_look(name, kind, Trouble.TIMED_OUT, f"no answer for {name}")
        if kind == "TXT":
            text = self.texts.get(name)
            return Look(name, kind, LookStatus.FOUND, (text,)) if text else Look(name, kind, LookStatus.NO_RECORDS)
        return Look(name, kind, LookStatus.FOUND, ("192.0.2.1",))


async def test_every_term_that_asks_the_dns_counts_also_within_includes() -> None:
    zone = Zone(
        i="v=spf1 a mx exists:%{i}.x.test include:j.test -all", j="v=spf1 ip4:192.0.2.1 ptr redirect=k.test", k="v=spf1 -all"
    )
    count = await count_lookups(parse_spf("v=spf1 a include:i.test ip4:192.0.2.1 -all"), "d.test", zone.look)

    assert count.lookups == 8
    assert count.includes == {"i.test", "j.test", "k.test"}
    assert (count.void, count.broken, count.loop, count.failed) == ((), "", "", "")
    assert not any("%" in asked for asked in zone.asked)


async def test_include_that_lets_nothing_pass_is_counted_and_not_relied_on() -> None:
    zone = Zone(i="v=spf1 include:j.test -all", j="v=spf1 -all")
    count = await count_lookups(parse_spf("v=spf1 ~include:i.test -all"), "d.test", zone.look)

    assert (count.lookups, count.includes) == (2, frozenset())


async def test_names_that_lead_to_nothing_are_void() -> None:
    count = await count_lookups(parse_spf("v=spf1 a:void1.test mx:void2.test exists:void3.test -all"), "d.test", Zone().look)

    assert sorted(count.void) == ["void1.test", "void2.test", "void3.test"]


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [("v=spf1 include:gone.test -all", "broken", "gone.test"), ("v=spf1 include:bad.test -all", "broken", "bad.test"),
     ("v=spf1 include:d.test -all", "loop", "d.test"), ("v=spf1 include:ring.test -all", "loop", "d.test"),
     ("v=spf1 include:broken.test -all", "failed", "no answer for broken.test"),
     ("v=spf1 a:broken.test -all", "failed", "no answer for broken.test")],
)  # fmt: skip
async def test_include_that_can_not_be_followed_is_named(text: str, field: str, value: str) -> None:
    zone = Zone(bad="v=spf1 nonsense:x.test -all", ring="v=spf1 redirect=d.test")
    count = await count_lookups(parse_spf(text), "d.test", zone.look)

    assert getattr(count, field) == value


async def test_tree_without_end_is_not_followed_to_its_end() -> None:
    class Endless(Zone):
        async def look(self, name: str, kind: str) -> Look:
            self.asked.append(name)
            below = " ".join(f"include:{number}.{name}" for number in range(30))
            return Look(name, kind, LookStatus.FOUND, (f"v=spf1 {below} -all",))

    zone = Endless()
    count = await count_lookups(parse_spf("v=spf1 include:x.test -all"), "d.test", zone.look)

    assert count.lookups > 10
    assert len(zone.asked) < 100


async def test_servers_that_let_us_wait_for_each_include_are_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spf_lookups, "LIFETIME", 0.2)

    class Slow(Zone):
        async def look(self, name: str, kind: str) -> Look:
            self.asked.append(name)
            await asyncio.sleep(0.05)
            return Look(name, kind, LookStatus.FOUND, (f"v=spf1 include:{len(self.asked)}.{name} -all",))

    zone = Slow()
    count = await count_lookups(parse_spf("v=spf1 include:x.test -all"), "d.test", zone.look)

    assert len(zone.asked) <= 5
    assert "d.test take longer than" in count.failed
