"""Processes of the local world: readiness, failure told with the log, and an end that leaves nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local.child import Child, ChildFailed
from tests.kit.waiting import wait_until

ROOT = Path(__file__).parents[3]


async def started(folder: Path, script: str) -> Child:
    log = folder / "log" / "thing.log"
    return await Child.start("the thing", ["sh", "-c", script], folder=folder, log=log, environment=os.environ)


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_child_is_ready_when_its_log_says_so(tmp_path: Path) -> None:
    child = await started(tmp_path, "echo port 1; echo port 2 >&2; exec sleep 60")
    assert [line[1] for line in await child.wait_for_lines(r"port (\d)", 2, 5)] == ["1", "2"]
    await child.stop(5)


async def test_child_that_ends_before_it_is_ready_is_told_with_status_and_log(tmp_path: Path) -> None:
    child = await started(tmp_path, "for i in $(seq 30); do echo line $i; done; exit 3")
    with pytest.raises(ChildFailed) as raised:
        await child.wait_for_lines("ready", 1, 5)
    text = str(raised.value)
    assert text.startswith("the thing ended with exit status 3.")
    assert "line 30" in text
    assert "line 15\n" not in text
    assert str(tmp_path / "log" / "thing.log") in text


async def test_child_that_is_never_ready_is_told_after_the_time(tmp_path: Path) -> None:
    child = await started(tmp_path, "echo still thinking; exec sleep 60")
    with pytest.raises(ChildFailed, match=r"not ready after 0\.1 s"):
        await child.wait_for_lines("ready", 1, 0.1)
    await child.stop(5)


async def test_child_that_is_killed_is_told_by_the_name_of_the_signal(tmp_path: Path) -> None:
    child = await started(tmp_path, "echo ready; exec sleep 60")
    await child.wait_for_lines("ready", 1, 5)
    child.kill()
    assert str(await child.ended()).startswith("the thing was ended by SIGKILL.")


async def test_child_that_is_no_program_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match=r"the thing cannot be started \(no-such-program\): No such file"):
        await Child.start("the thing", ["no-such-program"], folder=tmp_path, log=tmp_path / "log", environment=os.environ)


async def test_child_that_will_not_stop_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    child = await started(
        tmp_path, "trap '' TERM; (trap '' TERM; sleep 60) & echo child $!; echo ready; while :; do sleep 60; done"
    )
    (line,) = await child.wait_for_lines(r"child (\d+)\nready", 1, 5)
    await child.stop(0.1)
    assert str(await child.ended()).startswith("the thing was ended by SIGKILL.")
    wait_until(lambda: not is_running(int(line[1])), timeout=5, what="end of the grandchild")


async def test_child_that_stops_in_time_is_asked_with_sigterm(tmp_path: Path) -> None:
    child = await started(tmp_path, "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done")
    await child.wait_for_lines("ready", 1, 5)
    await child.stop(5)
    assert child.log.read_text() == "ready\nbye\n"


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is of Linux")
async def test_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = f"""
import asyncio, os
from pathlib import Path
from local.child import Child

async def main():
    log = Path({str(tmp_path / "log")!r})
    child = await Child.start("x", ["sleep", "60"], folder=Path("."), log=log, environment=os.environ)
    print(child._process.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = int(await asyncio.to_thread(parent.stdout.readline))
    assert is_running(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait(5)
    parent.stdout.close()
    wait_until(lambda: not is_running(child), timeout=5, what="end of the orphan")
