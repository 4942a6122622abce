"""Timer triggers on a clock that stands still until it is slept on."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest

from local.function_index import IndexingError
from local.timer_listener import TimerListener
from tests.kit.clock import FakeClock
from tests.unit.local.builders import hosted, invoker

START = 1_790_000_000.0  # 2026-09-21T14:13:20Z


class Timer:
    """A timer function that notes its runs and stops its listener after `most` of them."""

    def __init__(self, folder: Path, clock: FakeClock, most: int, *, fails: bool = False, **trigger: Any) -> None:
        self.runs: list[tuple[str, func.TimerRequest]] = []
        self._clock = clock
        self._most = most
        self._fails = fails

        async def tick(timer: func.TimerRequest) -> None:
            await self._run(timer)

        function = hosted(tick, "timerTrigger", **{"schedule": "0 */5 * * * *", **trigger})
        self.listener = TimerListener(function, invoker(), clock, folder, {"MINUTE": "30"})

    async def _run(self, timer: func.TimerRequest) -> None:
        self.runs.append((datetime.fromtimestamp(self._clock.now(), UTC).strftime("%H:%M:%S"), timer))
        if len(self.runs) >= self._most:
            await self.listener.stop(0)
        if self._fails:
            raise ValueError("a bad day")

    async def times(self) -> list[str]:
        async with asyncio.timeout(5):
            await self.listener.run()
        return [time for time, _ in self.runs]


async def test_timer_runs_at_each_due_time_and_is_told_its_schedule(tmp_path: Path) -> None:
    timer = Timer(tmp_path, FakeClock(START), 3)
    assert await timer.times() == ["14:15:00", "14:20:00", "14:25:00"]
    second = timer.runs[1][1]
    assert not second.past_due
    assert second.schedule_status["Last"] == "2026-09-21T14:15:00+00:00"
    assert second.schedule_status["Next"] == "2026-09-21T14:20:00+00:00"
    assert timer.runs[0][1].schedule_status["Last"] == "0001-01-01T00:00:00+00:00"


async def test_timer_with_a_setting_in_its_schedule_uses_the_value(tmp_path: Path) -> None:
    assert await Timer(tmp_path, FakeClock(START), 1, schedule="0 %MINUTE% * * * *").times() == ["14:30:00"]


async def test_timer_run_on_startup_runs_at_once_and_then_on_schedule(tmp_path: Path) -> None:
    timer = Timer(tmp_path, FakeClock(START), 2, runOnStartup=True)
    assert await timer.times() == ["14:13:20", "14:15:00"]
    assert not timer.runs[0][1].past_due


async def test_timer_that_was_missed_while_the_host_was_down_runs_once_as_past_due(tmp_path: Path) -> None:
    await Timer(tmp_path, FakeClock(START), 1).times()
    later = Timer(tmp_path, FakeClock(START + 3600), 2)
    assert await later.times() == ["15:13:20", "15:15:00"]
    assert [run.past_due for _, run in later.runs] == [True, False]


async def test_timer_whose_schedule_changed_is_not_past_due(tmp_path: Path) -> None:
    await Timer(tmp_path, FakeClock(START), 1).times()
    assert await Timer(tmp_path, FakeClock(START + 3600), 1, schedule="0 7 * * * *").times() == ["16:07:00"]


@pytest.mark.parametrize("trigger", [{"useMonitor": False}, {"schedule": "*/10 * * * * *"}])
async def test_timer_that_is_not_monitored_keeps_no_status(tmp_path: Path, trigger: dict[str, Any]) -> None:
    await Timer(tmp_path, FakeClock(START), 1, **trigger).times()
    assert list(tmp_path.iterdir()) == []


async def test_timer_with_a_broken_status_file_starts_afresh(tmp_path: Path) -> None:
    (tmp_path / "tick.json").write_text("{")
    assert await Timer(tmp_path, FakeClock(START), 1).times() == ["14:15:00"]
    assert json.loads((tmp_path / "tick.json").read_text())["Next"] == "2026-09-21T14:20:00+00:00"


async def test_timer_whose_function_fails_goes_on(tmp_path: Path) -> None:
    assert await Timer(tmp_path, FakeClock(START), 2, fails=True).times() == ["14:15:00", "14:20:00"]


async def test_timer_stop_waits_for_the_run_that_is_on(tmp_path: Path) -> None:
    started, gate, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def tick(timer: func.TimerRequest) -> None:
        started.set()
        await gate.wait()
        finished.set()

    function = hosted(tick, "timerTrigger", schedule="0 0 * * * *", runOnStartup=True)
    listener = TimerListener(function, invoker(), FakeClock(START), tmp_path, {})
    running = asyncio.create_task(listener.run())
    await asyncio.wait_for(started.wait(), 5)
    stopping = asyncio.create_task(listener.stop(5))
    gate.set()
    await stopping
    assert finished.is_set()
    await running


@pytest.mark.parametrize(("schedule", "word"), [("every hour", "2 fields"), ("%NOWHERE%", "%NOWHERE%")])
def test_timer_with_a_wrong_schedule_is_refused_by_its_name(tmp_path: Path, schedule: str, word: str) -> None:
    with pytest.raises(IndexingError, match=f"cannot load the tick function: .*{word}"):
        Timer(tmp_path, FakeClock(START), 1, schedule=schedule)
