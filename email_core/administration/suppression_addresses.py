"""The addresses of a suppression list. They are many, so they have rows of their own and are no resources of the table.

What `administration.writing` does for resources is done here in the same manner: conditions, the parent, who and when, and an
entry of the audit log before each change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from email_core.administration.audit import Change
from email_core.administration.call import Administration, Call, Handler, Reply
from email_core.administration.paging import asked_page, paged
from email_core.administration.suppression_lists import LISTS, above, existing_list
from email_core.administration.writing import being_deleted, check_parent, principal_type
from email_core.domains.documents import DELETING, SuppressionListDocument
from email_core.errors import RequestRefused
from email_core.management import envelope, refusals
from email_core.management.conditions import check_conditions
from email_core.management.fields import Fields
from email_core.management.resource_id import SUPPRESSION_LIST_ADDRESSES, ResourceId
from email_core.message.address import AddressError, parse_address
from email_core.storage import StorageLimit
from email_core.suppression.csv_file import MOST_NAME, MOST_NOTES
from email_core.suppression.customer_lists import PAGE, AddressHeld, CustomerLists, ListedAddress, delete_list

ADDRESSES = f"{LISTS}/suppressionListAddresses"
MOST_EMAIL = 320  # characters; `parse_address` has the rule


async def create_or_update(admin: Administration, call: Call) -> Reply:
    """SuppressionListAddresses_CreateOrUpdate."""
    target = call.resource
    await check_parent(admin, target)
    found = await existing_list(admin, above(target))
    lists = CustomerLists(admin.storage.tables)

    async def make(before: ListedAddress | None) -> ListedAddress:
        _check_conditions(call, before)
        after = _asked(admin, call, before, found.document)
        await _note(admin, call, before, after)
        return after

    try:
        listed, created = await lists.put(found.document.key, target.name, make)
    except AddressHeld as held:
        raise _twice(target, str(held.args[0])) from held
    except StorageLimit as limit:
        text = "More suppression lists hold this e-mail address than one address may be in: delete lists that are not needed."
        raise refusals.conflict("TooManySuppressionLists", text, "properties.email") from limit
    await check_still_there(admin, above(target), found.document.key)
    return Reply(201 if created else 200, address_shown(listed, found.document), {"ETag": listed.etag})


async def get(admin: Administration, call: Call) -> Reply:
    """SuppressionListAddresses_Get."""
    target = call.resource
    found = await existing_list(admin, above(target))
    listed = await CustomerLists(admin.storage.tables).get(found.document.key, target.name)
    if listed is None:
        raise refusals.not_found(target.type, target.name, target.group)
    return Reply(200, address_shown(listed, found.document), {"ETag": listed.etag})


async def delete(admin: Administration, call: Call) -> Reply:
    """SuppressionListAddresses_Delete."""
    target = call.resource
    found = await existing_list(admin, above(target))

    async def agree(before: ListedAddress) -> None:
        _check_conditions(call, before)
        await _note(admin, call, before, None)

    deleted = await CustomerLists(admin.storage.tables).delete(found.document.key, target.name, agree)
    return Reply(200 if deleted else 204)


async def list_addresses(admin: Administration, call: Call) -> Reply:
    """SuppressionListAddresses_List."""
    page = asked_page(call)
    found = await existing_list(admin, call.resource)
    # One more than is shown tells whether there is a next page. A round trip brings a thousand: a page has one less.
    page = replace(page, size=min(page.size, PAGE - 1))
    after = page.after[0] if page.after else ""
    items = CustomerLists(admin.storage.tables).addresses(found.document.key, after=after, page_size=page.size + 1)
    return await paged(call, page, items, lambda listed: address_shown(listed, found.document), lambda listed: (listed.row,))


def address_shown(listed: ListedAddress, document: SuppressionListDocument) -> dict[str, object]:
    """An address as it is answered."""
    system = envelope.system_data(
        listed.created_by, listed.created_by_type, listed.created_at,
        listed.modified_by, listed.modified_by_type, listed.modified_at,
    )  # fmt: skip
    properties = {
        **_facts(listed),
        "lastModified": envelope.timestamp(listed.modified_at),
        "dataLocation": document.data_location,
    }
    address_id = f"{document.id}/{SUPPRESSION_LIST_ADDRESSES.name}/{listed.id}"
    return envelope.proxy(address_id, listed.id, ADDRESSES, system, properties)


async def check_still_there(admin: Administration, list_id: ResourceId, key: str) -> None:
    """After a write: a list that was deleted meanwhile takes with it what was written too late. Raises RequestRefused."""
    resource = await admin.store.get(list_id, SuppressionListDocument)
    if resource is not None and resource.document.key == key and resource.document.provisioning_state != DELETING:
        return
    await delete_list(admin.storage.tables, key)
    if resource is not None:
        raise being_deleted(list_id)
    raise refusals.parent_not_found(list_id.type, list_id.name)


def _asked(admin: Administration, call: Call, before: ListedAddress | None, document: SuppressionListDocument) -> ListedAddress:
    """The address as the body wants it. Raises RequestRefused (400), naming every field that is wrong."""
    fields = Fields(call.body)
    email = fields.text("properties.email", required=True, most=MOST_EMAIL)
    if email is not None:
        try:
            parse_address(email)
        except AddressError as error:
            fields.add("properties.email", f"The address {error.reason}.")
    first_name = fields.text("properties.firstName", most=MOST_NAME)
    last_name = fields.text("properties.lastName", most=MOST_NAME)
    notes = fields.text("properties.notes", most=MOST_NOTES)
    if before is not None:
        fields.read_only("properties.lastModified", envelope.timestamp(before.modified_at))
        fields.read_only("properties.dataLocation", document.data_location)
    fields.finish()
    name, kind, now = call.principal.name, principal_type(call.principal), admin.clock.now()
    made = before or ListedAddress(call.resource.name, "", created_at=now, created_by=name, created_by_type=kind)
    return replace(
        made,
        email=email or "",
        first_name=first_name or "",
        last_name=last_name or "",
        notes=notes or "",
        modified_at=now,
        modified_by=name,
        modified_by_type=kind,
    )


def _facts(listed: ListedAddress) -> dict[str, str]:
    return {
        "email": listed.email,
        "firstName": listed.first_name,
        "lastName": listed.last_name,
        "notes": listed.notes,
    }


def _check_conditions(call: Call, before: ListedAddress | None) -> None:
    check_conditions(call.if_match, call.if_none_match, None if before is None else before.etag)


async def _note(admin: Administration, call: Call, before: ListedAddress | None, after: ListedAddress | None) -> None:
    old: Mapping[str, str] = _facts(before) if before else {}
    new: Mapping[str, str] = _facts(after) if after else {}
    changes = {
        name: (old.get(name), new.get(name)) for name in {**old, **new} if (old.get(name) or "") != (new.get(name) or "")
    }
    await admin.audit.append(
        call.resource.subscription, Change(call.principal, call.operation.name, call.resource.text, call.request_id, changes)
    )


def _twice(target: ResourceId, other: str) -> RequestRefused:
    text = (
        f"The list '{above(target).name}' has this e-mail address already, with the id '{other}': change that one, or delete "
        "it first. Addresses are compared without case."
    )
    return refusals.conflict("SuppressionListAddressExists", text, "properties.email")


HANDLERS: dict[str, Handler] = {
    "SuppressionListAddresses_CreateOrUpdate": create_or_update,
    "SuppressionListAddresses_Get": get,
    "SuppressionListAddresses_Delete": delete,
    "SuppressionListAddresses_List": list_addresses,
}
