"""Contenders that are programs of their own: each reads tasks from its standard input and answers with what it took.

A task is a line of JSON, {"input": FILE, "seconds": LEAST}; the program does its work on the file again and again for at
least that many seconds, and answers {"count": TIMES, "seconds": ELAPSED, "result": TEXT}, or {"error": TEXT}. The programs
are in `bench/programs`, one for each contender, in its own language. All of them therefore start before the clock does.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.figures import ContenderFailed, Stopped

FOLDER = Path(__file__).with_name("programs")
_END_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Done:
    """What a program did with one task: how often, in how many seconds, and a text by which its work can be checked."""

    count: int
    seconds: float
    result: str

    @property
    def rate(self) -> float:
        """Times a second."""
        return self.count / self.seconds


class Program:
    """A contender's program, started when first asked, and again after it was stopped."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._command = list(command)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._read = bytearray()

    def do(self, file: Path, least_seconds: float, patience: float) -> Done:
        """Give it a task. Raises Stopped after `patience` seconds, ContenderFailed when it says so or ends."""
        process = self._process or self._start()
        assert process.stdin is not None  # for the type checker
        try:
            process.stdin.write(json.dumps({"input": str(file), "seconds": least_seconds}).encode() + b"\n")
            process.stdin.flush()
            line = self._line(process, patience)
        except BrokenPipeError:
            line = b""
        if not line:
            status = process.wait()
            self._process = None
            raise ContenderFailed(f"{self._shown()} ended with exit status {status}")
        answer = json.loads(line)
        if "error" in answer:
            raise ContenderFailed(f"{self._shown()}: {answer['error']}")
        return Done(answer["count"], answer["seconds"], answer["result"])

    def close(self) -> None:
        """End it: it ends by itself when its input does."""
        if self._process is None:
            return
        assert self._process.stdin is not None  # for the type checker
        self._process.stdin.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill(self._process)
        self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        self._read.clear()
        self._process = subprocess.Popen(
            self._command, cwd=self._folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None
        )
        return self._process

    def _line(self, process: subprocess.Popen[bytes], patience: float) -> bytes:
        assert process.stdout is not None  # for the type checker
        deadline = time.monotonic() + patience
        while b"\n" not in self._read:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                self._kill(process)
                self._process = None
                raise Stopped(patience)
            if not (piece := os.read(process.stdout.fileno(), 65536)):
                return b""
            self._read += piece
        line, _, rest = bytes(self._read).partition(b"\n")
        self._read[:] = rest
        return line

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()

    def _shown(self) -> str:
        return " ".join(Path(word).name for word in self._command[: 3 if self._command[1] == "-m" else 2])
