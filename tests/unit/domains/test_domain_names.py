"""Which names a domain of a customer may have, and which of them need no DNS."""

from __future__ import annotations

import threading

import pytest

from email_core.domains import domain_names
from email_core.domains.domain_names import (
    MOST_DOMAIN,
    DomainNameError,
    customer_domain,
    is_reserved,
    registrable_domain,
    verifies_at_once,
)
from email_core.settings import Settings, StorageSettings

SETTINGS = Settings(storage=StorageSettings(), platform_domain="mail.example.net", dkim_zone="dkim.example.org")
LONGEST = ".".join(["a" * 63] * 3) + "." + "b" * (MOST_DOMAIN - 3 * 64 - len(".com")) + ".com"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("contoso.com", "contoso.com"),
        ("Sales.Contoso.COM", "sales.contoso.com"),
        ("contoso.co.uk", "contoso.co.uk"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("contoso.test", "contoso.test"),
        ("contoso.localhost", "contoso.localhost"),
        ("contoso.internal", "contoso.internal"),
        ("contoso.github.io", "contoso.github.io"),
        ("example.net", "example.net"),
        (LONGEST, LONGEST),
    ],
)
def test_customer_domain_that_somebody_can_own_is_taken_in_a_labels(text: str, name: str) -> None:
    assert customer_domain(text, SETTINGS) == name


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("com", "without a dot"),
        ("localhost", "without a dot"),
        ("co.uk", "public suffix"),
        ("個人.hk", "public suffix"),
        ("192.0.2.1", "IP address"),
        ("[192.0.2.1]", "not allowed in a domain"),
        ("2001:db8::1", "not allowed in a domain"),
        ("contoso.com.", "ends with a dot"),
        ("contoso..com", "two dots in a row"),
        ("_dmarc.contoso.com", "not allowed in a domain"),
        ("con toso.com", "not allowed in a domain"),
        ("contoso\u202e.com", "invisible"),
        ("-contoso.com", "hyphen"),
        ("xn--.com", "internationalised"),
        (f"{'a' * 64}.com", "label"),
        (LONGEST.replace("b.com", "bb.com"), "with a DKIM selector"),
        (".".join(["a" * 63] * 4), "more than 253 octets"),
        ("mail.example.net", "keeps for itself"),
        ("7f0b1d6e.mail.example.net", "keeps for itself"),
        ("dkim.example.org", "keeps for itself"),
        ("contoso.com.dkim.example.org", "keeps for itself"),
    ],
)
def test_customer_domain_that_nobody_can_own_is_refused_with_the_rule(text: str, why: str) -> None:
    with pytest.raises(DomainNameError, match=why):
        customer_domain(text, SETTINGS)


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("contoso.com", "contoso.com"),
        ("a.b.contoso.com", "contoso.com"),
        ("a.contoso.co.uk", "contoso.co.uk"),
        ("a.contoso.github.io", "github.io"),
        ("a.contoso.test", "contoso.test"),
        ("a.xn--bcher-kva.xn--j6w193g", "xn--bcher-kva.xn--j6w193g"),
        ("com", ""),
        ("co.uk", ""),
    ],
)
def test_registrable_domain_is_the_part_that_somebody_registered(name: str, zone: str) -> None:
    assert registrable_domain(name) == zone


@pytest.mark.parametrize(
    ("name", "reserved"),
    [("contoso.test", True), ("a.b.example", True), ("a.localhost", True), ("example.com", False), ("contest", False)],
)
def test_name_below_a_reserved_top_level_domain_is_for_tests(name: str, reserved: bool) -> None:
    assert is_reserved(name) is reserved


@pytest.mark.parametrize(
    ("local_world", "dns_server", "name", "at_once"),
    [
        (True, "", "contoso.test", True),
        (True, "127.0.0.1:5353", "contoso.test", False),
        (True, "", "contoso.com", False),
        (False, "", "contoso.test", False),
    ],
)
def test_domain_verifies_at_once_only_in_a_local_world_without_dns(
    local_world: bool, dns_server: str, name: str, at_once: bool
) -> None:
    settings = Settings(storage=StorageSettings(), local_world=local_world, dns_server=dns_server)
    assert verifies_at_once(settings, name) is at_once


async def test_list_of_public_suffixes_is_read_once_and_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    import publicsuffixlist

    readers: list[threading.Thread] = []

    class Noted(publicsuffixlist.PublicSuffixList):
        def __init__(self, **options: object) -> None:
            readers.append(threading.current_thread())
            super().__init__(**options)

    monkeypatch.setattr(publicsuffixlist, "PublicSuffixList", Noted)
    domain_names._suffixes.cache_clear()
    await domain_names.load_suffixes()
    await domain_names.load_suffixes()

    assert domain_names.registrable_domain("mail.contoso.co.uk") == "contoso.co.uk"
    assert len(readers) == 1
    assert readers[0] is not threading.current_thread()
