"""POSTRIDER_ZONES: what an entry may be, and that a wrong one is named without its secret."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from email_core.domains.zone_setting import AzureZone, UpdateZone, ZoneSettingError, check_zones, parse_zones, zone_holding
from email_core.settings import Secret, Settings, SettingsError, StorageSettings

SUBSCRIPTION = "11111111-2222-4333-8444-555555555555"
SECRET = "//79/Pv6+fj39vX08/Lx8A=="  # has both characters of base64 that a URL would rather not
BYTES = base64.b64decode(SECRET)


@pytest.mark.parametrize(
    ("entry", "zone"),
    [
        (f"azure://{SUBSCRIPTION}/dns-zones/Example.COM.", AzureZone(1, "example.com", SUBSCRIPTION, "dns-zones")),
        (
            f"rfc2136://updates:{SECRET}@192.0.2.53/example.com",
            UpdateZone(1, "example.com", "192.0.2.53", 53, "updates", BYTES, "hmac-sha256"),
        ),
        (
            f"RFC2136://Updates.:{SECRET}@ns1.example.com:5353/sub.example.com?algorithm=HMAC-SHA512",
            UpdateZone(1, "sub.example.com", "ns1.example.com", 5353, "updates", BYTES, "hmac-sha512"),
        ),
        (
            f"rfc2136://k.e-y_1:{SECRET.replace('/', '%2F')}@[2001:db8::53]:53/xn--bcher-kva.example",
            UpdateZone(1, "xn--bcher-kva.example", "2001:db8::53", 53, "k.e-y_1", BYTES, "hmac-sha256"),
        ),
    ],
    ids=["azure", "rfc2136", "rfc2136-with-everything", "rfc2136-ipv6-and-percent"],
)
def test_zone_entry_in_each_form_is_read(entry: str, zone: object) -> None:
    assert parse_zones([entry]) == (zone,)


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        ("example.com", "begins with azure:// or rfc2136://"),
        ("https://example.com/zone", "begins with azure:// or rfc2136://"),
        (f"azure://{SUBSCRIPTION}/example.com", "has three parts after azure://"),
        ("azure://subscription/group/example.com", "a subscription id is a GUID"),
        (f"azure://{SUBSCRIPTION}/gr oup/example.com", "a resource group has"),
        (f"azure://{SUBSCRIPTION}/group/exa mple.com", "ends with the name of a zone"),
        (f"azure://{SUBSCRIPTION}/group/bücher.example", "A-labels"),
        ("rfc2136://192.0.2.53/example.com", "names its key before an @"),
        (f"rfc2136://{SECRET}@192.0.2.53/example.com", "names its key before an @"),
        (f"rfc2136://a key:{SECRET}@192.0.2.53/example.com", "has a key name that is no DNS name"),
        (f"rfc2136://key:{SECRET}@192.0.2.53", "names a host and a zone"),
        (f"rfc2136://key:{SECRET}@192.0.2.53:0/example.com", "has a port that is none"),
        (f"rfc2136://key:{SECRET}@192.0.2.53:70000/example.com", "has a port that is none"),
        (f"rfc2136://key:{SECRET}@2001:db8::53/example.com", "names a host and a zone"),
        ("rfc2136://key:not*base64*at*all@192.0.2.53/example.com", "has a secret that is not base64"),
        ("rfc2136://key:c2hvcnQ=@192.0.2.53/example.com", "has a secret of fewer than 16 bytes"),
        (f"rfc2136://key:{SECRET}@192.0.2.53/example.com?algorithm=hmac-md5", "may have ?algorithm="),
        (f"rfc2136://key:{SECRET}@192.0.2.53/example.com?algorithm=", "may have ?algorithm="),
        (f"rfc2136://key:{SECRET}@192.0.2.53/example.com?ttl=60", "may have ?algorithm="),
    ],
)  # fmt: skip
def test_zone_entry_that_is_wrong_is_named_by_number_with_its_rule_and_without_its_secret(entry: str, rule: str) -> None:
    with pytest.raises(ZoneSettingError) as refused:
        parse_zones([f"azure://{SUBSCRIPTION}/group/other.example", entry])

    said = str(refused.value)
    assert said.startswith("entry 2 of POSTRIDER_ZONES ") and rule in said
    assert "\n" not in said
    for secret in (SECRET, "not*base64*at*all", "c2hvcnQ="):
        assert secret not in said


def test_zone_entries_that_are_wrong_are_all_named() -> None:
    with pytest.raises(ZoneSettingError) as refused:
        parse_zones(["nonsense", f"azure://{SUBSCRIPTION}/group/example.com", "azure://x"])

    assert [line.split(" of ")[0] for line in str(refused.value).splitlines()] == ["entry 1", "entry 3"]


def test_zone_entries_for_one_zone_are_refused() -> None:
    with pytest.raises(ZoneSettingError, match=r"entries 1 and 2 of POSTRIDER_ZONES are both for example\.com"):
        parse_zones([f"azure://{SUBSCRIPTION}/group/example.com", f"rfc2136://key:{SECRET}@192.0.2.53/example.com"])


def test_zone_shows_nothing_of_its_secret() -> None:
    (zone,) = parse_zones([f"rfc2136://key:{SECRET}@192.0.2.53/example.com"])

    assert SECRET not in repr(zone) and repr(BYTES) not in repr(zone)


@pytest.mark.parametrize(
    ("name", "number"),
    [("example.com", 1), ("a.b.example.com", 1), ("x.sub.example.com", 2), ("sub.example.com", 2), ("notexample.com", 0)],
)  # fmt: skip
def test_zone_that_holds_a_name_is_the_longest(name: str, number: int) -> None:
    zones = parse_zones([f"azure://{SUBSCRIPTION}/group/{zone}" for zone in ("example.com", "sub.example.com")])

    found = zone_holding(name, zones)

    assert (found.number if found else 0) == number


def test_zones_are_checked_when_a_worker_starts() -> None:
    settings = Settings(storage=StorageSettings(), dkim_zone="dkim.example.com")
    check_zones(settings)

    with pytest.raises(SettingsError, match=r"entry 1 of POSTRIDER_ZONES"):
        check_zones(replace(settings, zones=(Secret("nonsense"),)))
    with pytest.raises(SettingsError, match=r"POSTRIDER_DKIM_ZONE must be a domain name .* it is 'not a name'"):
        check_zones(replace(settings, dkim_zone="not a name"))
    with pytest.raises(SettingsError, match=r"POSTRIDER_SPF_INCLUDE must be a domain name .* it is 'include:spf.example.com'"):
        check_zones(replace(settings, spf_include="include:spf.example.com"))
    with pytest.raises(SettingsError, match=r"POSTRIDER_PLATFORM_DOMAIN must be a domain name"):
        check_zones(replace(settings, platform_domain="Beispiel.Müller"))
