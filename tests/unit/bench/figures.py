"""Builders for figures that need no time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from bench.figures import OURS, Bench, Contender, Figure, Group


def values(*numbers: float | Exception) -> Callable[[], float]:
    """A measurement that gives these in turn, and raises the exceptions among them."""
    left: Iterator[float | Exception] = iter(numbers)

    def measure() -> float:
        value = next(left)
        if isinstance(value, Exception):
            raise value
        return value

    return measure


def a_figure(*contenders: Contender, name: str = "group.figure", **changes: object) -> Figure:
    """A figure of ours alone, or with the contenders given."""
    given = contenders or (Contender(OURS, values(1.0, 2.0, 3.0)),)
    return Figure(name, "something", "things/s", given, **changes)  # type: ignore[arg-type]


def a_group(*figures: Figure, name: str = "group", only_when_named: bool = False) -> Group:
    """A group with these figures."""

    @contextmanager
    def opened(bench: Bench) -> Iterator[Sequence[Figure]]:
        yield figures

    return Group(name, "what it is about", "a peer (apt)", [figure.name for figure in figures], opened, only_when_named)
