"""The two access keys of a communication service: told with their connection strings, and made anew one at a time."""

from __future__ import annotations

import base64
import secrets

import msgspec

from email_core.administration.audit import Change
from email_core.administration.call import Administration, Call, Handler, Reply
from email_core.administration.writing import existing, write
from email_core.domains.documents import ServiceDocument
from email_core.management.fields import Fields
from email_core.management.resource_id import ResourceId

KEY_BYTES = 64  # as ACS's; the block of SHA-256, beyond which HMAC hashes a key first
KEY_TYPES = ("Primary", "Secondary")


def new_key(admin: Administration, service: ResourceId) -> str:
    """A new key of a service, in base64 and sealed."""
    return admin.sealer.seal(base64.b64encode(secrets.token_bytes(KEY_BYTES)), context=service.key)


async def list_keys(admin: Administration, call: Call) -> Reply:
    """CommunicationServices_ListKeys. That somebody was told the keys is noted in the audit log."""
    service = await existing(admin, call.resource, ServiceDocument)
    change = Change(call.principal, call.operation.name, call.resource.text, call.request_id, {}, text="The keys were read.")
    await admin.audit.append(call.resource.subscription, change)
    return Reply(200, _told(admin, call, service.document))


async def regenerate_key(admin: Administration, call: Call) -> Reply:
    """CommunicationServices_RegenerateKey. The other key goes on working, so that clients can change over to it before."""
    fields = Fields(call.body)
    key_type = fields.text("keyType", required=True, choices=KEY_TYPES)
    fields.finish()

    def regenerated(before: ServiceDocument | None) -> ServiceDocument:
        if before is None:
            raise ValueError(f"{call.resource} is not there, and is not made by this")
        key = new_key(admin, call.resource)
        if key_type == KEY_TYPES[0]:
            return msgspec.structs.replace(before, primary_key=key)
        return msgspec.structs.replace(before, secondary_key=key)

    written = await write(admin, call, ServiceDocument, regenerated, create=False)
    return Reply(200, _told(admin, call, written.resource.document))


def endpoint_of(admin: Administration, call: Call, document: ServiceDocument) -> str:
    """Where clients reach a service, without a slash at the end: the public host, else that of the call, else its own."""
    public_host = admin.settings.public_host
    return f"https://{public_host}" if public_host else call.origin or f"https://{document.host_name}"


def _told(admin: Administration, call: Call, document: ServiceDocument) -> dict[str, str]:
    """Both keys, with connection strings to the address by which clients reach the installation."""
    context = call.resource.key
    primary, secondary = (
        admin.sealer.open(sealed, context=context).decode() for sealed in (document.primary_key, document.secondary_key)
    )
    endpoint = endpoint_of(admin, call, document)
    return {
        "primaryKey": primary,
        "secondaryKey": secondary,
        "primaryConnectionString": f"endpoint={endpoint}/;accesskey={primary}",
        "secondaryConnectionString": f"endpoint={endpoint}/;accesskey={secondary}",
    }


HANDLERS: dict[str, Handler] = {
    "CommunicationServices_ListKeys": list_keys,
    "CommunicationServices_RegenerateKey": regenerate_key,
}
