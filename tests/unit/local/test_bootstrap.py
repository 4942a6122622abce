"""The script `postrider`: installs once, says what is missing, and hands over."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


class Bootstrap:
    """The script in a folder of the test's own, with installers that only note that they were called."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        self.script = _load()
        self.folder = folder
        self.installs: list[str] = []
        self.handed_over: list[list[str]] = []
        for name in ("requirements.txt", "requirements-local.txt", "requirements-dev.txt", "package-lock.json"):
            (folder / name).write_text((ROOT / name).read_text())
        venv, modules = folder / ".venv", folder / "node_modules"
        changes = {"ROOT": folder, "VENV": venv, "PYTHON": venv / "bin" / "python", "NODE_MODULES": modules, "run": self._run}
        for name, value in changes.items():
            monkeypatch.setattr(self.script, name, value)
        monkeypatch.setattr(os, "execv", lambda path, words: self.handed_over.append(words) or 0)

    def _run(self, command: list[Any], hint: str) -> None:
        words = [str(word) for word in command]
        self.installs.append(" ".join(words[1:]).replace(f"{self.folder}/", ""))
        if words[1:3] == ["-m", "venv"]:
            self.script.PYTHON.parent.mkdir(parents=True)
            self.script.PYTHON.touch()
        if words[0] == "npm":
            self.script.NODE_MODULES.mkdir(exist_ok=True)

    def __call__(self, *arguments: str) -> list[str]:
        """What this call installed."""
        self.installs.clear()
        assert self.script.main(list(arguments)) == 0
        return list(self.installs)


def _load() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("postrider_script", str(ROOT / "postrider"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def postrider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bootstrap:
    return Bootstrap(tmp_path, monkeypatch)


PIP = "-m pip install --quiet --disable-pip-version-check --no-input -r"


def test_bootstrap_first_run_installs_and_second_run_does_not(postrider: Bootstrap, capsys: pytest.CaptureFixture[str]) -> None:
    assert postrider("up") == ["-m venv --clear .venv", f"{PIP} requirements-local.txt", "ci --silent --omit=dev"]
    assert "Installing Python packages of requirements-local.txt ... 0.0 s" in capsys.readouterr().err
    assert postrider("exec", "--", "true") == []
    assert capsys.readouterr().err == ""


def test_bootstrap_hands_over_with_the_same_words(postrider: Bootstrap) -> None:
    postrider("exec", "--", "sh", "-c", "exit 7")
    (words,) = postrider.handed_over
    assert words[0] == str(postrider.folder / ".venv" / "bin" / "python")
    assert words[-5:] == ["exec", "--", "sh", "-c", "exit 7"]


def test_bootstrap_tests_need_more_and_then_up_needs_nothing(postrider: Bootstrap) -> None:
    postrider("up")
    assert postrider("test") == [f"{PIP} requirements-dev.txt", "ci --silent"]
    assert postrider("test") == []
    assert postrider("up") == []


def test_bootstrap_figures_need_what_the_tests_need(postrider: Bootstrap) -> None:
    assert postrider("bench", "--list") == ["-m venv --clear .venv", f"{PIP} requirements-dev.txt", "ci --silent"]
    assert postrider("test") == []


def test_bootstrap_installs_for_tests_serve_a_first_up_as_well(postrider: Bootstrap) -> None:
    postrider("test")
    assert postrider("up") == []


@pytest.mark.parametrize("arguments", [("send",), ("test", "--fast")])
def test_bootstrap_leaves_node_alone_where_it_is_not_needed(
    postrider: Bootstrap, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert not any("ci" in install.split() for install in postrider(*arguments))


@pytest.mark.parametrize(
    ("changed", "installs"),
    [
        ("requirements-local.txt", [f"{PIP} requirements-local.txt"]),
        ("requirements.txt", [f"{PIP} requirements-local.txt"]),  # included by the other
        ("package-lock.json", ["ci --silent --omit=dev"]),
        ("requirements-dev.txt", []),
    ],
)
def test_bootstrap_installs_again_what_has_changed(postrider: Bootstrap, changed: str, installs: list[str]) -> None:
    postrider("up")
    with (postrider.folder / changed).open("a") as file:
        file.write("\n")
    assert postrider("up") == installs
    assert postrider("up") == []


def test_bootstrap_keeps_the_peers_of_the_tests_when_the_lock_changes(postrider: Bootstrap) -> None:
    postrider("test")
    with (postrider.folder / "package-lock.json").open("a") as file:
        file.write("\n")
    assert postrider("up") == ["ci --silent"]
    assert postrider("test") == []


def test_bootstrap_installation_that_failed_is_tried_again(postrider: Bootstrap, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(command: list[Any], hint: str) -> None:
        postrider._run(command, hint)
        if "pip" in command:
            raise postrider.script.Missing("no network")

    monkeypatch.setattr(postrider.script, "run", failing)
    assert postrider.script.main(["up"]) == 69
    monkeypatch.setattr(postrider.script, "run", postrider._run)
    assert postrider("up") == [f"{PIP} requirements-local.txt", "ci --silent --omit=dev"]


def program(folder: Path, name: str, says: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho {says}\n")
    (folder / name).chmod(0o755)


UNFIT = [
    ({}, "`node` is not on the PATH"),
    ({"node": "v20.1.0"}, "`npm` is not on the PATH"),
    ({"node": "v16.20.2", "npm": "8"}, "Node.js 18 or newer is needed, this is v16.20.2"),
]


@pytest.mark.parametrize(("versions", "word"), UNFIT)
def test_bootstrap_without_a_fitting_node_says_so_and_ends_with_69(
    postrider: Bootstrap,
    versions: dict[str, str],
    word: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, says in versions.items():
        program(postrider.folder / "bin", name, says)
    monkeypatch.setenv("PATH", str(postrider.folder / "bin"))
    assert postrider.script.main(["up"]) == 69
    assert word in capsys.readouterr().err
    assert postrider.handed_over == []


def test_bootstrap_failed_installer_is_told_with_its_command_and_a_hint(tmp_path: Path) -> None:
    script = _load()
    with pytest.raises(script.Missing) as raised:
        script.run(["sh", "-c", "echo no such package >&2; exit 4"], "Try again.")
    assert str(raised.value).splitlines()[-1] == "no such package"
    assert "failed with exit status 4. Try again." in str(raised.value)
    with pytest.raises(script.Missing, match="no-such-installer cannot be run"):
        script.run(["no-such-installer"], "")


def test_bootstrap_text_can_be_read_by_an_old_python_up_to_its_own_message() -> None:
    """The grammar of 3.6 is as old as this interpreter can check; the check of the version must come before the rest runs."""
    import ast

    tree = ast.parse((ROOT / "postrider").read_text(), feature_version=(3, 6))
    before = [node for node in tree.body if node.lineno < next(node.lineno for node in tree.body if isinstance(node, ast.If))]
    assert all(isinstance(node, ast.Import | ast.Expr) for node in before)


def test_bootstrap_can_be_called_from_another_folder(tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "__init__.py").write_text("raise SystemExit('the wrong package')")
    command = [sys.executable, str(ROOT / "postrider"), "--help"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=20)
    assert run.returncode == 0, run.stderr
