"""When a deferred recipient is tried again: one pure function, the only place with a pause and a jitter in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

JITTER = 0.2  # of a pause, either way: what was deferred together does not come back together
LONGEST_TIME_TO_LIVE = 120 * 3600.0  # seconds; RFC 5321 section 4.5.4.1: four to five days at the most


def next_attempt(
    tries: int,
    *,
    now: float,
    accepted_at: float,
    expires_at: float,
    pauses: Sequence[float],
    asked_for: float,
    random: Callable[[], float],
) -> float | None:
    """When to try next, in seconds since the epoch, after `tries` tries (from 1); None when the time to live runs out first.

    The pause is the one of its place in `pauses`, the last one repeating, with jitter. `asked_for` is the pause that the
    receiver or a bounce rule wants (0: none); it lengthens a pause and never shortens one, or a receiver that always says
    "in 60 seconds" would be tried every minute for days. `random` gives a number from 0 to 1.

    There is no extra attempt right before the end: a recipient expires when its next attempt on the schedule would come
    too late. It is told that much sooner, and the tries stay spaced as RFC 5321 section 4.5.4.1 wants them.
    """
    pause = pauses[min(max(tries, 1), len(pauses)) - 1]
    at = now + max(pause * (1 + JITTER * (2 * random() - 1)), asked_for)
    return at if at < min(expires_at, accepted_at + LONGEST_TIME_TO_LIVE) else None
