"""Deleting a resource with everything below it: marked at once, done by the queue, and followed by its operation.

A marked resource is read as Deleting and takes no change; nothing can be made below it. The task may be done any number of
times and may stop anywhere: what is marked and still there is work to be done, and the daily timer puts a task for it again.
"""

from __future__ import annotations

from functools import partial
from typing import TypeVar

import msgspec

from email_core.administration.audit import Change
from email_core.administration.call import Administration, Call, Handler, Reply
from email_core.administration.operation_statuses import begin, finish
from email_core.administration.writing import MOST_TRIES, check_conditions, stamped, store, too_many_writers, turn
from email_core.auth.principal import SYSTEM, Principal, PrincipalKind, Role
from email_core.domains import claims
from email_core.domains.documents import (
    DELETING,
    DOCUMENTS,
    SUCCEEDED,
    Document,
    DomainDocument,
    EmailServiceDocument,
    ServiceDocument,
    SmtpUsernameDocument,
    SuppressionListDocument,
)
from email_core.domains.resource_store import Resource
from email_core.domains.smtp_names import SmtpNames
from email_core.domains.tasks import Remove
from email_core.errors import EntityChanged, EntityMissing, RequestRefused
from email_core.management import refusals
from email_core.management.resource_id import COMMUNICATION_SERVICES, KINDS, ResourceId, parse_resource_id

D = TypeVar("D", bound=Document)

_NAMED = 5  # of the services that link a domain, in a refusal
# For whoever asks what became of a deletion. Which roles that caller has is not known to the task.
_NOBODY = Principal(PrincipalKind.SYSTEM)


async def delete(kind: type[D], admin: Administration, call: Call) -> Reply:
    """Begin to delete a tracked resource: 202 with the Location to follow, 204 when there is none.

    Raises RequestRefused: 409 when a domain of it is linked, 412 for If-Match.
    """
    target = call.resource
    async with turn(target):
        for _ in range(MOST_TRIES):
            before = await admin.store.get(target, kind)
            if before is None:
                return Reply(204)
            check_conditions(call, before)
            if before.document.provisioning_state == DELETING or await _mark(admin, call, before):
                begun = await begin(admin, call)
                await admin.tasks.put(Remove(resource=target.text, operation=begun.id))
                return Reply(202, None, begun.accepted)
    raise too_many_writers()


async def run(admin: Administration, task: Remove) -> None:
    """Do a Remove task. Raises EntityChanged when somebody writes below the resource meanwhile: then the item comes again."""
    target = parse_resource_id(task.resource)
    resource = await admin.store.get(target, DOCUMENTS[target.kind])
    if resource is None or resource.document.provisioning_state != DELETING:
        await finish(admin, target.subscription, task.operation)  # done, and perhaps created again since
        return
    linked = await _linked(admin, target, _NOBODY)
    if linked is not None:
        # Somebody linked the domain while it was being marked. It was checked before, so this is rare.
        fault, changes = linked.faults[0], {"provisioning_state": (DELETING, SUCCEEDED)}
        entry = Change(SYSTEM, "Remove", target.text, task.operation, changes, outcome=fault.code, text=fault.message)
        await admin.audit.append(target.subscription, entry)
        await admin.store.replace(resource, msgspec.structs.replace(resource.document, provisioning_state=SUCCEEDED))
        await finish(admin, target.subscription, task.operation, linked)
        return
    count = await _delete_below(admin, target)
    await _let_go(admin, resource.document)
    text = f"Deleted, with {count} resources below it." if count else "Deleted."
    await admin.audit.append(target.subscription, Change(SYSTEM, "Remove", target.text, task.operation, {}, text=text))
    await admin.store.delete(resource)
    await finish(admin, target.subscription, task.operation)


