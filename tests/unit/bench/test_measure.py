"""Rounds, their summary, goals, and contenders that can't be measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.figures import OURS, AtMost, Bench, Beside, Contender, ContenderFailed, Figure, Goal, Group, Stopped, Summary
from bench.measure import measure, measure_group
from tests.unit.bench.figures import a_figure, a_group, values


def quiet(_: str) -> None:
    """No progress."""


def test_summary_has_the_median_the_least_and_the_most() -> None:
    assert Summary.of([5.0, 1.0, 3.0]) == Summary(3.0, 1.0, 5.0, 3)
    assert Summary.of([1.0, 2.0]) == Summary(1.5, 1.0, 2.0, 2)


def test_rounds_of_all_contenders_are_interleaved() -> None:
    order: list[str] = []

    def noting(name: str) -> Callable[[], float]:
        def measured() -> float:
            order.append(name)
            return 1.0

        return measured

    measure(a_figure(Contender(OURS, noting("ours")), Contender("peer", noting("peer"))), 2, quiet)

    assert order == ["ours", "peer", "ours", "peer"]


def test_figure_with_rounds_of_its_own_has_those() -> None:
    result = measure(a_figure(Contender(OURS, values(7.0)), rounds=1), 5, quiet)

    assert result.measured[0].summary == Summary(7.0, 7.0, 7.0, 1)


def test_peer_that_is_missing_is_named_and_ours_is_measured() -> None:
    figure = a_figure(Contender(OURS, values(4.0)), Contender("peer", missing="apt-get install it"), goals=[Beside("peer", 2)])
    result = measure(figure, 1, quiet)

    assert [(each.name, each.missing) for each in result.measured] == [(OURS, ""), ("peer", "apt-get install it")]
    assert (result.failed, result.goals[0].met, result.ratio("peer")) == (False, None, None)


@pytest.mark.parametrize(
    ("error", "stopped", "failed"),
    [(Stopped(20.0), "stopped after 20 s", ""), (ContenderFailed("no key"), "", "no key")],
)
def test_peer_that_fails_in_the_second_round_is_not_asked_again(error: Exception, stopped: str, failed: str) -> None:
    figure = a_figure(Contender(OURS, values(1.0, 2.0, 3.0)), Contender("peer", values(1.0, error)))
    result = measure(figure, 3, quiet)

    assert result.measured[0].summary == Summary(2.0, 1.0, 3.0, 3)
    assert (result.measured[1].summary, result.measured[1].stopped, result.measured[1].failed) == (None, stopped, failed)
    assert result.failed is bool(failed)


def test_figure_of_ours_that_was_stopped_has_failed() -> None:
    assert measure(a_figure(Contender(OURS, values(Stopped(1.0)))), 1, quiet).failed


@pytest.mark.parametrize(
    ("goal", "better", "ours", "met"),
    [
        (Beside("peer", 0.75), "more", 75.0, True),
        (Beside("peer", 0.75), "more", 74.0, False),
        (Beside("peer", 0.25), "less", 25.0, True),
        (Beside("peer", 0.25), "less", 26.0, False),
        (AtMost(0.6, "s"), "less", 0.6, True),
        (AtMost(0.6, "s"), "less", 0.61, False),
    ],
)
def test_goal_is_met_up_to_its_bound(goal: Goal, better: str, ours: float, met: bool) -> None:
    contenders = Contender(OURS, values(ours)), Contender("peer", values(100.0))
    result = measure(a_figure(*contenders, goals=[goal], better=better), 1, quiet)

    assert result.goals[0].met is met


def test_goal_says_which_side_is_wanted() -> None:
    assert Beside("nodemailer", 10.0).text("more") == "at least 10 of nodemailer"
    assert Beside("the SDK", 0.25).text("less") == "at most 0.25 of the SDK"
    assert AtMost(0.6, "s").text("less") == "at most 0.6 s"


def test_details_are_asked_after_the_last_round() -> None:
    seen: list[float] = []

    def noted() -> float:
        seen.append(1.0)
        return 1.0

    figure = a_figure(Contender(OURS, noted), details=lambda: [("rounds", str(len(seen)))])

    assert measure(figure, 3, quiet).details == [("rounds", "3")]


def test_group_gets_a_folder_that_goes_with_it_and_measures_what_is_wanted(tmp_path: Path) -> None:
    folders: list[Path] = []
    first, second = a_figure(name="group.first"), a_figure(name="group.second")

    @contextmanager
    def opened(bench: Bench) -> Iterator[Sequence[Figure]]:
        assert bench.scratch.is_dir() and (bench.messages, bench.kills) == (5, 2)
        folders.append(bench.scratch)
        yield [first, second]

    group = Group("group", "", "", ["group.first", "group.second"], opened)
    result = measure_group(group, frozenset(["group.second"]), 3, tmp_path, quiet, messages=5, kills=2)

    assert [each.figure.name for each in result.results] == ["group.second"]
    assert not folders[0].exists()


def test_group_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    @contextmanager
    def opened(bench: Bench) -> Iterator[Sequence[Figure]]:
        raise ContenderFailed("Azurite is not installed")
        yield []

    group = Group("group", "", "", [], opened)

    assert measure_group(group, frozenset(), 1, tmp_path, quiet, messages=1, kills=1).failed == "Azurite is not installed"


def test_group_of_the_builders_opens(tmp_path: Path) -> None:
    result = measure_group(a_group(a_figure()), frozenset(["group.figure"]), 3, tmp_path, quiet, messages=1, kills=1)

    assert result.results[0].measured[0].summary == Summary(2.0, 1.0, 3.0, 3)
