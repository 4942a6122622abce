from __future__ import annotations

import pytest

from email_core.delivery.retry_schedule import LONGEST_TIME_TO_LIVE, next_attempt
from email_core.settings import RETRY_PAUSES

MINUTE, HOUR = 60.0, 3600.0
NOW = 1_000_000.0


def pause(tries: int, *, asked_for: float = 0.0, random: float = 0.5, ttl: float = 72 * HOUR, age: float = 0.0) -> float | None:
    at = next_attempt(
        tries, now=NOW, accepted_at=NOW - age, expires_at=NOW - age + ttl, pauses=RETRY_PAUSES, asked_for=asked_for,
        random=lambda: random,
    )  # fmt: skip
    return None if at is None else at - NOW


@pytest.mark.parametrize(
    ("tries", "expected"),
    [(1, 1 * MINUTE), (2, 5 * MINUTE), (3, 15 * MINUTE), (4, 30 * MINUTE), (5, 1 * HOUR), (6, 2 * HOUR), (7, 4 * HOUR),
     (8, 6 * HOUR), (9, 6 * HOUR), (50, 6 * HOUR)],
)  # fmt: skip
def test_schedule_waits_longer_after_each_try_and_then_six_hours(tries: int, expected: float) -> None:
    assert pause(tries) == expected


def test_schedule_all_tries_together_fit_the_time_to_live() -> None:
    now, tries = 0.0, 1
    while True:
        at = next_attempt(
            tries, now=now, accepted_at=0, expires_at=72 * HOUR, pauses=RETRY_PAUSES, asked_for=0, random=lambda: 0.5
        )
        if at is None:
            break
        now, tries = at, tries + 1
    assert 66 * HOUR < now < 72 * HOUR
    assert tries == 18


@pytest.mark.parametrize(("random", "expected"), [(0.0, 240.0), (0.25, 270.0), (0.999_999_999, 360.0)])
def test_jitter_is_twenty_percent_either_way(random: float, expected: float) -> None:
    assert pause(2, random=random) == pytest.approx(expected)


@pytest.mark.parametrize(("asked_for", "expected"), [(310.0, 310.0), (70.0, 70.0), (10.0, 60.0)])
def test_pause_that_was_asked_for_lengthens_the_schedule_and_never_shortens_it(asked_for: float, expected: float) -> None:
    assert pause(1, asked_for=asked_for) == expected


def test_attempt_after_the_time_to_live_is_none() -> None:
    assert pause(3, ttl=15 * MINUTE) is None
    assert pause(3, ttl=15 * MINUTE + 1) == 15 * MINUTE
    assert pause(1, asked_for=2 * HOUR, ttl=1 * HOUR) is None


def test_time_to_live_is_never_longer_than_five_days() -> None:
    assert pause(8, ttl=1000 * HOUR, age=LONGEST_TIME_TO_LIVE - 5 * HOUR) is None
