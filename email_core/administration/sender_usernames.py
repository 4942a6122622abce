"""Sender usernames: the local parts that a domain may send from, each with the name that readers see."""

from __future__ import annotations

import msgspec

from email_core.administration.call import Administration, Call, Handler, Reply
from email_core.administration.domains import DO_NOT_REPLY
from email_core.administration.paging import listed
from email_core.administration.writing import existing, remove, shown, write
from email_core.domains.documents import AZURE_MANAGED, DomainDocument, SenderDocument
from email_core.management import refusals
from email_core.management.fields import Fields
from email_core.management.resource_id import SENDER_USERNAMES, ResourceId
from email_core.message.address import AddressError, parse_address
from email_core.message.headers import check_display_name

MOST_DISPLAY_NAME = 256  # characters


async def create_or_update(admin: Administration, call: Call) -> Reply:
    """SenderUsernames_CreateOrUpdate."""
    target = call.resource
    domain = await admin.store.get(_above(target), DomainDocument)
    if domain is not None:  # otherwise `write` tells that it is not there
        _check_allowed(admin, domain.document, target.name)
    data_location = domain.document.data_location if domain else ""
    sender_domain = domain.document.from_sender_domain if domain else "example.com"

    def make(before: SenderDocument | None) -> SenderDocument:
        fields = Fields(call.body)
        username = _username(fields, target.name, sender_domain)
        display_name = _display_name(fields)
        if before is not None:
            for name, value in _properties(before).items():
                if name not in ("username", "displayName"):
                    fields.read_only(f"properties.{name}", value)
        fields.finish()
        made = before or SenderDocument(id=target.text, name=target.name, username=username, data_location=data_location)
        return msgspec.structs.replace(made, username=username, display_name=display_name)

    written = await write(admin, call, SenderDocument, make)
    headers = {"ETag": written.resource.etag}
    return Reply(201 if written.created else 200, sender_shown(written.resource.document), headers)


async def get(admin: Administration, call: Call) -> Reply:
    """SenderUsernames_Get."""
    resource = await existing(admin, call.resource, SenderDocument)
    return Reply(200, sender_shown(resource.document), {"ETag": resource.etag})


async def delete(admin: Administration, call: Call) -> Reply:
    """SenderUsernames_Delete."""
    target = call.resource
    if target.name.lower() == DO_NOT_REPLY.lower():
        domain = await admin.store.get(_above(target), DomainDocument)
        if domain is not None and domain.document.domain_management == AZURE_MANAGED:
            text = f"'{DO_NOT_REPLY}' is the sender that an Azure-managed domain always has. Delete the domain instead."
            raise refusals.refused("Forbidden", text, "senderUsername", status=403)
    return await remove(admin, call, SenderDocument)


async def list_by_domain(admin: Administration, call: Call) -> Reply:
    """SenderUsernames_ListByDomains."""
    return await listed(admin, call, SENDER_USERNAMES, SenderDocument, sender_shown)


def sender_shown(document: SenderDocument) -> dict[str, object]:
    """A sender username as it is answered."""
    type_name = "Microsoft.Communication/emailServices/domains/senderUsernames"
    return shown(document.id, type_name, document, _properties(document))


def _properties(document: SenderDocument) -> dict[str, object]:
    return {
        "dataLocation": document.data_location,
        "username": document.username,
        "displayName": document.display_name,
        "provisioningState": document.provisioning_state,
    }


def _check_allowed(admin: Administration, domain: DomainDocument, name: str) -> None:
    """A managed domain has the one sender that it was made with, as in ACS. Raises RequestRefused (403)."""
    if domain.domain_management != AZURE_MANAGED or admin.settings.managed_domain_extras:
        return
    if name.lower() != DO_NOT_REPLY.lower():
        text = (
            f"An Azure-managed domain sends as '{DO_NOT_REPLY}' alone, as in ACS. Add the sender to a domain of your own, or "
            "set POSTRIDER_MANAGED_DOMAIN_EXTRAS."
        )
        raise refusals.refused("Forbidden", text, "senderUsername", status=403)


def _username(fields: Fields, name: str, domain: str) -> str:
    """The username of the body, which is that of the path: it must be the local part of an address that we can send from."""
    path = "properties.username"
    username = fields.text(path, required=True, most=64)
    if username is None:
        return ""
    if username.lower() != name.lower():
        fields.add(path, f"It must be the name of the resource, '{refusals.shown(name)}'.")
        return username
    try:
        parse_address(f"{username}@{domain}")
    except AddressError as error:
        fields.add(path, f"As an address of the domain it {error.reason}.")
    return username


def _display_name(fields: Fields) -> str:
    path = "properties.displayName"
    display_name = fields.text(path, most=MOST_DISPLAY_NAME) or ""
    if reason := check_display_name(display_name):
        fields.add(path, f"It {reason}.")
    return display_name


def _above(target: ResourceId) -> ResourceId:
    if target.parent is None:
        raise ValueError(f"{target} is no sender username")
    return target.parent


HANDLERS: dict[str, Handler] = {
    "SenderUsernames_CreateOrUpdate": create_or_update,
    "SenderUsernames_Get": get,
    "SenderUsernames_Delete": delete,
    "SenderUsernames_ListByDomains": list_by_domain,
}
