"""Operations that clients follow: begun, ended, and asked about at `operationStatuses` and `operationResults`.

They are rows of the table `resources`: PartitionKey `operations|` and the subscription, RowKey a GUID. Most changes are made
before the answer is sent, so their operation has ended when it begins; clients of ARM want one to follow all the same.
"""

from __future__ import annotations

import contextlib
import re
import uuid
from dataclasses import dataclass

from email_core.administration.call import Administration, Call, Handler, Reply
from email_core.auth.principal import Role
from email_core.domains.documents import SUCCEEDED
from email_core.domains.resource_store import RESOURCES
from email_core.errors import EntityExists, EntityMissing, Fault, RequestRefused
from email_core.management import refusals
from email_core.management.envelope import timestamp
from email_core.storage import StoredEntity, text_literal

RUNNING = "Running"
FAILED = "Failed"

KIND = "operationStatuses"
KEPT_SECONDS = 7 * 86_400.0  # after which `forget_old` removes an operation that ended
_RETRY_AFTER = "1"  # second; a client that is not told waits for thirty

_guid = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Begun:
    """An operation that was begun. `status_url` is for Azure-AsyncOperation, `result_url` for Location."""

    id: str
    status_url: str
    result_url: str

    @property
    def accepted(self) -> dict[str, str]:
        """The headers of a 202."""
        return {"Location": self.result_url, "Retry-After": _RETRY_AFTER}


async def begin(admin: Administration, call: Call, *, status: str = RUNNING) -> Begun:
    """Store an operation on the target of a call; Succeeded for one that has ended already."""
    operation_id = str(uuid.uuid4())
    now = admin.clock.now()
    row: dict[str, str | float] = {
        "PartitionKey": _partition(call.resource.subscription),
        "RowKey": operation_id,
        "kind": KIND,
        "status": status,
        "resource": call.resource.text,
        "startedAt": now,
    }
    if status != RUNNING:
        row["endedAt"] = now
    with contextlib.suppress(EntityExists):  # nobody else has that id: the answer to the first try was lost
        await admin.storage.tables.insert(RESOURCES, row)
    base = f"/subscriptions/{call.resource.subscription}/providers/Microsoft.Communication/locations/global"
    query = f"api-version={call.api_version}"
    return Begun(
        operation_id,
        f"{call.origin}{base}/operationStatuses/{operation_id}?{query}",
        f"{call.origin}{base}/operationResults/{operation_id}?{query}",
    )


async def finish(admin: Administration, subscription: str, operation_id: str, refusal: RequestRefused | None = None) -> None:
    """Note that an operation has ended: Succeeded, or Failed for the reason given. One that is gone is left alone."""
    changes: dict[str, str | float] = {"status": FAILED if refusal else SUCCEEDED, "endedAt": admin.clock.now()}
    if refusal:
        changes["code"], changes["message"] = refusal.faults[0].code, refusal.faults[0].message
    if operation_id:
        try:
            await admin.storage.tables.merge(RESOURCES, _partition(subscription), operation_id, changes, etag="*")
        except EntityMissing:
            return  # it was forgotten: nobody asks any more


async def forget_old(admin: Administration) -> int:
    """Remove operations that ended long ago; how many. For the daily timer."""
    before, count = admin.clock.now() - KEPT_SECONDS, 0
    where = f"kind eq {text_literal(KIND)} and startedAt lt {before:.1f}"
    async for row in admin.storage.tables.query(RESOURCES, where, select=("PartitionKey", "RowKey")):
        await admin.storage.tables.delete(RESOURCES, str(row.values["PartitionKey"]), str(row.values["RowKey"]))
        count += 1
    return count


async def status(admin: Administration, call: Call) -> Reply:
    """OperationStatuses_Get, what Azure-AsyncOperation leads to."""
    row = await _own(admin, call)
    operation_id, values = str(row.values["RowKey"]), row.values
    ended = values.get("endedAt")
    body: dict[str, object] = {
        "id": call.path,
        "name": operation_id,
        "status": values["status"],
        "resourceId": values["resource"],
        "startTime": timestamp(float(values["startedAt"])),
    }
    if ended is not None:
        body["endTime"] = timestamp(float(ended))
    if values["status"] == FAILED:
        body["error"] = {"code": values.get("code", ""), "message": values.get("message", "")}
    return Reply(200, body, {} if ended is not None else {"Retry-After": _RETRY_AFTER})


async def result(admin: Administration, call: Call) -> Reply:
    """OperationResults_Get, what Location leads to: 202 while it runs, 204 when it is done. Raises why it failed (409)."""
    row = await _own(admin, call)
    if row.values["status"] == RUNNING:
        query = f"?api-version={call.api_version}"
        return Reply(202, None, {"Location": f"{call.origin}{call.path}{query}", "Retry-After": _RETRY_AFTER})
    if row.values["status"] == FAILED:
        raise RequestRefused(409, Fault(str(row.values.get("code", "")), str(row.values.get("message", ""))))
    return Reply(204)


async def _own(admin: Administration, call: Call) -> StoredEntity:
    """The operation that is asked for. One whose resource the caller may not read is as good as none."""
    operation_id = call.values["operationId"].lower()
    partition = _partition(call.values["subscriptionId"])
    row = await admin.storage.tables.get(RESOURCES, partition, operation_id) if _guid.fullmatch(operation_id) else None
    if row is None or not call.principal.may(Role.READER, str(row.values["resource"])):
        text = (
            f"There is no operation '{refusals.shown(operation_id)}'. "
            f"Operations are forgotten after {KEPT_SECONDS / 86_400:g} days."
        )
        raise refusals.refused("OperationNotFound", text, status=404)
    return row


def _partition(subscription: str) -> str:
    return f"operations|{subscription}".lower()


HANDLERS: dict[str, Handler] = {"OperationStatuses_Get": status, "OperationResults_Get": result}

__all__ = ["FAILED", "HANDLERS", "RUNNING", "SUCCEEDED", "Begun", "begin", "finish", "forget_old"]
