"""Large blocks of memory that are freed leave the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

# A process of its own: the allocator's treatment can't be set back. 20 MB are freed once, which is what makes glibc keep more.
PROGRAM = """
import re, sys
from pathlib import Path
from email_core.allocator import hand_back_large_blocks

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024

if sys.argv[1] == "handed back":
    hand_back_large_blocks()
first = bytearray(b"x") * (20 << 20)
del first
idle = resident()
blocks = [bytearray(b"x") * (6 << 20) for _ in range(5)]
del blocks
print(resident() - idle)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the C library is another one")
@pytest.mark.parametrize(("how", "kept"), [("handed back", range(-40, 3)), ("as it is", range(20, 40))])
def test_large_blocks_freed_are_handed_back(how: str, kept: range) -> None:
    """The second case shows that the program would notice."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)

    assert int(done.stdout) in kept, "megabytes that the process kept"
