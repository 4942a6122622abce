"""Domains, health and tables as people read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local import cli
from local.domain_view import health_lines, outline, sending_text
from local.table import paragraph, table


def test_table_has_columns_as_wide_as_they_need_and_nothing_that_moves_the_cursor() -> None:
    assert list(table(("A", "LONG", "LAST"), [("1", "x", "a\x1b[31mb"), ("longer", "", "")])) == [
        "A       LONG  LAST",
        "1       x     a?[31mb",
        "longer",
    ]


def test_paragraph_is_indented_and_breaks_no_value() -> None:
    lines = paragraph("word " * 40 + "v=DKIM1;p=" + "A" * 200, 4)
    assert all(line.startswith("    ") for line in lines)
    assert any("A" * 200 in line for line in lines)


@pytest.mark.parametrize(
    ("sending", "text"),
    [
        ({"state": "Ready"}, "Ready"),
        (
            {"state": "Warning", "since": "2026-11-22T01:02:03.000001Z", "pausesAt": "2026-11-25T01:02:03.0Z", "reason": "SPF"},
            "Warning since 2026-11-22 01:02:03Z; it is paused at 2026-11-25 01:02:03Z: SPF",
        ),
        ({}, "?"),
    ],
)
def test_sending_says_since_when_and_why(sending: dict[str, Any], text: str) -> None:
    assert sending_text(sending) == text


def test_health_tells_the_worst_first_with_what_to_do() -> None:
    report = {
        "domain": "contoso.com",
        "status": "red",
        "checkedAt": "2026-11-22T01:02:03.0Z",
        "checks": [
            {"name": "SPF", "status": "green", "required": True, "found": ["v=spf1 -all"]},
            {"name": "MTA-STS", "status": "amber", "required": False, "reason": "It is not there.", "fix": "Publish it."},
            {"name": "DKIM", "status": "red", "required": True, "reason": "The key is gone.", "found": ["nothing"]},
        ],
        "providers": {"gmail": {"status": "red", "failing": [{"rule": "DKIM"}]}, "yahoo": {"status": "green", "failing": []}},
    }
    assert list(health_lines(report)) == [
        "contoso.com: red, looked at 2026-11-22 01:02:03Z",
        "  red     DKIM",
        "          The key is gone.",
        "          found  nothing",
        "  amber   MTA-STS (advice)",
        "          It is not there.",
        "          Publish it.",
        "  green   SPF",
        "  red     gmail: DKIM",
        "  green   yahoo",
    ]


def test_outline_shows_whatever_the_service_answers() -> None:
    value = {"stage": "waiting", "empty": None, "records": [{"name": "a", "type": "TXT"}, {"name": "b"}]}
    assert list(outline(value, "  ")) == [
        "  stage: waiting", "  records:", "    - name: a", "      type: TXT", "    - name: b",
    ]  # fmt: skip


PLATFORM = {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "POSTRIDER_PLATFORM_DOMAIN": "mail.example.com"}


def test_records_of_the_platform_come_from_the_settings_without_asking_anybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in PLATFORM.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["domain", "platform", "--spf", "spf.relay.example.net", "--address", "192.0.2.10"], tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert 'spf.mail.example.com. 3600 IN TXT "v=spf1 ip4:192.0.2.10 include:spf.relay.example.net -all"' in lines
    assert "bounce.mail.example.com. 3600 IN MX 10 mx.mail.example.com." in lines
    assert cli.main(["domain", "platform", "--address", "192.0.2.10", "--json"], tmp_path) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["domain"], len(told["records"])) == ("mail.example.com", 4)


@pytest.mark.parametrize("words", [(), ("--address", "not an address"), ("--spf", "not a name")])
def test_records_of_the_platform_with_wrong_values_end_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    for name, value in PLATFORM.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["domain", "platform", *words], tmp_path) == 2
    assert capsys.readouterr().err.startswith("postrider: ")
