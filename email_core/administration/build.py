"""Putting the parts together that the operations share."""

from __future__ import annotations

from email_core.administration.audit import AuditLog
from email_core.administration.call import Administration
from email_core.clock import Clock
from email_core.dns.authority import ZoneServers
from email_core.domains.resource_store import ResourceStore
from email_core.domains.tasks import Tasks
from email_core.sealing import Sealer
from email_core.settings import Settings
from email_core.storage import Storage


def build_administration(storage: Storage, sealer: Sealer, settings: Settings, clock: Clock) -> Administration:
    """What the operations of the management plane share. No I/O happens here."""
    return Administration(
        storage=storage,
        store=ResourceStore(storage.tables),
        tasks=Tasks(storage.queues),
        audit=AuditLog(storage.tables, clock),
        sealer=sealer,
        settings=settings,
        clock=clock,
        authority=ZoneServers.from_settings(settings),
    )
