"""The report: lines for people, and one document for programs."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Sequence

from local.doctor.check import Finding, State, counted

FORMAT = 1  # of the document; higher when a member changes its meaning

_MARKS = {State.OK: "ok", State.NOTICE: "note", State.WRONG: "WRONG", State.LEFT_OUT: "-"}
_COLOURS = {State.OK: "32", State.NOTICE: "33", State.WRONG: "1;31", State.LEFT_OUT: "2"}
_NAME_WIDTH = 22
_REMEDY = " " * 8 + "> "


def lines_of(finding: Finding, *, colour: bool, width: int) -> list[str]:
    """One line, whose mark reads without colour, and the remedy below it, wrapped to `width` characters."""
    mark = f"{_MARKS[finding.state]:<5}"
    if colour:
        mark = f"\x1b[{_COLOURS[finding.state]}m{mark}\x1b[0m"
    found = " ".join(finding.found.split())
    lines = [f"  {mark} {finding.name:<{_NAME_WIDTH}} {found}"]
    if finding.remedy:
        remedy = " ".join(finding.remedy.split())
        lines += textwrap.wrap(
            remedy, width, initial_indent=_REMEDY, subsequent_indent=" " * len(_REMEDY),
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    return lines


def summary(findings: Sequence[Finding]) -> dict[str, int]:
    """How many findings there are of each state."""
    counts = Counter(finding.state for finding in findings)
    return {str(state): counts[state] for state in State}


def summary_line(findings: Sequence[Finding]) -> str:
    """The last line for people."""
    counts = summary(findings)
    what = [f"{number} {state}" for state, number in counts.items() if number and state != State.NOTICE]
    if counts[State.NOTICE]:
        what.insert(1, counted(counts[State.NOTICE], "notice"))
    verdict = "Nothing is wrong" if not counts[State.WRONG] else "Something is wrong"
    return f"{verdict}: {', '.join(what)}."


def document(groups: Sequence[tuple[str, Finding]], *, machine: str, installation: str) -> str:
    """All of it as JSON; `groups` are the findings with the headings that they stand under."""
    checks = [
        {"group": group, "name": each.name, "state": str(each.state), "found": each.found, "remedy": each.remedy}
        for group, each in groups
    ]
    findings = [finding for _, finding in groups]
    return json.dumps(
        {"format": FORMAT, "machine": machine, "installation": installation, "summary": summary(findings), "checks": checks},
        indent=2,
        ensure_ascii=False,
    )
