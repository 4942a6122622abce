"""The command line: what is ours and what is another program's, and that help needs nothing installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local import cli
from local.cli import read_command_line
from local.folder import Folder
from local.ports import listen
from local.up import banner

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("arguments", "others"),
    [
        (["exec", "--", "python", "x.py", "--", "--help"], ["python", "x.py", "--", "--help"]),
        (["exec", "--route", "mx", "--", "true"], ["true"]),
        (["test", "--fast", "-k", "address", "-x"], ["-k", "address", "-x"]),
        (["test", "tests/unit", "--fast"], ["tests/unit"]),
        (["test", "--", "--fast"], ["--"]),
        (["up", "--reset"], []),
    ],
)
def test_command_line_leaves_others_words_alone(arguments: list[str], others: list[str]) -> None:
    assert read_command_line(arguments).others == others


def test_command_line_options_have_their_defaults() -> None:
    up = read_command_line(["up"]).options
    assert (up.reset, up.route, up.port, up.host) == (False, "", None, "local")
    assert read_command_line(["test", "--fast", "-x"]).options.fast


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "required: COMMAND"),
        ([], "run the local world until Ctrl-C"),
        (["exec"], "exec needs a command"),
        (["exec", "--"], "exec needs a command"),
        (["exec", "true"], "unrecognized arguments: true"),
        (["up", "--port", "0"], "from 1 to 65534"),
        (["up", "--port", "65535"], "from 1 to 65534"),
        (["up", "--host", "docker"], "invalid choice"),
        (["down"], "invalid choice"),
    ],
)
def test_command_line_that_is_wrong_ends_with_2(arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        read_command_line(arguments)
    assert raised.value.code == 2
    assert word in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["up", "--help"], ["exec", "-h"], ["test", "--help"], ["send", "--help"]])
def test_help_needs_nothing_but_the_standard_library(arguments: list[str]) -> None:
    # -I -S: no installed package can be imported.
    run = subprocess.run(
        [sys.executable, "-I", "-S", str(ROOT / "postrider"), *arguments], capture_output=True, text=True, timeout=20
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("usage: ./postrider")
    if arguments == ["--help"]:
        assert "exit status:" in run.stdout


def test_up_on_a_busy_port_says_which_and_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = listen(0)
    port = held[0].getsockname()[1]
    assert cli.main(["up", "--port", str(port)], tmp_path) == 1
    told = capsys.readouterr().err
    assert f"port {port} is busy" in told
    assert "--port N" in told
    for opened in held:
        opened.close()


def test_up_with_a_wrong_route_says_the_rule_and_no_password(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["up", "--route", "smarthost://user:hunter2@"], tmp_path) == 1
    told = capsys.readouterr().err
    assert "smarthost://user:password@host:port" in told
    assert "hunter2" not in told
    assert not (tmp_path / ".local").exists()


def test_up_without_azurite_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("local", "email_core"):
        (tmp_path / name).symlink_to(ROOT / name)
    assert cli.main(["exec", "--", "true"], tmp_path) == 1
    assert "Azurite is not in" in capsys.readouterr().err
    assert [entry.name for entry in (tmp_path / ".local").iterdir()] == ["tls"]


VARIABLES = {
    "COMMUNICATION_CONNECTION_STRING_EMAIL": "endpoint=https://localhost:7443/;accesskey=abc=",
    "SENDER_ADDRESS": "DoNotReply@x.postrider.test",
    "RECIPIENT_ADDRESS": "delivered@simulator.postrider.test",
    "POSTRIDER_ENDPOINT": "https://localhost:7443",
    "POSTRIDER_ENDPOINT_HTTP": "http://localhost:7071",
    "SMTP_HOST": "localhost",
    "SMTP_PORT": "1587",
    "SMTP_TLS_PORT": "1465",
    "SMTP_USERNAME": "local",
    "SMTP_PASSWORD": "a-password",
}


def test_banner_tells_what_a_first_program_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = banner(VARIABLES, Folder.of_up(ROOT), "", 1.84)
    for told in (*VARIABLES.values(), "1.8 s", ".local/outbox", ". .local/env", ".local/log", ".local/tls/ca.pem"):
        assert told in text


def test_banner_of_a_route_shows_no_password() -> None:
    text = banner(VARIABLES, Folder.of_up(ROOT), "smarthost://user:hunter2@mail.contoso.test:587,mx", 1.0)
    assert "smarthost://mail.contoso.test:587, mx" in text
    assert "hunter2" not in text
    assert "outbox" not in text


RUN = "import sys, local.cli; sys.exit(local.cli.main(sys.argv[1:]))"


@pytest.mark.parametrize(
    "arguments",
    [["-I", "-S", str(ROOT / "postrider"), "--help"], ["-c", RUN, "explain", "--reply", "550 5.1.1 no such user"]],
    ids=["help", "command"],
)
def test_command_whose_reader_has_gone_ends_quietly(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    # Without a buffer argparse itself passes over the fault.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, *arguments]
    try:
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT, env=environment)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
