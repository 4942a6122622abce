"""The limits of the ACS sandbox, with the clock in hand."""

from __future__ import annotations

import pytest

from email_core.data_plane.sandbox_limits import DomainKind, Kind, SandboxLimits

NOW = 1_790_000_000.0

# ACS: service limits of e-mail: kind, domain, per minute, per hour
NUMBERS = [
    (Kind.SEND, DomainKind.MANAGED, 5, 10),
    (Kind.SEND, DomainKind.CUSTOM, 30, 100),
    (Kind.GET_STATUS, DomainKind.MANAGED, 10, 20),
    (Kind.GET_STATUS, DomainKind.CUSTOM, 60, 200),
]


def admitted(limits: SandboxLimits, kind: Kind, domain: DomainKind, *, tries: int, now: float) -> int:
    return sum(limits.admit(kind, domain, now) is None for _ in range(tries))


@pytest.mark.parametrize(("kind", "domain", "per_minute", "per_hour"), NUMBERS)
def test_requests_beyond_the_minute_are_refused(kind: Kind, domain: DomainKind, per_minute: int, per_hour: int) -> None:
    assert admitted(SandboxLimits(), kind, domain, tries=per_hour + 10, now=NOW) == per_minute


@pytest.mark.parametrize(("kind", "domain", "per_minute", "per_hour"), NUMBERS)
def test_requests_beyond_the_hour_are_refused(kind: Kind, domain: DomainKind, per_minute: int, per_hour: int) -> None:
    limits = SandboxLimits()
    in_an_hour = [admitted(limits, kind, domain, tries=per_minute + 1, now=NOW + 60 * minute) for minute in range(60)]
    assert sum(in_an_hour) == per_hour
    assert admitted(limits, kind, domain, tries=1, now=NOW + 3600) == 1


def test_refusal_of_the_minute_has_the_text_of_acs_and_the_true_wait() -> None:
    limits = SandboxLimits()
    admitted(limits, Kind.SEND, DomainKind.MANAGED, tries=5, now=NOW)
    refused = limits.admit(Kind.SEND, DomainKind.MANAGED, NOW + 12.4)
    assert refused is not None
    assert (refused.status, refused.retry_after, refused.faults[0].code) == (429, 48, "TooManyRequests")
    text = refused.faults[0].message
    assert text.startswith("PerSubscriptionPerMinuteLimitExceeded - Please try again after 48 seconds.")
    assert "limit of 5 messages per minute for managed domains" in text


def test_refusal_of_both_windows_speaks_of_the_hour() -> None:
    limits = SandboxLimits()
    admitted(limits, Kind.SEND, DomainKind.MANAGED, tries=5, now=NOW)
    admitted(limits, Kind.SEND, DomainKind.MANAGED, tries=5, now=NOW + 60)
    refused = limits.admit(Kind.SEND, DomainKind.MANAGED, NOW + 61)
    assert refused is not None
    assert refused.retry_after == 3539
    assert refused.faults[0].message.startswith("PerSubscriptionPerHourLimitExceeded - Please try again after 3539 seconds.")


def test_client_that_waits_as_it_is_told_is_admitted() -> None:
    limits = SandboxLimits()
    now = NOW
    for _ in range(40):
        refused = limits.admit(Kind.SEND, DomainKind.MANAGED, now)
        if refused is not None:
            assert refused.retry_after is not None
            assert refused.retry_after >= 1
            now += refused.retry_after
            assert limits.admit(Kind.SEND, DomainKind.MANAGED, now) is None
        now += 0.7


def test_refused_requests_are_not_counted() -> None:
    limits = SandboxLimits()
    admitted(limits, Kind.SEND, DomainKind.MANAGED, tries=1000, now=NOW)
    assert admitted(limits, Kind.SEND, DomainKind.MANAGED, tries=1000, now=NOW + 60) == 5


def test_kinds_and_domains_are_counted_apart() -> None:
    limits = SandboxLimits()
    admitted(limits, Kind.SEND, DomainKind.MANAGED, tries=6, now=NOW)
    assert limits.admit(Kind.GET_STATUS, DomainKind.MANAGED, NOW) is None
    assert limits.admit(Kind.SEND, DomainKind.CUSTOM, NOW) is None


def test_clock_that_steps_back_does_not_lock_the_client_out() -> None:
    limits = SandboxLimits()
    admitted(limits, Kind.SEND, DomainKind.MANAGED, tries=5, now=NOW)
    assert limits.admit(Kind.SEND, DomainKind.MANAGED, NOW - 86_400) is None
