"""The daily timer as the functions host runs it: registered whatever its setting says, and run by hand."""

from __future__ import annotations

import json
from pathlib import Path

import azure.functions as func
import pytest

from email_core.errors import StorageUnavailable
from email_core.services import Worker
from email_core.settings import REVERIFY_SCHEDULE
from email_core.triggers import timers
from tests.flows.host_process import functions_host
from tests.kit.administration import Api
from tests.kit.pipeline import SEALING_KEY

APP = """
from email_core.services import Worker
from email_core.triggers import timers
timers.register(app, Worker())
"""


@pytest.mark.parametrize(
    ("value", "schedule"), [("0 15 2 * * *", "0 15 2 * * *"), ("at night", REVERIFY_SCHEDULE), ("", REVERIFY_SCHEDULE)]
)
def test_timer_is_registered_with_its_schedule_or_the_default_when_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch, value: str, schedule: str
) -> None:
    monkeypatch.setenv("POSTRIDER_REVERIFY_SCHEDULE", value)
    app = func.FunctionApp()
    timers.register(app, Worker())
    triggers = {each.get_function_name(): json.loads(each.get_raw_bindings()[0]) for each in app.get_functions()}

    assert triggers["reverify"]["schedule"] == schedule
    assert triggers["reverify"]["useMonitor"] is True


@pytest.mark.peers
async def test_timer_that_is_run_by_hand_has_domains_looked_at_and_clears_away(api: Api, azurite: str, tmp_path: Path) -> None:
    resource = await api.stored_domain("contoso.com")
    environment = {
        "AzureWebJobsStorage": azurite,
        "POSTRIDER_SEALING_KEY": str(SEALING_KEY),
        "POSTRIDER_REVERIFY_SPREAD_MINUTES": "1380",  # nobody is to look during this test
    }
    with functions_host(tmp_path, APP, environment=environment) as host:
        status, _, _ = host.request("POST", "/admin/functions/reverify", b'{"input": ""}', {"Content-Type": "application/json"})
        assert status == 202
        host.said("daily domains=")
        host.said("Function reverify was run by hand")
        log = host.log.read_text()
    domains = int(log.partition("daily domains=")[2].split()[0])

    assert domains >= 1
    # Other tests leave rows in the storage that nobody can read, and those are told.
    assert [line for line in log.splitlines() if "fault where=" in line and "where=resources" not in line] == []
    assert resource


@pytest.mark.parametrize("fault", [StorageUnavailable("the table is away"), ValueError("a document that nobody foresaw")])
async def test_timer_part_that_fails_keeps_no_other_from_being_done(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: Exception
) -> None:
    from email_core.administration import rotation

    async def away(admin: object) -> int:
        raise fault

    monkeypatch.setattr(rotation, "begin_due", away)
    caplog.set_level("INFO", logger="postrider")
    await timers.daily(api.services)

    assert "fault where=reverify rotations" in caplog.text
    assert "daily domains=" in caplog.text and " rotations=0 " in caplog.text
