"""Servers that are measured: started with a log, waited for, and ended at the end of a block, also after a Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from bench.figures import ContenderFailed
from local.child import end_with_parent
from tests.kit.waiting import wait_until

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
T = TypeVar("T")


class Server:
    """A running server; `process_id` is for who wants to know what it costs."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def process_id(self) -> int:
        return self._process.pid

    def wait_for_port(self, port: int) -> None:
        """Until it takes connections on that port of 127.0.0.1. Raises ContenderFailed."""
        self._wait(lambda: _listens(port))

    def stop(self) -> None:
        """Ask it to end; end it and all that it started when it does not."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _wait(self, look: Callable[[], T | None]) -> T:
        def found() -> T | None:
            if self._process.poll() is not None:
                raise ContenderFailed(f"it ended with exit status {self._process.returncode}: {self._said()[-500:].strip()}")
            return look()

        try:
            return wait_until(found, timeout=_START_SECONDS, what="its start")
        except TimeoutError as error:
            raise ContenderFailed(f"{error}: {self._said()[-500:].strip()}") from None

    def _said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def server(command: Sequence[str], *, folder: Path, log: Path, environment: Mapping[str, str]) -> Iterator[Server]:
    """It leads a process group, so that a Ctrl-C at the terminal reaches us alone and we end it in order.

    Raises ContenderFailed when there is no such program.
    """
    with log.open("wb") as out:
        try:
            process = subprocess.Popen(
                list(command), cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                process_group=0, preexec_fn=end_with_parent,
            )  # fmt: skip
        except OSError as error:
            raise ContenderFailed(f"{command[0]} cannot be started: {error.strerror}") from error
    running = Server(process, log)
    try:
        yield running
    finally:
        running.stop()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5.0):
        return True
    return False
