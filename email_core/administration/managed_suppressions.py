"""The managed suppression list through the API: who is held back, why and until when, and how to end it.

The list is one for the installation. An address of it may come from the mail of somebody else, so a caller who may not read all
of the installation sees the entries that mail of the own subscription began, and of an address that it asks for by name whether
it is held back, which sending to it would tell as well; but not by whose mail.
"""

from __future__ import annotations

from email_core.administration.audit import Change
from email_core.administration.call import Administration, Call, Handler, Reply
from email_core.administration.paging import asked_page, paged
from email_core.auth.principal import Role
from email_core.management import envelope, refusals
from email_core.message.address import AddressError, parse_address
from email_core.suppression.address_rows import digest, is_digest
from email_core.suppression.leases import COMPLAINT, COMPLAINT_LEASE, STEPS, is_held
from email_core.suppression.managed import ManagedEntry, ManagedList

KIND = "Microsoft.Communication/managedSuppressions"


async def list_by_subscription(admin: Administration, call: Call) -> Reply:
    """ManagedSuppressions_List. `address` asks for one address."""
    page = asked_page(call, parts=2)
    managed = ManagedList(admin.storage.tables)
    if "address" in call.query:
        return await _asked_for(admin, call, managed)
    items = managed.entries(
        now=admin.clock.now(),
        subscription="" if _sees_all(call) else call.values["subscriptionId"],
        after=(page.after[0], page.after[1]) if page.after else ("", ""),
    )
    return await paged(call, page, items, lambda entry: _shown(call, entry), lambda entry: entry.place)


async def delete(admin: Administration, call: Call) -> Reply:
    """ManagedSuppressions_Delete: the next message to the address is a real attempt again."""
    name = call.values["suppressionId"].lower()
    if not is_digest(name):
        raise refusals.invalid_name(KIND, name, "the name of an entry, the SHA-256 of the address in 64 hexadecimal digits")
    managed = ManagedList(admin.storage.tables)
    entry = await managed.get(name)
    if entry is None:
        return Reply(204)
    changes = {"email": (entry.address, None), "expiresOn": (envelope.timestamp(entry.lease.until), None)}
    change = Change(call.principal, call.operation.name, _id(call, name), call.request_id, changes)
    await admin.audit.append(call.values["subscriptionId"], change)
    await managed.remove(name)
    return Reply(200)


async def _asked_for(admin: Administration, call: Call, managed: ManagedList) -> Reply:
    try:
        address = parse_address(call.query["address"])
    except AddressError as error:
        raise refusals.bad_parameter("address", f"The address {error.reason}.") from error
    entry = await managed.get(digest(address))
    held = entry is not None and is_held(entry.lease, admin.clock.now())
    return Reply(200, envelope.page([_shown(call, entry)] if entry is not None and held else [], ""))


def _sees_all(call: Call) -> bool:
    return call.principal.may(Role.READER, "/")


def _shown(call: Call, entry: ManagedEntry) -> dict[str, object]:
    lease = entry.lease
    properties: dict[str, object] = {
        "email": entry.address,
        "reason": lease.bounce_class,
        "firstSeen": envelope.timestamp(lease.first_seen),
        "lastSeen": envelope.timestamp(lease.last_seen),
        "suppressedSince": envelope.timestamp(lease.since),
        "expiresOn": envelope.timestamp(lease.until),
        "leaseHours": round((COMPLAINT_LEASE if lease.bounce_class == COMPLAINT else STEPS[lease.step]) / 3600),
        "bounces": lease.bounces,
        "withheldMessages": lease.withheld,
    }
    if _sees_all(call) or lease.subscription.lower() == call.values["subscriptionId"].lower():
        service, _, message = lease.source.partition(":")
        properties |= {"rule": lease.rule, "reply": lease.reply, "sourceMessageId": message, "sourceServiceKey": service}
    return {"id": _id(call, entry.digest), "name": entry.digest, "type": KIND, "properties": properties}


def _id(call: Call, name: str) -> str:
    return f"/subscriptions/{call.values['subscriptionId']}/providers/Microsoft.Communication/managedSuppressions/{name}"


HANDLERS: dict[str, Handler] = {
    "ManagedSuppressions_List": list_by_subscription,
    "ManagedSuppressions_Delete": delete,
}
