"""`./postrider domain platform`: what the platform domain needs in the DNS, from the settings alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import cli
from tests.kit.pipeline import SEALING_KEY


@pytest.fixture(autouse=True)
def installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AzureWebJobsStorage", "UseDevelopmentStorage=true")
    monkeypatch.setenv("POSTRIDER_SEALING_KEY", str(SEALING_KEY))
    monkeypatch.setenv("POSTRIDER_PLATFORM_DOMAIN", "mail.example.net")


def test_platform_records_lead_bounces_to_the_address_of_the_smtp_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["domain", "platform", "--spf", "spf.relay.example.org", "--mx", "192.0.2.25"], tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "bounce.mail.example.net. 3600 IN MX 10 mx.mail.example.net." in lines
    assert "mx.mail.example.net. 3600 IN A 192.0.2.25" in lines


def test_platform_records_without_a_sender_say_which_options_name_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["domain", "platform"], tmp_path) == 2
    told = capsys.readouterr().err
    assert "name at least one sender address" in told
    assert "--address" in told and "--spf" in told
