"""What a look at a domain that was verified changes: records that are lost, sending that is paused, and the way back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from email_core.domains.dns_faults import Finding
from email_core.domains.documents import RECORD_STATES, REQUIRED, DomainDocument, StateDocument, Status
from email_core.domains.health_check import LOOSE_SPF, quoted
from email_core.domains.key_rotation import standby_slot, unsettled_slot

HOUR = 3600.0
DAY = 24 * HOUR

SHORTEST_PAUSE = 60.0  # seconds
WATCHED_FOR = 7 * DAY  # hourly, from when sending was paused; then the daily look is enough
_CLOCKS_DIFFER = 10.0  # seconds; the queue and the worker do not have the same clock

_KIND_OF_SLOT = {1: "DKIM", 2: "DKIM2"}


@dataclass(frozen=True, slots=True)
class Watched:
    """What a look came to. `lost` and `back` are the records that changed now; `again_in` is when to look again, in seconds.

    `again_in` is 0 when another look is on its way, or none is needed before the daily one.
    """

    document: DomainDocument
    lost: Mapping[str, Finding] = field(default_factory=dict)
    back: tuple[str, ...] = ()
    paused: bool = False
    resumed: bool = False
    again_in: float = 0.0

    @property
    def missed_since(self) -> float:
        """When the first of the required records that are lost now was missed; 0 when there is none."""
        return min((self.document.state(kind).lost_since for kind in pausing(self.document)), default=0.0)


def watched_kinds(document: DomainDocument) -> tuple[str, ...]:
    """The records that were verified, and are to be there still."""
    return tuple(kind for kind in RECORD_STATES if document.state(kind).status is Status.VERIFIED)


def watched(
    document: DomainDocument, findings: Mapping[str, Finding], *, now: float, grace: float, looked_at: float, due: float = 0.0
) -> Watched:
    """The document after a look that began at `looked_at` and came to those findings.

    A record that nobody could tell about stays as it was, and so does one that was looked at since. `due` is the
    `next_check_at` that the look was made for, 0 for a look that somebody asked for.
    """
    states = dict(document.verification_states)
    lost: dict[str, Finding] = {}
    back: list[str] = []
    missed: list[str] = []
    for kind in watched_kinds(document):
        finding, state = findings.get(kind), document.state(kind)
        if finding is None or finding.temporary or looked_at < state.checked_at <= now:
            continue
        if _is_there(document, kind, finding):
            if state.lost_since:
                back.append(kind)
            states[kind] = _told(state, finding, now, lost_since=0.0)
            continue
        missed.append(kind)
        if not state.lost_since:
            lost[kind] = finding
        states[kind] = _told(state, finding, now, lost_since=state.lost_since or now)
    after = msgspec.structs.replace(document, verification_states=states)
    if all(kind in findings and findings[kind].verified for kind in REQUIRED):
        after.last_verified_at = now
    return _with_sending(document, after, lost, tuple(back), missed, now=now, grace=grace, due=due)


def _with_sending(
    before: DomainDocument, after: DomainDocument, lost: Mapping[str, Finding], back: tuple[str, ...], missed: list[str],
    *, now: float, grace: float, due: float,
) -> Watched:  # fmt: skip
    # What was seen to be missing then and can't be looked up now may be there again: it pauses nothing. Nor does one look.
    needed = pausing(after)
    overdue = [k for k in missed if k in needed and k not in lost and now - after.state(k).lost_since >= grace]
    paused = bool(overdue) and not before.paused_since
    resumed = bool(before.paused_since) and not needed
    if paused:
        after.paused_since = now
    elif resumed:
        after.paused_since = 0.0
    again_in = _again_in(before, after, now=now, grace=grace, due=due)
    if again_in:
        states = after.verification_states
        named = {kind: msgspec.structs.replace(states[kind], next_check_at=now + again_in) for kind in after.lost}
        after = msgspec.structs.replace(after, verification_states={**states, **named})
    return Watched(after, lost, back, paused, resumed, again_in)


def _again_in(before: DomainDocument, after: DomainDocument, *, now: float, grace: float, due: float) -> float:
    """While a record is lost, the domain is looked at hourly, so that it may send again soon after it was repaired."""
    if not after.lost or (after.paused_since and now - after.paused_since > WATCHED_FOR):
        return 0.0
    waiting = max(before.state(kind).next_check_at for kind in after.lost)
    if waiting != due and now + _CLOCKS_DIFFER < waiting <= now + 2 * HOUR:  # later ones were written by a clock that was wrong
        return 0.0  # the item that was put for that time is on its way; with another one there would be two for ever
    ends = [after.state(kind).lost_since + grace - now for kind in pausing(after)]
    until_paused = min(ends, default=HOUR) if not after.paused_since else HOUR
    return min(max(until_paused, SHORTEST_PAUSE), HOUR)


def pausing(document: DomainDocument) -> list[str]:
    """The lost records without which no mail should go out.

    The keys that stand by are none of them: those of the other slot sign, and no rotation makes a slot sign before the DNS
    shows its keys.
    """
    standby = _KIND_OF_SLOT[standby_slot(document)]
    return [kind for kind in document.lost if kind in REQUIRED and kind != standby]


def is_there(finding: Finding) -> bool:
    """Whether a record does its work for our mail."""
    return finding.verified or finding.code in LOOSE_SPF


def _is_there(document: DomainDocument, kind: str, finding: Finding) -> bool:
    if is_there(finding):
        return True
    # In a rotation, the DNS need not show the keys of the slot that does not sign.
    return _KIND_OF_SLOT.get(unsettled_slot(document)) == kind and not document.state(kind).lost_since


def _told(state: StateDocument, finding: Finding, now: float, *, lost_since: float) -> StateDocument:
    return msgspec.structs.replace(
        state, checked_at=now, found=quoted(finding.found), expected=finding.expected, reason=finding.reason,
        remedy=finding.remedy, lost_since=lost_since, next_check_at=state.next_check_at if lost_since else 0.0,
    )  # fmt: skip
