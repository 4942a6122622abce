"""DKIM rotation: begun on demand or when keys are old, and carried through by tasks of the queue, stage by stage.

Each step reads the domain, does what its stage is for, and writes the next stage with one ETag change. A step that is done
twice finds the next stage there and does nothing; one that was interrupted is done again.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable
from http import HTTPStatus

import msgspec

from email_core import maillog
from email_core.administration.audit import Change
from email_core.administration.call import Administration, Call, Handler, Reply
from email_core.administration.reverification import AT_ONCE, share
from email_core.administration.rotation_steps import STEPS, Step, records_by_owner, renews_itself
from email_core.administration.writing import change, existing, write
from email_core.auth.principal import SYSTEM
from email_core.domains import key_rotation as stages
from email_core.domains.documents import AZURE_MANAGED, DELETING, DomainDocument, RotationDocument, SelectorDocument, Status
from email_core.domains.selectors import new_slot
from email_core.domains.tasks import Rotate
from email_core.management import refusals
from email_core.management.envelope import timestamp
from email_core.management.resource_id import DOMAINS, ResourceId, parse_resource_id

OPERATION = "Domains_RotateKeys"
LONGEST_DELAY = 6 * stages.DAY  # an item of a queue may wait for seven days
OVERDUE = stages.HOUR  # after which the item of a step must have been lost


async def rotate_keys(admin: Administration, call: Call) -> Reply:
    """Domains_RotateKeys: begins a rotation, whose state is the answer."""
    before = (await existing(admin, call.resource, DomainDocument)).document
    _check(before)
    made, run, now = await _standby_keys(admin, call.resource.key, before), uuid.uuid4().hex, admin.clock.now()

    def make(current: DomainDocument | None) -> DomainDocument:
        if current is None:
            raise refusals.not_found(call.resource.type, call.resource.name, call.resource.group)
        _check(current)
        if current.selectors != before.selectors:
            raise refusals.conflict("Conflict", "The keys of the domain were changed meanwhile: repeat the request.")
        return stages.begun(current, made, run, now)

    written = await write(admin, call, DomainDocument, make, create=False)
    await _begun(admin, written.resource.document)
    return Reply(HTTPStatus.ACCEPTED, rotation_shown(admin, written.resource.document))


async def begin_due(admin: Administration) -> int:
    """Have a rotation begun for every domain whose keys are older than the setting; how many. For a timer.

    Each begins in a task of its own, spread over the day as the looks are: making keys takes long, and many may be due at once.
    Rotations whose item was lost are gone on with as well.
    """
    count, now, days = 0, admin.clock.now(), admin.settings.rotation_days
    waiting: list[Awaitable[None]] = []
    async for resource in admin.store.everywhere(DOMAINS, DomainDocument):
        document = resource.document
        rotation = document.rotation
        if document.provisioning_state == DELETING:
            continue
        if rotation is not None and now - rotation.next_at > OVERDUE:
            waiting.append(admin.tasks.put(Rotate(domain=document.id, run=rotation.run)))
        elif days and _may_begin(document) and stages.is_due(document, days, now):
            delay = admin.settings.reverify_spread_seconds * share(document.id)
            waiting.append(admin.tasks.put(Rotate(domain=document.id, run=""), delay=delay))
            count += 1
        if len(waiting) >= AT_ONCE:
            await asyncio.gather(*waiting)
            waiting = []
    await asyncio.gather(*waiting)
    return count


async def run(admin: Administration, task: Rotate) -> None:
    """A task of the queue: do the step of a rotation that is due. Raises StorageUnavailable."""
    resource_id = parse_resource_id(task.domain)
    resource = await admin.store.get(resource_id, DomainDocument)
    document = resource.document if resource is not None else None
    if document is None or document.provisioning_state == DELETING:
        return
    rotation = document.rotation
    if rotation is None and not task.run:
        await _begin_if_due(admin, resource_id, document)
    if rotation is None or rotation.run != task.run:
        return  # a late item of a rotation that is over
    wait = rotation.next_at - admin.clock.now()
    if wait > 1:
        await admin.tasks.put(task, delay=min(wait, LONGEST_DELAY))
        return
    step = await STEPS[rotation.stage](admin, document, rotation)
    if step.told:
        told = Change(SYSTEM, OPERATION, resource_id.text, changes=_key_changes(document, step), text=step.told)
        await admin.audit.append(resource_id.subscription, told)
    after = await _write(admin, resource_id, rotation, step)
    if after is None:
        return  # another item did it, and put the next one
    name = document.from_sender_domain
    maillog.key_rotation(name, run=rotation.run, stage=step.stage or "done", to_slot=rotation.to_slot, reason=step.reason)
    if after.rotation is not None:
        await admin.tasks.put(task, delay=min(step.delay, LONGEST_DELAY))


def rotation_shown(admin: Administration, document: DomainDocument) -> dict[str, object] | None:
    """The state of a rotation as it is answered; None when there is none."""
    rotation = document.rotation
    if rotation is None:
        return None
    waiting = rotation.stage in (stages.PUBLISHING, stages.WAITING)
    return {
        "id": rotation.run,
        "stage": rotation.stage,
        "toSlot": rotation.to_slot,
        "startedAt": timestamp(rotation.started_at),
        "stageSince": timestamp(rotation.stage_since),
        "nextAt": timestamp(rotation.next_at),
        "reason": rotation.reason,
        "recordsToPublish": [
            {"type": record.type, "name": record.name, "value": record.value, "ttl": record.ttl}
            for record in (records_by_owner(admin, document, rotation.to_slot) if waiting else ())
        ],
    }


async def _write(
    admin: Administration, resource_id: ResourceId, rotation: RotationDocument, step: Step
) -> DomainDocument | None:
    now = admin.clock.now()

    def make(current: DomainDocument) -> DomainDocument | None:
        held = current.rotation
        if held is None or (held.run, held.stage, held.next_at) != (rotation.run, rotation.stage, rotation.next_at):
            return None
        following = None
        if step.stage:
            following = msgspec.structs.replace(
                held,
                stage=step.stage,
                stage_since=held.stage_since if step.stage == held.stage else now,
                next_at=now + step.delay,
                reason=step.reason,
                replaced=held.replaced if step.replaced is None else step.replaced,
            )
        return msgspec.structs.replace(
            current,
            rotation=following,
            selectors=current.selectors if step.selectors is None else step.selectors,
            rotated_at=now if step.switched else current.rotated_at,
        )

    return await change(admin, resource_id, DomainDocument, make, SYSTEM, OPERATION)


def _check(document: DomainDocument) -> None:
    """Raises RequestRefused (409) for a domain whose keys can't be rotated, or not now."""
    name, rotation = document.from_sender_domain, document.rotation
    if document.domain_management == AZURE_MANAGED:
        text = f"'{name}' is Azure-managed and signed with the platform's keys. Add a domain of your own: it has its own keys."
        raise refusals.conflict("DomainManagedByPlatform", text)
    if rotation is not None:
        raise refusals.conflict(
            "KeyRotationRunning",
            f"The keys of '{name}' are being rotated since {timestamp(rotation.started_at)}; the stage is {rotation.stage}, "
            f"and it goes on at {timestamp(rotation.next_at)}. Wait until it is over: GET records shows its state.",
        )
    if not _may_begin(document):
        text = f"DKIM of '{name}' is not verified, so its keys are not in use yet. Verify the domain first."
        raise refusals.conflict("DomainNotVerified", text)


