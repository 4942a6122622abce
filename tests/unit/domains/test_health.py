"""The health report: each thing that can be better or wrong in a healthy zone, and what is told about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from email_core.domains.documents import RotationDocument
from email_core.domains.health import MOST_STORED, shown, unexamined
from email_core.domains.observation import Question
from tests.unit.domains.health_subject import (
    DAY,
    DOMAIN,
    NOW,
    SETTINGS,
    TOKEN,
    check,
    document,
    public_key,
    report,
    verified,
)

PROOF = f"postrider-domain-verification={TOKEN}"
OURS = "v=spf1 include:spf.platform.test -all"
APEX: Question = (DOMAIN, "TXT")
KEY: Question = (f"postrider1._domainkey.{DOMAIN}", "TXT")
STANDBY: Question = (f"postrider2._domainkey.{DOMAIN}", "TXT")
DMARC: Question = (f"_dmarc.{DOMAIN}", "TXT")
MX: Question = (DOMAIN, "MX")
STS: Question = (f"_mta-sts.{DOMAIN}", "TXT")
TLS: Question = (f"_smtp._tls.{DOMAIN}", "TXT")
BOUNCE: Question = ("bounce.platform.test", "TXT")
GREEN, AMBER, RED = "green", "amber", "red"

# What the zone holds instead, the check that shows it, its status, that of the whole, and what the fix says.
TABLE: list[tuple[str, dict[Question, Sequence[str] | None], str, str, str, str]] = [
    ("all is well", {}, "SPF", GREEN, GREEN, ""),
    ("no proof", {APEX: [OURS]}, "Domain", RED, RED, f'{DOMAIN}. 3600 IN TXT "{PROOF}"'),
    ("no SPF", {APEX: [PROOF]}, "SPF", RED, RED, f'{DOMAIN}. 3600 IN TXT "{OURS}"'),
    (
        "SPF without ours", {APEX: [PROOF, "v=spf1 include:other.test -all"]}, "SPF", RED, RED,
        '"v=spf1 include:other.test include:spf.platform.test -all"',
    ),
    ("two SPF records", {APEX: [PROOF, OURS, "v=spf1 mx -all"]}, "SPF", RED, RED, "Make one of them"),
    ("SPF with ~all", {APEX: [PROOF, OURS.replace("-all", "~all")]}, "SPF", AMBER, AMBER, f'"{OURS}"'),
    ("SPF without all", {APEX: [PROOF, OURS.removesuffix(" -all")]}, "SPF", AMBER, AMBER, f'"{OURS}"'),
    ("SPF with +all", {APEX: [PROOF, OURS.replace("-all", "+all")]}, "SPF", RED, RED, f'"{OURS}"'),
    ("SPF unknown", {APEX: None}, "SPF", AMBER, AMBER, "It is looked at again"),
    ("no key", {KEY: []}, "DKIM", RED, RED, 'postrider1._domainkey.contoso.com. 3600 IN TXT "v=DKIM1; k=rsa; p='),
    ("another key", {KEY: [public_key(3)]}, "DKIM", RED, RED, "Replace the value"),
    ("no key on standby", {STANDBY: []}, "DKIM2", RED, RED, "postrider2._domainkey.contoso.com."),
    ("key unknown", {KEY: None}, "DKIM", AMBER, AMBER, "It is looked at again"),
    (
        "no Ed25519 key", {(f"postrider1-ed._domainkey.{DOMAIN}", "TXT"): []}, "DKIMEd25519", AMBER, GREEN,
        "postrider1-ed._domainkey.contoso.com.",
    ),
    ("no DMARC", {DMARC: []}, "DMARC", RED, RED, '_dmarc.contoso.com. 3600 IN TXT "v=DMARC1; p=reject"'),
    (
        "DMARC of none", {DMARC: ["v=DMARC1; p=none"]}, "DMARC", AMBER, AMBER,
        '"v=DMARC1; p=quarantine; rua=mailto:dmarc@contoso.com"',
    ),
    (
        "DMARC in part", {DMARC: ["v=DMARC1; p=reject; pct=20; adkim=s"]}, "DMARC", AMBER, AMBER,
        '"v=DMARC1; p=reject; adkim=s; rua=mailto:dmarc@contoso.com"',
    ),
    ("DMARC without sub-domains", {DMARC: ["v=DMARC1; p=reject; sp=none"]}, "DMARC", AMBER, AMBER, '"v=DMARC1; p=reject;'),
    ("two DMARC records", {DMARC: ["v=DMARC1; p=none", "v=DMARC1; p=reject"]}, "DMARC", RED, RED, "Delete all of them but one"),
    ("DMARC unknown", {DMARC: None}, "DMARC", AMBER, AMBER, "It is looked at again"),
    ("SPF aligned by nobody", {}, "Alignment", GREEN, GREEN, "With a mailFromSubdomain"),
    ("no SPF where bounces go", {BOUNCE: []}, "ReversePath", RED, GREEN, "The operator publishes"),
    ("bounces unknown", {BOUNCE: None}, "ReversePath", AMBER, GREEN, "POST checkHealth"),
    ("no MX", {MX: []}, "MX", AMBER, GREEN, "contoso.com. 3600 IN MX 10 mail.example.com."),
    ("null MX", {MX: ["0 "]}, "MX", AMBER, GREEN, "Publish an MX"),
    ("no MTA-STS", {STS: []}, "MTA-STS", AMBER, GREEN, '_mta-sts.contoso.com. 3600 IN TXT "v=STSv1; id=2026'),
    ("MTA-STS twice", {STS: ["v=STSv1; id=1", "v=STSv1; id=2"]}, "MTA-STS", AMBER, GREEN, "Delete all but one"),
    ("MTA-STS without MX", {STS: [], MX: []}, "MTA-STS", GREEN, GREEN, ""),
    ("no TLS reports", {TLS: ["v=TLSRPTv1"]}, "TLS-RPT", AMBER, GREEN, "rua=mailto:tls-reports@contoso.com"),
    ("TLS reports unknown", {TLS: None}, "TLS-RPT", AMBER, GREEN, "POST checkHealth"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "name", "status", "whole", "fix"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_health_of_a_zone_that_was_changed_in_one_thing_tells_it_with_its_fix(
    changes: dict[Question, Sequence[str] | None], name: str, status: str, whole: str, fix: str
) -> None:
    answer = report(changes)
    found = check(answer, name)

    assert (found["status"], answer["status"]) == (status, whole)
    assert fix in found["fix"]
    assert bool(found["fix"]) == bool(fix)
    assert found["source"]
    assert status == GREEN or found["reason"]


def test_health_of_a_domain_that_has_everything_is_green_in_all_checks_and_for_all_receivers() -> None:
    answer = report()

    assert {each["name"]: each["status"] for each in answer["checks"]} == dict.fromkeys(
        (
            "Domain", "SPF", "DKIM", "DKIMEd25519", "DKIM2", "DKIM2Ed25519", "DMARC", "Alignment", "ReversePath", "MX",
            "MTA-STS", "TLS-RPT",
        ),
        GREEN,
    )  # fmt: skip
    assert {name: verdict["status"] for name, verdict in answer["providers"].items()} == {
        "gmail": GREEN, "yahoo": GREEN, "microsoft": GREEN,
    }  # fmt: skip
    assert answer["checkedAt"].startswith("2026-09-21T")


def test_health_tells_size_and_age_of_the_key_that_signs() -> None:
    found = check(report(), "DKIM")["found"]

    assert found[1:] == ["selector postrider1: signs", "RSA, 2048 bits", "1 days old"]
    assert check(report(), "DKIM2")["found"][1] == "selector postrider2: stands by"


@pytest.mark.parametrize(
    ("days", "rotation_days", "status"),
    [(364, 0, GREEN), (367, 0, AMBER), (43, 30, GREEN), (46, 30, AMBER)],
    ids=["a year", "more than a year", "in time", "overdue"],
)
def test_health_of_a_key_that_has_signed_for_long_asks_for_a_rotation(days: int, rotation_days: int, status: str) -> None:
    domain = document()
    for selector in domain.selectors:
        selector.made_at = NOW - days * DAY
    answer = report(domain=domain, settings=replace(SETTINGS, rotation_days=rotation_days))

    assert check(answer, "DKIM")["status"] == status
    assert ("rotateKeys" in check(answer, "DKIM")["fix"]) == (status == AMBER)
    assert check(answer, "DKIM2")["status"] == GREEN  # it stands by, and has signed nothing


def test_health_counts_the_age_of_a_key_from_when_it_began_to_sign() -> None:
    domain = document(rotated_at=NOW - 2 * DAY)
    for selector in domain.selectors:
        selector.made_at = NOW - 500 * DAY

    assert check(report(domain=domain), "DKIM")["found"][-1] == "2 days old"


def test_health_during_a_rotation_forgives_the_slot_that_is_not_published_yet() -> None:
    rotation = RotationDocument(run="r", stage="waiting", to_slot=2, started_at=NOW, stage_since=NOW)
    answer = report({STANDBY: []}, document(rotation=rotation))

    assert (check(answer, "DKIM2")["status"], answer["status"]) == (AMBER, AMBER)
    assert "rotation" in check(answer, "DKIM2")["reason"]


def test_health_of_a_small_key_wants_a_larger_one() -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    from email_core.domains.dkim_keys import public_record

    domain = document()
    domain.selectors[0].public_record = public_record(rsa.generate_private_key(65537, 1024))
    found = check(report(domain=domain), "DKIM")

    assert found["status"] == AMBER
    assert "1024 bits" in found["reason"] and "2048" in found["reason"]


MAIL_FROM = f"bounce.{DOMAIN}"


@pytest.mark.parametrize(
    ("changes", "policy", "mail_from", "alignment"),
    [
        ({}, "v=DMARC1; p=reject", GREEN, GREEN),
        ({}, "v=DMARC1; p=reject; aspf=s", GREEN, AMBER),
        ({(MAIL_FROM, "MX"): ["10 mx.other.test"]}, "v=DMARC1; p=reject", AMBER, GREEN),
        ({(MAIL_FROM, "TXT"): None}, "v=DMARC1; p=reject", AMBER, GREEN),
    ],
    ids=["well", "strict", "another MX", "unknown"],
)
def test_health_of_a_reverse_path_of_its_own(
    changes: dict[Question, Sequence[str] | None], policy: str, mail_from: str, alignment: str
) -> None:
    domain = verified(document(mail_from_sender_domain=MAIL_FROM), "MailFrom")
    answer = report({**changes, DMARC: [policy]}, domain)

    assert (check(answer, "MailFrom")["status"], check(answer, "Alignment")["status"]) == (mail_from, alignment)
    assert "bounce.contoso.com: " in check(answer, "Alignment")["found"][1]


def test_health_of_a_sub_domain_takes_the_policy_of_the_domain_above() -> None:
    domain = document(from_sender_domain="mail.contoso.com", name="mail.contoso.com")
    answer = report({("_dmarc.mail.contoso.com", "TXT"): [], DMARC: ["v=DMARC1; p=reject; sp=quarantine"]}, domain)

    assert check(answer, "DMARC")["status"] == GREEN
    assert check(answer, "DMARC")["found"] == ["_dmarc.contoso.com: v=DMARC1; p=reject; sp=quarantine"]


def test_health_of_a_signature_of_another_domain_under_a_strict_policy_is_red() -> None:
    domain = document(signing_domain="contoso.com", from_sender_domain="mail.contoso.com", name="mail.contoso.com")
    answer = report({("_dmarc.mail.contoso.com", "TXT"): ["v=DMARC1; p=reject; adkim=s"]}, domain)

    assert (check(answer, "Alignment")["status"], answer["status"]) == (RED, RED)
    assert {verdict["status"] for verdict in answer["providers"].values()} == {RED}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({KEY: []}, {"gmail": RED, "yahoo": RED, "microsoft": RED}),
        ({STANDBY: []}, {"gmail": GREEN, "yahoo": GREEN, "microsoft": GREEN}),
        ({DMARC: []}, {"gmail": RED, "yahoo": RED, "microsoft": RED}),
        ({DMARC: ["v=DMARC1; p=none"]}, {"gmail": GREEN, "yahoo": GREEN, "microsoft": GREEN}),
        ({DMARC: None}, {"gmail": AMBER, "yahoo": AMBER, "microsoft": AMBER}),
        ({BOUNCE: []}, {"gmail": RED, "yahoo": RED, "microsoft": RED}),
        ({APEX: [PROOF]}, {"gmail": GREEN, "yahoo": GREEN, "microsoft": GREEN}),
    ],
    ids=["no key", "no key on standby", "no policy", "policy of none", "policy unknown", "no SPF", "no SPF of its own"],
)
def test_health_for_receivers_follows_what_they_demand(
    changes: dict[Question, Sequence[str] | None], expected: dict[str, str]
) -> None:
    providers = report(changes)["providers"]

    assert {name: verdict["status"] for name, verdict in providers.items()} == expected
    for verdict in providers.values():
        assert bool(verdict["failing"]) == (verdict["status"] != GREEN)
        assert all(point["rule"] and point["fix"] and point["check"] for point in verdict["failing"])


def test_health_of_a_weak_key_fails_those_who_advise_a_strong_one() -> None:
    domain = document()
    for selector in domain.selectors:
        selector.made_at = NOW - 400 * DAY  # amber as well
    statuses = {name: verdict["status"] for name, verdict in report(domain=domain)["providers"].items()}

    assert statuses == {"gmail": AMBER, "yahoo": AMBER, "microsoft": GREEN}


def test_health_as_it_is_answered_has_what_no_dns_shows() -> None:
    providers: Any = shown(report())["providers"]

    assert all(each["rule"] and each["watch"] for verdict in providers.values() for each in verdict["notMeasured"])
    assert "0.3 %" in providers["gmail"]["notMeasured"][0]["rule"]
    assert "81126" in providers["gmail"]["source"]
    assert "5.7.515" in providers["microsoft"]["source"]


@pytest.mark.parametrize("length", [300, 60_000])
def test_health_of_a_zone_that_holds_much_stays_small(length: int) -> None:
    many = [f"{'x' * length}{number}" for number in range(100)]
    answer = report(
        {APEX: many, KEY: many, STANDBY: many, DMARC: many, STS: many, TLS: many, MX: [f"10 {each}" for each in many]},
        document(mail_from_sender_domain=MAIL_FROM),
    )

    assert len(msgspec.json.encode(answer)) <= MOST_STORED
    assert answer["status"] == RED


def test_health_of_a_domain_that_nobody_looks_at_says_why() -> None:
    answer = unexamined(document(), NOW, "Because.")

    assert (answer["status"], answer["note"], answer["checks"], shown(answer)["providers"]) == (GREEN, "Because.", [], {})
