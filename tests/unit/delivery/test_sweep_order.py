"""In which order the sweeper looks at rows, what ends a run, and what only costs it one row."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from email_core.delivery import sweep
from email_core.delivery.sweep import DIGITS, EVERY, Sweeper, turn_at
from email_core.errors import StorageRefused, StorageUnavailable
from email_core.storage import StorageLimit, StoredEntity
from tests.kit.clock import FakeClock

SERVICES = ("1111111111", "mmmmmmmmmm", "zzzzzzzzzz")
ROUND = EVERY * len(DIGITS)
AWAY = StorageUnavailable("no answer")


class SortedTable:
    """A table of keys alone, which every filter beyond the range lets through; as storage it is its own tables."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = sorted(keys)
        self.tables = self

    async def query(self, table: str, filter: str, **_: object) -> AsyncIterator[StoredEntity]:
        begin = re.findall(r"PartitionKey ge '([^']*)'", filter)
        end = re.findall(r"PartitionKey lt '([^']*)'", filter)
        for key in self.keys:
            if key >= begin[0] and (not end or key < end[0]):
                yield StoredEntity({"PartitionKey": key, "RowKey": "message"}, "etag")


class EndlessTable(SortedTable):
    """It has a service, and none of its rows is overdue, page after page."""

    async def query(self, table: str, filter: str, **_: object) -> AsyncIterator[StoredEntity]:
        if "PartitionKey lt" not in filter:
            async for row in super().query(table, filter):
                yield row
        while "PartitionKey lt" in filter:
            await asyncio.sleep(0)


class Readings:
    """A spool that notes what is read from it, in order, and has nothing; or a fault for some rows."""

    def __init__(self, faults: dict[str, Exception] | None = None) -> None:
        self.read_keys: list[str] = []
        self.faults = faults or {}

    async def read(self, message: str, row: str, *, with_content: bool) -> None:
        self.read_keys.append(message)
        if message in self.faults:
            raise self.faults[message]


def sweeper(table: SortedTable, readings: Readings, clock: FakeClock) -> Sweeper:
    return Sweeper(cast(Any, table), cast(Any, readings), clock, 300.0)


def clock_at(turn: int) -> FakeClock:
    clock = FakeClock()
    clock.jump(turn * EVERY - clock.now())
    return clock


@pytest.mark.parametrize("late", [-60.0, -0.001, 0.0, 0.5, 60.0])
def test_turn_of_a_timer_that_fires_a_little_early_or_late_is_the_same(late: float) -> None:
    assert turn_at(1_234 * EVERY + late) == 1_234


async def test_sweep_each_look_at_a_digit_begins_elsewhere_and_sees_everything() -> None:
    keys = [f"{service}:5{second}aa" for service in SERVICES for second in DIGITS]
    readings, clock = Readings(), clock_at(len(DIGITS) * 1_000 + 5)
    begun = []
    for _ in keys:
        readings.read_keys.clear()
        await sweeper(SortedTable([*keys, "1111111111:4aaa", "mmmmmmmmmm:6aaa"]), readings, clock).sweep()
        assert sorted(readings.read_keys) == sorted(keys)
        begun.append(readings.read_keys[0])
        clock.advance(ROUND)
    assert sorted(begun) == sorted(keys)
    assert len({key.partition(":")[0] for key in begun[: len(SERVICES)]}) == len(SERVICES)


async def test_sweep_of_a_table_in_which_nothing_is_found_ends_in_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sweep, "LONGEST_SWEEP", 0.01)
    async with asyncio.timeout(30):
        done = await sweeper(EndlessTable(["1111111111:0"]), Readings(), clock_at(5)).sweep()
    assert done.found == 0
    assert "fault where=sweep" in caplog.text and "TimeoutError" in caplog.text


@pytest.mark.parametrize(
    "fault",
    [StorageLimit("no such name"), ValueError("no number"), TypeError("no text"), AWAY, StorageRefused("get", 400, "", "")],
)
async def test_sweep_row_that_fails_keeps_no_other_from_being_looked_at(
    fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    keys = [f"1111111111:00{place}" for place in DIGITS]
    readings = Readings({key: fault for place, key in enumerate(keys) if place % 3})  # two, and one that is read
    done = await sweeper(SortedTable(keys), readings, clock_at(0)).sweep()
    assert (readings.read_keys, done.found) == (keys, len(keys))
    assert f"message={keys[1]}" in caplog.text


async def test_sweep_without_an_answer_for_three_rows_in_a_row_ends() -> None:
    keys = [f"1111111111:00{place}" for place in DIGITS]
    readings = Readings(dict.fromkeys(keys[4:], AWAY))
    await sweeper(SortedTable(keys), readings, clock_at(0)).sweep()
    assert readings.read_keys == keys[: 4 + sweep.MOST_FAULTS]
