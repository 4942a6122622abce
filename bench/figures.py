"""What a figure is: something measured, of ours and of its peers, with the goal that we set ourselves.

A group opens what its figures need (programs, storage), and closes it. To add figures, write a module in `bench/groups`
with a `GROUP` and name it in `bench.registry`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

OURS = "Postrider"
Better = Literal["more", "less"]


class Stopped(Exception):
    """A contender took too long and was stopped after `seconds`; it is not asked again."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"stopped after {seconds:g} s")
        self.seconds = seconds


class ContenderFailed(Exception):
    """A contender could not be measured; the text says what it said."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The median of the rounds, with the least and the most."""

    median: float
    least: float
    most: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values), len(values))


@dataclass(frozen=True, slots=True)
class Contender:
    """Ours or a peer. `measure` does one round and returns its value; it raises Stopped and ContenderFailed.

    A peer that is not there has no `measure`, and `missing` says how to install it.
    """

    name: str
    measure: Callable[[], float] | None = None
    missing: str = ""


class Goal(Protocol):
    """What we want of ours. `met` is None when a peer that it needs was not measured."""

    def text(self, better: Better) -> str: ...

    def met(self, better: Better, summaries: Mapping[str, Summary]) -> bool | None: ...


@dataclass(frozen=True, slots=True)
class Beside:
    """Ours is to be at least, or where less is better at most, `times` that of `peer`."""

    peer: str
    times: float

    def text(self, better: Better) -> str:
        return f"{'at least' if better == 'more' else 'at most'} {self.times:g} of {self.peer}"

    def met(self, better: Better, summaries: Mapping[str, Summary]) -> bool | None:
        if OURS not in summaries or self.peer not in summaries:
            return None
        ratio = summaries[OURS].median / summaries[self.peer].median
        return ratio >= self.times if better == "more" else ratio <= self.times


@dataclass(frozen=True, slots=True)
class AtMost:
    """Ours is to be at most `value`."""

    value: float
    unit: str

    def text(self, better: Better) -> str:
        return f"at most {self.value:g} {self.unit}".rstrip()

    def met(self, better: Better, summaries: Mapping[str, Summary]) -> bool | None:
        return summaries[OURS].median <= self.value if OURS in summaries else None


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that is measured. `details` is asked after the last round: lines of two columns, such as a profile.

    `rounds` is for what needs no repetition, or is too long for it; otherwise the user decides.
    """

    name: str  # group, full stop, a word
    what: str
    unit: str
    contenders: Sequence[Contender]  # ours first
    better: Better = "more"
    goals: Sequence[Goal] = ()
    details: Callable[[], Sequence[tuple[str, str]]] = field(default=lambda: ())
    rounds: int | None = None


@dataclass(frozen=True, slots=True)
class Bench:
    """What a group is opened with."""

    root: Path
    scratch: Path  # a folder of the group's own, which goes with it
    say: Callable[[str], None]  # progress
    wanted: Callable[[str], bool]  # whether a figure was asked for; a group may spare itself the others
    messages: int = 0  # of the long run
    kills: int = 0  # of the long run
    door: str = "http"  # of the long run


@dataclass(frozen=True, slots=True)
class Group:
    """Figures that share what they need. `figures` names them all, so that they can be listed without opening the group."""

    name: str
    what: str
    needs: str  # peers and programs, for people
    figures: Sequence[str]
    open: Callable[[Bench], AbstractContextManager[Sequence[Figure]]]
    only_when_named: bool = False
