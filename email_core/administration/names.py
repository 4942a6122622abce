"""The operations around the resources: what there is to do, which names are free, and two that e-mail has no use for."""

from __future__ import annotations

import msgspec

from email_core.administration.call import Administration, Call, Handler, Reply
from email_core.administration.writing import write
from email_core.domains.documents import DOCUMENTS, ServiceDocument
from email_core.management.fields import Fields
from email_core.management.operations import OPERATIONS, Operation, kind_of
from email_core.management.resource_id import COMMUNICATION_SERVICES, EMAIL_SERVICES, PROVIDER

_TYPES = {f"{PROVIDER}/{kind.name}": kind for kind in (COMMUNICATION_SERVICES, EMAIL_SERVICES)}
_RIGHTS = {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}


async def list_operations(admin: Administration, call: Call) -> Reply:
    """Operations_List: the rights that the operations stand for, as Azure lists them."""
    return Reply(200, {"value": list({right["name"]: right for right in map(_right, OPERATIONS)}.values())})


async def check_name(admin: Administration, call: Call) -> Reply:
    """CommunicationServices_CheckNameAvailability, within the subscription: nothing here is named after a service alone."""
    fields = Fields(call.body)
    name = fields.text("name", required=True, most=260)
    type_name = fields.text("type", required=True, choices=tuple(_TYPES))
    fields.finish()
    kind = _TYPES[type_name or ""]
    if not kind.allows(name or ""):
        message = f"The name of one of {kind.name} must be {kind.rule}."
        return Reply(200, {"nameAvailable": False, "reason": "Invalid", "message": message})
    subscription = call.values["subscriptionId"]
    async for resource in admin.store.top_level(subscription, "", kind, DOCUMENTS[kind]):
        if resource.document.name.lower() == (name or "").lower():
            message = f"There is '{resource.document.id}' already. Choose another name."
            return Reply(200, {"nameAvailable": False, "reason": "AlreadyExists", "message": message})
    return Reply(200, {"nameAvailable": True})


async def list_exchange_online_domains(admin: Administration, call: Call) -> Reply:
    """EmailServices_ListVerifiedExchangeOnlineDomains: none, for no Exchange Online tenant stands behind this service."""
    return Reply(200, [])


async def link_notification_hub(admin: Administration, call: Call) -> Reply:
    """CommunicationServices_LinkNotificationHub. The id is kept and shown; the connection string is a secret that nothing
    here would use, for hubs are for push notices of calls and chats, so it is not kept."""
    fields = Fields(call.body)
    hub = fields.text("resourceId", required=True, least=1, most=1024)
    fields.text("connectionString", required=True, least=1, most=4096)
    fields.finish()

    def linked(before: ServiceDocument | None) -> ServiceDocument:
        if before is None:
            raise ValueError(f"{call.resource} is not there, and is not made by this")
        return msgspec.structs.replace(before, notification_hub_id=hub or "")

    await write(admin, call, ServiceDocument, linked, create=False)
    return Reply(200, {"resourceId": hub})


def _right(operation: Operation) -> dict[str, object]:
    kind = kind_of(operation)
    last = operation.template.rstrip("/").rpartition("/")[2]
    action = _RIGHTS[operation.method] if operation.method != "POST" else f"{last}/action"
    return {
        "name": f"{kind}/{action}",
        "isDataAction": False,
        "display": {
            "provider": kind.partition("/")[0],
            "resource": kind.partition("/")[2],
            "operation": operation.name,
            "description": f"{operation.method} {operation.template}",
        },
        "origin": "user,system",
    }


HANDLERS: dict[str, Handler] = {
    "Operations_List": list_operations,
    "CommunicationServices_CheckNameAvailability": check_name,
    "EmailServices_ListVerifiedExchangeOnlineDomains": list_exchange_online_domains,
    "CommunicationServices_LinkNotificationHub": link_notification_hub,
}
