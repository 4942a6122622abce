"""The sample of the settings, against what is read."""

from __future__ import annotations

import json
import re
from pathlib import Path

from email_core.settings import load_settings

ROOT = Path(__file__).parents[3]


def sample_values() -> dict[str, str]:
    values = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    assert isinstance(values, dict)
    return values


def test_sample_settings_are_exactly_those_that_are_read() -> None:
    read = set(re.findall(r'"(POSTRIDER_[A-Z_]+)"', (ROOT / "email_core" / "settings.py").read_text()))
    assert {name for name in sample_values() if name.startswith("POSTRIDER_")} == read


def test_sample_settings_are_the_defaults_but_for_what_a_machine_without_a_mail_server_needs() -> None:
    storage = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}
    sample, default = load_settings(sample_values()), load_settings(storage)
    differing = {name for name in sample.__slots__ if getattr(sample, name) != getattr(default, name)}
    assert differing == {"sealing_key", "routes", "local_world"}
