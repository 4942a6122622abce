"""Suppression lists of a domain: whom mail of one sender, or of the whole domain, is not sent to.

`properties.listName` is the sender username that a list is for, empty for all senders. A domain has one list for each.
"""

from __future__ import annotations

import contextlib
import secrets

import msgspec

from email_core.administration.call import Administration, Call, Handler, Reply
from email_core.administration.paging import listed
from email_core.administration.writing import (
    MOST_TRIES,
    check_conditions,
    existing,
    shown,
    stamped,
    store,
    too_many_writers,
    turn,
    write,
)
from email_core.domains.documents import DELETING, DomainDocument, SuppressionListDocument
from email_core.domains.resource_store import Resource
from email_core.errors import EntityChanged
from email_core.management import refusals
from email_core.management.envelope import timestamp
from email_core.management.fields import Fields
from email_core.management.resource_id import SUPPRESSION_LISTS, ResourceId
from email_core.message.address import AddressError, parse_address
from email_core.suppression.customer_lists import delete_list

LISTS = "Microsoft.Communication/emailServices/domains/suppressionLists"
MOST_LIST_NAME = 64  # characters: a local part (RFC 5321 section 4.5.3.1.1)


async def create_or_update(admin: Administration, call: Call) -> Reply:
    """SuppressionLists_CreateOrUpdate."""
    target = call.resource
    domain_id = above(target)
    domain = await admin.store.get(domain_id, DomainDocument)
    list_name = _list_name(call, domain.document if domain else None)
    if domain is not None:  # otherwise `write` tells that it is not there
        await _refuse_twice(admin, domain_id, target, list_name)
    now = admin.clock.now()

    def make(before: SuppressionListDocument | None) -> SuppressionListDocument:
        fields = Fields(call.body)
        if before is not None:
            for name, value in _properties(before).items():
                if name != "listName":
                    fields.read_only(f"properties.{name}", value)
        fields.finish()
        made = before or SuppressionListDocument(
            id=target.text,
            name=target.name,
            key=secrets.token_hex(8),
            created_at=now,
            data_location=domain.document.data_location if domain else "",
        )
        return msgspec.structs.replace(made, list_name=list_name, updated_at=now)

    written = await write(admin, call, SuppressionListDocument, make)
    headers = {"ETag": written.resource.etag}
    return Reply(201 if written.created else 200, list_shown(written.resource.document), headers)


async def get(admin: Administration, call: Call) -> Reply:
    """SuppressionLists_Get."""
    resource = await existing(admin, call.resource, SuppressionListDocument)
    return Reply(200, list_shown(resource.document), {"ETag": resource.etag})


async def delete(admin: Administration, call: Call) -> Reply:
    """SuppressionLists_Delete: it is marked, then its addresses go, then itself. Whoever was interrupted repeats the call."""
    target = call.resource
    async with turn(target):
        for _ in range(MOST_TRIES):
            before = await admin.store.get(target, SuppressionListDocument)
            if before is None:
                return Reply(204)
            marked: Resource[SuppressionListDocument] | None = before
            if before.document.provisioning_state != DELETING:
                check_conditions(call, before)
                document = msgspec.structs.replace(before.document, provisioning_state=DELETING)
                marked = await store(admin, call, before, stamped(document, before, call.principal, admin.clock.now()))
            if marked is None:
                continue
            await delete_list(admin.storage.tables, marked.document.key)
            with contextlib.suppress(EntityChanged):  # another call deletes it as well
                await admin.store.delete(marked)
                return Reply(200)
    raise too_many_writers()


async def list_by_domain(admin: Administration, call: Call) -> Reply:
    """SuppressionLists_ListByDomain."""
    return await listed(admin, call, SUPPRESSION_LISTS, SuppressionListDocument, list_shown)


async def existing_list(admin: Administration, list_id: ResourceId) -> Resource[SuppressionListDocument]:
    """The list that an operation is about. Raises RequestRefused (404)."""
    return await existing(admin, list_id, SuppressionListDocument)


def list_shown(document: SuppressionListDocument) -> dict[str, object]:
    """A list as it is answered."""
    return shown(document.id, LISTS, document, _properties(document))


def above(target: ResourceId) -> ResourceId:
    """What a list, or an address of one, is part of."""
    if target.parent is None:
        raise ValueError(f"{target} has nothing above it")
    return target.parent


def _properties(document: SuppressionListDocument) -> dict[str, object]:
    return {
        "listName": document.list_name,
        "lastUpdatedTimeStamp": timestamp(document.updated_at),
        "createdTimeStamp": timestamp(document.created_at),
        "dataLocation": document.data_location,
    }


def _list_name(call: Call, domain: DomainDocument | None) -> str:
    """The list's name: the local part of an address of the domain, or empty. Raises RequestRefused (400)."""
    fields = Fields(call.body)
    path = "properties.listName"
    name = fields.text(path, most=MOST_LIST_NAME) or ""
    if name and domain is not None:
        try:
            parse_address(f"{name}@{domain.from_sender_domain}")
        except AddressError as error:
            fields.add(path, f"As an address of the domain it {error.reason}. Give a sender username, or '' for all senders.")
    fields.finish()
    return name


async def _refuse_twice(admin: Administration, domain: ResourceId, target: ResourceId, list_name: str) -> None:
    async for resource in admin.store.children(domain, SUPPRESSION_LISTS, SuppressionListDocument):
        other = resource.document
        if other.name.lower() != target.name.lower() and other.list_name.casefold() == list_name.casefold():
            for_whom = f"the sender username '{list_name}'" if list_name else "all senders of the domain"
            text = f"'{other.id}' is the suppression list for {for_whom} already: add addresses to that one, or delete it."
            raise refusals.conflict("SuppressionListExists", text, "properties.listName")


HANDLERS: dict[str, Handler] = {
    "SuppressionLists_CreateOrUpdate": create_or_update,
    "SuppressionLists_Get": get,
    "SuppressionLists_Delete": delete,
    "SuppressionLists_ListByDomain": list_by_domain,
}
