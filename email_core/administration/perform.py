"""Doing an operation, whoever asks for it: a client by HTTP, or our own code in process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from email_core.administration.call import Administration, Call, Reply
from email_core.administration.handlers import HANDLERS
from email_core.administration.operation_statuses import SUCCEEDED, begin
from email_core.auth.principal import SYSTEM, Principal
from email_core.management.operations import Match, check_names, match, target_of
from email_core.management.resource_id import COMMUNICATION_SERVICES

API_VERSION = "2026-03-18"  # of what we ask for ourselves


async def perform(admin: Administration, call: Call) -> Reply:
    """Do the operation of a call. Raises RequestRefused, StorageUnavailable and what else keeps it from being done."""
    reply = await HANDLERS[call.operation.name](admin, call)
    if _is_followed(call) and reply.status in (200, 201):
        # What was asked for is done, and clients of ARM follow an operation of it all the same.
        begun = await begin(admin, call, status=SUCCEEDED)
        return replace(reply, headers={**reply.headers, "Azure-AsyncOperation": begun.status_url})
    return reply


async def request(
    admin: Administration, method: str, path: str, body: Mapping[str, Any] | None = None, *, principal: Principal = SYSTEM
) -> Reply:
    """Do an operation in process, by method and path as a client would. Raises what `perform` raises."""
    found = match(method, path)
    if not isinstance(found, Match):
        raise ValueError(f"{method} {path} is no operation")
    check_names(found.values)
    call = Call(
        operation=found.operation,
        target=target_of(found.values),
        values=found.values,
        body=body or {},
        query={},
        principal=principal,
        origin="",
        api_version=API_VERSION,
        path=path,
    )
    return await perform(admin, call)


def _is_followed(call: Call) -> bool:
    """Whether ACS answers this with an operation to follow: changes of resources with a location, save one that has none."""
    if call.target is None or not call.target.kind.tracked:
        return False
    return call.operation.method == "PUT" or (
        call.operation.method == "PATCH" and call.target.kind is not COMMUNICATION_SERVICES
    )  # fmt: skip
