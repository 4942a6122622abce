"""Looking again at domains that were verified: a record that is lost is told at once, and stops sending after the grace.

A task may come twice or late. It looks at the DNS as it is then, and what it finds is written with one ETag change; the rules
are those of `domains/watch.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable
from dataclasses import replace
from typing import TypedDict

import msgspec

from email_core import maillog
from email_core.administration.audit import Change
from email_core.administration.call import Administration
from email_core.administration.health import look_at, nothing_to_look_at, with_report
from email_core.administration.publishing import publishes_keys
from email_core.administration.writing import change, fits
from email_core.auth.principal import SYSTEM
from email_core.dns.authority import Turned
from email_core.domains import claims
from email_core.domains.diagnosis import diagnose, published_keys, records_of_kind
from email_core.domains.dns_faults import TEXTS, DnsFault, Finding
from email_core.domains.documents import DELETING, RECORD_STATES, DomainDocument, StateDocument, Status
from email_core.domains.health import examined
from email_core.domains.observation import Observations, observe
from email_core.domains.records import records_of
from email_core.domains.tasks import Publish, Reverify, Task, Verify
from email_core.domains.watch import Watched, is_there, pausing, watched, watched_kinds
from email_core.management.envelope import timestamp
from email_core.management.resource_id import DOMAINS, ResourceId, parse_resource_id

OVERDUE = 3600.0  # seconds after which the item of a verification must have been lost
CHANGED_MEANWHILE = 60.0  # seconds until a domain is looked at again whose records were changed during the look

_OPERATION = "Domains_Reverify"
_LONGEST_REASON = 200  # characters, where there is no room for more
AT_ONCE = 32  # tasks that are put at the same time
_KEYS = {"DKIM", "DKIM2"}
_OPEN = (Status.REQUESTED, Status.IN_PROGRESS, Status.CANCELLATION_REQUESTED)


class _Rules(TypedDict):
    now: float
    grace: float
    looked_at: float
    due: float


async def run(admin: Administration, task: Reverify) -> None:
    """Look at a domain once, and see to what follows. Raises StorageUnavailable."""
    resource_id = parse_resource_id(task.domain)
    resource = await admin.store.get(resource_id, DomainDocument)
    document = resource.document if resource is not None else None
    if document is None or document.provisioning_state == DELETING or nothing_to_look_at(admin, document):
        return
    due = {document.state(kind).next_check_at for kind in document.lost}
    if not watched_kinds(document) or (task.due and task.due not in due):
        return  # what the item was for is over, or another one took its place
    seen = await look_at(admin, document)
    findings = await _findings(admin, resource_id, document, seen)
    now, grace = admin.clock.now(), admin.settings.grace_seconds
    rules: _Rules = {"now": now, "grace": grace, "looked_at": seen.at, "due": task.due}
    expected = watched(document, findings, **rules)
    await _audit(admin, resource_id, document, expected)
    if expected.again_in:
        # Before the write: an item that nothing names any more does nothing, and without one nobody would look for a day.
        await admin.tasks.put(Reverify(domain=document.id, due=now + expected.again_in), delay=expected.again_in)
    if not task.due and _KEYS & set(expected.document.lost) and publishes_keys(admin.settings, document):
        await admin.tasks.put(Publish(domain=document.id))  # they were to be there, and somebody may have taken them out
    outcome: Watched | None = None
    outdated = False

    def made(current: DomainDocument) -> DomainDocument | None:
        nonlocal outcome, outdated
        outdated = records_of(current, admin.settings) != records_of(document, admin.settings)
        if outdated:
            return None
        outcome = watched(current, findings, **rules)
        after = with_report(outcome.document, examined(outcome.document, admin.settings, seen))
        return after if fits(after) else _shortened(after)

    after = await change(admin, resource_id, DomainDocument, made, SYSTEM, _OPERATION)
    if outdated:
        await admin.tasks.put(task, delay=CHANGED_MEANWHILE)
    elif after is not None and outcome is not None:
        _tell(after, outcome, grace)
        if outcome.again_in and outcome.again_in != expected.again_in:  # somebody else changed the domain meanwhile
            await admin.tasks.put(Reverify(domain=document.id, due=now + outcome.again_in), delay=outcome.again_in)


async def schedule_all(admin: Administration, spread: float) -> int:
    """Have every verified domain looked at within `spread` seconds, each at its own time of them; how many.

    Verifications whose item was lost are put again as well. For the daily timer. Raises StorageUnavailable.
    """
    count, now = 0, admin.clock.now()
    waiting: list[Awaitable[None]] = []
    async for resource in admin.store.everywhere(DOMAINS, DomainDocument):
        document = resource.document
        if document.provisioning_state == DELETING:
            continue
        tasks = [(task, 0.0) for task in _lost_verifications(document, now)]
        if document.verified and not nothing_to_look_at(admin, document):
            tasks.append((Reverify(domain=document.id), spread * share(document.id)))
            count += 1
        waiting += [admin.tasks.put(task, delay=delay) for task, delay in tasks]
        if len(waiting) >= AT_ONCE:
            await asyncio.gather(*waiting)
            waiting = []
    await asyncio.gather(*waiting)
    return count


def _lost_verifications(document: DomainDocument, now: float) -> list[Task]:
    states = [(kind, document.state(kind)) for kind in RECORD_STATES]
    return [
        Verify(domain=document.id, record=kind, run=state.run, attempt=state.attempt)
        for kind, state in states
        if state.status in _OPEN and not now - OVERDUE <= _due(state) <= now + 2 * OVERDUE
    ]


def _due(state: StateDocument) -> float:
    """When the next look is due. Pauses are an hour at most: what is much later was written by a clock that was wrong."""
    return max(state.next_check_at, state.started_at)


def share(resource_id: str) -> float:
    """From 0 to 1, the same for a domain each day, so that a daily look is a day after the one before."""
    return int.from_bytes(hashlib.sha256(resource_id.lower().encode()).digest()[:4]) / 2**32


async def _findings(
    admin: Administration, resource_id: ResourceId, document: DomainDocument, seen: Observations
) -> dict[str, Finding]:
    records, keys = records_of(document, admin.settings), published_keys(document)
    findings = {kind: diagnose(kind, records, keys, seen) for kind in watched_kinds(document)}
    missed = [kind for kind, finding in findings.items() if not (is_there(finding) or finding.temporary)]
    if missed:
        wanted = [record for kind in missed for record in records_of_kind(kind, records)]
        others = Turned(admin.authority, 1)
        again = await observe(others, document.from_sender_domain, wanted, now=admin.clock.now())
        for kind in missed:
            second = diagnose(kind, records, keys, again)
            # One name server that is behind the others, or lost its zone, is no reason to stop anybody's mail.
            if is_there(second) or second.temporary:
                findings[kind] = replace(findings[kind], temporary=True)
    ownership = findings.get("Domain")
    if ownership is not None and ownership.verified:
        findings["Domain"] = await _claimed(admin, resource_id, document, seen, ownership)
    return findings


async def _claimed(
    admin: Administration, resource_id: ResourceId, document: DomainDocument, seen: Observations, finding: Finding
) -> Finding:
    """The finding, unless the domain is another resource's by now: that one had shown its proof while ours was gone."""
    published = seen.look(seen.domain, "TXT").records
    claim = await claims.take(
        admin.storage.tables, admin.store, document.from_sender_domain, resource_id.text, published
    )  # fmt: skip
    if claim.doubtful:
        await admin.tasks.put(Reverify(domain=claim.doubtful))
    if claim.held:
        return finding
    reason, remedy = TEXTS[DnsFault.OWNED_ELSEWHERE]
    return replace(finding, verified=False, code=DnsFault.OWNED_ELSEWHERE, reason=reason, remedy=remedy)


