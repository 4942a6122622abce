"""The local world as its user meets it: `up` and `exec` as processes, in a checkout of the test's own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import local.azurite
import local.world
from local.environment import read_environment
from local.folder import Folder
from local.ports import free_ports
from local.world import CAPTURED_RECIPIENT, WorldOptions
from tests.kit.peers import require
from tests.kit.processes import processes_of_session
from tests.kit.waiting import wait_until

pytestmark = pytest.mark.peers

ROOT = Path(__file__).resolve().parents[2]
_NEEDED = ("local", "email_core", "smtp_relay", "function_app.py", "host.json", "node_modules")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the parts of this checkout and a .local of its own."""
    require((ROOT / "node_modules" / "azurite").exists(), "Azurite is not installed: npm ci")
    for name in _NEEDED:
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


class Command:
    """`./postrider ARGUMENTS` in that checkout, in a session of its own."""

    def __init__(self, checkout: Path, *arguments: str) -> None:
        code = "import sys, pathlib, local.cli; sys.exit(local.cli.main(sys.argv[2:], pathlib.Path(sys.argv[1])))"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(checkout), *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ends(self) -> tuple[int, str, str]:
        """Exit status, output and errors; nothing of it is left running."""
        out, errors = self.process.communicate(timeout=60)
        wait_until(lambda: not processes_of_session(self.process.pid), timeout=30, what="end of all that it started")
        return self.process.returncode, out, errors


@contextmanager
def up(checkout: Path) -> Iterator[tuple[Command, dict[str, str]]]:
    """A world that is ready, with its variables; ended whatever happens."""
    port = free_ports(2, in_a_row=True)[0]
    command = Command(checkout, "up", "--port", str(port))
    environment = checkout / ".local" / "env"
    try:
        wait_until(lambda: environment.exists() or command.process.poll() is not None, timeout=60, what="the world")
        assert command.process.poll() is None, command.ends()
        yield command, read_environment(environment)
    finally:
        if command.process.poll() is None:
            command.process.terminate()
            command.ends()


def children(command: Command, what: str) -> list[int]:
    """Processes of the world whose command line holds `what`."""
    return [
        process
        for process in processes_of_session_of_children(command.process.pid)
        if what in Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    ]


def processes_of_session_of_children(leader: int) -> list[int]:
    return [process for process in processes_of_session(leader) if process != leader]


def test_exec_gives_the_command_its_world_and_ends_with_its_status(checkout: Path) -> None:
    script = 'env; ls "$POSTRIDER_OUTBOX" "$SSL_CERT_FILE" >&2; exit 7'
    status, out, errors = Command(checkout, "exec", "--", "sh", "-c", script).ends()
    assert status == 7, errors
    variables = dict(line.partition("=")[::2] for line in out.splitlines())
    connection_string = variables["COMMUNICATION_CONNECTION_STRING_EMAIL"]
    assert connection_string.startswith(f"endpoint={variables['POSTRIDER_ENDPOINT']}/;accesskey=")
    assert variables["POSTRIDER_ENDPOINT"].startswith("https://localhost:")
    assert variables["POSTRIDER_ENDPOINT_HTTP"].startswith("http://localhost:")
    assert variables["SENDER_ADDRESS"].startswith("DoNotReply@")
    assert variables["RECIPIENT_ADDRESS"] == CAPTURED_RECIPIENT
    assert len(variables["AZURE_SUBSCRIPTION_ID"]) == 36
    assert variables["AZURE_RESOURCE_GROUP"]
    assert variables["POSTRIDER_ADMIN_TOKEN"]
    bundle = variables["SSL_CERT_FILE"]
    assert bundle == variables["REQUESTS_CA_BUNDLE"] == variables["NODE_EXTRA_CA_CERTS"]
    assert {entry.name for entry in (checkout / ".local").iterdir()} == {"tls"}


def test_exec_sends_and_the_outbox_has_the_mail(checkout: Path) -> None:
    send = f'"{sys.executable}" -m local.cli send --to someone@contoso.example --subject "To be kept"'
    script = f'cd "{ROOT}" && {send} && cat "$POSTRIDER_OUTBOX"/*.eml && cat "$POSTRIDER_OUTBOX"/*.json'
    status, out, errors = Command(checkout, "exec", "--", "sh", "-c", script).ends()
    assert status == 0, errors + out
    assert "someone@contoso.example: Delivered (250 2.0.0 Kept as " in out
    assert "\nDKIM-Signature: " in out
    assert "\nSubject: To be kept" in out
    assert json.loads(out[out.index("\n{\n") :])["rcpt_tos"] == ["someone@contoso.example"]


def test_exec_that_is_killed_leaves_nothing_running(checkout: Path) -> None:
    command = Command(checkout, "exec", "--", "sh", "-c", "echo ready; exec sleep 60")
    assert command.process.stdout
    assert command.process.stdout.readline() == "ready\n"
    command.process.kill()
    assert command.ends()[0] == -signal.SIGKILL
    assert Command(checkout, "exec", "--", "true").ends()[0] == 0
    assert {entry.name for entry in (checkout / ".local").iterdir()} == {"tls"}  # what the killed one left is gone, too


