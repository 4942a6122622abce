"""SMTP usernames of a communication service: who may log in by SMTP, with which name, and as which application of Entra.

ACS takes a client secret of the application as the password. Here, one is made on demand and shown once, which is ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable

import msgspec

from email_core.administration.call import Administration, Call, Handler, Reply
from email_core.administration.paging import listed
from email_core.administration.writing import check_parent, existing, remove, shown, write
from email_core.auth.smtp_credential import hash_password, new_password, parse_login
from email_core.domains.documents import DomainDocument, Limit, ServiceDocument, SmtpUsernameDocument
from email_core.domains.smtp_names import NameTaken, SmtpNames
from email_core.errors import EntityChanged, RequestRefused
from email_core.management import envelope, refusals
from email_core.management.fields import Fields
from email_core.management.limits_property import LimitValue, read_limits, shown_limits
from email_core.management.resource_id import SMTP_USERNAMES, ResourceId, parse_resource_id
from email_core.message.address import AddressError, parse_address

MOST_USERNAME = 253  # characters, as many as the name of the resource

_guid = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


async def create_or_update(admin: Administration, call: Call) -> Reply:
    """SmtpUsernames_CreateOrUpdate."""
    target, fields = call.resource, Fields(call.body)
    username = fields.text("properties.username", required=True, least=1, most=MOST_USERNAME)
    application = _guid_of(fields, "properties.entraApplicationId")
    tenant = _guid_of(fields, "properties.tenantId")
    limits = read_limits(fields)
    if username is not None:
        await _check_username(admin, target, fields, username)
    fields.finish()
    if username is None or application is None or tenant is None:
        raise ValueError("a required field was absent, and no fault")
    await check_parent(admin, target)
    names = SmtpNames(admin.storage.tables, admin.store, admin.clock)
    before = await admin.store.get(target, SmtpUsernameDocument)
    try:
        await names.claim(username, target)
    except NameTaken:
        raise _taken(username) from None
    written = await write(admin, call, SmtpUsernameDocument, _maker(target, username, application, tenant, limits))
    try:
        await names.claim(username, target)
    except NameTaken:  # it was deleted meanwhile, and a third one was faster
        if written.created:
            with contextlib.suppress(EntityChanged):
                await admin.store.delete(written.resource)
        raise _taken(username) from None
    if before is not None and parse_login(before.document.username) != parse_login(username):
        await names.release(before.document.username, target)
    status = 201 if written.created else 200
    return Reply(status, _shown(written.resource.document), {"ETag": written.resource.etag})


def _taken(username: str) -> RequestRefused:
    text = f"The username '{refusals.shown(username)}' is taken in this installation: choose another one."
    return refusals.conflict("UsernameTaken", text, "properties.username")


async def get(admin: Administration, call: Call) -> Reply:
    """SmtpUsernames_Get."""
    resource = await existing(admin, call.resource, SmtpUsernameDocument)
    return Reply(200, _shown(resource.document), {"ETag": resource.etag})


async def list_by_service(admin: Administration, call: Call) -> Reply:
    """SmtpUsernames_List."""
    return await listed(admin, call, SMTP_USERNAMES, SmtpUsernameDocument, _shown)


async def delete(admin: Administration, call: Call) -> Reply:
    """SmtpUsernames_Delete."""
    before = await admin.store.get(call.resource, SmtpUsernameDocument)
    reply = await remove(admin, call, SmtpUsernameDocument)
    if before is not None:
        names = SmtpNames(admin.storage.tables, admin.store, admin.clock)
        await names.release(before.document.username, call.resource)
    return reply


async def regenerate_password(admin: Administration, call: Call) -> Reply:
    """SmtpUsernames_RegeneratePassword: the password is in this answer and nowhere else; the one before ends at once."""
    password = new_password()
    stored = await asyncio.to_thread(hash_password, password)
    target = call.resource

    def make(before: SmtpUsernameDocument | None) -> SmtpUsernameDocument:
        if before is None:
            raise refusals.not_found(target.type, target.name, target.group)
        return msgspec.structs.replace(before, password=stored, password_made_at=admin.clock.now())

    written = await write(admin, call, SmtpUsernameDocument, make, create=False)
    return Reply(200, {"username": written.resource.document.username, "password": password})


def _maker(
    target: ResourceId, username: str, application: str, tenant: str, limits: tuple[LimitValue, ...] | None
) -> Callable[[SmtpUsernameDocument | None], SmtpUsernameDocument]:
    def make(before: SmtpUsernameDocument | None) -> SmtpUsernameDocument:
        document = before or SmtpUsernameDocument(
            id=target.text, name=target.name, username=username, entra_application_id=application, tenant_id=tenant
        )
        # Official clients know nothing of limits, so a PUT that does not name them leaves them, as with services and domains.
        kept = document.limits if limits is None else tuple(Limit(*limit) for limit in limits)
        return msgspec.structs.replace(
            document, username=username, entra_application_id=application, tenant_id=tenant, limits=kept
        )

    return make


def _guid_of(fields: Fields, path: str) -> str | None:
    text = fields.text(path, required=True, most=64)
    if text is None:
        return None
    if not _guid.fullmatch(text):
        fields.add(path, f"It must be a GUID, as Entra shows it; it is '{refusals.shown(text)}'.")
        return None
    return text


async def _check_username(admin: Administration, target: ResourceId, fields: Fields, username: str) -> None:
    """A free name, or an address of a domain that is linked to the service, as in ACS."""
    path = "properties.username"
    if username != username.strip() or any(character.isspace() for character in username):
        fields.add(path, "It holds a space: SMTP clients and servers don't agree on those. Leave it out.")
    elif not parse_login(username).username:
        fields.add(path, "It has the form RESOURCE.APPLICATION.TENANT, which works without a resource: choose another one.")
    elif "@" in username:
        try:
            domain = parse_address(username).domain
        except AddressError as error:
            fields.add(path, f"It looks like an e-mail address and is none: it {error.reason}.")
            return
        if domain not in await _linked_domains(admin, target):
            rule = f"'{refusals.shown(domain)}' is not a domain that is linked to the service: link it, or choose a plain name."
            fields.add(path, rule)


async def _linked_domains(admin: Administration, target: ResourceId) -> set[str]:
    parent = target.parent
    service = None if parent is None else await admin.store.get(parent, ServiceDocument)
    if service is None:
        return set()
    linked = await asyncio.gather(
        *(admin.store.get(parse_resource_id(each), DomainDocument) for each in service.document.linked_domains)
    )
    return {domain.document.from_sender_domain for domain in linked if domain is not None}


def _shown(document: SmtpUsernameDocument) -> dict[str, object]:
    made_at = document.password_made_at
    properties: dict[str, object] = {
        "username": document.username,
        "entraApplicationId": document.entra_application_id,
        "tenantId": document.tenant_id,
        "passwordCreatedOn": envelope.timestamp(made_at) if made_at else None,
        "limits": shown_limits(document.limits),
    }
    return shown(document.id, "Microsoft.Communication/communicationServices/smtpUsernames", document, properties)


HANDLERS: dict[str, Handler] = {
    "SmtpUsernames_List": list_by_service,
    "SmtpUsernames_Get": get,
    "SmtpUsernames_CreateOrUpdate": create_or_update,
    "SmtpUsernames_Delete": delete,
    "SmtpUsernames_RegeneratePassword": regenerate_password,
}
