"""DMARC: which policy holds for a domain, and which domains stand for it."""

from __future__ import annotations

import pytest

from email_core.domains.dmarc import is_aligned, policy_of
from tests.unit.domains.health_subject import seen

OWN, ABOVE = ("_dmarc.mail.contoso.com", "TXT"), ("_dmarc.contoso.com", "TXT")


def test_policy_of_its_own_holds_before_that_of_the_domain_above() -> None:
    zone = {OWN: ["v=DMARC1; p=reject; rua=mailto:a@b.test"], ABOVE: ["v=DMARC1; p=none"]}
    policy = policy_of(seen(zone, domain="mail.contoso.com"))

    assert policy is not None
    assert (policy.name, policy.applied, policy.reports) == (OWN[0], "reject", "mailto:a@b.test")


@pytest.mark.parametrize(
    ("above", "applied"),
    [
        ("v=DMARC1; p=reject", "reject"),
        ("v=DMARC1; p=reject; sp=none", "none"),
        ("v=DMARC1; p=none; sp=quarantine", "quarantine"),
        ("v=DMARC1; p=reject; sp=nonsense", "reject"),
    ],
)
def test_policy_of_the_domain_above_holds_for_a_sub_domain_as_sp_says(above: str, applied: str) -> None:
    policy = policy_of(seen({ABOVE: [above]}, domain="mail.contoso.com"))

    assert policy is not None
    assert (policy.name, policy.applied) == (ABOVE[0], applied)


@pytest.mark.parametrize(
    "values",
    [
        [],
        ["v=spf1 -all"],
        ["v=DMARC1; p=none", "v=DMARC1; p=reject"],
        ["v=DMARC1; rua=mailto:a@b.test"],
        ["v=DMARC1; p=perhaps"],
    ],
    ids=["none", "not DMARC", "two", "no p", "unknown p"],
)
def test_record_that_is_none_that_counts_is_no_policy(values: list[str]) -> None:
    assert policy_of(seen({ABOVE: values})) is None


@pytest.mark.parametrize(
    ("tags", "percent", "strict_dkim", "strict_spf"),
    [
        ("", 100, False, False),
        ("; adkim=s; aspf=S", 100, True, True),
        ("; pct=5; adkim=r", 5, False, False),
        ("; pct=900", 100, False, False),
        ("; pct=-1", 100, False, False),
    ],
)
def test_policy_has_its_tags_or_their_defaults(tags: str, percent: int, strict_dkim: bool, strict_spf: bool) -> None:
    policy = policy_of(seen({ABOVE: [f"v=DMARC1; p=none{tags}"]}))

    assert policy is not None
    assert (policy.percent, policy.strict_dkim, policy.strict_spf) == (percent, strict_dkim, strict_spf)


@pytest.mark.parametrize(
    ("authenticated", "author", "relaxed", "strict"),
    [
        ("contoso.com", "contoso.com", True, True),
        ("bounce.contoso.com", "contoso.com", True, False),
        ("contoso.com", "mail.contoso.com", True, False),
        ("bounce.platform.test", "contoso.com", False, False),
        ("one.co.uk", "two.co.uk", False, False),
        ("notcontoso.com", "contoso.com", False, False),
        ("com", "com", True, True),
        ("a.com", "com", False, False),
    ],
)
def test_domains_are_aligned_by_the_domain_that_somebody_registered(
    authenticated: str, author: str, relaxed: bool, strict: bool
) -> None:
    assert is_aligned(authenticated, author, strict=False) is relaxed
    assert is_aligned(authenticated, author, strict=True) is strict
