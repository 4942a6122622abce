"""A process of the local world: started with a log, watched, and ended before we end."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_SIGNAL_WHEN_PARENT_DIES = 1  # PR_SET_PDEATHSIG, linux/prctl.h
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_LOOK_SECONDS = 0.02
_TAIL_LINES = 15


class ChildFailed(Exception):
    """A process that did not start or ended by itself; the text has its exit status and the last lines of its log."""


class Child:
    """A running process. It leads a process group, so that a Ctrl-C at the terminal reaches us alone and we end it in order."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    @classmethod
    async def start(
        cls, name: str, command: Sequence[str], *, folder: Path, log: Path, environment: Mapping[str, str]
    ) -> Child:
        """Start `command` in `folder` with its output in `log`. Raises ChildFailed when there is no such program."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as out:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    cwd=folder,
                    env=dict(environment),
                    process_group=0,
                    preexec_fn=end_with_parent,
                )
            except OSError as error:
                raise ChildFailed(f"{name} cannot be started ({command[0]}): {error.strerror}") from error
        return cls(name, process, log)

    async def wait_for_lines(self, pattern: str, count: int, seconds: float) -> list[re.Match[str]]:
        """The first `count` matches of `pattern` in the log. Raises ChildFailed when it ends first or takes too long."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            running = self._process.returncode is None
            found = list(re.finditer(pattern, self.log.read_text(encoding="utf-8", errors="replace")))
            if len(found) >= count:
                return found[:count]
            if not running:
                raise self._ended()
            if asyncio.get_running_loop().time() > deadline:
                raise ChildFailed(f"{self.name} is not ready after {seconds:g} s.{self._tail()}")
            await asyncio.sleep(_LOOK_SECONDS)

    async def ended(self) -> ChildFailed:
        """Wait for it to end by itself, which none of ours should; what to tell of it."""
        await self._process.wait()
        return self._ended()

    async def stop(self, patience: float) -> None:
        """Ask it to end, wait `patience` seconds, then end all of its group."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), patience)
        # Even when it ended in time, what it started may still be there.
        self.kill()
        await self._process.wait()

    def kill(self) -> None:
        """End it and all that it started at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _ended(self) -> ChildFailed:
        status = self._process.returncode or 0
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
        return ChildFailed(f"{self.name} {how}.{self._tail()}")

    def _tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
        said = "".join(f"\n    {line}" for line in lines) or " (nothing)"
        return f" The end of {self.log}:{said}"


def end_with_parent() -> None:
    """Have the kernel end this process when its parent dies, so that even a killed supervisor leaves nothing behind."""
    if _libc is not None:
        _libc.prctl(_SIGNAL_WHEN_PARENT_DIES, signal.SIGTERM)