def _may_begin(document: DomainDocument) -> bool:
    verified = document.state("DKIM").status is Status.VERIFIED
    return verified and document.domain_management != AZURE_MANAGED and bool(document.selectors)


async def _begin_if_due(admin: Administration, resource_id: ResourceId, document: DomainDocument) -> None:
    """Begin a rotation, unless its owner would have to publish new keys by hand: nothing tells the owner. Ask for it then."""
    days, slot = admin.settings.rotation_days, stages.standby_slot(document)
    if not (days and _may_begin(document) and stages.is_due(document, days, admin.clock.now())):
        return  # it was rotated since
    # Keys that never signed were published when the domain was verified.
    if not stages.needs_new_keys(document, slot) or await renews_itself(admin, document, slot):
        await begin(admin, resource_id, document)


async def _standby_keys(admin: Administration, context: str, document: DomainDocument) -> list[SelectorDocument]:
    """New keys for the slot on standby, when those there signed before."""
    slot = stages.standby_slot(document)
    if not stages.needs_new_keys(document, slot):
        return []
    return await new_slot(admin.sealer, context, slot, active=False, now=admin.clock.now())


async def begin(admin: Administration, resource_id: ResourceId, document: DomainDocument) -> bool:
    """Begin a rotation by ourselves; whether that was done."""
    made, run, now = await _standby_keys(admin, resource_id.key, document), uuid.uuid4().hex, admin.clock.now()
    text = f"the keys that sign are older than {admin.settings.rotation_days} days"
    await admin.audit.append(resource_id.subscription, Change(SYSTEM, OPERATION, resource_id.text, text=text))

    def make(current: DomainDocument) -> DomainDocument | None:
        same = current.rotation is None and current.selectors == document.selectors
        return stages.begun(current, made, run, now) if same else None

    after = await change(admin, resource_id, DomainDocument, make, SYSTEM, OPERATION)
    if after is not None:
        await _begun(admin, after)
    return after is not None


async def _begun(admin: Administration, document: DomainDocument) -> None:
    rotation = document.rotation
    if rotation is not None:
        name, slot = document.from_sender_domain, rotation.to_slot
        maillog.key_rotation(name, run=rotation.run, stage=rotation.stage, to_slot=slot, reason="")
        await admin.tasks.put(Rotate(domain=document.id, run=rotation.run))


def _key_changes(document: DomainDocument, step: Step) -> dict[str, tuple[object, object]]:
    """Which selectors sign, and which public keys they have, before and after."""
    if step.selectors is None:
        return {}
    before, after = (
        [{"name": each.name, "active": each.active, "publicRecord": each.public_record} for each in selectors]
        for selectors in (document.selectors, step.selectors)
    )
    return {"selectors": (before, after)}


HANDLERS: dict[str, Handler] = {OPERATION: rotate_keys}