async def put_again(admin: Administration) -> int:
    """Put a task for everything that is marked, for one may have been lost; how many. For the daily timer."""
    count = 0
    for kind in (kind for kind in KINDS.values() if kind.tracked):
        async for resource in admin.store.everywhere(kind, DOCUMENTS[kind]):
            if resource.document.provisioning_state == DELETING:
                await admin.tasks.put(Remove(resource=resource.document.id, operation=""))
                count += 1
    return count


async def _mark(admin: Administration, call: Call, before: Resource[D]) -> bool:
    """Whether the resource is marked now; not when another write came first."""
    await _refuse_linked(admin, call)
    marked = msgspec.structs.replace(before.document, provisioning_state=DELETING)
    document = stamped(marked, before, call.principal, admin.clock.now())
    return await store(admin, call, before, document) is not None


async def _refuse_linked(admin: Administration, call: Call) -> None:
    refusal = await _linked(admin, call.resource, call.principal)
    if refusal is not None:
        raise refusal


async def _linked(admin: Administration, target: ResourceId, who: Principal) -> RequestRefused | None:
    """The refusal when services link the domain, or one of the email service. It names those that the caller may read."""
    if target.path[0][0] is COMMUNICATION_SERVICES:
        return None
    key, below = target.key, f"{target.key}/"
    links = [
        resource.document.id
        async for resource in admin.store.everywhere(COMMUNICATION_SERVICES, ServiceDocument)
        if resource.document.provisioning_state != DELETING
        and any(each.lower() == key or each.lower().startswith(below) for each in resource.document.linked_domains)
    ]
    if not links:
        return None
    named = [link for link in links if who.may(Role.READER, link)]
    told = ", ".join(f"'{link}'" for link in named[:_NAMED])
    others = len(links) - len(named[:_NAMED])
    more = f"{others} more" if told else f"{others} communication service{'s' if others > 1 else ''}"
    told = " and ".join(part for part in (told, more if others else "") if part)
    what = "It is" if target.kind.parent else "A domain of it is"
    text = f"'{target.text}' can't be deleted. {what} linked to {told}: take it out of linkedDomains there first."
    return refusals.conflict("DomainLinked", text, target.text)


async def _delete_below(admin: Administration, target: ResourceId) -> int:
    """Delete what is below a resource, the deepest first; how many there were."""
    count = 0
    while True:
        # Who had seen the parent before it was marked may still put something below it.
        below = [resource async for resource in admin.store.below(target)]
        if not below:
            return count
        for resource in sorted(below, key=lambda each: each.row.count("|"), reverse=True):
            try:
                marked = await _closed(admin, resource)
                await _let_go(admin, marked.document)
                await admin.store.delete(marked)
            except (EntityChanged, EntityMissing):
                continue  # it is seen again in the next round, if it is there
            count += 1


async def _closed(admin: Administration, resource: Resource[Document]) -> Resource[Document]:
    """A list is marked before its addresses go: who writes one after that finds the mark, and takes the address away again."""
    document = resource.document
    if not isinstance(document, SuppressionListDocument) or document.provisioning_state == DELETING:
        return resource
    return await admin.store.replace(resource, msgspec.structs.replace(document, provisioning_state=DELETING))


async def _let_go(admin: Administration, document: Document) -> None:
    """Give up what a resource holds elsewhere: the addresses of a list, the claim of a domain, the name of a log-in."""
    if isinstance(document, SuppressionListDocument):
        from email_core.suppression.customer_lists import delete_list

        await delete_list(admin.storage.tables, document.key)
    elif isinstance(document, DomainDocument):
        await claims.release(admin.storage.tables, document.from_sender_domain, document.id)
    elif isinstance(document, SmtpUsernameDocument):
        names = SmtpNames(admin.storage.tables, admin.store, admin.clock)
        await names.release(document.username, parse_resource_id(document.id), ending=True)


HANDLERS: dict[str, Handler] = {
    "CommunicationServices_Delete": partial(delete, ServiceDocument),
    "EmailServices_Delete": partial(delete, EmailServiceDocument),
    "Domains_Delete": partial(delete, DomainDocument),
}
