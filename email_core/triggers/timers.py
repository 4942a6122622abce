"""The timer functions: what is done now and then, whether a request comes or not."""

from __future__ import annotations

import azure.functions as func

from email_core.services import Worker

SWEEP_SCHEDULE = "0 */5 * * * *"  # NCRONTAB with seconds; `delivery/sweep.py` counts on five minutes


def register(app: func.FunctionApp, worker: Worker) -> None:
    """Register the sweeper. The host runs it on one instance at a time, and makes up for one run that it missed."""

    @app.timer_trigger(arg_name="timer", schedule=SWEEP_SCHEDULE, use_monitor=True, run_on_startup=False)
    async def sweep(timer: func.TimerRequest) -> None:
        services = await worker.services()
        await services.sweeper.sweep()
