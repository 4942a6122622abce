"""Accepting: a checked request becomes a row and a queue item, and only then is it answered.

Two round trips, made at once. Killed before both are done, the caller sees an error and may retry with the same
Operation-Id; killed after, the pipeline owes every recipient one final outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from email_core import maillog
from email_core.delivery.ledger import Entry, Ledger
from email_core.delivery.outcome import TimelineEvent
from email_core.delivery.rows import MessageFacts
from email_core.delivery.spool import Spool
from email_core.domains.directory import Directory
from email_core.domains.documents import Limit
from email_core.domains.sending import CommunicationService
from email_core.errors import LimitReached, LimitTooSmall, OperationReused, StorageUnavailable
from email_core.message.draft import Draft, encode_draft
from email_core.submission.limits import Counted, Limits, Scope, scopes_of


@dataclass(frozen=True, slots=True)
class Submission:
    """A request that passed every check of its door. `request_hash` tells a retry from another request; `size` is in bytes.

    `key_limits` are those of the access key `key_name` that it came with, on top of those of the service and the domain.
    """

    service: CommunicationService
    draft: Draft
    operation_id: str
    request_hash: str
    size: int
    door: str
    api_version: str = ""
    key_name: str = ""
    key_limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """A message of either door whose sender may send it: what is stored of it, and the limits that it is under.

    `content` is the stored form of a Draft or a MimeDraft. `user_name` is who logged in, where a door has users.
    """

    service: CommunicationService
    operation_id: str
    facts: MessageFacts
    entries: tuple[Entry, ...]
    scopes: Sequence[Scope]
    content: bytes
    user_name: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the caller is told: the operation and its status. `replay`: the same request had been accepted before."""

    operation_id: str
    status: str
    accepted_at: float
    replay: bool


async def accept(
    spool: Spool, directory: Directory, limits: Limits, submission: Submission, *, now: float, time_to_live: float
) -> Accepted:
    """Store a submission and enqueue it.

    Raises DomainNotLinked, DomainPaused or SenderUnknown when the sender may not send, LimitReached or LimitTooSmall when it
    may not send as much, OperationReused when the Operation-Id belongs to another request, and StorageUnavailable when it
    could not be stored: then nothing was accepted.
    """
    draft = submission.draft
    domain = await directory.sending_domain(submission.service, draft.sender)
    facts = MessageFacts(
        accepted_at=now,
        expires_at=now + (draft.time_to_live or time_to_live),
        door=submission.door,
        sender=draft.sender.addr_spec,
        domain=domain.resource_id,
        size=submission.size,
        request_hash=submission.request_hash,
        api_version=submission.api_version,
    )
    checked = Checked(
        service=submission.service,
        operation_id=submission.operation_id,
        facts=facts,
        entries=recipients(draft),
        scopes=scopes_of(submission.service, domain, submission.key_name, submission.key_limits),
        content=encode_draft(draft),
    )
    return await store(spool, limits, checked)


async def store(spool: Spool, limits: Limits, checked: Checked, *, sole: bool = False) -> Accepted:
    """Count a checked message, store it and enqueue it. Raises as `accept` does.

    `sole`: its client knows no Operation-Id, and sends it as another message when it is refused. So it is tried once more,
    which finds what was stored when only the answer was lost.
    """
    facts, entries, operation_id = checked.facts, checked.entries, checked.operation_id
    message = f"{checked.service.key}:{operation_id}"
    now = facts.accepted_at
    counted = await _counted(spool, limits, checked, message)
    came: dict[str, object] = {"door": facts.door, "size": facts.size, "recipients": len(entries)}
    story = [TimelineEvent(now, "accepted", {**came, "user": checked.user_name} if checked.user_name else came)]
    ledger = Ledger(entries, next_attempt_at=now)
    try:
        earlier = await spool.add(message, facts, ledger, story, checked.content)
    except StorageUnavailable:
        if not sole:
            raise
        earlier = await spool.add(message, facts, ledger, story, checked.content)
        if earlier is not None and earlier.facts.accepted_at == now:
            earlier = None  # our own, whose answer was lost
    maillog.accepted(message, door=facts.door, size=facts.size, recipients=len(entries), replay=earlier is not None)
    if earlier is None:
        return Accepted(operation_id, facts.status, now, replay=False)
    counted.give_back()  # it counted when it was accepted first
    if earlier.facts.request_hash != facts.request_hash:
        raise OperationReused(operation_id)
    return Accepted(operation_id, earlier.facts.status, earlier.facts.accepted_at, replay=True)


async def _counted(spool: Spool, limits: Limits, checked: Checked, message: str) -> Counted:
    """Count a message that is to be accepted. Should storing it fail it stays counted, for it may have been stored.

    What was accepted before is repeated whatever the limits say: it costs a point read, and only where they would refuse it.
    """
    try:
        return await limits.count(checked.scopes, messages=1, recipients=len(checked.entries))
    except (LimitReached, LimitTooSmall):
        if await spool.shown(message) is None:
            raise
        return Counted()


def recipients(draft: Draft) -> tuple[Entry, ...]:
    """A ledger entry for each different recipient; one that is named twice gets the message once, as its first kind."""
    entries: dict[str, Entry] = {}
    for kind, addresses in (("to", draft.to), ("cc", draft.cc), ("bcc", draft.bcc)):
        for address in addresses:
            entries.setdefault(address.mailbox, Entry(address.addr_spec, kind=kind))
    return tuple(entries.values())
