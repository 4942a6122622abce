"""The long kill run: messages go in while what works them is killed, and a receiver counts. It takes hours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.figures import OURS, AtMost, Bench, Contender, Figure, Group
from tests.kit.kill_report import Report

_NAME = "kills.lost"


@contextmanager
def _open(bench: Bench) -> Iterator[Sequence[Figure]]:
    from bench.kills import kill_run

    reports: list[Report] = []

    def measure() -> float:
        reports.append(asyncio.run(kill_run(bench.messages, bench.kills, progress=bench.say, door=bench.door)))
        return len(reports[-1].offences)

    yield [
        Figure(
            _NAME,
            f"recipients lost, doubled without a flag or otherwise wrong: {bench.messages:,} messages by {bench.door}, "
            f"{bench.kills:,} kills",
            "recipients",
            [Contender(OURS, measure)],
            better="less",
            goals=[AtMost(0, "")],
            details=lambda: [("", line) for line in str(reports[-1]).splitlines()],
            rounds=1,
        )
    ]


GROUP = Group("kills", "the long kill run", "Azurite (npm)", [_NAME], _open, only_when_named=True)
