"""The end of a worker: nobody tells it, and what it opened is closed all the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from email_core.services import Worker
from tests.flows.host_process import functions_host
from tests.kit.pipeline import SEALING_KEY

APP = """
from email_core.services import Worker
from email_core.triggers import health
health.register(app, Worker())
"""


@pytest.mark.peers
def test_host_that_is_stopped_has_its_worker_close_what_it_opened(azurite: str, tmp_path: Path) -> None:
    environment = {"AzureWebJobsStorage": azurite, "POSTRIDER_SEALING_KEY": str(SEALING_KEY)}
    with functions_host(tmp_path, APP, environment=environment) as host:
        host.request("GET", "/health/ready")
        assert host.stop() == 0
    said = host.log.read_text()
    assert "Stopping" in said
    assert "Unclosed" not in said


def test_worker_is_closed_by_the_end_of_its_loop_after_the_last_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AzureWebJobsStorage", "UseDevelopmentStorage=true")
    monkeypatch.setenv("POSTRIDER_SEALING_KEY", str(SEALING_KEY))
    worker, order = Worker(), []

    async def run_to_the_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # what a run that is ended still writes down
            order.append("task")

    async def main() -> None:
        services = await worker.services()
        inner = services.storage.close

        async def closing() -> None:
            order.append("storage")
            await inner()

        monkeypatch.setattr(services.storage, "close", closing)
        running.append(asyncio.create_task(run_to_the_end()))
        await asyncio.sleep(0)

    running: list[asyncio.Task[None]] = []
    asyncio.run(main())
    assert order == ["task", "storage"]


async def test_worker_that_was_closed_opens_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AzureWebJobsStorage", "UseDevelopmentStorage=true")
    monkeypatch.setenv("POSTRIDER_SEALING_KEY", str(SEALING_KEY))
    worker = Worker()
    first = await worker.services()
    await worker.close()
    second = await worker.services()
    await worker.close()
    assert second is not first
    assert await worker.services() is not second
    await worker.close()
