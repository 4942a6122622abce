"""SMTP servers die at any moment, and functions hosts too: whatever had its 250 arrives, and what comes twice is explained.

All are processes, with real storage and a real receiver (see `tests.kit.kill_run`). The clients do what mail servers do: a
message whose connection ended before its reply is sent again with the same Message-ID. At the end every recipient of every
operation has one final outcome, the receiver has what the ledgers say, and a message is there twice only where its client never
heard what became of the final dot.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.kill_run import run_smtp_in
from tests.kit.peers import require
from tests.kit.world import missing_reason

pytestmark = [pytest.mark.peers, pytest.mark.long]

MESSAGES, KILLS, OF_RELAYS = 300, 30, 20


@pytest.mark.timeout(900)
async def test_relays_and_hosts_that_are_killed_lose_no_message_that_had_its_250(tmp_path: Path) -> None:
    require(not missing_reason(), missing_reason())

    report = await run_smtp_in(tmp_path, MESSAGES, KILLS, seed=20, tell=print)

    assert report.clean, str(report)
    assert report.kills >= KILLS
    assert report.more["kills of an SMTP server"] >= OF_RELAYS - 2
    assert report.more["notifications to the sender"]
