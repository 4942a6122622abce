"""Measures figures: rounds of ours and of the peers in turn, so that a noisy moment of the machine hits all of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.figures import OURS, Bench, ContenderFailed, Figure, Group, Stopped, Summary


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of one contender: a summary, or the reason why there is none."""

    name: str
    summary: Summary | None = None
    missing: str = ""
    stopped: str = ""
    failed: str = ""


@dataclass(frozen=True, slots=True)
class GoalResult:
    """A goal, and whether it is met: None when what it is compared with was not measured."""

    text: str
    met: bool | None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one figure."""

    figure: Figure
    measured: Sequence[Measured]
    goals: Sequence[GoalResult]
    details: Sequence[tuple[str, str]]

    @property
    def failed(self) -> bool:
        """Whether something that is there could not be measured."""
        return any(each.failed or (each.name == OURS and each.summary is None) for each in self.measured)

    def ratio(self, name: str) -> float | None:
        """Ours divided by that of a contender; None when one of them was not measured."""
        ours, theirs = (next((each.summary for each in self.measured if each.name == who), None) for who in (OURS, name))
        return ours.median / theirs.median if ours and theirs and theirs.median and name != OURS else None


@dataclass(frozen=True, slots=True)
class GroupResult:
    """What came of a group; `failed` says why it could not be opened."""

    group: Group
    results: Sequence[Result] = ()
    failed: str = ""


def measure_group(
    group: Group,
    wanted: frozenset[str],
    rounds: int,
    root: Path,
    say: Callable[[str], None],
    *,
    messages: int,
    kills: int,
    door: str = "http",
) -> GroupResult:
    """Open a group, measure the figures that are wanted, close it. A fault of the group is told and not raised."""
    say(f"{group.name}: {group.what}")
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        bench = Bench(root, Path(scratch), say, wanted.__contains__, messages, kills, door)
        try:
            with group.open(bench) as figures:
                return GroupResult(group, [measure(figure, rounds, say) for figure in figures if figure.name in wanted])
        except ContenderFailed as error:
            return GroupResult(group, failed=str(error))


def measure(figure: Figure, rounds: int, say: Callable[[str], None]) -> Result:
    """All rounds of one figure."""
    values: dict[str, list[float]] = {contender.name: [] for contender in figure.contenders}
    outs: dict[str, Measured] = {
        contender.name: Measured(contender.name, missing=contender.missing)
        for contender in figure.contenders
        if contender.measure is None
    }
    rounds = figure.rounds or rounds
    for number in range(1, rounds + 1):
        say(f"  {figure.name}, round {number} of {rounds}")
        for contender in figure.contenders:
            if contender.measure is None or contender.name in outs:
                continue
            try:
                values[contender.name].append(contender.measure())
            except Stopped as error:
                outs[contender.name] = Measured(contender.name, stopped=str(error))
            except ContenderFailed as error:
                outs[contender.name] = Measured(contender.name, failed=str(error))
    measured = [outs.get(name) or Measured(name, Summary.of(found)) for name, found in values.items()]
    summaries = {each.name: each.summary for each in measured if each.summary is not None}
    goals = [GoalResult(goal.text(figure.better), goal.met(figure.better, summaries)) for goal in figure.goals]
    return Result(figure, measured, goals, figure.details() if OURS in summaries else ())
