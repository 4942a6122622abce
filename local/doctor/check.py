"""What a check is and what it finds. What is wrong cannot be said without what to do about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from local.doctor.subject import Subject

SECONDS = 10.0  # for one check; what takes longer than a person waits is wrong already


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    NOTICE = "notice"  # worth knowing, and mail is delivered all the same
    WRONG = "wrong"
    LEFT_OUT = "left out"  # something that the check needs is missing


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. Raises ValueError for a notice, or for something wrong, without a remedy."""

    name: str
    state: State
    found: str
    remedy: str = ""

    def __post_init__(self) -> None:
        if self.state in (State.NOTICE, State.WRONG) and not self.remedy.strip():
            raise ValueError(f"{self.name}: what is {self.state} needs a remedy")


Findings = Finding | Sequence[Finding]


@dataclass(frozen=True, slots=True)
class Check:
    """A check under its heading. `of_storage`: storage that does not answer leaves it out, for others say so already."""

    group: str
    name: str
    make: Callable[[Subject], Awaitable[Findings]]
    of_storage: bool = False
    seconds: float = SECONDS


def ok(name: str, found: str) -> Finding:
    return Finding(name, State.OK, found)


def notice(name: str, found: str, remedy: str) -> Finding:
    return Finding(name, State.NOTICE, found, remedy)


def wrong(name: str, found: str, remedy: str) -> Finding:
    return Finding(name, State.WRONG, found, remedy)


def left_out(name: str, why: str) -> Finding:
    return Finding(name, State.LEFT_OUT, why)


def shown_time(seconds: float) -> str:
    """A duration for people: 40 ms, 3.2 s, 12 min, 5 h, 3 days."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for limit, unit, name in ((10, 1, "s"), (120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds:.1f} s" if limit == 10 else f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86400:.0f} days"


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: 1 row, 2 rows."""
    return f"{number} {one}" if number == 1 else f"{number} {many or one + 's'}"
