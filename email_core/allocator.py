"""The C allocator's treatment of large blocks, which decides what memory a worker keeps after its largest message.

glibc hands a large block back to the system when it is freed, but each one that is freed makes it keep blocks up to that size
from then on, for the next time (mallopt(3), M_MMAP_THRESHOLD, "dynamic"). A worker that has seen one message of 10 MB would
keep some 20 MB for good and need as much again at the next; a size that is set stays as it is.
"""

from __future__ import annotations

import sys

LARGE = 1024 * 1024  # bytes; below, handing a block back and asking for it again would cost more than it saves
_M_MMAP_THRESHOLD = -3  # malloc.h


def hand_back_large_blocks() -> None:
    """Have blocks of 1 MiB and more go back to the system when they are freed. Only glibc has to be told."""
    if sys.platform != "linux":
        return
    from ctypes import CDLL  # 10 ms of import, in a worker that is about to open its storage anyway

    mallopt = getattr(CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(_M_MMAP_THRESHOLD, LARGE)
