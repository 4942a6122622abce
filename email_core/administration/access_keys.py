"""Extra access keys of a communication service: for sending alone, from some domains, from some networks, for some time.

ACS has nothing like it. The secret is made here and shown in the answer that creates the key, never again; a new secret is a
new key, so that both can be in use while programs change over.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_network

import msgspec

from email_core.administration.call import Administration, Call, Handler, Reply
from email_core.administration.keys import endpoint_of
from email_core.administration.paging import listed
from email_core.administration.writing import existing, remove, shown, write
from email_core.domains.documents import AccessKeyDocument, Limit, ServiceDocument
from email_core.management import envelope, refusals
from email_core.management.fields import Fields
from email_core.management.limits_property import read_limits, shown_limits
from email_core.management.resource_id import ACCESS_KEYS, ResourceId
from email_core.message.address import AddressError, parse_domain

MOST_KEYS = 50  # of one service: a signature is tried against each of them
SECRET_BYTES = 64  # as the two keys of ACS
MOST_DOMAINS = 100
MOST_RANGES = 100
RESERVED = ("primary", "secondary")  # what the two keys of ACS are called in logs and limits


async def create_or_update(admin: Administration, call: Call) -> Reply:
    """AccessKeys_CreateOrUpdate. The secret stands in the 201 alone."""
    target = call.resource
    if target.name.lower() in RESERVED:
        rule = f"one that is not {' or '.join(RESERVED)}, the keys that every service has"
        raise refusals.invalid_name(target.type, target.name, rule)
    service_id = _above(target)
    service = await admin.store.get(service_id, ServiceDocument)
    secret = base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    if service is not None:  # `write` refuses a key without one
        await _check_number(admin, service_id, target)
    written = await write(admin, call, AccessKeyDocument, _maker(admin, call, secret, service.document.key if service else ""))
    view = _shown(written.resource.document)
    headers = {"ETag": written.resource.etag}
    if not written.created:
        return Reply(200, view, headers)
    endpoint = endpoint_of(admin, call, service.document) if service is not None else ""
    once = {"key": secret, "connectionString": f"endpoint={endpoint}/;accesskey={secret}"}
    return Reply(201, _shown(written.resource.document, once), headers)


async def get(admin: Administration, call: Call) -> Reply:
    """AccessKeys_Get, without the secret."""
    resource = await existing(admin, call.resource, AccessKeyDocument)
    return Reply(200, _shown(resource.document), {"ETag": resource.etag})


async def list_by_service(admin: Administration, call: Call) -> Reply:
    """AccessKeys_List, without the secrets."""
    return await listed(admin, call, ACCESS_KEYS, AccessKeyDocument, _shown)


async def delete(admin: Administration, call: Call) -> Reply:
    """AccessKeys_Delete. The directory of each worker forgets the key within a minute."""
    return await remove(admin, call, AccessKeyDocument)


def _maker(
    admin: Administration, call: Call, secret: str, service: str
) -> Callable[[AccessKeyDocument | None], AccessKeyDocument]:
    target = call.resource

    def make(before: AccessKeyDocument | None) -> AccessKeyDocument:
        now = admin.clock.now()
        sealed = admin.sealer.seal(secret.encode(), context=target.key)
        document = before or AccessKeyDocument(id=target.text, name=target.name, secret=sealed, service=service)
        return _with_body(call, document, now, fresh=before is None)

    return make


def _with_body(call: Call, document: AccessKeyDocument, now: float, *, fresh: bool) -> AccessKeyDocument:
    """The document with the properties of a PUT, which replaces them all. Raises RequestRefused (400)."""
    fields = Fields(call.body)
    send_only = fields.boolean("properties.sendOnly")
    expires_at = _expiry(fields, "properties.expiresOn")
    if fresh and expires_at and expires_at <= now:
        fields.add("properties.expiresOn", "It is in the past: give a time to come, or leave it out for a key that stays.")
    domains = _domains(fields, "properties.domains")
    ranges = _ranges(fields, "properties.sourceRanges")
    limits = read_limits(fields, "properties.limits")
    fields.finish()
    return msgspec.structs.replace(
        document,
        send_only=send_only is not False,  # a key that may only send is the one that does less harm
        domains=domains,
        source_ranges=ranges,
        expires_at=expires_at,
        limits=tuple(Limit(*limit) for limit in limits or ()),
    )


def _expiry(fields: Fields, path: str) -> float:
    text = fields.text(path, most=64)
    if text is None:
        return 0.0
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("no offset from UTC")
        seconds = moment.astimezone(UTC).timestamp()
        if not 0 < seconds <= envelope.LATEST:
            raise ValueError("before 1970, or after the year 9999")
    except (ValueError, OverflowError):
        fields.add(path, "It must be an ISO 8601 time until 9999 with its offset from UTC, such as 2027-03-31T00:00:00Z.")
        return 0.0
    return seconds


def _domains(fields: Fields, path: str) -> tuple[str, ...]:
    domains: dict[str, None] = {}
    for index, text in enumerate(fields.strings(path, most=MOST_DOMAINS, longest=253) or ()):
        try:
            domains[parse_domain(text.rstrip("."))] = None
        except AddressError as error:
            fields.add(f"{path}[{index}]", f"It {error.reason}.")
    return tuple(domains)


def _ranges(fields: Fields, path: str) -> tuple[str, ...]:
    ranges: dict[str, None] = {}
    for index, text in enumerate(fields.strings(path, most=MOST_RANGES, longest=64) or ()):
        try:
            ranges[str(_as_seen(ip_network(text)))] = None
        except ValueError:
            fields.add(f"{path}[{index}]", _range_rule(text))
    return tuple(ranges)


def _as_seen(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Mapped IPv6 addresses as the IPv4 ones that they are: `client_address` never tells another form, and no zone id.

    Raises ValueError for a zone id.
    """
    if isinstance(network, IPv4Network):
        return network
    if network.network_address.scope_id is not None:
        raise ValueError("a zone id means something on one machine alone")
    mapped = network.network_address.ipv4_mapped
    return IPv4Network((mapped, network.prefixlen - 96)) if mapped is not None and network.prefixlen >= 96 else network


