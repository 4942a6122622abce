"""The same results as text, as JSON and as Markdown, and their place on the page."""

from __future__ import annotations

import json

import pytest

from bench import report
from bench.figures import OURS, Beside, Contender
from bench.machine import Machine, this_machine
from bench.measure import GroupResult, measure
from bench.results_page import places, with_results
from tests.unit.bench.figures import a_figure, a_group, values

MACHINE = Machine("A processor", 2, "Linux x86_64", "3.11.7", "OpenSSL 3.5", "OpenSSL 3.0", "20.1.0", "2026-11-22 08:00 UTC")


@pytest.fixture
def group() -> GroupResult:
    """Ours at 300, a peer at 100, one that is missing and one that was stopped."""
    figure = a_figure(
        Contender(OURS, values(200.0, 300.0, 400.0)),
        Contender("peer", values(100.0, 100.0, 100.0)),
        Contender("absent", missing="apt-get install absent"),
        goals=[Beside("peer", 2.5), Beside("absent", 1.0)],
        details=lambda: [("parsing", "1.5 ms")],
    )
    return GroupResult(a_group(figure), [measure(figure, 3, lambda _: None)])


def test_text_is_aligned_and_says_what_is_met_and_missing(group: GroupResult) -> None:
    lines = report.text(MACHINE, [group]).splitlines()

    assert lines[0].startswith("A processor, 2 cores, Linux x86_64, Python 3.11.7, OpenSSL 3.5 (ours)")
    assert lines[4:] == [
        "  group.figure: something (things/s, more is better)",
        "               median  least  most  ours is",
        "    Postrider     300    200   400",
        "    peer          100    100   100  3 of it",
        "    absent     apt-get install absent",
        "    goal: at least 2.5 of peer: met",
        "    goal: at least 1 of absent: not compared",
        "      parsing  1.5 ms",
    ]


def test_json_has_every_value_and_the_reasons_for_those_that_are_not_there(group: GroupResult) -> None:
    said = json.loads(report.as_json(MACHINE, 3, [group]))
    [figure] = said["groups"][0]["figures"]

    assert said["machine"]["cores"] == 2 and said["rounds"] == 3
    assert figure["measured"] == [
        {"name": OURS, "median": 300.0, "least": 200.0, "most": 400.0, "rounds": 3},
        {"name": "peer", "median": 100.0, "least": 100.0, "most": 100.0, "rounds": 3, "ours_is": 3.0},
        {"name": "absent", "missing": "apt-get install absent"},
    ]
    assert figure["goals"] == [
        {"text": "at least 2.5 of peer", "met": True},
        {"text": "at least 1 of absent", "met": None},
    ]
    assert figure["details"] == [["parsing", "1.5 ms"]]


def test_markdown_is_a_table_whose_rows_all_have_its_columns(group: GroupResult) -> None:
    rows = [line for line in report.markdown(MACHINE, group).splitlines() if line.startswith("| ")]

    assert rows[1].startswith("| `group.figure`: something | things/s | Postrider | 300 | 200 | 400 |")
    assert rows[1].endswith("| at least 2.5 of peer: met; at least 1 of absent: not compared |")
    assert {row.count("|") for row in rows[:4]} == {9}


def test_group_that_failed_is_told_in_every_form() -> None:
    failed = GroupResult(a_group(), failed="Azurite is not installed")

    assert "could not be measured: Azurite is not installed" in report.text(MACHINE, [failed])
    assert json.loads(report.as_json(MACHINE, 1, [failed]))["groups"][0]["failed"] == "Azurite is not installed"
    assert "Could not be measured: Azurite is not installed" in report.markdown(MACHINE, failed)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (12345.6, "12,346"), (99.94, "99.9"), (0.26543, "0.265"), (3.0, "3"), (0.00004, "4.00e-05")],
)
def test_number_has_three_digits(value: float, shown: str) -> None:
    assert report.number(value) == shown


def test_page_gets_the_results_of_one_group_and_keeps_the_others() -> None:
    page = "a\n<!-- results: x -->\n\nold\n\n<!-- end of results: x -->\nb\n<!-- results: y -->\n<!-- end of results: y -->\n"
    once = with_results(page, "x", r"new \1")

    assert once == page.replace("old", r"new \1")
    assert with_results(once, "x", r"new \1") == once
    assert places(page) == ["x", "y"]


def test_page_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="results: z"):
        with_results("nothing\n", "z", "new")


def test_machine_line_names_what_is_here() -> None:
    machine = this_machine()

    assert machine.cores >= 1 and machine.python in str(machine) and machine.openssl.startswith("OpenSSL ")
