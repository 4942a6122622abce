"""Event subscriptions of a communication service: where reports of deliveries and of engagement are to go.

They are an extension resource of Microsoft.EventGrid, with its shapes. The address of a destination can hold a secret, so the
whole of it is sealed, and only `getFullUrl` shows it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from email_core.administration.audit import Change
from email_core.administration.call import Administration, Call, Handler, Reply
from email_core.administration.paging import listed
from email_core.administration.writing import existing, remove, shown, write
from email_core.domains.documents import EventSubscriptionDocument
from email_core.management import refusals
from email_core.management.envelope import LATEST, timestamp
from email_core.management.fields import Fields
from email_core.management.resource_id import EVENT_SUBSCRIPTIONS
from email_core.settings import Settings

WEB_HOOK = "WebHook"
TOPIC = "EventGridTopic"  # ours: a topic that takes events with a key
DESTINATIONS = (WEB_HOOK, TOPIC)
EVENT_TYPES = (
    "Microsoft.Communication.EmailDeliveryReportReceived",
    "Microsoft.Communication.EmailEngagementTrackingReportReceived",
    "Postrider.DomainStateChanged",  # ours: a record of a domain was lost or seen again, sending was paused or goes on
)
SCHEMAS = ("EventGridSchema", "CloudEventSchemaV1_0")
# What Event Grid does when nothing is said.
DEFAULT_ATTEMPTS = 30
DEFAULT_TTL_MINUTES = 1440

_loopback = re.compile(r"localhost|127(?:\.\d{1,3}){3}|::1", re.IGNORECASE)


class Sealed(NamedTuple):
    """What of a destination is sealed: its whole address, and the key of a topic."""

    endpoint_url: str
    key: str = ""

    def __repr__(self) -> str:
        return "Sealed('...')"


async def create_or_update(admin: Administration, call: Call) -> Reply:
    """EventSubscriptions_CreateOrUpdate."""
    return await _written(admin, call, create=True)


async def update(admin: Administration, call: Call) -> Reply:
    """EventSubscriptions_Update: what the body leaves out stays."""
    return await _written(admin, call, create=False)


async def get(admin: Administration, call: Call) -> Reply:
    """EventSubscriptions_Get."""
    resource = await existing(admin, call.resource, EventSubscriptionDocument)
    return Reply(200, subscription_shown(resource.document), {"ETag": resource.etag})


async def delete(admin: Administration, call: Call) -> Reply:
    """EventSubscriptions_Delete."""
    return await remove(admin, call, EventSubscriptionDocument)


async def list_by_service(admin: Administration, call: Call) -> Reply:
    """EventSubscriptions_List."""
    return await listed(admin, call, EVENT_SUBSCRIPTIONS, EventSubscriptionDocument, subscription_shown)


async def get_full_url(admin: Administration, call: Call) -> Reply:
    """EventSubscriptions_GetFullUrl: the address of the destination with the secrets in it. The audit log says who was told."""
    resource = await existing(admin, call.resource, EventSubscriptionDocument)
    text = "The address with its secrets was read."
    change = Change(call.principal, call.operation.name, call.resource.text, call.request_id, {}, text=text)
    await admin.audit.append(call.resource.subscription, change)
    return Reply(200, {"endpointUrl": opened(admin, resource.document).endpoint_url})


def opened(admin: Administration, document: EventSubscriptionDocument) -> Sealed:
    """What is sealed of a destination. Raises SealingError."""
    text = base64.b64decode(admin.sealer.open(document.endpoint, context=document.id.lower()))
    return Sealed(*msgspec.json.decode(text, type=tuple[str, str]))


def subscription_shown(document: EventSubscriptionDocument) -> dict[str, object]:
    """An event subscription as it is answered."""
    properties: dict[str, object] = {
        "topic": document.id.partition("/providers/Microsoft.EventGrid/")[0],
        "provisioningState": document.provisioning_state,
        "destination": document.destination,
        "filter": document.filter,
        "labels": list(document.labels),
        "eventDeliverySchema": document.event_delivery_schema,
        "retryPolicy": document.retry_policy,
    }
    if document.expires_at:
        properties["expirationTimeUtc"] = timestamp(document.expires_at)
    return shown(document.id, "Microsoft.EventGrid/eventSubscriptions", document, properties)


async def _written(admin: Administration, call: Call, *, create: bool) -> Reply:
    def make(before: EventSubscriptionDocument | None) -> EventSubscriptionDocument:
        return _changed(admin, call, before)

    written = await write(admin, call, EventSubscriptionDocument, make, create=create)
    headers = {"ETag": written.resource.etag}
    return Reply(201 if written.created else 200, subscription_shown(written.resource.document), headers)


def _changed(admin: Administration, call: Call, before: EventSubscriptionDocument | None) -> EventSubscriptionDocument:
    put = call.operation.method == "PUT"
    # A PATCH of Event Grid has its members at the top, a PUT below `properties`; either is taken for both.
    body = call.body["properties"] if isinstance(call.body.get("properties"), Mapping) else call.body
    prefix = "properties." if body is not call.body else ""
    fields = Fields(body)
    kept = None if put else before
    destination, sealed = _destination(fields, admin.settings, required=put)
    filters = _filter(fields)
    schema = fields.text("eventDeliverySchema", choices=SCHEMAS)
    labels = fields.strings("labels", most=20, longest=256)
    policy = _retry_policy(fields, kept)
    expires_at = _expiration(fields, admin.clock.now())
    if fields.faults:
        faults = [refusals.bad_field(prefix + fault.target, fault.message.partition(": ")[2]) for fault in fields.faults]
        raise refusals.invalid_content(faults)
    target = call.resource
    document = kept or EventSubscriptionDocument(
        id=before.id if before else target.text,
        name=before.name if before else target.name,
        destination={},
        filter={"includedEventTypes": list(EVENT_TYPES)},
    )
    endpoint = document.endpoint
    if sealed is not None:
        endpoint = admin.sealer.seal(base64.b64encode(msgspec.json.encode(sealed)), context=target.key)
    return msgspec.structs.replace(
        document,
        destination=destination or document.destination,
        endpoint=endpoint,
        filter=filters or document.filter,
        event_delivery_schema=schema or document.event_delivery_schema,
        labels=document.labels if labels is None else labels,
        retry_policy=policy,
        expires_at=document.expires_at if expires_at is None else expires_at,
    )


def _destination(fields: Fields, settings: Settings, *, required: bool) -> tuple[dict[str, Any] | None, Sealed | None]:
    """The destination as it is shown, and what of it is sealed."""
    if fields.members("destination") is None:
        if required and not fields.has("destination"):
            fields.add("destination", "It is required: give an object with endpointType and properties.")
        return None, None
    kind = fields.text("destination.endpointType", required=True, choices=DESTINATIONS)
    if kind is None:
        return None, None
    path = f"destination.properties.{'endpointUrl' if kind == WEB_HOOK else 'endpoint'}"
    url = fields.text(path, required=True, most=4096)
    key = fields.text("destination.properties.key", required=True, most=1024) if kind == TOPIC else ""
    if url is None or key is None:
        return None, None
    base = _base_url(url, settings)
    if not base:
        allowed = "an https address" + (", or an http address of this machine" if settings.local_world else "")
        fields.add(path, f"It must be {allowed}, with a host, and without user name and fragment.")
        return None, None
    view: dict[str, Any] = {"endpointBaseUrl": base} if kind == WEB_HOOK else {"endpoint": base}
    if kind == WEB_HOOK:
        batch = fields.whole("destination.properties.maxEventsPerBatch", 1, 5000)
        kilobytes = fields.whole("destination.properties.preferredBatchSizeInKilobytes", 1, 1024)
        view |= {"maxEventsPerBatch": batch or 1, "preferredBatchSizeInKilobytes": kilobytes or 64}
    return {"endpointType": kind, "properties": view}, Sealed(url, key)


def _base_url(url: str, settings: Settings) -> str:
    """The address without its query, in which secrets are; empty when it is none that events may go to."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return ""
    secure = parts.scheme == "https" or (parts.scheme == "http" and settings.local_world and _loopback.fullmatch(host))
    if not secure or not host or parts.username is not None or parts.fragment or not url.isascii() or " " in url:
        return ""
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _filter(fields: Fields) -> dict[str, object] | None:
    """The filter, with the event types as we write them."""
    if fields.members("filter") is None:
        return None
    types = fields.strings("filter.includedEventTypes")
    included: list[str] = []
    for index, name in enumerate(types or ()):
        known = next((each for each in EVENT_TYPES if each.lower() == name.lower()), None)
        if known is None:
            rule = f"It must be one of {', '.join(EVENT_TYPES)}; it is '{refusals.shown(name)}'."
            fields.add(f"filter.includedEventTypes[{index}]", rule)
        elif known not in included:
            included.append(known)
    if types == ():
        fields.add("filter.includedEventTypes", "It is empty: name an event type, or leave it out for all of them.")
    begins = fields.text("filter.subjectBeginsWith", most=1024)
    ends = fields.text("filter.subjectEndsWith", most=1024)
    sensitive = fields.boolean("filter.isSubjectCaseSensitive")
    if fields.elements("filter.advancedFilters"):
        fields.add("filter.advancedFilters", "There are none here: filter by includedEventTypes and by the subject.")
    return {
        "includedEventTypes": included or list(EVENT_TYPES),
        "subjectBeginsWith": begins or "",
        "subjectEndsWith": ends or "",
        "isSubjectCaseSensitive": bool(sensitive),
    }


