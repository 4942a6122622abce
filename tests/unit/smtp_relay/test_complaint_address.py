from __future__ import annotations

import base64

import pytest

from email_core.sealing import Sealer
from smtp_relay import complaint_address
from smtp_relay.complaint_address import complaint_addresses

OLD, NEW = b"o" * 32, b"n" * 32


def test_address_of_an_older_key_holds_behind_that_of_the_first() -> None:
    before = complaint_addresses(Sealer(OLD), "bounce.postrider.test")
    after = complaint_addresses(Sealer(NEW, OLD), "bounce.postrider.test")
    assert len(before) == 1
    assert after[1:] == before
    assert after[0] != before[0]
    assert all(len(address.partition("@")[0]) <= 64 for address in after)


def test_command_prints_the_address_to_be_registered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AzureWebJobsStorage", "UseDevelopmentStorage=true")
    monkeypatch.setenv("POSTRIDER_SEALING_KEY", base64.b64encode(NEW).decode())
    monkeypatch.setenv("POSTRIDER_PLATFORM_DOMAIN", "mail.contoso.test")
    assert complaint_address.main() == 0
    assert capsys.readouterr().out.strip() == complaint_addresses(Sealer(NEW), "bounce.mail.contoso.test")[0]


def test_command_without_a_sealing_key_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AzureWebJobsStorage", "UseDevelopmentStorage=true")
    monkeypatch.delenv("POSTRIDER_SEALING_KEY", raising=False)
    assert complaint_address.main() == 1
    assert "POSTRIDER_SEALING_KEY is empty" in capsys.readouterr().err
