"""The local world as a customer's test suite gets it from `./postrider exec`: fresh state, free ports, an environment.

Nothing of it is imported: what a test sees is what any program sees that runs beside it.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit.peers import require
from tests.kit.processes import end_session, processes_of_session
from tests.kit.waiting import wait_until

ROOT = Path(__file__).parents[2]
START_SECONDS = 90.0
STOP_SECONDS = 20.0

# The command that `exec` runs: it hands out its environment and lives until its input ends, and the world with it. So a world
# ends as well when the test run is killed.
_HOLD = """
import json, os, sys
with open(sys.argv[1] + ".new", "w") as file:
    json.dump(dict(os.environ), file)
os.replace(sys.argv[1] + ".new", sys.argv[1])
sys.stdin.buffer.read()
"""


class WorldFailed(Exception):
    """The world did not start, did not stop, or ended by itself; the text ends with all that it said."""


@dataclass(frozen=True)
class World:
    """A running world."""

    env: Mapping[str, str]  # the whole environment of a program that runs against it
    output: Path  # what `./postrider exec` says

    @property
    def endpoint(self) -> str:
        """Such as https://localhost:40123, without a slash at the end."""
        return self.env["POSTRIDER_ENDPOINT"].rstrip("/")

    @property
    def connection_string(self) -> str:
        return self.env["COMMUNICATION_CONNECTION_STRING_EMAIL"]

    @property
    def sender(self) -> str:
        return self.env["SENDER_ADDRESS"]

    @property
    def recipient(self) -> str:
        return self.env["RECIPIENT_ADDRESS"]

    @property
    def outbox(self) -> Path:
        """Where the capture sink keeps each message as `.eml`, with its envelope as `.json` beside it."""
        return Path(self.env["POSTRIDER_OUTBOX"])

    def captured(self) -> list[bytes]:
        """The messages in the outbox, oldest first."""
        return [file.read_bytes() for file in sorted(self.outbox.glob("*.eml"))]

    def wait_for_captured(self, holds: Callable[[bytes], bool], timeout: float = 15.0) -> bytes:
        """The first captured message for which `holds`; WorldFailed after `timeout` seconds."""
        try:
            return wait_until(
                lambda: next(filter(holds, self.captured()), None), timeout=timeout, what=f"message in {self.outbox}"
            )
        except TimeoutError as error:
            raise WorldFailed(f"{error}\n{self.said()}") from None

    def run(self, *command: str, timeout: float = 60.0, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a program to its end with the environment of this world, and with `more` variables."""
        return subprocess.run(
            command, cwd=ROOT, env={**self.env, **more}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=timeout, check=False,
        )  # fmt: skip

    def said(self) -> str:
        """What the world and each of its processes said until now."""
        logs = [self.output, *sorted((self.outbox.parent / "log").glob("*.log"))]
        return "\n".join(f"{log.name}:\n{log.read_text(errors='replace')}" for log in logs)


def missing_reason() -> str:
    """Why the world cannot run here; empty when it can."""
    if not (ROOT / "node_modules" / "azurite").is_dir():
        return "Azurite is not installed: npm ci"
    return ""


@contextmanager
def start_world(*arguments: str, settings: Mapping[str, str] | None = None) -> Iterator[World]:
    """A world of the test's own. `arguments` are options of `./postrider exec`, `settings` are variables of its environment,
    such as {"POSTRIDER_DNS": "127.0.0.1:5353"}. WorldFailed when it does not start, or ends otherwise than asked to.
    """
    with tempfile.TemporaryDirectory(prefix="world-") as folder:
        output = Path(folder) / "output"
        environment = Path(folder) / "env.json"
        command = [str(ROOT / "postrider"), "exec", *arguments, "--", sys.executable, "-c", _HOLD, str(environment)]
        with output.open("wb") as sink:
            process = subprocess.Popen(
                command, cwd=ROOT, env={**_clean_environment(), **(settings or {})}, stdin=subprocess.PIPE, stdout=sink,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            yield World(_environment(process, environment, output), output)
            _stop(process, output)
        finally:
            end_session(process.pid)
            process.wait()


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """One world with the capture route for the whole run."""
    reason = missing_reason()
    require(not reason, reason)
    with start_world() as running:
        yield running


def _clean_environment() -> dict[str, str]:
    """Ours without the settings of an installation, which would change what is tested."""
    ours = ("POSTRIDER_", "AzureWebJobs", "COMMUNICATION_", "SENDER_", "RECIPIENT_", "SMTP_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _environment(process: subprocess.Popen[bytes], file: Path, output: Path) -> dict[str, str]:
    def handed_out() -> dict[str, str] | None:
        if process.poll() is not None:
            raise WorldFailed(f"{_shown(process.args)} ended with {process.returncode}\n{output.read_text(errors='replace')}")
        return json.loads(file.read_text()) if file.exists() else None

    try:
        return wait_until(handed_out, timeout=START_SECONDS, what=f"environment of {_shown(process.args)}")
    except TimeoutError as error:
        raise WorldFailed(f"{error}\n{output.read_text(errors='replace')}") from None


def _stop(process: subprocess.Popen[bytes], output: Path) -> None:
    """End the world by ending the command inside it, whose status 0 has to come out."""
    assert process.stdin is not None  # for the type checker: it was asked to be a pipe
    ended_before = process.poll() is not None
    process.stdin.close()
    try:
        status = process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        raise WorldFailed(f"the world does not stop\n{output.read_text(errors='replace')}") from None
    if status != 0 or ended_before:
        when = "by itself " if ended_before else ""
        raise WorldFailed(f"the world ended {when}with {status}\n{output.read_text(errors='replace')}")
    if left := processes_of_session(process.pid):
        raise WorldFailed(f"the world left processes behind: {left}\n{output.read_text(errors='replace')}")


def _shown(command: object) -> str:
    return shlex.join(str(word) for word in command if "\n" not in str(word)) if isinstance(command, Sequence) else str(command)
