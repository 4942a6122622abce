"""A call of the management plane and its answer, as the operations see them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from email_core.administration.audit import AuditLog
from email_core.auth.principal import Principal
from email_core.clock import Clock
from email_core.dns.authority import ZoneServers
from email_core.domains.resource_store import ResourceStore
from email_core.domains.tasks import Tasks
from email_core.management.operations import Operation
from email_core.management.resource_id import ResourceId
from email_core.sealing import Sealer
from email_core.settings import Settings
from email_core.storage import Storage


@dataclass(frozen=True, slots=True)
class Call:
    """One call, authenticated and authorised.

    `target` is the addressed resource, or the parent of an addressed collection; None below a subscription or a group alone.
    `body` is the JSON object that came, empty when none did; `raw_body` its bytes, for what is not JSON (CSV). `query` has
    names in lower case. `origin` is scheme and public host, for links; empty for a call of our own.
    """

    operation: Operation
    target: ResourceId | None
    values: Mapping[str, str]  # of the template: subscriptionId, resourceGroupName, operationId, ...
    body: Mapping[str, Any]
    query: Mapping[str, str]
    principal: Principal
    origin: str
    api_version: str
    raw_body: bytes = b""
    content_type: str = ""
    path: str = ""  # as on the wire, without query: what nextLink continues
    request_id: str = ""
    if_match: str = ""
    if_none_match: str = ""

    @property
    def resource(self) -> ResourceId:
        """The target of an operation that has one."""
        if self.target is None:
            raise ValueError(f"{self.operation.name} addresses no resource")
        return self.target


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered. `body` is written as JSON, bytes as they are; None is an answer without a body."""

    status: int
    body: object | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Administration:
    """What the operations share."""

    storage: Storage
    store: ResourceStore
    tasks: Tasks
    audit: AuditLog
    sealer: Sealer
    settings: Settings
    clock: Clock
    authority: ZoneServers


Handler = Callable[[Administration, Call], Awaitable[Reply]]
