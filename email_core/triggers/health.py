"""Health: whether this worker can do its work, for probes and for people."""

from __future__ import annotations

import azure.functions as func
import msgspec

from email_core import maillog
from email_core.delivery.spool import DELIVERIES, SUBMISSIONS
from email_core.errors import EntityMissing, StorageUnavailable
from email_core.sealing import SealingError
from email_core.services import Services, Worker
from email_core.settings import SettingsError
from email_core.triggers.http_exchange import json_response


def register(app: func.FunctionApp, worker: Worker) -> None:
    """Register `GET /health`. It needs no authentication and tells no detail: those are in the log."""

    @app.route(route="health", methods=["GET"])
    async def health(req: func.HttpRequest) -> func.HttpResponse:
        try:
            checks = await _checks(await worker.services())
        except (SettingsError, SealingError) as error:
            maillog.fault("health", error=error)
            checks = {"settings": "wrong: the log names each setting, the rule and the remedy"}
        healthy = all(state == "ok" for state in checks.values())
        body = {"status": "healthy" if healthy else "unhealthy", "checks": checks}
        return json_response(200 if healthy else 503, msgspec.json.encode(body))


async def _checks(services: Services) -> dict[str, str]:
    checks = {"settings": "ok"}
    for queue in (SUBMISSIONS, DELIVERIES):
        try:
            await services.storage.queues.depth(queue)
            checks[queue] = "ok"
        except EntityMissing:
            checks[queue] = "the queue is missing: provision the installation"
        except StorageUnavailable as error:
            maillog.fault("health", error=error)
            checks[queue] = "storage does not answer"
    return checks
