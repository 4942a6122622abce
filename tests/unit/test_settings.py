"""Settings: what each takes, and that every wrong one is named with its rule and the value that was found."""

from __future__ import annotations

import pytest

from email_core.settings import RETRY_PAUSES, SettingsError, load_settings

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
