"""host.json and local.settings.json, as the functions host reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local.host_settings import (
    HostSettings,
    HostSettingsError,
    QueueSettings,
    is_disabled,
    load_app_settings,
    load_host_settings,
    resolve,
)

ROOT = Path(__file__).parents[3]


def written(folder: Path, content: Any) -> Path:
    path = folder / "host.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_host_settings_of_an_almost_empty_file_are_the_hosts_defaults(tmp_path: Path) -> None:
    assert load_host_settings(written(tmp_path, {"version": "2.0"})) == HostSettings()


def test_host_settings_of_this_project_keep_the_acs_paths_and_the_bounded_run() -> None:
    assert load_host_settings(ROOT / "host.json") == HostSettings(
        route_prefix="",
        function_timeout=600.0,
        queues=QueueSettings(
            batch_size=16,
            new_batch_threshold=8,
            max_dequeue_count=8,
            visibility_timeout=30.0,
            max_polling_interval=2.0,
            base64=True,
        ),
    )


def test_host_settings_threshold_is_half_the_batch_unless_given(tmp_path: Path) -> None:
    settings = load_host_settings(written(tmp_path, {"version": "2.0", "extensions": {"queues": {"batchSize": 6}}}))
    assert settings.queues.new_batch_threshold == 3


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("00:10:00", 600.0), ("1.02:03:04", 93784.0), ("00:00:00.250", 0.25), ("-1", None)],
)
def test_function_timeout_written_as_time_span_is_read(tmp_path: Path, text: str, seconds: float | None) -> None:
    assert load_host_settings(written(tmp_path, {"version": "2.0", "functionTimeout": text})).function_timeout == seconds


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("{", "not JSON"),
        ([], "JSON object"),
        ({}, '"version"'),
        ({"version": "2.0", "extensions": []}, '"extensions"'),
        ({"version": "2.0", "functionTimeout": "ten minutes"}, "functionTimeout"),
        ({"version": "2.0", "extensions": {"queues": {"batchSize": 33}}}, "batchSize must be a whole number from 1 to 32"),
        ({"version": "2.0", "extensions": {"queues": {"batchSize": True}}}, "batchSize"),
        ({"version": "2.0", "extensions": {"queues": {"maxDequeueCount": 0}}}, "maxDequeueCount"),
        ({"version": "2.0", "extensions": {"queues": {"visibilityTimeout": 30}}}, "visibilityTimeout"),
        ({"version": "2.0", "extensions": {"queues": {"messageEncoding": "utf8"}}}, "messageEncoding"),
    ],
)
def test_host_settings_that_cannot_be_obeyed_are_refused_by_name(tmp_path: Path, content: Any, word: str) -> None:
    with pytest.raises(HostSettingsError, match=word):
        load_host_settings(written(tmp_path, content))


def test_host_settings_of_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HostSettingsError, match="cannot be read"):
        load_host_settings(tmp_path / "host.json")


def test_app_settings_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "local.settings.json"
    path.write_text(json.dumps({"IsEncrypted": False, "Values": {"A": "file", "B": "file"}}))
    assert load_app_settings(path, {"B": "environment"}) == {"A": "file", "B": "environment"}


def test_app_settings_without_a_file_are_the_environment(tmp_path: Path) -> None:
    assert load_app_settings(tmp_path / "local.settings.json", {"B": "1"}) == {"B": "1"}


def test_app_settings_that_are_no_strings_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "local.settings.json"
    path.write_text(json.dumps({"Values": {"LIMIT": 5}}))
    with pytest.raises(HostSettingsError, match="LIMIT"):
        load_app_settings(path, {})


@pytest.mark.parametrize(("value", "disabled"), [("true", True), ("True", True), ("1", True), ("false", False), ("", False)])
def test_function_is_disabled_by_its_own_setting_only(value: str, disabled: bool) -> None:
    app_settings = {"AzureWebJobs.on_submission.Disabled": value}

    assert is_disabled("on_submission", app_settings) is disabled
    assert not is_disabled("on_delivery", app_settings)


def test_resolve_replaces_settings_in_percent_signs() -> None:
    assert resolve("0 */%STEP% * * * *", {"STEP": "5"}) == "0 */5 * * * *"
    with pytest.raises(HostSettingsError, match="%STEP%"):
        resolve("0 */%STEP% * * * *", {})
