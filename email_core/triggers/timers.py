"""The timer functions: what is done now and then, whether a request comes or not."""

from __future__ import annotations

from collections.abc import Awaitable

import azure.functions as func

from email_core import maillog
from email_core.services import Services, Worker
from email_core.settings import reverify_schedule
from email_core.submission.blocks import clean

SWEEP_SCHEDULE = "0 */5 * * * *"  # NCRONTAB with seconds; `delivery/sweep.py` counts on five minutes


def register(app: func.FunctionApp, worker: Worker) -> None:
    """Register the timers. The host runs each on one instance at a time, and makes up for one run that it missed."""

    @app.timer_trigger(arg_name="timer", schedule=SWEEP_SCHEDULE, use_monitor=True, run_on_startup=False)
    async def sweep(timer: func.TimerRequest) -> None:
        services = await worker.services()
        await services.sweeper.sweep()

    @app.timer_trigger(arg_name="timer", schedule=reverify_schedule(), use_monitor=True, run_on_startup=False)
    async def reverify(timer: func.TimerRequest) -> None:
        await daily(await worker.services())


async def daily(services: Services) -> None:
    """What is done once a day: domains are looked at, what was lost is put again, what is over is cleared away.

    Each part is for itself: one that fails keeps no other from being done, and is done the next day.
    """
    from email_core.administration import operation_statuses, removal, reverification, rotation
    from email_core.suppression.managed import ManagedList

    admin, settings = services.administration(), services.settings
    domains = await _done("domains", reverification.schedule_all(admin, settings.reverify_spread_seconds))
    rotations = await _done("rotations", rotation.begin_due(admin))
    removals = await _done("removals", removal.put_again(admin))
    windows = await _done("limits", clean(services.storage.tables, services.clock.now()))
    operations = await _done("operations", operation_statuses.forget_old(admin))
    leases = await _done("leases", ManagedList(services.storage.tables).purge(services.clock.now()))
    maillog.daily(
        domains=domains, rotations=rotations, removals=removals, windows=windows, operations=operations, leases=leases
    )


async def _done(part: str, work: Awaitable[int]) -> int:
    try:
        return await work
    except Exception as fault:
        # Whatever it is, the same may come every day, and nothing else would be done ever again.
        maillog.fault(f"reverify {part}", error=fault)
        return 0
