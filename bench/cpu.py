"""What CPU a process and all that it started have used, as /proc tells (Linux only).

A process that has ended counts once its parent has waited for it: its times are in those of the parent's children, so that
servers which start a process for a while, as Postfix does, are counted whole.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")  # a second; usually 100, so measure for seconds, not for milliseconds
_SHORT = 0.1  # seconds
_LONG = 5.0


@dataclass(frozen=True, slots=True)
class ProcessTimes:
    """A line of /proc/PID/stat, as far as it matters: seconds of its own, and of its children that have ended."""

    process: int
    parent: int
    own: float
    ended_children: float


def parse_stat(process: int, line: str, ticks: int = _TICKS) -> ProcessTimes:
    """The times in /proc/PID/stat (proc(5)): fields 4 and 14 to 17."""
    # The name, in brackets, may hold blanks and brackets of its own.
    fields = line.rpartition(")")[2].split()
    own = int(fields[11]) + int(fields[12])
    children = int(fields[13]) + int(fields[14])
    return ProcessTimes(process, int(fields[1]), own / ticks, children / ticks)


def tree_seconds(roots: Iterable[int], processes: Sequence[ProcessTimes]) -> float:
    """The seconds of these processes, of all that descend from them and still are there, and of those that have ended."""
    by_parent: dict[int, list[ProcessTimes]] = {}
    for each in processes:
        by_parent.setdefault(each.parent, []).append(each)
    by_id: Mapping[int, ProcessTimes] = {each.process: each for each in processes}
    waiting = [by_id[root] for root in roots if root in by_id]
    seconds, seen = 0.0, set[int]()
    while waiting:
        each = waiting.pop()
        if each.process in seen:
            continue
        seen.add(each.process)
        seconds += each.own + each.ended_children
        waiting += by_parent.get(each.process, ())
    return seconds


def cpu_seconds(*roots: int) -> float:
    """The same of what runs now."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended while we looked
            found.append(parse_stat(int(entry.name), (entry / "stat").read_text()))
    return tree_seconds(roots, found)


def milliseconds(groups: Sequence[Sequence[int]], work: Callable[[], object], messages: int) -> list[float]:
    """What the work takes of each group of processes and what they start, for one of so many messages."""
    before = [cpu_seconds(*group) for group in groups]
    work()
    wait_until_quiet([process for group in groups for process in group])
    return [(cpu_seconds(*group) - spent) / messages * 1000 for group, spent in zip(groups, before, strict=True)]


def wait_until_quiet(processes: Sequence[int]) -> None:
    """Until they have finished what follows a message, such as removing its file: until they use next to no CPU."""
    end = time.monotonic() + _LONG
    spent = cpu_seconds(*processes)
    while time.monotonic() < end:
        time.sleep(_SHORT)
        now = cpu_seconds(*processes)
        if now - spent < _SHORT * _SHORT * 2:  # two ticks
            return
        spent = now
