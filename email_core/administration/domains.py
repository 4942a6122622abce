"""Domains of an email service: managed ones, which send at once, and those of customers, which bring their DNS.

What a customer must publish is decided here, when the domain is made: the token that proves who owns it, and two pairs of
DKIM keys. Whether it is there is for `verification` to find out.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from functools import partial
from weakref import WeakValueDictionary

import msgspec

from email_core.administration.audit import Change
from email_core.administration.call import Administration, Call, Handler, Reply
from email_core.administration.domain_view import READ_ONLY, domain_properties
from email_core.administration.paging import listed
from email_core.administration.tracked import read_location, read_tags
from email_core.administration.writing import Written, existing, principal_type, shown, write
from email_core.domains.documents import (
    AZURE_MANAGED,
    AZURE_MANAGED_NAME,
    CUSTOMER_MANAGED,
    MAIL_FROM,
    VERIFICATION_TYPES,
    DomainDocument,
    EmailServiceDocument,
    Limit,
    SenderDocument,
    StateDocument,
    Status,
    SystemData,
)
from email_core.domains.domain_names import DomainNameError, customer_domain, load_suffixes
from email_core.domains.records import DmarcPolicy
from email_core.domains.selectors import ensure_platform_keys, new_selectors
from email_core.domains.tasks import Publish
from email_core.errors import EntityExists
from email_core.management import refusals
from email_core.management.fields import Fields
from email_core.management.limits_property import read_limits, shown_limits
from email_core.management.resource_id import DOMAINS, SENDER_USERNAMES, ResourceId
from email_core.message.address import AddressError, parse_domain

EXCHANGE_ONLINE = "CustomerManagedInExchangeOnline"
DO_NOT_REPLY = "DoNotReply"

TRACKING = ("Disabled", "Enabled")

# Keys take a while to make: of calls that make the same domain at once, the first one makes them for all.
_being_made: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()


async def create_or_update(admin: Administration, call: Call) -> Reply:
    """Domains_CreateOrUpdate."""
    target = call.resource
    await load_suffixes()
    lock = _being_made.setdefault(target.key, asyncio.Lock())
    async with lock:
        new = None if await admin.store.get(target, DomainDocument) else await _new(admin, call)
        written = await write(admin, call, DomainDocument, _maker(admin, call, new))
    await _complete(admin, call, written)
    return _reply(admin, written)


async def get(admin: Administration, call: Call) -> Reply:
    """Domains_Get."""
    await load_suffixes()
    resource = await existing(admin, call.resource, DomainDocument)
    return Reply(200, domain_shown(admin, resource.document), {"ETag": resource.etag})


async def update(admin: Administration, call: Call) -> Reply:
    """Domains_Update."""
    await load_suffixes()
    written = await write(admin, call, DomainDocument, _maker(admin, call, None), create=False)
    await _complete(admin, call, written)
    return _reply(admin, written)


async def list_by_email_service(admin: Administration, call: Call) -> Reply:
    """Domains_ListByEmailServiceResource."""
    await load_suffixes()
    return await listed(admin, call, DOMAINS, DomainDocument, partial(domain_shown, admin))


def domain_shown(admin: Administration, document: DomainDocument) -> dict[str, object]:
    """A domain as it is answered."""
    properties = {**domain_properties(document, admin.settings), "limits": shown_limits(document.limits)}
    return shown(document.id, "Microsoft.Communication/emailServices/domains", document, properties)


def _reply(admin: Administration, written: Written[DomainDocument]) -> Reply:
    status = 201 if written.created else 200
    return Reply(status, domain_shown(admin, written.resource.document), {"ETag": written.resource.etag})


async def _new(admin: Administration, call: Call) -> DomainDocument:
    """The document of a domain that is not there yet. Raises RequestRefused when there can be none like it."""
    target = call.resource
    management = _checked_management(call, None)
    parent = await admin.store.get(_above(target), EmailServiceDocument)
    document = DomainDocument(
        id=target.text,
        name=target.name,
        data_location=parent.document.data_location if parent else "",
        domain_management=management,
        from_sender_domain=_checked_name(admin, target, management),
        verification_token=str(uuid.uuid4()),
    )
    # What is wrong with the rest of the body is told before any key is made.
    document = _changed(admin, call, document, fresh=True)
    if parent is None:
        return document  # `write` refuses it
    now = admin.clock.now()
    if management == AZURE_MANAGED:
        await ensure_platform_keys(admin.storage.tables, admin.sealer, admin.settings.platform_domain, now=now)
        verified = {kind: StateDocument(status=Status.VERIFIED, checked_at=now) for kind in VERIFICATION_TYPES}
        return msgspec.structs.replace(document, verification_states=verified, last_verified_at=now)
    selectors = await new_selectors(admin.sealer, target.key, now=now)
    return msgspec.structs.replace(document, selectors=selectors, signing_domain=document.from_sender_domain, rotated_at=now)


def _maker(admin: Administration, call: Call, new: DomainDocument | None) -> Callable[[DomainDocument | None], DomainDocument]:
    def make(before: DomainDocument | None) -> DomainDocument:
        if before is not None:
            return _changed(admin, call, before)
        if new is None:
            text = f"'{call.resource.text}' was deleted meanwhile. Repeat the request to make it again."
            raise refusals.conflict("Conflict", text)
        return new

    return make


def _changed(admin: Administration, call: Call, before: DomainDocument, *, fresh: bool = False) -> DomainDocument:
    """The document with what the body of a PUT or PATCH says. Raises RequestRefused, naming every field that is wrong.

    `fresh`: it is not stored yet, so that read-only properties have no value that the caller could know.
    """
    fields, put = Fields(call.body), call.operation.method == "PUT"
    read_location(fields, None if fresh else before)
    if not fresh:
        _checked_management(call, before)
        view = domain_properties(before, admin.settings)
        for name in READ_ONLY:
            fields.read_only(f"properties.{name}", view[name])
    tags = read_tags(fields, before, put=put)
    tracking = fields.text("properties.userEngagementTracking", choices=TRACKING)
    any_sender = fields.boolean("properties.anySender")
    limits = read_limits(fields, "properties.limits")
    policy = fields.text("properties.dmarcPolicy", choices=[policy.value for policy in DmarcPolicy])
    mail_from = _mail_from(fields, before)
    if before.domain_management == AZURE_MANAGED:
        _check_managed(fields, admin, before, tracking=tracking, any_sender=any_sender)
    fields.finish()
    states = before.verification_states
    if mail_from is not None and mail_from != before.mail_from_sender_domain:
        states = {kind: state for kind, state in states.items() if kind != MAIL_FROM}
    return msgspec.structs.replace(
        before,
        tags=tags,
        # A PUT says all of what ACS has; what is ours stays, for the tools of ACS do not know it.
        user_engagement_tracking=tracking or (TRACKING[0] if put else before.user_engagement_tracking),
        any_sender=before.any_sender if any_sender is None else any_sender,
        limits=before.limits if limits is None else tuple(Limit(*limit) for limit in limits),
        dmarc_policy=policy or before.dmarc_policy,
        mail_from_sender_domain=before.mail_from_sender_domain if mail_from is None else mail_from,
        verification_states=states,
    )


def _checked_management(call: Call, before: DomainDocument | None) -> str:
    """The domainManagement of the body, which is required and create-only in a PUT and may be repeated in a PATCH."""
    fields = Fields(call.body)
    path, put = "properties.domainManagement", call.operation.method == "PUT"
    management = fields.text(path, required=put, choices=(AZURE_MANAGED, CUSTOMER_MANAGED, EXCHANGE_ONLINE))
    if management == EXCHANGE_ONLINE and before is None:
        fields.add(path, f"There is no Exchange Online here: use {CUSTOMER_MANAGED}, with records in the same DNS zone.")
    elif before is not None and management not in (None, before.domain_management):
        fields.add(path, f"It is '{before.domain_management}' and can't be changed: delete the domain and create it again.")
    fields.finish()
    return management or ""


def _checked_name(admin: Administration, target: ResourceId, management: str) -> str:
    """The domain of a resource of that name."""
    managed_name = target.name.lower() == AZURE_MANAGED_NAME.lower()
    if management == AZURE_MANAGED:
        if not managed_name:
            raise _wrong_name(target, f"the one Azure-managed domain of an email service is named '{AZURE_MANAGED_NAME}'")
        return f"{uuid.uuid4()}.{admin.settings.platform_domain}"
    if managed_name:
        raise _wrong_name(target, f"that is what a domain with domainManagement {AZURE_MANAGED} is named: give your own")
    try:
        return customer_domain(target.name, admin.settings)
    except DomainNameError as error:
        raise _wrong_name(target, str(error)) from error


def _wrong_name(target: ResourceId, why: str) -> Exception:
    text = f"The name '{refusals.shown(target.name)}' is not valid for a resource of type '{target.type}': {why}."
    return refusals.refused("InvalidResourceName", text, "name")


def _mail_from(fields: Fields, before: DomainDocument) -> str | None:
    """The domain of reverse-paths that the body asks for; empty for the platform's, None when it says nothing."""
    path = "properties.mailFromSubdomain"
    subdomain = fields.text(path, most=63)
    if not subdomain:
        return subdomain
    try:
        return parse_domain(f"{subdomain}.{before.from_sender_domain}")
    except AddressError as error:
        fields.add(path, f"With the domain after it, it {error.reason}. Give the part before it, such as 'bounce'.")
        return None


