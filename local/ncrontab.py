"""NCRONTAB, the schedules of timer triggers, read as the NCrontab library of the Functions host reads them.

Six fields: second, minute, hour, day of the month, month, day of the week; five fields mean second 0. An interval
(`hh:mm:ss`) is a schedule too. All times are UTC, as on Azure without WEBSITE_TIME_ZONE.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

# 29 February that must be a Monday comes every 28 years, and every 40 around 2100, which has no leap day.
_HORIZON_DAYS = 41 * 366

_MONTHS = [
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
]  # fmt: skip
_WEEKDAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]


class ScheduleError(ValueError):
    """A schedule that cannot be read, or that never comes due."""


class Schedule(Protocol):
    """When a timer is due."""

    def next_after(self, moment: datetime) -> datetime:
        """The first due time after `moment` (both UTC). Raises ScheduleError when there is none."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Due every `every` after the last time."""

    every: timedelta

    def next_after(self, moment: datetime) -> datetime:
        return moment + self.every


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """The values that each field allows. A day must satisfy both the day of the month and the day of the week, unlike cron."""

    text: str
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # Sunday is 0

    def next_after(self, moment: datetime) -> datetime:
        start = (moment + timedelta(seconds=1)).replace(microsecond=0)
        day = start.replace(hour=0, minute=0, second=0)
        for _ in range(_HORIZON_DAYS):
            if day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays:
                for due in self._times(day):
                    if due >= start:
                        return due
            day += timedelta(days=1)
        raise ScheduleError(f"the schedule {self.text!r} never comes due: no such day exists")

    def _times(self, day: datetime) -> Iterator[datetime]:
        for hour in self.hours:
            for minute in self.minutes:
                for second in self.seconds:
                    yield day.replace(hour=hour, minute=minute, second=second)


class _Field(NamedTuple):
    name: str
    least: int
    most: int
    words: list[str]


_FIELDS = (
    _Field("second", 0, 59, []),
    _Field("minute", 0, 59, []),
    _Field("hour", 0, 23, []),
    _Field("day of the month", 1, 31, []),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 6, _WEEKDAYS),
)


def parse_schedule(text: str) -> Schedule:
    """The schedule that `text` describes. Raises ScheduleError naming the field and the rule."""
    parts = text.split()
    if len(parts) == 1 and text.count(":") == 2:
        return _interval(text.strip())
    if len(parts) == 5:
        parts = ["0", *parts]
    if len(parts) != 6:
        raise ScheduleError(
            f"the schedule {text!r} has {len(parts)} fields; write six: second minute hour day month day-of-week"
        )
    values = [_field_values(part, field, text) for part, field in zip(parts, _FIELDS, strict=True)]
    seconds, minutes, hours, days, months, weekdays = values
    schedule = CronSchedule(
        text, tuple(sorted(seconds)), tuple(sorted(minutes)), tuple(sorted(hours)),
        frozenset(days), frozenset(months), frozenset(weekdays),
    )  # fmt: skip
    schedule.next_after(
        datetime(2000, 1, 1, tzinfo=UTC)
    )  # a schedule that can never be due is refused here, not when it is armed
    return schedule


def _interval(text: str) -> Interval:
    try:
        hours, minutes, seconds = (int(part) for part in text.split(":"))
    except ValueError:
        raise ScheduleError(f"the interval {text!r} is not of the form hh:mm:ss") from None
    every = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    if every <= timedelta(0):
        raise ScheduleError(f"the interval {text!r} must be longer than nothing")
    return Interval(every)


def _field_values(text: str, field: _Field, whole: str) -> set[int]:
    values: set[int] = set()
    for part in text.split(","):
        try:
            values |= _part_values(part, field)
        except ValueError as error:
            raise ScheduleError(f"the {field.name} {text!r} in the schedule {whole!r}: {error}") from None
    return values


def _part_values(part: str, field: _Field) -> set[int]:
    body, slash, step_text = part.partition("/")
    step = int(step_text) if step_text.isdecimal() else 1
    if slash and (not step_text.isdecimal() or step < 1):
        raise ValueError(f"the step {step_text!r} must be a whole number from 1")
    first, dash, last = body.partition("-")
    if body == "*":
        low, high = field.least, field.most
    elif dash:
        # NCrontab swaps the ends of a range that runs backwards: 22-2 is 2-22, not the hours of the night.
        low, high = sorted((_value(first, field), _value(last, field)))
    else:
        low = _value(body, field)
        # NCrontab takes `5/15` as 5-59/15, but `5/1` as just 5.
        high = field.most if step > 1 else low
    return set(range(low, high + 1, step))


def _value(text: str, field: _Field) -> int:
    if text.isdecimal():
        value = int(text)
        if not field.least <= value <= field.most:
            raise ValueError(f"{value} is not from {field.least} to {field.most}")
        return value
    # Names may be shortened to three letters or more: Jan, Sept, Tues.
    matches = [index for index, word in enumerate(field.words) if len(text) >= 3 and word.startswith(text.lower())]
    if not matches:
        raise ValueError(f"{text!r} is not a value from {field.least} to {field.most}" + (" or a name" if field.words else ""))
    return matches[0] + field.least
