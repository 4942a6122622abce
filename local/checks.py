"""`./postrider test`: the checks of this checkout, one after the other, each shown as it is run."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def run_checks(root: Path, *, fast: bool, pytest_arguments: Sequence[str]) -> int:
    """0 when all passed. All are run, so that one run shows everything; the exit status is that of the first that failed."""
    checks = [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["mypy"],
        ["pytest", *(["-m", "not peers"] if fast else []), *(pytest_arguments or _side_by_side())],
    ]
    statuses = [_run(root, check) for check in checks]
    failed = [status for status in statuses if status]
    return failed[0] if failed else 0


def _side_by_side() -> list[str]:
    """Options with which all tests run in several processes: most of them wait for a peer or a time-out most of the time.

    Each process gets a few tests at a time, for a few tests take minutes.
    """
    return ["-n", str(min((os.cpu_count() or 1) + 1, 4)), "--dist", "load", "--maxschedchunk", "8"]


def _run(root: Path, words: Sequence[str]) -> int:
    shown = shlex.join(words)
    print(f"$ {shown}", flush=True)
    began = time.monotonic()
    status = subprocess.run([sys.executable, "-m", *words], cwd=root, check=False).returncode
    if words[0] != "pytest":  # its own summary is the last line
        how = "passed" if status == 0 else f"FAILED with {status}"
        print(f"  {shown}: {how} ({time.monotonic() - began:.1f} s)\n", flush=True)
    return status
