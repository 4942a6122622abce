"""Health: whether this worker can do its work, for probes and for people."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import azure.functions as func
import msgspec

from email_core import maillog
from email_core.delivery.spool import DELIVERIES, SUBMISSIONS
from email_core.domains.directory import RESOURCES
from email_core.errors import EntityMissing, StorageRefused, StorageUnavailable
from email_core.sealing import SealingError
from email_core.services import Services, Worker
from email_core.settings import SettingsError
from email_core.triggers.http_exchange import json_response

CHECK_SECONDS = 10.0  # a probe that waits longer learns nothing more
ABSENT = "health"  # the name of an entity and of a blob that are never written: reading them proves the way there

_MISSING = "missing: provision the installation"


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
    """One cheap read for each queue, the tables and the blobs: their roles are given one by one, and forgotten one by one."""
    storage = services.storage
    reads: dict[str, Awaitable[object]] = {
        SUBMISSIONS: storage.queues.depth(SUBMISSIONS),
        DELIVERIES: storage.queues.depth(DELIVERIES),
        "tables": storage.tables.get(RESOURCES, ABSENT, ABSENT),
        "content": _absent_blob(services),
    }
    states = await asyncio.gather(*(_state(read) for read in reads.values()))
    return {"settings": "ok", **dict(zip(reads, states, strict=True))}


async def _absent_blob(services: Services) -> None:
    try:
        await services.storage.content.get(ABSENT)
    except EntityMissing as missing:
        if missing.code != "BlobNotFound":  # with it, the container is there, and may be read
            raise


async def _state(read: Awaitable[object]) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await read
    except EntityMissing as error:
        maillog.fault("health", error=error)
        return _MISSING
    except (StorageUnavailable, TimeoutError) as error:
        maillog.fault("health", error=error)
        return "storage does not answer"
    except StorageRefused as error:
        maillog.fault("health", error=error)
        if error.code == "TableNotFound":
            return _MISSING
        if error.status in (401, 403):
            return "storage refuses: the app's identity or key may not use it; the log has the answer"
        return "storage refuses the request; the log has the answer"
    return "ok"
