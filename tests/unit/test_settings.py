"""Settings: what each takes, and that every wrong one is named with its rule and the value that was found."""

from __future__ import annotations

import pytest

from email_core.settings import RETRY_PAUSES, REVERIFY_SCHEDULE, SettingsError, load_settings, reverify_schedule
from local.ncrontab import parse_schedule

STORAGE = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}


def test_settings_of_an_environment_with_storage_alone_have_their_defaults() -> None:
    settings = load_settings(STORAGE)

    assert settings.routes == "mx"
    assert settings.retry_pauses == RETRY_PAUSES
    assert settings.bounce_domain == "bounce.postrider.test"


def test_settings_retry_pauses_are_seconds_with_commas_between() -> None:
    assert load_settings({**STORAGE, "POSTRIDER_RETRY_PAUSES": "60, 300,900"}).retry_pauses == (60.0, 300.0, 900.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POSTRIDER_RETRY_PAUSES", "60;300"),
        ("POSTRIDER_RETRY_PAUSES", "60,,300"),
        ("POSTRIDER_RETRY_PAUSES", "0"),
        ("POSTRIDER_RETRY_PAUSES", "86401"),
        ("POSTRIDER_RETRY_PAUSES", ",".join(["60"] * 21)),
        ("POSTRIDER_MAX_RECIPIENTS", "100"),
        ("POSTRIDER_MAX_RECIPIENTS", "fifty"),
        ("POSTRIDER_ACS_LIMITS", "maybe"),
        ("POSTRIDER_CONFIGURATION_SECONDS", "61"),
        ("POSTRIDER_PROXY_HOPS", "11"),
        ("POSTRIDER_SMTP_DSN", "always"),
        ("POSTRIDER_SMTP_TLS_PORT", "65536"),
    ],
)
def test_settings_wrong_value_is_named_with_its_rule_and_what_was_found(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings({**STORAGE, name: value})

    assert str(refused.value).startswith(f"{name} must be ")
    assert str(refused.value).endswith(f"it is {value!r}")


def test_settings_several_wrong_values_are_all_named() -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings({"POSTRIDER_MX_PORT": "0", "POSTRIDER_RUN_SECONDS": "300"})

    lines = str(refused.value).splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["AzureWebJobsStorage", "POSTRIDER_MX_PORT", "POSTRIDER_RUN_SECONDS"]


def test_settings_admin_token_that_could_be_guessed_is_refused_without_being_shown() -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings({**STORAGE, "POSTRIDER_ADMIN_TOKEN": "a-short-secret"})

    assert str(refused.value).startswith("POSTRIDER_ADMIN_TOKEN must have 32 characters or more")
    assert "a-short-secret" not in str(refused.value)


def test_settings_of_tokens_are_lists_with_commas_between() -> None:
    settings = load_settings(
        {
            **STORAGE,
            "POSTRIDER_ENTRA_TENANTS": "one, two,",
            "POSTRIDER_ENTRA_AUDIENCES": "api://postrider",
            "POSTRIDER_ENTRA_AUTHORITY": "https://login.example/",
            "POSTRIDER_ROLES": "Ops=Admin , Apps=Sender@/subscriptions/x",
            "POSTRIDER_ADMIN_TOKEN": "x" * 32,
        }
    )

    assert settings.entra_tenants == ("one", "two")
    assert settings.entra_audiences == ("api://postrider",)
    assert settings.entra_authority == "https://login.example"
    assert settings.roles == ("Ops=Admin", "Apps=Sender@/subscriptions/x")
    assert "xxx" not in repr(settings)


@pytest.mark.parametrize(
    ("value", "schedule"),
    [
        ("", REVERIFY_SCHEDULE),
        ("0 30 1 * * *", "0 30 1 * * *"),
        (" 0  0 */6 * * 1-5 ", "0 0 */6 * * 1-5"),
        ("15 45 1,13 1-28/7 1,4,7,10 0", "15 45 1,13 1-28/7 1,4,7,10 0"),
    ],
)
def test_settings_schedule_is_one_that_the_host_understands(value: str, schedule: str) -> None:
    environment = {**STORAGE, "POSTRIDER_REVERIFY_SCHEDULE": value}

    assert load_settings(environment).reverify_schedule == reverify_schedule(environment) == schedule
    assert parse_schedule(schedule)


@pytest.mark.parametrize(
    "value",
    [
        "daily", "0 0 3 * *", "0 0 3 * * * *", "0 0 24 * * *", "0 60 3 * * *", "0 0 3 31 * *", "0 0 3 * 13 *", "0 0 3 * * 7",
        "0 0 3 * * MON", "0 0 3 */0 * *", "0 */5 * * * *", "* 0 3 * * *", "0 0 3, * * *", "0 0 -3 * * *", "24:00:00",
        "0 0 5-3 * * *", "0 0 \u0663 * * *", "\u0660 0 3 * * *",
    ],
)  # fmt: skip
def test_settings_schedule_that_is_wrong_is_told_and_keeps_no_app_from_loading(value: str) -> None:
    environment = {**STORAGE, "POSTRIDER_REVERIFY_SCHEDULE": value}

    with pytest.raises(SettingsError, match="POSTRIDER_REVERIFY_SCHEDULE must be six fields of NCRONTAB"):
        load_settings(environment)
    assert reverify_schedule(environment) == REVERIFY_SCHEDULE


def test_settings_zones_are_words_that_a_repr_does_not_show() -> None:
    zones = "rfc2136://key:c2VjcmV0@192.0.2.1/example.com, azure://1/dns/example.org"
    settings = load_settings({**STORAGE, "POSTRIDER_ZONES": zones, "POSTRIDER_DKIM_ZONE": "DKIM.Example.com."})

    assert settings.zones == tuple(zones.split(", "))
    assert settings.dkim_zone == "dkim.example.com"
    assert "c2VjcmV0" not in repr(settings)
    assert settings.rotation_days == 0
