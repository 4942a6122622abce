"""The environment file: what a shell reads out of it, and what `./postrider send` does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from local.environment import read_environment, without_proxy_for_this_machine, write_environment

AWKWARD = {
    "PLAIN": "value",
    "KEY": "endpoint=https://localhost:7443/;accesskey=ab+/==",
    "SPACES": "two words",
    "QUOTES": """it's "quoted" `and` $HOME $(id) \\ back""",
    "HASH": "a#b # c",
    "LINES": "first\nsecond",
    "EMPTY": "",
    "UMLAUT": "jos\u00e9",
}


def test_environment_file_gives_a_shell_exactly_the_values(tmp_path: Path) -> None:
    path = tmp_path / "a folder" / "env"
    path.parent.mkdir()
    write_environment(path, AWKWARD)
    tell = "import json, os; print(json.dumps({name: os.environ[name] for name in " + repr(list(AWKWARD)) + "}))"
    shell = ["sh", "-c", '. "$1"; exec "$2" -c "$3"', "sh", str(path), sys.executable, tell]
    run = subprocess.run(shell, capture_output=True, check=True, env={})
    assert json.loads(run.stdout) == AWKWARD


def test_environment_file_is_read_back(tmp_path: Path) -> None:
    write_environment(tmp_path / "env", AWKWARD)
    assert read_environment(tmp_path / "env") == AWKWARD


def test_environment_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    write_environment(tmp_path / "env", {"SECRET": "x"})
    assert (tmp_path / "env").stat().st_mode & 0o077 == 0


def test_environment_without_a_file_is_empty(tmp_path: Path) -> None:
    assert read_environment(tmp_path / "env") == {}


@pytest.mark.parametrize(
    ("environment", "no_proxy"),
    [
        ({}, None),
        ({"NO_PROXY": "a.test"}, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "localhost,127.0.0.1,::1"),
        ({"http_proxy": "http://proxy:3128", "no_proxy": "a.test,localhost"}, "a.test,localhost,127.0.0.1,::1"),
    ],
)
def test_environment_with_a_proxy_keeps_it_from_this_machine(environment: dict[str, str], no_proxy: str | None) -> None:
    expected = {} if no_proxy is None else {"NO_PROXY": no_proxy, "no_proxy": no_proxy}
    assert without_proxy_for_this_machine(environment) == expected
