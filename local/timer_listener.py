"""Timer triggers: due by their schedule, late ones made up for once, never two runs of one timer at a time.

The schedule status, which the Functions host keeps in a blob, is a small file for each timer here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from azure.functions.meta import Datum

from email_core.clock import Clock
from local.function_index import HostedFunction, IndexingError
from local.host_settings import HostSettingsError, resolve
from local.invocation import Invoker
from local.ncrontab import Schedule, ScheduleError, parse_schedule

_LONGEST_SLEEP = 60.0  # seconds; a laptop that slept through a due time notices soon after it wakes
_MONITORED_FROM = timedelta(minutes=1)  # the host does not monitor timers that come more often

_log = logging.getLogger("local.host")


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """When the timer ran last (None: never), when it is due, and when that was written. All UTC."""

    last: datetime | None
    next: datetime
    updated: datetime

    def as_json(self) -> dict[str, str]:
        # .NET writes the default of a DateTime for a timer that never ran.
        last = self.last.isoformat() if self.last else "0001-01-01T00:00:00+00:00"
        return {"Last": last, "Next": self.next.isoformat(), "LastUpdated": self.updated.isoformat()}


class TimerListener:
    """Runs one function on its schedule. Raises IndexingError for a schedule that cannot be read."""

    def __init__(
        self, function: HostedFunction, invoker: Invoker, clock: Clock, folder: Path, app_settings: Mapping[str, str]
    ) -> None:
        self._function = function
        self._invoker = invoker
        self._clock = clock
        self._schedule = _schedule(function, app_settings)
        self._file = folder / f"{function.name}.json"
        self._stopping = asyncio.Event()
        self._running = asyncio.Lock()
        monitor = function.trigger.get("useMonitor")
        self._monitored = self._interval() >= _MONITORED_FROM and monitor is not False

    async def run(self) -> None:
        """Run the function whenever it is due, until `stop` is called."""
        status = self._read_status() if self._monitored else None
        now = self._now()
        if status is not None and now > status.next:
            status = await self._fire(status, past_due=True)
        elif self._function.trigger.get("runOnStartup"):
            status = await self._fire(status or self._fresh(None), past_due=False)
        if status is None:
            status = self._written(self._fresh(None))
        while await self._reached(status.next):
            status = await self._fire(status, past_due=False)

    async def stop(self, patience: float) -> None:
        """Start no more runs and wait up to `patience` seconds for the one that is on."""
        self._stopping.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience), self._running:
                return

    async def _reached(self, due: datetime) -> bool:
        """Wait until `due`; whether the timer is still wanted then."""
        while not self._stopping.is_set() and (left := (due - self._now()).total_seconds()) > 0:
            sleeping = asyncio.ensure_future(self._clock.sleep(min(left, _LONGEST_SLEEP)))
            stopping = asyncio.ensure_future(self._stopping.wait())
            await asyncio.wait({sleeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
            sleeping.cancel()
            stopping.cancel()
        return not self._stopping.is_set()

    async def _fire(self, status: ScheduleStatus, *, past_due: bool) -> ScheduleStatus:
        began = self._now()
        request = {"IsPastDue": past_due, "Schedule": {"AdjustForDST": True}, "ScheduleStatus": status.as_json()}
        async with self._running:
            try:
                await self._invoker.invoke(self._function, Datum(json.dumps(request), "json"), {})
            except Exception as error:
                # As the host: a failed run is over, the schedule goes on.
                _log.error("Function %s failed on its schedule", self._function.name, exc_info=error)
        return self._written(self._fresh(began))

    def _fresh(self, last: datetime | None) -> ScheduleStatus:
        now = self._now()
        return ScheduleStatus(last, self._schedule.next_after(now), now)

    def _written(self, status: ScheduleStatus) -> ScheduleStatus:
        if self._monitored:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._file.with_suffix(".new")
            fresh.write_text(json.dumps(status.as_json()), encoding="utf-8")
            fresh.replace(self._file)
        return status

    def _read_status(self) -> ScheduleStatus | None:
        """The status of an earlier run, None when there is none or it was written for another schedule."""
        try:
            stored = json.loads(self._file.read_text(encoding="utf-8"))
            last, due, updated = (datetime.fromisoformat(stored[name]) for name in ("Last", "Next", "LastUpdated"))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if self._schedule.next_after(updated) != due:
            return None
        return ScheduleStatus(last if last.year > 1 else None, due, updated)

    def _interval(self) -> timedelta:
        first = self._schedule.next_after(self._now())
        return self._schedule.next_after(first) - first

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)


def _schedule(function: HostedFunction, app_settings: Mapping[str, str]) -> Schedule:
    try:
        return parse_schedule(resolve(str(function.trigger["schedule"]), app_settings))
    except (ScheduleError, HostSettingsError) as error:
        raise IndexingError(f"cannot load the {function.name} function: {error}") from error