def test_up_is_ready_answers_and_stops_at_once_with_ctrl_c(checkout: Path) -> None:
    with up(checkout) as (command, variables):
        with urllib.request.urlopen(variables["POSTRIDER_ENDPOINT_HTTP"] + "/admin/host/status", timeout=5) as response:
            assert json.load(response) == {"state": "Running"}
        status, _, errors = Command(checkout, "up").ends()
        assert status == 1
        assert f"(process {command.process.pid})" in errors
        assert Command(checkout, "up", "--reset").ends()[0] == 1
        assert (checkout / ".local" / "azurite").exists()  # nobody's state is removed under them
        sent = Command(checkout, "send").ends()
        assert sent[0] == 0, sent
        command.process.send_signal(signal.SIGINT)
        status, out, _ = command.ends()
    assert status == 0
    assert variables["COMMUNICATION_CONNECTION_STRING_EMAIL"] in out
    stopped = [line for line in out.splitlines() if line.startswith("Stopp")]
    assert stopped == [
        "Stopping the SMTP server",
        "Stopping the functions host",
        "Stopping the capture sink",
        "Stopping Azurite",
        "Stopped; nothing is left running",
    ]


def test_up_keeps_its_keys_and_mail_until_a_reset(checkout: Path) -> None:
    with up(checkout) as (_, first):
        assert Command(checkout, "send", "--to", "someone@contoso.example").ends()[0] == 0
    with up(checkout) as (_, second):
        pass
    assert first["SENDER_ADDRESS"] == second["SENDER_ADDRESS"]
    keys = [variables["COMMUNICATION_CONNECTION_STRING_EMAIL"].partition("accesskey=")[2] for variables in (first, second)]
    assert keys[0] == keys[1]
    assert len(list((checkout / ".local" / "outbox").glob("*.eml"))) == 1
    status, _, errors = Command(checkout, "up", "--reset", "--route", "nonsense").ends()
    assert (status, "POSTRIDER_ROUTES" in errors) == (1, True)
    assert len(list((checkout / ".local" / "outbox").glob("*.eml"))) == 1  # a wrong command line removes nothing


@pytest.mark.parametrize(
    ("victim", "name"),
    [("azurite.js", "Azurite"), ("local.functions_host", "the functions host"), ("local.sink", "the capture sink")],
)
def test_up_whose_child_dies_says_which_and_ends_with_1(checkout: Path, victim: str, name: str) -> None:
    with up(checkout) as (command, _):
        (process,) = children(command, victim)
        os.kill(process, signal.SIGKILL)
        status, _, errors = command.ends()
    assert status == 1
    assert errors.startswith(f"postrider: {name} was ended by SIGKILL. The end of {checkout / '.local' / 'log'}")


def test_up_that_is_killed_leaves_nothing_running_and_no_lock(checkout: Path) -> None:
    with up(checkout) as (command, _):
        command.process.kill()
        assert command.ends()[0] == -signal.SIGKILL
    (checkout / ".local" / "env").unlink()
    with up(checkout) as (_, variables):
        assert variables["SENDER_ADDRESS"]


async def test_azurite_whose_usual_ports_are_taken_at_the_last_moment_takes_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require((ROOT / "node_modules" / "azurite").exists(), "Azurite is not installed: npm ci")
    monkeypatch.setattr(local.azurite, "_usual_ports_are_free", lambda: True)
    with socket.socket() as held:
        with suppress(OSError):  # somebody else holds it: as well
            held.bind(("127.0.0.1", 10000))
            held.listen()
        child, connection_string = await local.azurite.start_azurite(
            ROOT, tmp_path / "azurite", tmp_path / "azurite.log", usual_ports=True
        )
        await child.stop(10)
    assert connection_string.count("http://127.0.0.1:") == 3
    assert ":10000/" not in connection_string


async def test_smtp_port_that_is_busy_is_named_with_the_one_that_is_taken_and_the_other_is_kept(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission, tls = free_ports(2)
    monkeypatch.setattr(local.world, "SUBMISSION_PORT", submission)
    monkeypatch.setattr(local.world, "TLS_PORT", tls)
    told: list[str] = []
    options = WorldOptions(checkout, port=free_ports(2, in_a_row=True)[0], usual_ports=True)
    world = local.world.World(Folder.of_up(checkout), options, told.append)
    with socket.create_server(("127.0.0.1", submission)):
        try:
            variables = await world.start()
        finally:
            await world.stop()
    assert (variables["SMTP_TLS_PORT"], variables["SMTP_PORT"] != str(submission)) == (str(tls), True)
    [line] = [line for line in told if "SMTP server takes" in line]
    assert line.startswith(f"The SMTP server takes {variables['SMTP_PORT']} for STARTTLS: port {submission} is busy: ")
