"""`exec`: the command's environment, status and signals, without a world."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local import exec_command
from local.supervision import Signals
from tests.kit.waiting import wait_until

ROOT = Path(__file__).parents[3]


async def run(*command: str, **environment: str) -> int:
    async with asyncio.timeout(10):
        return await exec_command._run(command, {**os.environ, **environment}, Signals())


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 0", 0),
        ("exit 7", 7),
        ("exit 255", 255),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
        ('test "$NAME" = "a b"', 0),
    ],
)
async def test_exec_status_is_that_of_the_command(script: str, status: int) -> None:
    assert await run("sh", "-c", script, NAME="a b") == status


async def test_exec_of_a_command_that_is_not_there_is_127(capsys: pytest.CaptureFixture[str]) -> None:
    assert await run("no-such-command") == 127
    assert "no-such-command: there is no such command" in capsys.readouterr().err


async def test_exec_of_a_file_that_is_no_program_is_126(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").write_text("x")
    assert await run(str(tmp_path / "data")) == 126
    assert "cannot be run" in capsys.readouterr().err


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
async def test_exec_passes_signals_to_the_whole_command_and_waits_for_its_own_end(tmp_path: Path, sign: signal.Signals) -> None:
    child = f"trap 'echo child >> {tmp_path}/got; exit' INT TERM; touch {tmp_path}/ready; while :; do sleep 0.01; done"
    (tmp_path / "child").write_text(child)
    script = f"trap 'echo parent >> {tmp_path}/got; exit 5' INT TERM; sh {tmp_path}/child"
    running = asyncio.create_task(run("sh", "-c", script))
    await asyncio.to_thread(wait_until, (tmp_path / "ready").exists, timeout=5, what="the command")
    os.kill(os.getpid(), sign)
    assert await running == 5
    assert sorted((tmp_path / "got").read_text().split()) == ["child", "parent"]


async def test_exec_leaves_nothing_of_the_command_in_the_background(tmp_path: Path) -> None:
    assert await run("sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid") == 0
    process = Path("/proc", (tmp_path / "pid").read_text().strip(), "stat")
    wait_until(lambda: not process.exists() or " Z " in process.read_text(), timeout=5, what="end of the background process")


async def test_exec_whose_world_breaks_ends_the_command(tmp_path: Path) -> None:
    script = f"trap 'touch {tmp_path}/ended; exit' TERM; touch {tmp_path}/ready; while :; do sleep 0.01; done"
    running = asyncio.create_task(run("sh", "-c", script))
    await asyncio.to_thread(wait_until, (tmp_path / "ready").exists, timeout=5, what="the command")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (tmp_path / "ended").exists()


@pytest.mark.skipif(shutil.which("setsid") is None, reason="needs setsid of util-linux")
def test_exec_at_a_terminal_lets_the_command_read_it_and_ctrl_c_reaches_it_once(tmp_path: Path) -> None:
    code = """
import asyncio, os, sys
from local import exec_command
from local.supervision import Signals

async def main():
    return await exec_command._run(sys.argv[1:], os.environ, Signals())

sys.exit(asyncio.run(main()))
"""
    go = tmp_path / "go"
    script = (
        f"read line; echo read:$line; trap 'echo interrupted' INT; echo waiting; until [ -e {go} ]; do sleep 0.05; done; exit 9"
    )
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", sys.executable, "-c", code, "sh", "-c", script],
        cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, b"hello\n")
    seen = b""
    while b"waiting" not in seen:
        seen += os.read(ours, 1000)
    assert b"read:hello" in seen
    os.write(ours, b"\x03")
    rest = b""
    while b"interrupted" not in rest:
        rest += os.read(ours, 1000)
    go.touch()
    assert process.wait(10) == 9
    with contextlib.suppress(OSError):  # Linux tells the end of a terminal so
        while part := os.read(ours, 1000):
            rest += part
    os.close(ours)
    assert rest.count(b"interrupted") == 1
