"""The command: what is listed, what is chosen, and its exit status."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench import run
from bench.figures import OURS, Bench, Contender, ContenderFailed, Figure, Group
from bench.registry import GROUPS, UnknownName, chosen
from bench.results_page import places
from local.cli import read_command_line
from tests.unit.bench.figures import a_figure, a_group, values

ROOT = Path(__file__).parents[3]


def options(*words: str) -> Any:
    return read_command_line(["bench", *words]).options


def test_registry_names_each_figure_once_and_by_its_group() -> None:
    names = [name for group in GROUPS for name in group.figures]

    assert len(names) == len(set(names)) > 15
    assert all(name.startswith(f"{group.name}.") for group in GROUPS for name in group.figures)


def test_registry_and_the_page_have_the_same_groups() -> None:
    assert places((ROOT / "bench" / "README.md").read_text(encoding="utf-8")) == [group.name for group in GROUPS]


def test_list_names_every_figure_and_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.bench(options("--list"), ROOT) == 0
    said = capsys.readouterr().out

    assert all(name in said for group in GROUPS for name in (group.name, group.needs, *group.figures))


def test_chosen_without_names_leaves_the_long_run_out() -> None:
    assert {group.name for group, _ in chosen([])} == {group.name for group in GROUPS} - {"kills"}


def test_chosen_by_figure_and_by_group() -> None:
    assert [(group.name, figures) for group, figures in chosen(["mime.12KB", "trips"])] == [
        ("mime", frozenset(["mime.12KB"])),
        ("trips", frozenset(["trips.accept", "trips.prepare-to-settle"])),
    ]


def test_chosen_unknown_name_is_told() -> None:
    with pytest.raises(UnknownName, match=r"there is no figure dkim\.3KB"):
        chosen(["dkim", "dkim.3KB"])


def test_command_with_an_unknown_name_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.bench(options("nonsense"), ROOT) == 2
    assert "--list" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("--rounds", "0"), ("--rounds", "-1"), ("--kills", "x")])
def test_command_with_a_wrong_number_ends_with_2(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        options(*words)
    assert ended.value.code == 2


def test_command_prints_results_to_its_output_and_progress_beside(capsys: pytest.CaptureFixture[str]) -> None:
    status = run.bench(options("--json", "--rounds", "3"), ROOT, [a_group(a_figure())])
    said = capsys.readouterr()

    assert status == 0
    assert json.loads(said.out)["groups"][0]["figures"][0]["measured"][0]["median"] == 2.0
    assert "group.figure, round 3 of 3" in said.err


def test_command_with_a_contender_that_failed_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    figure = a_figure(Contender(OURS, values(1.0)), Contender("peer", values(ContenderFailed("no key"))))

    assert run.bench(options("--rounds", "1"), ROOT, [a_group(figure)]) == 1
    assert "failed: no key" in capsys.readouterr().out


def test_command_with_a_missing_peer_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    figure = a_figure(Contender(OURS, values(1.0)), Contender("peer", missing="not installed: apt-get install peer"))

    assert run.bench(options("--rounds", "1"), ROOT, [a_group(figure)]) == 0
    assert "not installed: apt-get install peer" in capsys.readouterr().out


def test_command_that_is_terminated_closes_its_group_and_ends_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    closed = []

    @contextmanager
    def opened(_: Bench) -> Iterator[list[Figure]]:
        try:
            yield [a_figure(Contender(OURS, lambda: os.kill(os.getpid(), signal.SIGTERM) or 1.0))]
        finally:
            closed.append(True)

    before = signal.getsignal(signal.SIGTERM)

    assert run.bench(options(), ROOT, [Group("group", "", "", ["group.figure"], opened)]) == 130
    assert closed == [True]
    assert signal.getsignal(signal.SIGTERM) is before
    assert "Stopped" in capsys.readouterr().err


def test_command_writes_the_results_into_the_page(tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    page = tmp_path / "bench" / "README.md"
    page.write_text("# Figures\n\n<!-- results: group -->\n<!-- end of results: group -->\n")

    assert run.bench(options("--write", "--rounds", "3"), tmp_path, [a_group(a_figure())]) == 0
    assert "| `group.figure`: something | things/s | Postrider | 2 | 1 | 3 |" in page.read_text()
