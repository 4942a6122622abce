"""How often something may happen in a while, counted in memory for a bounded number of names."""

from __future__ import annotations

from collections import OrderedDict

from email_core.clock import Clock


class Allowance:
    """`most` times in `seconds` for each name. The last `names` of them are remembered: a flood of others costs no memory."""

    def __init__(self, clock: Clock, *, most: int, seconds: float, names: int = 10_000) -> None:
        self._clock = clock
        self._most = most
        self._seconds = seconds
        self._names = names
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, name: str) -> bool:
        """Count once more; whether it is still allowed."""
        now = self._clock.monotonic()
        began, count = self._counts.pop(name, (now, 0))
        if now - began >= self._seconds:
            began, count = now, 0
        self._counts[name] = (began, count + 1)
        if len(self._counts) > self._names:
            self._counts.popitem(last=False)
        return count < self._most

    def is_used_up(self, name: str) -> bool:
        """Whether the next one would not be allowed."""
        began, count = self._counts.get(name, (0.0, 0))
        return count >= self._most and self._clock.monotonic() - began < self._seconds
