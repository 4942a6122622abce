"""The stages of a DKIM rotation (`domains/key_rotation.py`): what each does, and what the rotation comes to by that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from email_core.administration.call import Administration
from email_core.administration.publishing import NotPublished, holding_zone, publish
from email_core.dns.authority import MOST_HOSTS
from email_core.dns.looks import Look
from email_core.domains import claims
from email_core.domains import key_rotation as stages
from email_core.domains.documents import DomainDocument, RotationDocument, SelectorDocument
from email_core.domains.record_merge import Outcome
from email_core.domains.records import DnsRecord, Purpose, records_of, target_records_of
from email_core.domains.selectors import new_slot

_KEYS = (Purpose.DKIM, Purpose.DKIM2, Purpose.DKIM_ED25519, Purpose.DKIM2_ED25519)


@dataclass(frozen=True, slots=True)
class Step:
    """What a stage came to. `stage` is the next one, empty at the end; `told` goes to the audit log."""

    stage: str
    delay: float = 0.0
    reason: str = ""
    selectors: list[SelectorDocument] | None = None
    replaced: tuple[str, ...] | None = None
    switched: bool = False
    told: str = ""


async def _publishing(admin: Administration, document: DomainDocument, rotation: RotationDocument) -> Step:
    reason = await _publish(admin, document, rotation.to_slot)
    if reason:
        return Step(stages.PUBLISHING, _pause(admin, rotation), reason)
    by_owner = records_by_owner(admin, document, rotation.to_slot)
    names = ", ".join(f"{record.type} {record.name}" for record in by_owner)
    return Step(stages.WAITING, reason=f"to be published by the owner of the zone: {names}" if names else "")


async def _waiting(admin: Administration, document: DomainDocument, rotation: RotationDocument) -> Step:
    seen = await _look(admin, document)
    absent = stages.missing(document, rotation.to_slot, seen.shown)
    if absent:
        return Step(stages.WAITING, _pause(admin, rotation), "; ".join(seen.why[selector.name] for selector in absent))
    # What stood there before may be held by a cache for as long as its TTL said.
    return Step(stages.SEEN, min(max(seen.ttl, stages.LEAST_CACHED), stages.LONGEST_CACHED))


async def _seen(admin: Administration, document: DomainDocument, rotation: RotationDocument) -> Step:
    seen = await _look(admin, document)
    absent = stages.missing(document, rotation.to_slot, seen.shown)
    if absent:
        return Step(stages.WAITING, _pause(admin, rotation), "; ".join(seen.why[selector.name] for selector in absent))
    selectors = stages.switched(document, rotation.to_slot, seen.shown)
    told = f"slot {rotation.to_slot} signs from now on"
    return Step(stages.RETIRING, stages.RETIRED_AFTER, selectors=selectors, switched=True, told=told)


async def _retiring(admin: Administration, document: DomainDocument, rotation: RotationDocument) -> Step:
    slot = stages.standby_slot(document)
    if not await renews_itself(admin, document, slot):
        told = f"the keys of slot {slot} are needed no more and were destroyed; the next rotation makes new ones"
        return Step("", selectors=stages.retired(document, slot), told=told)
    made = await new_slot(admin.sealer, document.id.lower(), slot, active=False, now=admin.clock.now())
    return Step(
        stages.RENEWING,
        selectors=stages.renewed(document, slot, made),
        replaced=stages.public_values(stages.slot_of(document, slot)),
        told=f"the keys of slot {slot} are needed no more and were replaced",
    )


async def _renewing(admin: Administration, document: DomainDocument, rotation: RotationDocument) -> Step:
    slot = stages.standby_slot(document)
    reason = await _publish(admin, document, slot)
    if not reason:
        # Until it shows them, that is no record which somebody lost.
        seen = await _look(admin, document)
        reason = "; ".join(seen.why[selector.name] for selector in stages.missing(document, slot, seen.shown))
    return Step(stages.RENEWING, _pause(admin, rotation), reason) if reason else Step("")


_Stage = Callable[[Administration, DomainDocument, RotationDocument], Awaitable[Step]]
STEPS: dict[str, _Stage] = {
    stages.PUBLISHING: _publishing,
    stages.WAITING: _waiting,
    stages.SEEN: _seen,
    stages.RETIRING: _retiring,
    stages.RENEWING: _renewing,
}


@dataclass(frozen=True, slots=True)
class _Seen:
    """The selectors whose keys the DNS shows, why not of the others, and the longest TTL of the answers."""

    shown: frozenset[str]
    why: dict[str, str]
    ttl: float


async def _look(admin: Administration, document: DomainDocument) -> _Seen:
    await admin.authority.zone(document.from_sender_domain)  # once for all, so that each turn is another of the same servers
    asked = [(selector, turn) for selector in document.selectors for turn in range(MOST_HOSTS)]
    looks = await asyncio.gather(
        *(admin.authority.look(_name(selector, document), "TXT", turn=turn) for selector, turn in asked)
    )
    why: dict[str, str] = {}
    for (selector, _), look in zip(asked, looks, strict=True):
        # Each server has to show it: receivers ask any of them, and one may be behind.
        if not stages.shows(look.records, selector.public_record):
            why.setdefault(selector.name, _why_not(look))
    shown = frozenset(selector.name for selector in document.selectors if selector.name not in why)
    return _Seen(shown, why, max((look.ttl for look in looks), default=0.0))


def _name(selector: SelectorDocument, document: DomainDocument) -> str:
    return f"{selector.name}._domainkey.{document.from_sender_domain}"


def _why_not(look: Look) -> str:
    if look.failed:
        return f"{look.name} could not be looked up: {look.reason}"
    if not look.records:
        return f"the DNS has no TXT at {look.name} yet, says {look.server}"
    return f"the DNS has another TXT at {look.name}, or more than one, says {look.server}"


async def _publish(admin: Administration, document: DomainDocument, slot: int) -> str:
    """Write the keys of a slot where a zone of ours holds them; why that failed, empty when it did not."""
    earlier = document.rotation.replaced if document.rotation else ()
    # Who had the domain before may not take the place of the keys of who has it now.
    owned = await claims.owns(admin.storage.tables, document)
    try:
        results = await publish(admin, _slot_records(admin, document, slot), earlier=earlier, owned=owned)
    except NotPublished as error:
        return str(error)
    return "; ".join(f"{each.record.name}: {each.reason}" for each in results if each.outcome is Outcome.CONFLICT)


def records_by_owner(admin: Administration, document: DomainDocument, slot: int) -> list[DnsRecord]:
    """The records of a slot that no zone of ours holds."""
    return [record for record in _slot_records(admin, document, slot) if not _is_ours(admin, record)]


def publishes_slot(admin: Administration, document: DomainDocument, slot: int) -> bool:
    """Whether the keys of a slot can be published without the owner of the domain."""
    records = _slot_records(admin, document, slot)
    return bool(records) and all(_is_ours(admin, record) for record in records)


async def renews_itself(admin: Administration, document: DomainDocument, slot: int) -> bool:
    """Whether new keys of a slot are seen by all without the owner of the domain.

    Where CNAMEs are asked for, an owner may still have the TXT records from before there was a DKIM zone: the DNS tells.
    """
    if not publishes_slot(admin, document, slot):
        return False
    targets = {record.name for record in target_records_of(document, admin.settings)}
    own = {record.name for record in _slot_records(admin, document, slot)} - targets
    names = {_name(selector, document) for selector in stages.slot_of(document, slot) if not stages.is_ed25519(selector)} - own
    looks = await asyncio.gather(*(admin.authority.look(name, "TXT") for name in names))
    return all(targets.intersection(look.aliases) for look in looks)


def _slot_records(admin: Administration, document: DomainDocument, slot: int) -> list[DnsRecord]:
    """The TXT records with the keys of a slot: at the domain, or in our DKIM zone where CNAMEs of the domain lead to."""
    names = tuple(f"{selector.name}." for selector in stages.slot_of(document, slot))
    own = [record for record in records_of(document, admin.settings) if record.purpose in _KEYS and record.type == "TXT"]
    return [record for record in (*own, *target_records_of(document, admin.settings)) if record.name.startswith(names)]


def _is_ours(admin: Administration, record: DnsRecord) -> bool:
    return holding_zone(admin.settings, record.name) is not None


def _pause(admin: Administration, rotation: RotationDocument) -> float:
    return stages.pause(admin.clock.now() - rotation.stage_since)