async def _audit(admin: Administration, resource_id: ResourceId, before: DomainDocument, outcome: Watched) -> None:
    """What changes is written down before it is changed."""
    changes: dict[str, tuple[object, object]] = {}
    for kind in (*outcome.lost, *outcome.back):
        times = (_shown(before.state(kind).lost_since), _shown(outcome.document.state(kind).lost_since))
        changes[f"verificationStates.{kind}.lostSince"] = times
    if outcome.paused or outcome.resumed:
        changes["pausedSince"] = (_shown(before.paused_since), _shown(outcome.document.paused_since))
    if not changes:
        return
    told = [f"{kind} is lost. {finding.reason} {finding.remedy}" for kind, finding in outcome.lost.items()]
    told += [f"{kind} is back." for kind in outcome.back]
    if outcome.lost and outcome.missed_since and not outcome.document.paused_since:
        pauses_at = outcome.missed_since + admin.settings.grace_seconds
        told.append(f"Unless it is back, sending from this domain stops at {timestamp(pauses_at)}.")
    told += ["Sending from this domain is stopped."] if outcome.paused else []
    told += ["Sending from this domain goes on."] if outcome.resumed else []
    await admin.audit.append(
        resource_id.subscription,
        Change(SYSTEM, _OPERATION, resource_id.text, changes=changes, text=" ".join(told)),
    )


def _shown(seconds: float) -> str | None:
    return timestamp(seconds) if seconds else None


def _shortened(document: DomainDocument) -> DomainDocument:
    """Tags may take nearly all the room that a document has: then the reasons have to do."""
    states = {
        kind: msgspec.structs.replace(state, found=(), expected="", remedy="", reason=state.reason[:_LONGEST_REASON])
        for kind, state in document.verification_states.items()
    }
    return msgspec.structs.replace(document, verification_states=states)


def _tell(document: DomainDocument, outcome: Watched, grace: float) -> None:
    domain = document.from_sender_domain
    for kind, finding in outcome.lost.items():
        pauses_at = document.state(kind).lost_since + grace if kind in pausing(document) else 0.0
        maillog.record_lost(
            domain, record=kind, code=str(finding.code or ""), reason=finding.reason, pauses_at=pauses_at
        )  # fmt: skip
    for kind in outcome.back:
        maillog.record_back(domain, record=kind)
    if outcome.paused:
        maillog.sending_paused(domain, records=",".join(pausing(document)))
    if outcome.resumed:
        maillog.sending_resumed(domain)
