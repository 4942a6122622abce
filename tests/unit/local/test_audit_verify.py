"""`./postrider audit --verify` of a log that does not hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from email_core.administration.audit_entry import FIRST_PREVIOUS, Entry, changes_text
from email_core.administration.audit_events import entry_shown
from local import cli
from tests.unit.local.arm_service import SUBSCRIPTION, TOKEN, ArmService, Asked


class Log:
    """A log in pages of two, the newest first."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        previous = FIRST_PREVIOUS
        for number in range(1, 6):
            entry = Entry(
                number, f"id{number}", "2027-01-01T00:00:00.000000Z", "user", "ann", "", "", "Domains_Update", "/one", "",
                changes_text({"dmarc_policy": ("none", {"to": ["ä", 1.5, None]})}), "accepted", "", previous,
            ).sealed()  # fmt: skip
            previous = entry.hash
            self.entries.insert(0, entry_shown(SUBSCRIPTION, entry)["properties"])  # type: ignore[arg-type]
        self.verified = True
        self.endpoint = ""

    def __call__(self, asked: Asked) -> tuple[int, Any]:
        start = int(asked.query.get("$skipToken", "0"))
        page: dict[str, Any] = {
            "value": [{"properties": entry} for entry in self.entries[start : start + 2]],
            "verified": self.verified,
        }
        if start + 2 < len(self.entries):
            page["nextLink"] = f"{self.endpoint}{asked.path}?api-version=1&$skipToken={start + 2}"
        return 200, page


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    answering = Log()
    with ArmService(answering) as service:
        answering.endpoint = service.endpoint
        monkeypatch.setenv("POSTRIDER_ENDPOINT", service.endpoint)
        monkeypatch.setenv("POSTRIDER_ADMIN_TOKEN", TOKEN)
        monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION)
        yield answering


def verify(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    status = cli.main(["audit", "--verify", "--json"], Path("/nonexistent"))
    return status, json.loads(capsys.readouterr().out)


def test_log_that_holds_over_its_pages_ends_with_0(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    head = log.entries[0]["hash"]
    assert verify(capsys) == (0, {"verified": True, "entries": 5, "head": head, "broken": []})


def test_empty_log_holds(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    log.entries = []
    assert verify(capsys) == (0, {"verified": True, "entries": 0, "head": None, "broken": []})


def test_entry_that_was_changed_ends_with_1(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    log.verified = False
    assert verify(capsys)[0] == 1


@pytest.mark.parametrize("name", ["caller", "text", "changes", "timestamp", "hashed"])
def test_entry_that_shows_something_else_than_was_hashed_is_told_whatever_the_service_says(
    log: Log, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    was = log.entries[2][name]
    log.entries[2][name] = {"dmarc_policy": {"before": "none", "after": "x"}} if name == "changes" else f"{was} "
    status, told = verify(capsys)
    assert (status, told["verified"], told["broken"]) == (1, False, [3])


@pytest.mark.parametrize(("gone", "broken"), [(1, 5), (2, 4), (4, 2)])
def test_entry_that_was_taken_out_is_told_by_the_one_after_it(
    log: Log, capsys: pytest.CaptureFixture[str], gone: int, broken: int
) -> None:
    del log.entries[gone]
    status, told = verify(capsys)
    assert (status, told["broken"]) == (1, [broken])
    assert cli.main(["audit", "--verify"], Path("/nonexistent")) == 1
    assert f"The log does not hold at {broken}:" in capsys.readouterr().out