def _check_managed(
    fields: Fields, admin: Administration, before: DomainDocument, *, tracking: str | None, any_sender: bool | None
) -> None:
    """What a managed domain can't have: as ACS, because all senders share the name of the platform's domain."""
    if not admin.settings.managed_domain_extras:
        rule = "A managed domain can't have it, as in ACS: use a domain of your own, or set POSTRIDER_MANAGED_DOMAIN_EXTRAS."
        if tracking == TRACKING[1]:
            fields.add("properties.userEngagementTracking", rule)
        if any_sender:
            fields.add("properties.anySender", rule)
    for name in ("mailFromSubdomain", "dmarcPolicy"):
        fields.read_only(f"properties.{name}", domain_properties(before, admin.settings)[name])


async def _complete(admin: Administration, call: Call, written: Written[DomainDocument]) -> None:
    """What belongs to a domain beside its document. Done at each write, so that a run that died in between does not matter."""
    document = written.resource.document
    managed = document.domain_management == AZURE_MANAGED
    if managed or written.created:  # the owner of another domain may have deleted it
        await _ensure_sender(admin, call, document)
    if not managed and (admin.settings.dkim_zone or admin.settings.zones):
        await admin.tasks.put(Publish(domain=document.id))


async def _ensure_sender(admin: Administration, call: Call, domain: DomainDocument) -> None:
    """The sender that every domain begins with, and the only one of a managed domain."""
    target = call.resource.child(SENDER_USERNAMES, DO_NOT_REPLY)
    if await admin.store.get(target, SenderDocument) is not None:
        return
    now, who = admin.clock.now(), call.principal
    kind = principal_type(who)
    sender = SenderDocument(
        id=target.text, name=DO_NOT_REPLY, username=DO_NOT_REPLY, display_name=DO_NOT_REPLY, data_location=domain.data_location,
        system_data=SystemData(who.name, kind, now, who.name, kind, now),
    )  # fmt: skip
    change = Change(who, "SenderUsernames_CreateOrUpdate", target.text, call.request_id, {"username": (None, DO_NOT_REPLY)})
    await admin.audit.append(target.subscription, change)
    try:
        await admin.store.create(target, sender)
    except EntityExists:
        return  # a call beside this one was faster


def _above(target: ResourceId) -> ResourceId:
    if target.parent is None:
        raise ValueError(f"{target} is no domain")
    return target.parent


HANDLERS: dict[str, Handler] = {
    "Domains_CreateOrUpdate": create_or_update,
    "Domains_Get": get,
    "Domains_Update": update,
    "Domains_ListByEmailServiceResource": list_by_email_service,
}
