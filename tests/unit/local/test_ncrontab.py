"""Timer schedules: each line of the tables is what the NCrontab library of the Functions host answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from local.ncrontab import ScheduleError, parse_schedule

FRIDAY = datetime(2026, 11, 20, 13, 7, 30, 500_000, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "due"),
    [
        ("* * * * * *", "2026-11-20 13:07:31"),
        ("0 * * * * *", "2026-11-20 13:08:00"),
        ("*/15 * * * * *", "2026-11-20 13:07:45"),
        ("0 */5 * * * *", "2026-11-20 13:10:00"),
        ("0 0 * * * *", "2026-11-20 14:00:00"),
        ("0 0 */2 * * *", "2026-11-20 14:00:00"),
        ("0 0 9-17 * * *", "2026-11-20 14:00:00"),
        ("0 30 9 * * *", "2026-11-21 09:30:00"),
        ("0 30 9 * * 1-5", "2026-11-23 09:30:00"),
        ("0 30 9 * Jan Mon", "2027-01-04 09:30:00"),
        ("0 30 9 * january monday", "2027-01-04 09:30:00"),
        ("0 0 0 29 2 *", "2028-02-29 00:00:00"),
        ("0 0 0 29 2 1", "2044-02-29 00:00:00"),  # both the day and the weekday must match
        ("0 0 0 1 1,7 *", "2027-01-01 00:00:00"),
        ("0 0 0 * * Sun", "2026-11-22 00:00:00"),
        ("5 7 13 * * *", "2026-11-21 13:07:05"),
        ("31 7 13 20 11 *", "2026-11-20 13:07:31"),
        ("0 10-20/5 * * * *", "2026-11-20 13:10:00"),
        ("0 8/15 * * * *", "2026-11-20 13:08:00"),
        ("0 0 22-14 * * *", "2026-11-20 14:00:00"),
        ("30 8 * * *", "2026-11-21 08:30:00"),  # five fields: second 0
        ("0 0,20,40 * * * *", "2026-11-20 13:20:00"),
        ("59 59 23 31 12 *", "2026-12-31 23:59:59"),
        ("00:05:00", "2026-11-20 13:12:30.500000"),
    ],
)
def test_schedule_next_after_friday_afternoon(schedule: str, due: str) -> None:
    assert parse_schedule(schedule).next_after(FRIDAY) == at(due)


@pytest.mark.parametrize(
    ("part", "minutes"),
    [
        ("5/15", [5, 20, 35, 50]),
        ("5/1", [5]),
        ("*/20", [0, 20, 40]),
        ("40-10/10", [10, 20, 30, 40]),
        ("1,1,3", [1, 3]),
    ],
)
def test_schedule_step_gives_every_minute_of_the_hour(part: str, minutes: list[int]) -> None:
    schedule = parse_schedule(f"0 {part} * * * *")
    moment = at("2026-11-20 09:59:59")
    found = []
    while len(found) < len(minutes):
        moment = schedule.next_after(moment)
        found.append(moment.minute)
    assert found == minutes
    assert schedule.next_after(moment).hour == 11


def test_schedule_due_time_itself_is_not_repeated() -> None:
    schedule = parse_schedule("0 0 * * * *")
    due = schedule.next_after(FRIDAY)
    assert schedule.next_after(due) == due + timedelta(hours=1)


@pytest.mark.parametrize(
    ("schedule", "word"),
    [
        ("* * * *", "4 fields"),
        ("* * * * * * *", "7 fields"),
        ("", "0 fields"),
        ("60 * * * * *", "second"),
        ("* 60 * * * *", "minute"),
        ("* * 24 * * *", "hour"),
        ("* * * 0 * *", "day of the month"),
        ("* * * * 13 *", "month"),
        ("* * * * * 7", "day of the week"),
        ("*/0 * * * * *", "step"),
        ("*/x * * * * *", "step"),
        ("1- * * * * *", "second"),
        ("-1 * * * * *", "second"),
        ("* * * * Ja *", "month"),
        ("? * * * * *", "second"),
        ("1,,2 * * * * *", "second"),
        ("0 0 0 30 2 *", "never"),
        ("00:00:00", "longer"),
        ("aa:bb:cc", "hh:mm:ss"),
    ],
)
def test_schedule_that_is_wrong_is_refused_with_the_field(schedule: str, word: str) -> None:
    with pytest.raises(ScheduleError, match=word):
        parse_schedule(schedule)
