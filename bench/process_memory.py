"""What memory a process has and had at most, as /proc tells (Linux only)."""

from __future__ import annotations

import re
from pathlib import Path

from bench.figures import ContenderFailed


def memory(process: int, name: str) -> int:
    """Bytes that /proc tells under a name such as VmRSS (now) or VmHWM (at most since `forget_peak`)."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    if not found:
        raise ContenderFailed(f"/proc tells no {name}: memory is measured on Linux only")
    return int(found[1]) * 1024


def forget_peak(process: int) -> None:
    """Have VmHWM begin anew (proc(5), clear_refs)."""
    Path(f"/proc/{process}/clear_refs").write_text("5")
