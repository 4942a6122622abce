"""Waiting for what only another process knows: looked at again and again, never longer than told."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(look: Callable[[], T | None], *, timeout: float, what: str, pause: float = 0.02) -> T:
    """The first true answer of `look`. Raises TimeoutError naming `what` after that many seconds."""
    end = time.monotonic() + timeout
    while not (found := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout:g} s")
        time.sleep(pause)
    return found