def _range_rule(text: str) -> str:
    try:
        whole = ip_network(text, strict=False)
    except ValueError:
        whole = None
    if whole is None or "%" in text:
        return "It must be an IP address, or a range such as 203.0.113.0/24 or 2001:db8::/32."
    return f"It has bits beyond its prefix: write {whole} for the range, or the address without the slash for one address."


async def _check_number(admin: Administration, service: ResourceId, target: ResourceId) -> None:
    # Two that create a key at once may get one more than that, which does no harm.
    others = 0
    async for key in admin.store.children(service, ACCESS_KEYS, AccessKeyDocument):
        others += key.row != target.row
    if others >= MOST_KEYS:
        text = f"'{service.text}' has {others} access keys, and {MOST_KEYS} is the most: delete one that is not used."
        raise refusals.conflict("QuotaExceeded", text)


def _above(target: ResourceId) -> ResourceId:
    parent = target.parent
    if parent is None:
        raise ValueError(f"{target} is no access key")
    return parent


def _shown(document: AccessKeyDocument, once: Mapping[str, object] | None = None) -> dict[str, object]:
    properties: dict[str, object] = {
        "provisioningState": document.provisioning_state,
        "sendOnly": document.send_only,
        "domains": list(document.domains),
        "sourceRanges": list(document.source_ranges),
        "expiresOn": envelope.timestamp(document.expires_at) if document.expires_at else None,
        "limits": shown_limits(document.limits),
        **(once or {}),
    }
    return shown(document.id, "Microsoft.Communication/communicationServices/accessKeys", document, properties)


HANDLERS: dict[str, Handler] = {
    "AccessKeys_List": list_by_service,
    "AccessKeys_Get": get,
    "AccessKeys_CreateOrUpdate": create_or_update,
    "AccessKeys_Delete": delete,
}