def _retry_policy(fields: Fields, kept: EventSubscriptionDocument | None) -> dict[str, object]:
    policy = dict(kept.retry_policy) if kept else {}
    attempts = fields.whole("retryPolicy.maxDeliveryAttempts", 1, 30)
    minutes = fields.whole("retryPolicy.eventTimeToLiveInMinutes", 1, 1440)
    return {
        "maxDeliveryAttempts": attempts or policy.get("maxDeliveryAttempts", DEFAULT_ATTEMPTS),
        "eventTimeToLiveInMinutes": minutes or policy.get("eventTimeToLiveInMinutes", DEFAULT_TTL_MINUTES),
    }


def _expiration(fields: Fields, now: float) -> float | None:
    """When the subscription ends, in seconds since the epoch; None when the body does not say."""
    path = "expirationTimeUtc"
    text = fields.text(path, most=64)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fields.add(path, "It must be a time in ISO 8601, such as 2030-01-31T12:00:00Z.")
        return None
    seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not now < seconds <= LATEST:
        fields.add(path, "It must be in the future, and not after the year 9999 in UTC.")
        return None
    return seconds


HANDLERS: dict[str, Handler] = {
    "EventSubscriptions_CreateOrUpdate": create_or_update,
    "EventSubscriptions_Update": update,
    "EventSubscriptions_Get": get,
    "EventSubscriptions_Delete": delete,
    "EventSubscriptions_List": list_by_service,
    "EventSubscriptions_GetFullUrl": get_full_url,
}
