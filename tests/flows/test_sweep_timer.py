"""The sweeper as the functions host runs it: on its schedule, and at the start when the last time was missed."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from email_core.delivery.spool import SUBMISSIONS, SpoolItem
from email_core.delivery.sweep import DIGITS, EVERY, turn_at
from email_core.triggers.timers import SWEEP_SCHEDULE
from local.ncrontab import parse_schedule
from tests.flows.host_process import functions_host
from tests.kit.pipeline import SEALING_KEY, Pipeline, draft_to

pytestmark = pytest.mark.peers

APP = """
from email_core.services import Worker
from email_core.triggers import timers
timers.register(app, Worker())
"""


def test_schedule_of_the_sweeper_is_the_time_that_it_counts_on() -> None:
    schedule = parse_schedule(SWEEP_SCHEDULE)
    due = schedule.next_after(datetime(2026, 1, 1, 11, 58, tzinfo=UTC))
    assert (schedule.next_after(due) - due).total_seconds() == EVERY
    assert due.timestamp() % EVERY == 0


async def test_sweep_timer_that_was_missed_puts_a_lost_message_back_at_the_start(
    pipeline: Pipeline, azurite: str, tmp_path: Path
) -> None:
    pipeline.clock.jump(-3600.0)  # so that all that was claimed is overdue in the host's time
    now = turn_at(pipeline.clock.now() + 3600.0)
    messages = []
    for digit in (DIGITS[now % 16], DIGITS[(now + 1) % 16]):  # five minutes may end before the host is up
        accepted = await pipeline.accept(draft_to("ann@fabrikam.test"), operation_id=digit + str(uuid.uuid4())[1:])
        item = SpoolItem(f"{pipeline.service.key}:{accepted.operation_id}")
        assert await pipeline.services.claims.take(SUBMISSIONS, item, dequeue_count=1)
        messages.append(item.message)
    missed(tmp_path / "state" / "timers" / "sweep.json")
    environment = {"AzureWebJobsStorage": azurite, "POSTRIDER_SEALING_KEY": str(SEALING_KEY)}
    with functions_host(tmp_path, APP, environment=environment) as host:
        host.said("swept digit=")
        log = host.log.read_text()
    put_back = [message for message in messages if f"put-back-message message={message} row=message queue=submissions" in log]
    assert len(put_back) == 1
    row = await pipeline.services.spool.read(put_back[0], with_content=False)
    assert row is not None
    assert row.timeline[-1].kind == "overdue"


def missed(file: Path) -> None:
    """A schedule status that an earlier host left an hour ago."""
    updated = datetime.now(UTC) - timedelta(hours=1)
    status = {"Last": updated, "Next": parse_schedule(SWEEP_SCHEDULE).next_after(updated), "LastUpdated": updated}
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({name: moment.isoformat() for name, moment in status.items()}), encoding="utf-8")
