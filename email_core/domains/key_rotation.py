"""The rotation of a domain's DKIM keys: its stages and what each of them does to the document. Pure.

publishing   the standby slot's keys are written to the DNS, by us where a zone of ours holds them, else by the owner
waiting      until the name servers of the zone show them
seen         until no cache can hold what was there before; then the slots change places in one write
retiring     until no signature of the slot before can be looked at any more; its public keys stay in the DNS meanwhile
renewing     the slot before gets new keys, which are written to the DNS, and stand by for the next rotation once it shows them

Where that needs the owner, the slot before loses its private keys when it retires, and the next rotation makes new ones.
The slot that signs has its keys in the DNS at every moment, and the one that signed before for as long as it is needed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from email_core.domains.documents import DomainDocument, RotationDocument, SelectorDocument
from email_core.domains.key_judgement import is_key

PUBLISHING = "publishing"
WAITING = "waiting"
SEEN = "seen"
RETIRING = "retiring"
RENEWING = "renewing"

HOUR = 3600.0
DAY = 24 * HOUR

# Messages are tried for 120 hours at most, and a signature ends seven days later (SIGNATURE_SLACK of submission/prepare.py).
# A worker may sign with keys that it read ten minutes before, when storage is away: the hour is for that.
RETIRED_AFTER = 120 * HOUR + 7 * DAY + HOUR

SHORTEST_PAUSE = 5.0  # seconds
LONGEST_PAUSE = HOUR
LEAST_CACHED = HOUR  # the TTL of our records
LONGEST_CACHED = DAY  # resolvers hold few things longer


def active_slot(document: DomainDocument) -> int:
    """The slot that signs."""
    return next((selector.slot for selector in document.selectors if selector.active), 1)


def standby_slot(document: DomainDocument) -> int:
    """The other one."""
    return 2 if active_slot(document) == 1 else 1


def slot_of(document: DomainDocument, slot: int) -> list[SelectorDocument]:
    """The selectors of a slot."""
    return [selector for selector in document.selectors if selector.slot == slot]


def needs_new_keys(document: DomainDocument, slot: int) -> bool:
    """Whether a slot on standby signed before, or has no keys: `rotated_at` is when the other one took over from it."""
    selectors = slot_of(document, slot)
    return not selectors or any(selector.made_at < document.rotated_at for selector in selectors)


def unsettled_slot(document: DomainDocument) -> int:
    """The slot whose records the DNS need not show yet, because a rotation is about to publish them; 0 when there is none."""
    rotation = document.rotation
    if rotation is None:
        return 0
    if rotation.stage in (PUBLISHING, WAITING):
        return rotation.to_slot
    return standby_slot(document) if rotation.stage == RENEWING else 0


def begun(document: DomainDocument, made: Collection[SelectorDocument], run: str, now: float) -> DomainDocument:
    """The document as a rotation begins. `made` are new keys for the standby slot; none when those there never signed."""
    slot = standby_slot(document)
    rotation = RotationDocument(
        run=run, stage=PUBLISHING, to_slot=slot, started_at=now, stage_since=now, next_at=now,
        replaced=public_values(slot_of(document, slot)) if made else (),
    )  # fmt: skip
    selectors = renewed(document, slot, made) if made else document.selectors
    return msgspec.structs.replace(document, selectors=selectors, rotation=rotation)


def renewed(document: DomainDocument, slot: int, made: Collection[SelectorDocument]) -> list[SelectorDocument]:
    """The selectors with new keys in a slot, slot 1 first."""
    kept = [selector for selector in document.selectors if selector.slot != slot]
    return sorted([*kept, *made], key=lambda selector: selector.slot)


def retired(document: DomainDocument, slot: int) -> list[SelectorDocument]:
    """The selectors without the private keys of a slot that signs no more: nobody can steal what is not there."""
    return [
        msgspec.structs.replace(selector, private_key="") if selector.slot == slot and not selector.active else selector
        for selector in document.selectors
    ]


def switched(document: DomainDocument, to_slot: int, shown: Collection[str]) -> list[SelectorDocument]:
    """The selectors when those of a slot sign that the DNS shows, and no others."""
    return [
        msgspec.structs.replace(selector, active=selector.slot == to_slot and selector.name in shown)
        for selector in document.selectors
    ]


def missing(document: DomainDocument, to_slot: int, shown: Collection[str]) -> list[SelectorDocument]:
    """The selectors of a slot that the DNS has to show before it may sign, and does not.

    The RSA key has to be there. An Ed25519 key only when the one that signs now is: an owner who publishes just what ACS asks
    for has neither, and receivers pass over such a signature.
    """
    ed25519_is_used = any(is_ed25519(selector) for selector in document.selectors if selector.active and selector.name in shown)
    return [
        selector
        for selector in slot_of(document, to_slot)
        if selector.name not in shown and (ed25519_is_used or not is_ed25519(selector))
    ]


def shows(records: Collection[str], public_record: str) -> bool:
    """Whether TXT values at a selector are one record with that key. Blanks and other tags of an owner do no harm."""
    return len(records) == 1 and all(is_key(record, public_record) for record in records)


def public_values(selectors: Iterable[SelectorDocument]) -> tuple[str, ...]:
    """What is published of selectors."""
    return tuple(selector.public_record for selector in selectors)


def pause(elapsed: float) -> float:
    """Seconds until the next look, after `elapsed` seconds of waiting: half of them again, from five seconds to an hour."""
    return max(SHORTEST_PAUSE, min(elapsed / 2, LONGEST_PAUSE))


def is_due(document: DomainDocument, days: int, now: float) -> bool:
    """Whether the keys that sign are older than that many days and no rotation is on its way."""
    active = [selector.made_at for selector in document.selectors if selector.active]
    # The keys of a slot may be made long before they sign: what counts is for how long they did.
    began = document.rotated_at or min(active, default=now)
    return bool(active) and document.rotation is None and now - began >= days * DAY


def is_ed25519(selector: SelectorDocument) -> bool:
    """Whether its key is of Ed25519, which is only a second signature."""
    return "k=ed25519" in selector.public_record
