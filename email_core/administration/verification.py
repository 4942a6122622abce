"""The queue task that looks for a record of a domain until it is seen, is given up, or is cancelled.

Each run looks once, and puts itself back with a growing pause. The state of the record says whether a run is still wanted: an
item of an earlier run, or one that comes twice, does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec

from email_core import maillog
from email_core.administration import writing
from email_core.administration.audit import Change
from email_core.administration.call import Administration
from email_core.auth.principal import SYSTEM
from email_core.dns.authority import Turned
from email_core.domains import claims
from email_core.domains.diagnosis import diagnose, published_keys, records_of_kind
from email_core.domains.dns_faults import TEXTS, DnsFault, Finding
from email_core.domains.documents import DELETING, MAIL_FROM, DomainDocument, StateDocument, Status
from email_core.domains.domain_names import verifies_at_once
from email_core.domains.observation import observe
from email_core.domains.records import records_of
from email_core.domains.tasks import Publish, Reverify, Verify
from email_core.management.resource_id import ResourceId, parse_resource_id

FIRST_PAUSE = 5.0  # seconds
LONGEST_PAUSE = 3600.0
_GROWTH = 1.6  # so that some ten looks are made within the first half hour, when most records appear
_CLOCKS_DIFFER = 10.0  # seconds; the queue and the worker do not have the same clock
_OPERATION = "Domains_InitiateVerification"
_AFTER_DOMAIN = ("SPF", "DKIM", "DKIM2", MAIL_FROM)
_OPEN = (Status.REQUESTED, Status.IN_PROGRESS)


async def run(admin: Administration, task: Verify) -> None:
    """Look once for the record of a task, and see to what follows. Raises StorageUnavailable."""
    resource_id = parse_resource_id(task.domain)
    begun = await _begin(admin, resource_id, task)
    if begun is None:
        return
    finding = await _look(admin, resource_id, begun, task.record)
    now = admin.clock.now()
    late = now - begun.state(task.record).started_at >= admin.settings.verification_seconds
    if finding.verified:
        await _end(admin, resource_id, task, Status.VERIFIED, finding)
        await _publish(admin, task)
    elif finding.code is DnsFault.OWNED_ELSEWHERE or late:
        await _end(admin, resource_id, task, Status.FAILED, finding)
    else:
        await _put_back(admin, resource_id, task, begun.state(task.record).attempt + 1, finding)


def pause_after(attempt: int) -> float:
    """Seconds from a look that found nothing to the next, `attempt` counting from 1: from 5 seconds to an hour."""
    return float(min(FIRST_PAUSE * _GROWTH ** min(attempt - 1, 50), LONGEST_PAUSE))


def told(state: StateDocument, finding: Finding, now: float) -> StateDocument:
    """A state with what a look came to."""
    return msgspec.structs.replace(
        state, checked_at=now, found=finding.found, expected=finding.expected, reason=finding.reason, remedy=finding.remedy
    )


async def _begin(admin: Administration, resource_id: ResourceId, task: Verify) -> DomainDocument | None:
    """The document when a look is due. Cancels what is to be cancelled, and shows that the work has begun."""
    resource = await admin.store.get(resource_id, DomainDocument)
    if resource is None or resource.document.provisioning_state == DELETING:
        return None
    state = resource.document.state(task.record)
    if state.run != task.run:
        return None
    if state.status is Status.CANCELLATION_REQUESTED:
        cleared = await _note(admin, resource_id, task, lambda _: StateDocument(), wanted=(state.status,))
        if cleared is not None:
            maillog.verification(cleared.from_sender_domain, record=task.record, status=Status.NOT_STARTED)
        return None
    if state.status is Status.REQUESTED:
        return await _note(admin, resource_id, task, lambda old: msgspec.structs.replace(old, status=Status.IN_PROGRESS))
    if state.status is Status.VERIFIED:
        await _publish(admin, task)  # the run before may have died between its last write and this
    if state.status is not Status.IN_PROGRESS or task.attempt < state.attempt:
        return None  # that look was made, and its item put the next one
    early = state.next_check_at - admin.clock.now()
    if task.attempt > state.attempt:
        early = 2 * _CLOCKS_DIFFER  # the item was put, and what it is for is not written yet
    if _CLOCKS_DIFFER < early <= LONGEST_PAUSE + _CLOCKS_DIFFER:  # later ones were written by a clock that was wrong
        await admin.tasks.put(task, delay=early)
        return None
    return resource.document


async def _look(admin: Administration, resource_id: ResourceId, document: DomainDocument, record: str) -> Finding:
    domain = document.from_sender_domain
    if verifies_at_once(admin.settings, domain):
        return Finding(
            True, reason="The local world has no DNS for names that are for tests, and takes this record as published."
        )
    if record in _AFTER_DOMAIN and document.state("Domain").status is not Status.VERIFIED:
        return Finding(False, DnsFault.DOMAIN_FIRST, (), "", *TEXTS[DnsFault.DOMAIN_FIRST])
    expected = records_of_kind(record, records_of(document, admin.settings))
    if not expected:
        return Finding(
            False, DnsFault.RECORD_MISSING, reason="The domain has no such record.", remedy="Cancel the verification."
        )
    seen = await observe(admin.authority, domain, expected, now=admin.clock.now())
    finding = diagnose(record, expected, published_keys(document), seen)
    if record != "Domain" or not finding.verified:
        return finding
    published = seen.look(domain, "TXT").records
    if not await _is_shown_again(admin, domain, finding.expected):
        reason, remedy = TEXTS[DnsFault.UNUSABLE]
        other = "one name server of the zone shows the record, and the next one does not yet"
        return replace(
            finding, verified=False, code=DnsFault.UNUSABLE, reason=reason.format(other=other), remedy=remedy, temporary=True
        )
    claim = await claims.take(admin.storage.tables, admin.store, domain, resource_id.text, published)
    if claim.doubtful:
        await admin.tasks.put(Reverify(domain=claim.doubtful))
    if claim.held:
        return finding
    reason, remedy = TEXTS[DnsFault.OWNED_ELSEWHERE]
    return Finding(False, DnsFault.OWNED_ELSEWHERE, finding.found, finding.expected, reason, remedy)


async def _is_shown_again(admin: Administration, domain: str, proof: str) -> bool:
    """Whether the proof of who owns a domain is in a second answer as well, of another server where the zone has one.

    An answer over UDP has 32 bits that somebody beside the way would have to guess. With enough packets one may come true; two
    in a row do not.
    """
    return proof in (await Turned(admin.authority, 1).look(domain, "TXT")).records


async def _put_back(admin: Administration, resource_id: ResourceId, task: Verify, attempt: int, finding: Finding) -> None:
    now, pause = admin.clock.now(), pause_after(attempt)
    # The item first: one too many finds nothing to do, and one too few would leave the record waiting.
    await admin.tasks.put(msgspec.structs.replace(task, attempt=attempt), delay=pause)

    def waiting(old: StateDocument) -> StateDocument | None:
        if old.attempt != task.attempt:
            return None  # another item made this look as well, or somebody asked anew meanwhile
        return msgspec.structs.replace(told(old, finding, now), attempt=attempt, next_check_at=now + pause)

    after = await _note(admin, resource_id, task, waiting)
    if after is not None:
        code = finding.code or ""
        maillog.verification(
            after.from_sender_domain, record=task.record, status=Status.IN_PROGRESS, code=code, attempt=attempt
        )  # fmt: skip


async def _end(admin: Administration, resource_id: ResourceId, task: Verify, status: Status, finding: Finding) -> None:
    code = "" if finding.verified else str(finding.code or "")
    changes = {f"verificationStates.{task.record}.status": (Status.IN_PROGRESS.value, status.value)}
    text = finding.reason or f"{task.record} was seen in the DNS."
    await admin.audit.append(
        resource_id.subscription,
        Change(SYSTEM, _OPERATION, resource_id.text, changes=changes, outcome=code or "accepted", text=text),
    )
    now = admin.clock.now()

    def ended(old: StateDocument) -> StateDocument:
        return msgspec.structs.replace(
            told(old, finding, now), status=status, error_code=code, attempt=old.attempt + 1, next_check_at=0.0, lost_since=0.0
        )

    after = await _note(admin, resource_id, task, ended)
    if after is not None:
        maillog.verification(
            after.from_sender_domain, record=task.record, status=status, code=code, attempt=after.state(task.record).attempt
        )  # fmt: skip


async def _publish(admin: Administration, task: Verify) -> None:
    """Have what the platform publishes for a domain written: who has shown whose it is comes before others who wrote there."""
    if task.record == "Domain" and (admin.settings.dkim_zone or admin.settings.zones):
        await admin.tasks.put(Publish(domain=task.domain))


async def _note(
    admin: Administration, resource_id: ResourceId, task: Verify, make: Callable[[StateDocument], StateDocument | None],
    *, wanted: tuple[Status, ...] = _OPEN,
) -> DomainDocument | None:  # fmt: skip
    """Change the state that a run of the task may change; None when there is none any more."""

    def changed(document: DomainDocument) -> DomainDocument | None:
        state = document.state(task.record)
        made = make(state) if state.run == task.run and state.status in wanted else None
        if made is None:
            return None
        after = _with_state(document, task.record, made)
        if not writing.fits(after):
            # Tags may take nearly all the room that a document has: then the reason has to do.
            short = msgspec.structs.replace(after.state(task.record), found=(), expected="", remedy="")
            after = _with_state(document, task.record, short)
        if after.verified and not document.verified:
            after.last_verified_at = admin.clock.now()
        return after

    return await writing.change(admin, resource_id, DomainDocument, changed, SYSTEM, _OPERATION)


def _with_state(document: DomainDocument, record: str, state: StateDocument) -> DomainDocument:
    return msgspec.structs.replace(document, verification_states={**document.verification_states, record: state})
