"""Email communication services: what domains are below."""

from __future__ import annotations

from functools import partial

import msgspec

from email_core.administration.call import Administration, Call, Handler, Reply
from email_core.administration.paging import listed_on_top
from email_core.administration.tracked import read_data_location, read_location, read_tags
from email_core.administration.writing import existing, shown, write
from email_core.domains.documents import EmailServiceDocument
from email_core.management.fields import Fields
from email_core.management.resource_id import EMAIL_SERVICES, PROVIDER


async def create_or_update(admin: Administration, call: Call) -> Reply:
    """EmailServices_CreateOrUpdate."""
    written = await write(admin, call, EmailServiceDocument, partial(_document, call))
    resource = written.resource
    return Reply(201 if written.created else 200, view(resource.document), {"ETag": resource.etag})


async def update(admin: Administration, call: Call) -> Reply:
    """EmailServices_Update: tags alone."""
    written = await write(admin, call, EmailServiceDocument, partial(_document, call), create=False)
    return Reply(200, view(written.resource.document), {"ETag": written.resource.etag})


async def get(admin: Administration, call: Call) -> Reply:
    """EmailServices_Get."""
    resource = await existing(admin, call.resource, EmailServiceDocument)
    return Reply(200, view(resource.document), {"ETag": resource.etag})


async def list_by_scope(admin: Administration, call: Call) -> Reply:
    """EmailServices_ListBySubscription, EmailServices_ListByResourceGroup."""
    return await listed_on_top(admin, call, EMAIL_SERVICES, EmailServiceDocument, view)


def view(document: EmailServiceDocument) -> dict[str, object]:
    """An email service as it is answered."""
    properties = {"provisioningState": document.provisioning_state, "dataLocation": document.data_location}
    return shown(document.id, f"{PROVIDER}/{EMAIL_SERVICES.name}", document, properties)


def _document(call: Call, before: EmailServiceDocument | None) -> EmailServiceDocument:
    fields = Fields(call.body)
    location, data_location = read_location(fields, before), read_data_location(fields, before)
    tags = read_tags(fields, before, put=call.operation.method == "PUT")
    fields.read_only("properties.provisioningState", before.provisioning_state if before else None)
    fields.finish()
    if before is not None:
        return msgspec.structs.replace(before, tags=tags)
    target = call.resource
    return EmailServiceDocument(
        id=target.text, name=target.name, location=location, tags=tags, data_location=data_location
    )  # fmt: skip


HANDLERS: dict[str, Handler] = {
    "EmailServices_CreateOrUpdate": create_or_update,
    "EmailServices_Update": update,
    "EmailServices_Get": get,
    "EmailServices_ListBySubscription": list_by_scope,
    "EmailServices_ListByResourceGroup": list_by_scope,
}
