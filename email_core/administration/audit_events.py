"""The audit log through the API: who changed what and when, the newest first, with the proof that nothing was taken out."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from email_core.administration.audit_entry import Entry, hashed_text
from email_core.administration.call import Administration, Call, Handler, Reply
from email_core.administration.paging import asked_page, next_link
from email_core.management import envelope, refusals


async def list_by_subscription(admin: Administration, call: Call) -> Reply:
    """AuditEvents_List. `resourceId` (the beginning of one), `from` and `to` narrow it down."""
    page = asked_page(call)
    subscription = call.values["subscriptionId"]
    found = await admin.audit.page(
        subscription,
        most=page.size,
        below=_position(page.after),
        resource=call.query.get("resourceid", ""),
        since=_time(call, "from"),
        until=_time(call, "to"),
    )
    link = next_link(call, (str(found.next),)) if found.next else ""
    body = envelope.page([entry_shown(subscription, entry) for entry in found.entries], link)
    return Reply(200, {**body, "verified": found.verified})


def _position(after: tuple[str, ...]) -> int:
    if not after:
        return 0
    if not (after[0].isascii() and after[0].isdecimal() and len(after[0]) < 16 and int(after[0]) > 0):
        raise refusals.bad_parameter("$skipToken", "It is none of this list: follow nextLink as it is, or begin without one.")
    return int(after[0])


def _time(call: Call, name: str) -> str:
    text = call.query.get(name, "")
    if not text:
        return ""
    try:
        # The "+" of an offset is a space in a query.
        moment = datetime.fromisoformat(text.replace(" ", "+"))
        return envelope.timestamp((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        rule = "It must be an ISO 8601 time such as 2027-03-31T00:00:00Z; without an offset it is in UTC."
        raise refusals.bad_parameter(name, rule) from None


def entry_shown(subscription: str, entry: Entry) -> dict[str, object]:
    """An entry as it is answered. `hashed` is what its hash is of, so that anybody can check it."""
    name = str(entry.sequence)
    properties: dict[str, object] = {
        "sequence": entry.sequence,
        "timestamp": entry.at,
        "caller": entry.principal,
        "callerKind": entry.principal_kind,
        "callerObjectId": entry.object_id,
        "callerTenantId": entry.tenant,
        "operationName": entry.operation,
        "resourceId": entry.resource,
        "requestId": entry.request_id,
        "outcome": entry.outcome,
        "text": entry.text,
        "changes": _changes(entry.changes),
        "previousHash": entry.previous,
        "hash": entry.hash,
        "hashed": hashed_text(entry),
    }
    return {
        "id": f"/subscriptions/{subscription}/providers/Microsoft.Communication/auditEvents/{name}",
        "name": name,
        "type": "Microsoft.Communication/auditEvents",
        "properties": properties,
    }


def _changes(text: str) -> object:
    """By property, what it was before and after. What somebody wrote into the table by hand is shown as it is."""
    try:
        pairs = json.loads(text)
        return {name: {"before": pair[0], "after": pair[1]} for name, pair in pairs.items()}
    except (ValueError, AttributeError, LookupError, TypeError):
        return text


HANDLERS: dict[str, Handler] = {"AuditEvents_List": list_by_subscription}
