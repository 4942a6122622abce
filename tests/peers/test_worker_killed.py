"""Workers die at any moment: no accepted message is lost by it, and what arrives twice is marked as a possible duplicate."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from email_core.delivery.rows import SpooledRow
from tests.kit.azurite import Azurite
from tests.kit.peers import require
from tests.kit.pipeline import SEALING_KEY, Pipeline, build_pipeline, draft_to
from tests.kit.receiver import receiver
from tests.kit.world import ROOT, missing_reason

pytestmark = pytest.mark.peers

MESSAGES = 120
KILLS = 15
SETTLED_WITHIN = 60.0  # seconds after the last kill: a claim and a visibility, a few times over


@asynccontextmanager
async def killed_worker(environment: dict[str, str], log: Path) -> AsyncIterator[asyncio.Task[None]]:
    """A worker that is killed at random moments and started again, KILLS times; the last one stays."""
    processes: list[asyncio.subprocess.Process] = []

    async def started() -> None:
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.kit.worker",
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
            )
        processes.append(process)

    async def kill_and_start() -> None:
        await started()
        for _ in range(KILLS):
            await asyncio.sleep(random.uniform(0.7, 2.0))
            processes[-1].send_signal(signal.SIGKILL)
            await processes[-1].wait()
            await started()

    task = asyncio.create_task(kill_and_start())
    try:
        yield task
    finally:
        task.cancel()
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.wait()


@contextmanager
def azurite_of_its_own(folder: Path) -> Iterator[str]:
    """The queues of the shared one hold items of other tests, which a worker would take for its own."""
    folder.mkdir()
    running = Azurite(folder)
    try:
        yield running.connection_string
    finally:
        running.stop()


async def rows_of(pipeline: Pipeline, messages: list[str]) -> list[SpooledRow]:
    """The rows that hold the ledgers: of a split message those of its envelopes."""
    rows = []
    for message in messages:
        row = await pipeline.services.spool.read(message, with_content=False)
        assert row is not None
        rows += await pipeline.services.spool.envelopes(message) if row.facts.envelopes else [row]
    return rows


async def test_worker_killed_at_random_moments_loses_nothing_and_marks_duplicates(tmp_path: Path) -> None:
    require(not missing_reason(), missing_reason())
    log = tmp_path / "worker.log"
    with azurite_of_its_own(tmp_path / "azurite") as connection_string:
        async with receiver() as sink:
            sink.data_seconds = 0.1  # so that most kills hit a message that is under way
            routes = f"capture://127.0.0.1:{sink.port}"
            pipeline = await build_pipeline(connection_string, routes=routes)
            environment = {
                "AzureWebJobsStorage": connection_string,
                "POSTRIDER_SEALING_KEY": str(SEALING_KEY),
                "POSTRIDER_ROUTES": routes,
                "POSTRIDER_CLAIM_SECONDS": "3",
                "POSTRIDER_RUN_SECONDS": "2",
            }
            sent: dict[str, list[str]] = {}
            async with killed_worker(environment, log) as killing:
                for number in range(MESSAGES):
                    recipients = [f"r{number}@a.test"] if number % 4 else [f"r{number}@a.test", f"r{number}@b.test"]
                    accepted = await pipeline.accept(draft_to(*recipients))
                    sent[f"{pipeline.service.key}:{accepted.operation_id}"] = recipients
                    await asyncio.sleep(0.12)
                await killing
                rows = await settled(pipeline, list(sent))
            await pipeline.close()
    assert all(row.ledger.finished for row in rows), log.read_text()[-4000:]
    arrived = Counter(recipient for message in sink.received for recipient in message.recipients)
    flagged = {entry.address for row in rows for entry in row.ledger.entries if entry.possible_duplicate}
    wanted = {recipient for recipients in sent.values() for recipient in recipients}
    assert set(arrived) == wanted
    assert {str(entry.status) for row in rows for entry in row.ledger.entries} == {"Delivered"}
    assert {recipient for recipient, count in arrived.items() if count > 1} <= flagged


async def settled(pipeline: Pipeline, messages: list[str]) -> list[SpooledRow]:
    """The rows once every ledger is finished, or as they are when that takes too long."""
    end = asyncio.get_running_loop().time() + SETTLED_WITHIN
    while True:
        rows = await rows_of(pipeline, messages)
        if all(row.ledger.finished for row in rows) or asyncio.get_running_loop().time() > end:
            return rows
        await asyncio.sleep(1.0)
