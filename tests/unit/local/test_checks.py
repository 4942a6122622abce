"""`./postrider test`: what is run, and whose status is the result."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local import checks


class Runs:
    """Notes the checks; `failing` maps one to its exit status."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **failing: int) -> None:
        self.commands: list[list[str]] = []
        self._failing = failing
        monkeypatch.setattr(checks.subprocess, "run", self._run)  # type: ignore[attr-defined]

    def _run(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        assert command[:2] == [sys.executable, "-m"]
        self.commands.append(command[2:])
        return subprocess.CompletedProcess(command, self._failing.get(command[2], 0))


def test_checks_run_all_and_pass_arguments_to_pytest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = Runs(monkeypatch)
    assert checks.run_checks(Path(), fast=False, pytest_arguments=["-k", "a b"]) == 0
    assert runs.commands == [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"], ["pytest", "-k", "a b"]]
    told = capsys.readouterr().out.splitlines()
    assert "$ ruff format --check" in told
    assert told[-1] == "$ pytest -k 'a b'"  # what follows is pytest's own


def test_checks_fast_leave_out_the_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(monkeypatch)
    checks.run_checks(Path(), fast=True, pytest_arguments=[])
    assert runs.commands[-1][:3] == ["pytest", "-m", "not peers"]


def test_checks_without_arguments_run_tests_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(monkeypatch)
    checks.run_checks(Path(), fast=False, pytest_arguments=[])
    count = runs.commands[-1][runs.commands[-1].index("-n") + 1]
    assert 2 <= int(count) <= 4


FAILURES = [({"ruff": 3, "pytest": 1}, 3), ({"mypy": 2}, 2), ({"pytest": 1}, 1), ({"pytest": 5}, 5)]


@pytest.mark.parametrize(("failing", "status"), FAILURES)
def test_checks_end_with_the_first_failure_and_run_the_rest(
    monkeypatch: pytest.MonkeyPatch, failing: dict[str, int], status: int
) -> None:
    runs = Runs(monkeypatch, **failing)
    assert checks.run_checks(Path(), fast=False, pytest_arguments=[]) == status
    assert len(runs.commands) == 4
