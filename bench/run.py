"""`./postrider bench`: which figures, how many rounds, and how they are shown."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import report
from bench.figures import Group
from bench.machine import this_machine
from bench.measure import GroupResult, measure_group
from bench.peers import install_peers
from bench.registry import GROUPS, UnknownName, chosen
from bench.results_page import write_results

PAGE = "README.md"
_FAILED, _WRONG = 1, 2
_STOPPED = 130  # as a shell has it for Ctrl-C


def bench(options: argparse.Namespace, root: Path, groups: Sequence[Group] = GROUPS) -> int:
    """0 when everything that is here was measured, met or not; 1 when something was not; 2 for a name that is none; 130 when
    it was stopped.
    """
    if options.list:
        print(_listed(groups))
        return 0
    try:
        wanted = chosen(options.names, groups)
    except UnknownName as error:
        _say(f"postrider: {error}")
        return _WRONG
    installed = not options.install_peers or install_peers(root, _say)
    machine = this_machine()
    try:
        with _ending_in_order():
            results = [
                measure_group(
                    group, figures, options.rounds, root, _say, messages=options.messages, kills=options.kills,
                    door=options.door,
                )
                for group, figures in wanted
            ]  # fmt: skip
    except KeyboardInterrupt:
        _say("Stopped, and everything that was started for it.")
        return _STOPPED
    print(report.as_json(machine, options.rounds, results) if options.json else report.text(machine, results))
    if options.write:
        page = root / "bench" / PAGE
        write_results(page, {result.group.name: report.markdown(machine, result) for result in results})
        _say(f"The results are in {page}.")
    return 0 if installed and not any(map(_incomplete, results)) else _FAILED


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """SIGTERM as Ctrl-C: groups have to stop what they started, some of which would not end by itself."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _incomplete(group: GroupResult) -> bool:
    return bool(group.failed) or any(result.failed for result in group.results)


def _listed(groups: Sequence[Group]) -> str:
    lines = []
    for group in groups:
        only = " Only when it is named." if group.only_when_named else ""
        lines += [f"{group.name}: {group.what}.{only}", f"  beside: {group.needs}", f"  figures: {', '.join(group.figures)}"]
    return "\n".join(lines)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
