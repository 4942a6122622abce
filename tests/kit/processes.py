"""Ending what a test has started, with everything that it started in turn."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.kit.waiting import wait_until


def end_session(leader: int, *, patience: float = 5.0) -> None:
    """Ask every process of a session to end, kill what is left after that many seconds; RuntimeError if even that fails.

    A session, because a supervisor's children may have process groups of their own; `leader` is the id of a process that
    was started with start_new_session=True, dead or alive.
    """
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for process in processes_of_session(leader):
            with contextlib.suppress(ProcessLookupError):  # ended meanwhile
                os.kill(process, sign)
        with contextlib.suppress(TimeoutError):  # the stronger signal comes next
            wait_until(lambda: not processes_of_session(leader), timeout=patience, what=f"end of session {leader}")
            return
    raise RuntimeError(f"processes of session {leader} do not end: {processes_of_session(leader)}")


def processes_of_session(leader: int) -> list[int]:
    """The ids of the processes of a session that still run; zombies do not."""
    return [process for process, session, state in _processes() if session == leader and not state.startswith("Z")]


def _processes() -> Iterator[tuple[int, int, str]]:
    """Id, session and state of every process of this machine."""
    proc = Path("/proc")
    if not (proc / "self" / "stat").exists():  # macOS, whose ps shows no session: there, a process group has to do
        listed = subprocess.run(["ps", "-axo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True)
        for line in listed.stdout.splitlines():
            process, group, state = line.split()
            yield int(process), int(group), state
        return
    for entry in proc.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # the process ended while we looked
            # The name, in brackets, may hold blanks and brackets of its own.
            state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            yield int(entry.name), int(session), state
