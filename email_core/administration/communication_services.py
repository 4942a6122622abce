"""Communication services: what mail is sent through. Each has two keys and a list of linked domains."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from email_core.administration.call import Administration, Call, Handler, Reply
from email_core.administration.keys import new_key
from email_core.administration.linking import linkable
from email_core.administration.paging import listed_on_top
from email_core.administration.tracked import read_data_location, read_location, read_tags
from email_core.administration.writing import existing, shown, write
from email_core.domains.documents import Limit, ServiceDocument
from email_core.domains.sending import service_key
from email_core.management.fields import Fields
from email_core.management.limits_property import read_limits, shown_limits
from email_core.management.resource_id import COMMUNICATION_SERVICES, PROVIDER

NETWORK_ACCESS = ("Enabled", "Disabled", "SecuredByPerimeter")
IDENTITY_TYPES = ("None", "SystemAssigned", "UserAssigned", "SystemAssigned,UserAssigned")
MOST_IDENTITIES = 20


async def create_or_update(admin: Administration, call: Call) -> Reply:
    """CommunicationServices_CreateOrUpdate."""
    maker = _Maker(admin, call, await linkable(admin, call))
    written = await write(admin, call, ServiceDocument, maker.made)
    resource = written.resource
    return Reply(201 if written.created else 200, view(resource.document), {"ETag": resource.etag})


async def update(admin: Administration, call: Call) -> Reply:
    """CommunicationServices_Update."""
    maker = _Maker(admin, call, await linkable(admin, call))
    written = await write(admin, call, ServiceDocument, maker.made, create=False)
    return Reply(200, view(written.resource.document), {"ETag": written.resource.etag})


async def get(admin: Administration, call: Call) -> Reply:
    """CommunicationServices_Get."""
    resource = await existing(admin, call.resource, ServiceDocument)
    return Reply(200, view(resource.document), {"ETag": resource.etag})


async def list_by_scope(admin: Administration, call: Call) -> Reply:
    """CommunicationServices_ListBySubscription, CommunicationServices_ListByResourceGroup."""
    return await listed_on_top(admin, call, COMMUNICATION_SERVICES, ServiceDocument, view)


def view(document: ServiceDocument) -> dict[str, object]:
    """A communication service as it is answered. Its keys are told by listKeys alone."""
    properties = {
        **_read_only(document),
        "dataLocation": document.data_location,
        "linkedDomains": document.linked_domains,
        "publicNetworkAccess": document.public_network_access,
        "disableLocalAuth": document.disable_local_auth,
        "limits": shown_limits(document.limits),
    }
    whole = shown(document.id, f"{PROVIDER}/{COMMUNICATION_SERVICES.name}", document, properties)
    return whole if document.identity is None else {**whole, "identity": document.identity}


def _read_only(document: ServiceDocument) -> dict[str, object]:
    properties: dict[str, object] = {
        "provisioningState": document.provisioning_state,
        "hostName": document.host_name,
        "immutableResourceId": document.immutable_resource_id,
    }
    if document.notification_hub_id:
        properties["notificationHubId"] = document.notification_hub_id
    return properties


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes the document of a service from the body of a call; `links` were checked before."""

    admin: Administration
    call: Call
    links: list[str] | None

    def made(self, before: ServiceDocument | None) -> ServiceDocument:
        """The new document. Raises RequestRefused, naming every field that is wrong."""
        fields, put = Fields(self.call.body), self.call.operation.method == "PUT"
        location, data_location = read_location(fields, before), read_data_location(fields, before)
        tags = read_tags(fields, before, put=put)
        known = _read_only(before) if before else {}
        for name in ("provisioningState", "hostName", "immutableResourceId", "notificationHubId", "version"):
            fields.read_only(f"properties.{name}", known.get(name))
        access = fields.text("properties.publicNetworkAccess", choices=NETWORK_ACCESS)
        no_keys = fields.boolean("properties.disableLocalAuth")
        limits = read_limits(fields)
        identity = _identity(fields)
        fields.finish()
        # A PUT says all of what ACS has. But links stay when it does not name them: a template that knows nothing of
        # domains would stop all mail. What is ours stays as well, for the tools of ACS do not know it.
        base = before or self._new(location, data_location)
        return msgspec.structs.replace(
            base,
            tags=tags,
            linked_domains=base.linked_domains if self.links is None else self.links,
            public_network_access=access or (NETWORK_ACCESS[0] if put else base.public_network_access),
            disable_local_auth=no_keys if no_keys is not None else False if put else base.disable_local_auth,
            identity=identity if identity is not None else None if put else base.identity,
            limits=base.limits if limits is None else tuple(Limit(*limit) for limit in limits),
        )

    def _new(self, location: str, data_location: str) -> ServiceDocument:
        settings, target = self.admin.settings, self.call.resource
        immutable_id = str(uuid.uuid4())
        return ServiceDocument(
            id=target.text,
            name=target.name,
            location=location,
            data_location=data_location,
            key=service_key(immutable_id),
            immutable_resource_id=immutable_id,
            host_name=settings.public_host or f"{target.name.lower()}.{settings.platform_domain}",
            primary_key=new_key(self.admin, target),
            secondary_key=new_key(self.admin, target),
        )


def _identity(fields: Fields) -> dict[str, object] | None:
    """`identity`, which is kept and shown: nothing here signs in with it."""
    if fields.members("identity") is None:
        return None
    kind = fields.text("identity.type", required=True, choices=_spellings())
    assigned = fields.members("identity.userAssignedIdentities")
    if assigned is not None and len(assigned) > MOST_IDENTITIES:
        fields.add("identity.userAssignedIdentities", f"It may have {MOST_IDENTITIES} identities; it has {len(assigned)}.")
    if kind is None or kind == IDENTITY_TYPES[0]:
        return None
    identity: dict[str, object] = {"type": kind.replace(" ", "")}
    if assigned:
        identity["userAssignedIdentities"] = {name: _ids(value) for name, value in assigned.items()}
    return identity


def _spellings() -> tuple[str, ...]:
    return (*IDENTITY_TYPES, "SystemAssigned, UserAssigned")


def _ids(value: object) -> dict[str, str]:
    """What a client sends back of an identity that it read."""
    known = value if isinstance(value, Mapping) else {}
    return {name: text for name in ("principalId", "clientId") if isinstance(text := known.get(name), str)}


HANDLERS: dict[str, Handler] = {
    "CommunicationServices_CreateOrUpdate": create_or_update,
    "CommunicationServices_Update": update,
    "CommunicationServices_Get": get,
    "CommunicationServices_ListBySubscription": list_by_scope,
    "CommunicationServices_ListByResourceGroup": list_by_scope,
}
