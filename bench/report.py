"""How results are shown: aligned text for people, JSON for programs, and Markdown for bench/README.md."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence

from bench.figures import OURS
from bench.machine import Machine
from bench.measure import GroupResult, Measured, Result

_MET = {True: "met", False: "MISSED", None: "not compared"}
_COLUMNS = ("", "median", "least", "most", "ours is")


def text(machine: Machine, groups: Sequence[GroupResult]) -> str:
    """Aligned columns, one block for each figure."""
    lines = [str(machine), ""]
    for group in groups:
        lines += [f"{group.group.name}: {group.group.what}", ""]
        if group.failed:
            lines += [f"  could not be measured: {group.failed}", ""]
        for result in group.results:
            lines += [*_text_of(result), ""]
    return "\n".join(lines)


def _text_of(result: Result) -> Iterator[str]:
    figure = result.figure
    yield f"  {figure.name}: {figure.what} ({figure.unit}, {figure.better} is better)"
    rows = [_COLUMNS, *(_row(each, result) for each in result.measured)]
    widths = [max(len(row[column]) for row in rows if len(row) == len(_COLUMNS)) for column in range(len(_COLUMNS))]
    widths[0] = max(len(row[0]) for row in rows)
    for row in rows:
        name, *values = row
        cells = [value.rjust(width) for value, width in zip(values, widths[1:], strict=True)] if len(row) > 2 else values
        yield f"    {name.ljust(widths[0])}  {'  '.join(cells)}".rstrip()
    for goal in result.goals:
        yield f"    goal: {goal.text}: {_MET[goal.met]}"
    if result.details:
        width = max(len(first) for first, _ in result.details)
        yield from (f"      {first.ljust(width)}  {second}" for first, second in result.details)


def _row(measured: Measured, result: Result) -> tuple[str, ...]:
    """All columns, or the name and the reason why there is no value."""
    summary = measured.summary
    if summary is None:
        return measured.name, measured.missing or measured.stopped or f"failed: {measured.failed}"
    values = (number(summary.median), number(summary.least), number(summary.most))
    ratio = result.ratio(measured.name)
    return measured.name, *values, "" if ratio is None else f"{number(ratio)} of it"


def markdown(machine: Machine, group: GroupResult) -> str:
    """A table for a group, with the line of the machine before it."""
    lines = [f"{machine}.", ""]
    if group.failed:
        lines.append(f"Could not be measured: {group.failed}")
    if group.results:
        lines += [
            "| Figure | Unit | Who | Median | Least | Most | Ours is | Goal |",
            "|---|---|---|--:|--:|--:|--:|---|",
        ]  # fmt: skip
    details: list[str] = []
    for result in group.results:
        lines += _markdown_rows(result)
        if result.details:
            details += ["", f"`{result.figure.name}` in detail:", "", "| What | |", "|---|---|"]
            details += [f"| {first} | {second} |" for first, second in result.details]
    return "\n".join([*lines, *details])


def _markdown_rows(result: Result) -> Iterator[str]:
    goals = "; ".join(f"{goal.text}: {_MET[goal.met]}" for goal in result.goals)
    for each in result.measured:
        ours = each.name == OURS
        what = f"`{result.figure.name}`: {result.figure.what}" if ours else ""
        name, *values = _row(each, result)
        cells = values if len(values) > 1 else [values[0], "", "", ""]
        unit, goal = (result.figure.unit, goals) if ours else ("", "")
        yield f"| {' | '.join([what, unit, name, *cells, goal])} |".replace("|  |", "| |").replace("|  |", "| |")


def as_json(machine: Machine, rounds: int, groups: Sequence[GroupResult]) -> str:
    """One object; a contender without a value has `missing`, `stopped` or `failed` instead."""
    whole = {
        "machine": dataclasses.asdict(machine),
        "rounds": rounds,
        "groups": [
            {
                "name": group.group.name,
                "what": group.group.what,
                **({"failed": group.failed} if group.failed else {}),
                "figures": [_json_of(result) for result in group.results],
            }
            for group in groups
        ],
    }
    return json.dumps(whole, indent=2)


def _json_of(result: Result) -> dict[str, object]:
    figure = result.figure
    measured = []
    for each in result.measured:
        values = dataclasses.asdict(each.summary) if each.summary else {}
        reasons = {name: value for name in ("missing", "stopped", "failed") if (value := getattr(each, name))}
        ratio = result.ratio(each.name)
        measured.append({"name": each.name, **values, **reasons, **({} if ratio is None else {"ours_is": ratio})})
    return {
        "name": figure.name, "what": figure.what, "unit": figure.unit, "better": figure.better, "measured": measured,
        "goals": [{"text": goal.text, "met": goal.met} for goal in result.goals],
        "details": [list(each) for each in result.details],
    }  # fmt: skip


def number(value: float) -> str:
    """Three significant digits, or all of those before the point."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.2e}"
