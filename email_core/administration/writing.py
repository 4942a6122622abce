"""Reading and writing one resource: conditions, the parent, who and when, the audit entry, and writers that meet."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

import msgspec

from email_core.administration.audit import Change
from email_core.administration.call import Administration, Call, Reply
from email_core.auth.principal import Principal, PrincipalKind
from email_core.domains.documents import DELETING, DOCUMENTS, Document, SystemData, TrackedDocument
from email_core.domains.resource_store import Resource, encode_document
from email_core.errors import EntityChanged, EntityExists, EntityMissing, RequestRefused
from email_core.management import conditions, envelope, refusals
from email_core.management.resource_id import ResourceId

MOST_TRIES = 60  # writers of one resource that meet: each round one of them comes through
MOST_DOCUMENT = 56 * 1024  # bytes in UTF-16
_SECRET = "(secret)"  # noqa: S105 - what the log shows of one
_SECRETS = {"primary_key", "secondary_key", "secret", "private_key", "password", "endpoint"}

D = TypeVar("D", bound=Document)

_turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # there only while somebody waits or writes


@dataclass(frozen=True, slots=True)
class Written(Generic[D]):
    """What a write came to."""

    resource: Resource[D]
    created: bool


async def existing(admin: Administration, resource_id: ResourceId, kind: type[D]) -> Resource[D]:
    """A resource that must be there. Raises RequestRefused (404)."""
    resource = await admin.store.get(resource_id, kind)
    if resource is None:
        raise refusals.not_found(resource_id.type, resource_id.name, resource_id.group)
    return resource


async def write(
    admin: Administration, call: Call, kind: type[D], make: Callable[[D | None], D], *, create: bool = True
) -> Written[D]:
    """Create or change the target of a call as `make` says of its document, which is None when there is none yet.

    `make` may be called several times, when writers meet, and must return a new document. With `create` False (PATCH) there
    must be one. Raises RequestRefused: 404 for the resource or its parent, 409 when it is being deleted, 412 for If-Match.
    """
    target = call.resource
    async with turn(target):
        for _ in range(MOST_TRIES):
            before = await admin.store.get(target, kind)
            check_conditions(call, before)
            if before is None and not create:
                raise refusals.not_found(target.type, target.name, target.group)
            if before is None:
                await check_parent(admin, target)
            elif before.document.provisioning_state == DELETING:
                raise being_deleted(target)
            document = stamped(make(before.document if before else None), before, call.principal, admin.clock.now())
            stored = await store(admin, call, before, document)
            if stored is None:
                await asyncio.sleep(random.uniform(0.0, 0.05))  # noqa: S311 - so that those who met do not meet again
                continue
            if before is None:
                await _check_parent_again(admin, call, stored)
            return Written(stored, created=before is None)
    raise too_many_writers()


async def change(
    admin: Administration, resource_id: ResourceId, kind: type[D], make: Callable[[D], D | None], who: Principal, operation: str
) -> D | None:
    """Change a resource outside of a call: a queue function does it. None when it is gone, being deleted, or `make` says so.

    `make` returns the new document, or None when there is nothing to change any more. What the service does by itself is
    written to the audit log by who knows what it means, not here.
    """
    for _ in range(MOST_TRIES):
        before = await admin.store.get(resource_id, kind)
        if before is None or before.document.provisioning_state == DELETING:
            return None
        document = make(before.document)
        if document is None:
            return None
        try:
            return (await admin.store.replace(before, document)).document
        except (EntityChanged, EntityMissing):
            await asyncio.sleep(random.uniform(0.0, 0.05))  # noqa: S311
    raise EntityChanged(f"{resource_id}: {operation} by {who.name} met too many other writers")


async def remove(admin: Administration, call: Call, kind: type[D]) -> Reply:
    """Delete a resource that has nothing below it: 200, or 204 when there is none. Raises RequestRefused (412)."""
    async with turn(call.resource):
        for _ in range(MOST_TRIES):
            before = await admin.store.get(call.resource, kind)
            if before is None:
                return Reply(204)
            check_conditions(call, before)
            await _note(admin, call, before.document, None)
            try:
                await admin.store.delete(before)
            except EntityChanged:
                await _note_conflict(admin, call)
                continue
            return Reply(200)
    raise too_many_writers()


def turn(target: ResourceId) -> asyncio.Lock:
    """Writers of one resource that meet in this worker take turns; those of other workers are found out by the ETag."""
    return _turns.setdefault(target.key, asyncio.Lock())


async def store(admin: Administration, call: Call, before: Resource[D] | None, document: D) -> Resource[D] | None:
    """Note a change of the target and store it; None when another writer was faster, which is noted too.

    Raises RequestRefused (413) for more than a row of the table holds.
    """
    # The table takes 64 KiB of UTF-16 in one property, and an audit entry what was and what is.
    if not fits(document):
        raise refusals.too_large(MOST_DOCUMENT // 2, "resource with its tags")
    await _note(admin, call, before.document if before else None, document)
    try:
        if before is not None:
            return await admin.store.replace(before, document)
        etag = await admin.store.create(call.resource, document)
    except (EntityChanged, EntityExists, EntityMissing):
        await _note_conflict(admin, call)
        return None
    return Resource(document, etag, call.resource.partition, call.resource.row)


def fits(document: Document) -> bool:
    """Whether a document can be stored, with room for what the service adds to it by itself."""
    return len(encode_document(document).encode("utf-16-le")) <= MOST_DOCUMENT


async def check_parent(admin: Administration, target: ResourceId) -> None:
    """Raises RequestRefused when the parent of a resource to be made is not there (404) or is being deleted (409)."""
    parent = target.parent
    if parent is None:
        return
    above = await admin.store.get(parent, DOCUMENTS[parent.kind])
    if above is None:
        raise refusals.parent_not_found(parent.type, parent.name)
    if above.document.provisioning_state == DELETING:
        raise being_deleted(parent)


async def _check_parent_again(admin: Administration, call: Call, made: Resource[D]) -> None:
    """The deletion of a parent begins with a mark and ends when nothing is left below; what came after that goes again."""
    try:
        await check_parent(admin, call.resource)
    except RequestRefused:
        await admin.store.delete(made)
        await _note_conflict(admin, call, "Its parent was deleted meanwhile.")
        raise


def being_deleted(target: ResourceId) -> Exception:
    """The refusal of a change to what is being deleted."""
    text = f"'{target.text}' is being deleted. Wait until it is gone, then create it again."
    return refusals.conflict("ResourceBeingDeleted", text)


def shown(resource_id: str, type_name: str, document: Document, properties: Mapping[str, object]) -> dict[str, object]:
    """A document in its envelope."""
    data = document.system_data
    system = envelope.system_data(
        data.created_by, data.created_by_type, data.created_at,
        data.last_modified_by, data.last_modified_by_type, data.last_modified_at,
    )  # fmt: skip
    view = envelope.proxy(resource_id, document.name, type_name, system, properties)
    return envelope.tracked(view, document.location, document.tags) if isinstance(document, TrackedDocument) else view


def principal_type(principal: Principal) -> str:
    """The `createdByType` of ARM."""
    match principal.kind:
        case PrincipalKind.USER:
            return "User"
        case PrincipalKind.ACCESS_KEY | PrincipalKind.ADMIN_TOKEN:
            return "Key"
        case PrincipalKind.SYSTEM:
            return "ManagedIdentity"
        case PrincipalKind.APPLICATION:
            return "Application"


def differences(before: Document | None, after: Document | None) -> dict[str, tuple[object, object]]:
    """What changed, by property, secrets masked. `system_data` is left out: the entry itself says who and when."""
    old = msgspec.structs.asdict(before) if before is not None else {}
    new = msgspec.structs.asdict(after) if after is not None else {}
    names = [name for name in {**old, **new} if name != "system_data" and old.get(name) != new.get(name)]
    return {name: (_visible(name, old.get(name)), _visible(name, new.get(name))) for name in names}


async def _note(admin: Administration, call: Call, before: Document | None, after: Document | None) -> None:
    change = Change(call.principal, call.operation.name, call.resource.text, call.request_id, differences(before, after))
    await admin.audit.append(call.resource.subscription, change)


async def _note_conflict(admin: Administration, call: Call, text: str = "") -> None:
    """An entry is written before the change that it tells of. When that does not come about, the next entry says so."""
    text = text or "Another write of this resource came first, so the change of the entry before was not made."
    change = Change(
        call.principal, call.operation.name, call.resource.text, call.request_id, {}, outcome="conflict", text=text
    )  # fmt: skip
    await admin.audit.append(call.resource.subscription, change)


def check_conditions(call: Call, before: Resource[D] | None) -> None:
    """Raises RequestRefused (412) when If-Match or If-None-Match of a call is not met."""
    conditions.check_conditions(call.if_match, call.if_none_match, None if before is None else before.etag)


def too_many_writers() -> RequestRefused:
    """The refusal when a write met others again and again."""
    return refusals.conflict("Conflict", "Too many requests change this resource at the same time: repeat the request.")


def stamped(document: D, before: Resource[D] | None, principal: Principal, now: float) -> D:
    """The document with who and when."""
    name, kind = principal.name, principal_type(principal)
    first = before.document.system_data if before else SystemData(name, kind, now)
    stamp = SystemData(first.created_by, first.created_by_type, first.created_at, name, kind, now)
    return msgspec.structs.replace(document, system_data=stamp)


def _visible(name: str, value: object) -> object:
    """A value as the log may show it."""
    if name in _SECRETS:
        return _SECRET if value else None
    if isinstance(value, msgspec.Struct):
        return {key: _visible(key, inner) for key, inner in msgspec.structs.asdict(value).items()}
    if isinstance(value, dict):
        return {key: _visible(key, inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_visible("", inner) for inner in value]
    return value
