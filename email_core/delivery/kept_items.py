"""Kept items: what the table `poison` has of an item that could not be worked, and what can be known of why."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import msgspec

from email_core.delivery.outcome import TimelineEvent
from email_core.delivery.rows import SpooledRow
from email_core.delivery.spool import SpoolItem
from email_core.storage import StoredEntity, Tables, Value

POISON = "poison"
_TEXT_LENGTH = 16 * 1024  # characters; a string property has 64 KiB at four bytes each, and a longer item goes as bytes
STORY_EVENTS = 8  # of the timeline, the last ones; each try that failed has left one
_STORY_BYTES = 48 * 1024  # below the 64 KiB of a property


class StateThen(msgspec.Struct, frozen=True, kw_only=True):
    """A message or an envelope at the time when its item was kept. Times are in seconds since the epoch.

    `status` is that of the operation, `open` counts the recipients without a final state, `story` ends the timeline.
    """

    status: str = ""
    attempt: int = 0
    claim_until: float = 0.0
    next_attempt_at: float = 0.0
    open: int = 0
    story: tuple[TimelineEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class KeptItem:
    """An item of a poison queue. `text` is what the queue had, `item` what it means: None when it is none of ours.

    `queue` is the one that it came from, `dequeue_count` how often the poison queue delivered it, `kept_at` is in seconds
    since the epoch. `state` is None when there was no such message, or its row could not be read.
    """

    id: str
    queue: str
    text: str = field(repr=False)
    dequeue_count: int
    kept_at: float
    state: StateThen | None = None

    @property
    def item(self) -> SpoolItem | None:
        try:
            return SpoolItem.decode(self.text)
        except ValueError:
            return None

    @property
    def fault(self) -> TimelineEvent | None:
        """The last exception that ended a run of this message, when it could be noted."""
        story = self.state.story if self.state else ()
        return next((event for event in reversed(story) if event.kind == "fault"), None)

    def entity(self) -> dict[str, Value]:
        """The row of the table."""
        row: dict[str, Value] = {
            "PartitionKey": self.queue,
            "RowKey": self.id,
            "item": self.text if len(self.text) <= _TEXT_LENGTH else self.text.encode("utf-8", "replace"),
            "dequeueCount": self.dequeue_count,
            "keptAt": self.kept_at,
        }
        if self.state is not None:
            row["state"] = msgspec.json.encode(self.state)
        return row


def state_of(row: SpooledRow) -> StateThen:
    """What is worth knowing later of a row as it is now."""
    ledger = row.ledger
    return StateThen(
        status=row.facts.status,
        attempt=ledger.attempt,
        claim_until=ledger.claim_until,
        next_attempt_at=ledger.next_attempt_at,
        open=len(ledger.open_addresses),
        story=_end_of(row.timeline),
    )


async def kept_items(tables: Tables) -> AsyncIterator[KeptItem]:
    """Every item that is kept, in no order that means anything. Raises what storage raises."""
    async for entity in tables.query(POISON, ""):
        yield _kept(entity)


def _kept(entity: StoredEntity) -> KeptItem:
    values = entity.values
    state, text = values.get("state"), values.get("item", "")
    try:
        then = msgspec.json.decode(state, type=StateThen) if isinstance(state, bytes) else None
    except msgspec.MsgspecError:
        then = None  # of another version; the item itself is what counts
    return KeptItem(
        id=str(values["RowKey"]),
        queue=str(values["PartitionKey"]),
        text=text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text),
        dequeue_count=int(values.get("dequeueCount", 0)),
        kept_at=float(values.get("keptAt", 0.0)),
        state=then,
    )


def _end_of(timeline: Sequence[TimelineEvent]) -> tuple[TimelineEvent, ...]:
    story = tuple(timeline[-STORY_EVENTS:])
    while story and len(msgspec.json.encode(story)) > _STORY_BYTES:
        story = story[1:]
    return story
