"""What the connections of one server share."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from email_core.services import Services
from smtp_relay.certificates import CertificateFiles
from smtp_relay.connections import Connections
from smtp_relay.counters import Counters
from smtp_relay.login import Logins
from smtp_relay.options import RelayOptions

T = TypeVar("T")


@dataclass(slots=True)
class Relay:
    """One server. `running` are messages that came to the final dot, and are being accepted."""

    services: Services
    options: RelayOptions
    certificates: CertificateFiles
    connections: Connections
    logins: Logins
    counters: Counters
    draining: bool = False
    running: set[asyncio.Task[Any]] = field(default_factory=set)

    def keep(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something that must not end with the connection that began it."""
        task = asyncio.create_task(work)
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        return task
