from __future__ import annotations

import ssl

import pytest

from email_core.delivery.routes import TlsMode
from email_core.delivery.tls_policy import (
    REMEMBER_BROKEN,
    BrokenTls,
    TlsStep,
    context_for,
    may_authenticate,
    may_fall_back_to_plain,
    next_step,
)
from tests.kit.clock import FakeClock

OPPORTUNISTIC, REQUIRED, IMPLICIT, OFF = TlsMode.OPPORTUNISTIC, TlsMode.REQUIRED, TlsMode.IMPLICIT, TlsMode.OFF


@pytest.mark.parametrize(
    ("mode", "offered", "broken", "step"),
    [
        (OPPORTUNISTIC, True, False, TlsStep.STARTTLS),
        (OPPORTUNISTIC, True, True, TlsStep.PLAIN),
        (OPPORTUNISTIC, False, False, TlsStep.PLAIN),
        (REQUIRED, True, False, TlsStep.STARTTLS),
        (REQUIRED, True, True, TlsStep.STARTTLS),  # a failure of yesterday never weakens what is required
        (REQUIRED, False, False, TlsStep.REFUSE),
        (OFF, True, False, TlsStep.PLAIN),
        (OFF, False, False, TlsStep.PLAIN),
    ],
)
def test_step_after_ehlo(mode: TlsMode, offered: bool, broken: bool, step: TlsStep) -> None:
    assert next_step(mode, offered=offered, broken=broken) is step


@pytest.mark.parametrize(("mode", "may"), [(OPPORTUNISTIC, True), (REQUIRED, False), (IMPLICIT, False), (OFF, False)])
def test_failed_handshake_is_followed_by_plain_only_when_opportunistic(mode: TlsMode, may: bool) -> None:
    assert may_fall_back_to_plain(mode) is may


@pytest.mark.parametrize(
    ("mode", "encrypted", "host", "may"),
    [
        (REQUIRED, True, "relay.test", True),
        (IMPLICIT, True, "relay.test", True),
        (REQUIRED, False, "localhost", False),
        (IMPLICIT, False, "localhost", False),
        (OPPORTUNISTIC, True, "relay.test", False),  # encrypted for nobody knows whom
        (OPPORTUNISTIC, False, "localhost", False),
        (OFF, False, "127.0.0.1", True),
        (OFF, False, "relay.test", False),
    ],
)
def test_password_goes_over_verified_tls_or_to_this_machine(mode: TlsMode, encrypted: bool, host: str, may: bool) -> None:
    assert may_authenticate(mode, encrypted=encrypted, host=host) is may


def test_broken_tls_is_remembered_for_three_days() -> None:
    clock = FakeClock()
    broken = BrokenTls(clock.monotonic)
    broken.remember("mx.example.test")
    assert "mx.example.test" in broken
    assert "other.example.test" not in broken
    clock.advance(REMEMBER_BROKEN - 1)
    assert "mx.example.test" in broken
    clock.advance(2)
    assert "mx.example.test" not in broken


def test_broken_tls_is_forgotten_on_demand() -> None:
    broken = BrokenTls(FakeClock().monotonic)
    broken.remember("mx.example.test")
    broken.forget("mx.example.test")
    broken.forget("mx.example.test")
    assert "mx.example.test" not in broken


def test_memory_of_broken_tls_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("email_core.delivery.tls_policy.MAX_REMEMBERED", 2)
    broken = BrokenTls(FakeClock().monotonic)
    for host in ("a", "b", "c"):
        broken.remember(host)
    assert [host in broken for host in ("a", "b", "c")] == [False, True, True]


def test_contexts_verify_exactly_where_they_must() -> None:
    opportunistic = context_for(OPPORTUNISTIC)
    assert (opportunistic.verify_mode, opportunistic.check_hostname) == (ssl.CERT_NONE, False)
    for mode in (REQUIRED, IMPLICIT):
        assert (context_for(mode).verify_mode, context_for(mode).check_hostname) == (ssl.CERT_REQUIRED, True)
    assert {context_for(mode).minimum_version for mode in (OPPORTUNISTIC, REQUIRED, IMPLICIT)} == {ssl.TLSVersion.TLSv1_2}
