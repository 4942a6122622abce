"""The machine that a figure was measured on, in one line."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """What matters to whoever compares: names and versions, empty where they cannot be found."""

    processor: str
    cores: int
    system: str
    python: str
    openssl: str  # that our signatures are made with
    openssl_command: str
    node: str
    date: str  # UTC

    def __str__(self) -> str:
        parts = [
            self.processor or "unknown processor",
            f"{self.cores} cores",
            self.system,
            f"Python {self.python}",
            f"{self.openssl} (ours)",
            f"{self.openssl_command} (command)" if self.openssl_command else "no openssl command",
            f"Node {self.node}" if self.node else "no Node",
            self.date,
        ]
        return ", ".join(parts)


def this_machine() -> Machine:
    """The machine that we run on, now."""
    from cryptography.hazmat.backends.openssl.backend import backend

    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        openssl=backend.openssl_version_text().rpartition(" ")[0].partition(" 2")[0] or backend.openssl_version_text(),
        openssl_command=" ".join(_said("openssl", "version").split()[:2]),
        node=_said("node", "--version").lstrip("v"),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", path.read_text(), re.MULTILINE) if path.exists() else None
    return found[1].strip() if found else platform.processor()


def _said(program: str, argument: str) -> str:
    if shutil.which(program) is None:
        return ""
    done = subprocess.run([program, argument], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
