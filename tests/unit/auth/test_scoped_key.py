"""What an extra access key is refused for."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from email_core.auth.hmac_access_key import AccessKey
from email_core.auth.scoped_key import check_key, check_reading, check_sender
from email_core.errors import RequestRefused

NOW = 1_790_000_000.0
SECRET = bytes(32)


def key(**restrictions: object) -> AccessKey:
    return AccessKey("svca", "ci", SECRET, **restrictions)  # type: ignore[arg-type]


def refused(check: object) -> tuple[int, str, str]:
    with pytest.raises(RequestRefused) as refusal:
        check()  # type: ignore[operator]
    fault = refusal.value.faults[0]
    assert "'ci'" in fault.message
    return refusal.value.status, fault.code, fault.message


def test_key_without_restrictions_may_do_everything() -> None:
    check_key(key(), client_address="", now=NOW)
    check_reading(key())
    check_sender(key(), "contoso.test")


def test_key_is_refused_from_its_expiry_on() -> None:
    check_key(key(expires_at=NOW + 1), client_address="", now=NOW)
    status, code, text = refused(lambda: check_key(key(expires_at=NOW), client_address="", now=NOW))
    assert (status, code) == (401, "Denied")
    assert "2026-09-21T14:13:20+00:00" in text


@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8:1::7"])
def test_key_is_taken_from_its_networks(address: str) -> None:
    networks = (ip_network("203.0.113.0/24"), ip_network("2001:db8::/32"))
    check_key(key(source_ranges=networks), client_address=address, now=NOW)


@pytest.mark.parametrize("address", ["203.0.114.7", "2001:db9::1", ""])
def test_key_is_refused_from_elsewhere_and_from_nowhere(address: str) -> None:
    networks = (ip_network("203.0.113.0/24"), ip_network("2001:db8::/32"))
    restricted = key(source_ranges=networks)
    status, code, text = refused(lambda: check_key(restricted, client_address=address, now=NOW))
    assert (status, code) == (403, "Forbidden")
    assert (address or "unknown") in text


def test_key_that_only_sends_may_not_read() -> None:
    assert refused(lambda: check_reading(key(send_only=True)))[:2] == (403, "Forbidden")


def test_key_of_some_domains_sends_from_those_alone() -> None:
    restricted = key(domains=("contoso.test", "fabrikam.test"))
    check_sender(restricted, "fabrikam.test")
    for domain in ("mail.contoso.test", "contoso.test.evil", "adatum.test"):
        assert refused(lambda domain=domain: check_sender(restricted, domain))[:2] == (403, "Forbidden")  # type: ignore[misc]
