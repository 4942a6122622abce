"""The spool: messages and envelopes as rows of the table `messages`, and the queue items that point at them.

A row holds the whole of an ordinary message: facts, ledger, timeline and content. What does not fit inline lies in a blob.
Rows of another version are read by name, so a property that is missing has its default and one that is unknown is left
alone: a merge writes only what changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from email_core.delivery.ledger import Entry, Ledger, trimmed
from email_core.delivery.outcome import TimelineEvent
from email_core.errors import EntityExists, EntityMissing, StorageUnavailable
from email_core.storage import Insert, Merge, Storage, StoredEntity, Value, text_literal

MESSAGES = "messages"
SUBMISSIONS = "submissions"
DELIVERIES = "deliveries"
MESSAGE_ROW = "message"

INLINE_LIMIT = 192 * 1024  # bytes of content kept in the entity; three such parts stay below its 1 MiB
_PROPERTY_LIMIT = 64 * 1024  # Table storage: bytes a binary property
_HEAVY = ("content", "signed")


@dataclass(frozen=True, slots=True)
class SpoolItem:
    """A queue item: ids and an attempt number only. `put_backs` counts how often it was put back unworked."""

    message: str
    row: str = MESSAGE_ROW
    attempt: int = 0
    put_backs: int = 0

    def encode(self) -> str:
        return msgspec.json.encode({"m": self.message, "r": self.row, "a": self.attempt, "b": self.put_backs}).decode()

    @classmethod
    def decode(cls, text: str | bytes) -> SpoolItem:
        """Raises ValueError when the text is no item; fields that a newer version added are ignored."""
        fields = msgspec.json.decode(text, type=_ItemFields)
        return cls(fields.m, fields.r, fields.a, fields.b)


class _ItemFields(msgspec.Struct):
    m: str
    r: str = MESSAGE_ROW
    a: int = 0
    b: int = 0


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """What is known of a message when it is accepted, and what preparing adds to it.

    Times are in seconds since the epoch, `size` in bytes. `status` is that of the ACS operation. `envelopes` is 0 while
    the message has not been split; then each envelope has a row of its own.
    """

    accepted_at: float
    expires_at: float
    door: str
    sender: str
    domain: str  # resource id of the sending domain
    size: int
    request_hash: str
    api_version: str = ""
    content_kind: str = "draft"
    status: str = "Running"
    error_code: str = ""
    error_message: str = ""
    message_id: str = ""
    envelopes: int = 0
    bounce_domain: str = ""  # the domain of the reverse-path


@dataclass(frozen=True, slots=True)
class SpooledRow:
    """A row as it was read, under the ETag that a change of it must meet."""

    message: str
    row: str
    etag: str
    facts: MessageFacts
    ledger: Ledger
    timeline: tuple[TimelineEvent, ...] = ()
    content: bytes = b""
    content_blob: str = ""
    signed: bytes = b""
    signed_blob: str = ""

    @property
    def service_key(self) -> str:
        return self.message.partition(":")[0]

    @property
    def operation_id(self) -> str:
        return self.message.partition(":")[2]

    @property
    def envelope_number(self) -> int:
        """0 for a message that was not split."""
        return int(self.row.partition(":")[2] or 0)


class Spool:
    """Reads and writes the spool. Storage faults come out as StorageUnavailable."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def add(
        self, message: str, facts: MessageFacts, ledger: Ledger, timeline: Sequence[TimelineEvent], content: bytes
    ) -> SpooledRow | None:
        """Store a message and enqueue it, concurrently; both are there when this returns.

        Returns None when it is new, and the row that is there already when the id was used before: the item is enqueued
        in either case, which is harmless, for a claim decides who works.
        """
        stored = await self._stored("content", content, f"{message}/{facts.request_hash}")
        state = {**_facts(facts), **_ledger(ledger), **_timeline(timeline), **stored}
        entity = {"PartitionKey": message, "RowKey": MESSAGE_ROW, **state}
        inserted, enqueued = await asyncio.gather(
            self._storage.tables.insert(MESSAGES, entity), self.enqueue(SUBMISSIONS, SpoolItem(message)), return_exceptions=True
        )
        if isinstance(enqueued, BaseException):
            raise enqueued
        if isinstance(inserted, EntityExists):
            earlier = await self.read(message, with_content=False)
            if earlier is None:
                raise StorageUnavailable(f"the row of {message} was there and is gone")
            return earlier
        if isinstance(inserted, BaseException):
            raise inserted
        return None

    async def enqueue(self, queue: str, item: SpoolItem, *, delay: float = 0.0) -> None:
        """Put an item on a queue, invisible for `delay` seconds."""
        await self._storage.queues.enqueue(queue, item.encode(), delay=delay)

    async def read(self, message: str, row: str = MESSAGE_ROW, *, with_content: bool = True) -> SpooledRow | None:
        """A row, or None. One round trip; a blob is fetched only by `content` and `signed`."""
        entity = await self._storage.tables.get(MESSAGES, message, row, select=() if with_content else _LIGHT)
        return None if entity is None else _row(message, row, entity)

    async def envelopes(self, message: str) -> list[SpooledRow]:
        """The envelope rows of a message that was split, in order, without content."""
        rows = self._storage.tables.query(
            MESSAGES,
            f"PartitionKey eq {text_literal(message)} and RowKey ge 'envelope:' and RowKey lt 'envelope;'",
            select=("RowKey", *_LIGHT),
        )
        return [_row(message, str(entity.values["RowKey"]), entity) async for entity in rows]

    async def content(self, row: SpooledRow) -> bytes:
        """The draft as it was accepted. Raises EntityMissing when its blob is gone."""
        return await self._storage.content.get(row.content_blob) if row.content_blob else row.content

    async def signed(self, row: SpooledRow) -> bytes:
        """The signed message, as it goes over the wire at every attempt. Raises EntityMissing when it is not there."""
        signed = await self._storage.content.get(row.signed_blob) if row.signed_blob else row.signed
        if not signed:
            raise EntityMissing(f"no signed message in {row.message} {row.row}")
        return signed

    async def update(
        self,
        row: SpooledRow,
        *,
        ledger: Ledger,
        facts: MessageFacts | None = None,
        timeline: Sequence[TimelineEvent] | None = None,
        signed: bytes = b"",
    ) -> SpooledRow:
        """One ETag merge of what changed. Raises EntityChanged when somebody else was there first."""
        changes = _ledger(ledger)
        if facts is not None:
            changes |= _facts(facts)
        if timeline is not None:
            changes |= _timeline(timeline)
        if signed:
            changes |= await self._stored("signed", signed, f"{row.message}/{row.row}/signed")
        etag = await self._storage.tables.merge(MESSAGES, row.message, row.row, changes, etag=row.etag)
        return replace(
            row,
            etag=etag,
            ledger=ledger,
            facts=facts or row.facts,
            timeline=row.timeline if timeline is None else tuple(timeline),
            signed=signed or row.signed,
        )

    async def split(
        self,
        row: SpooledRow,
        *,
        facts: MessageFacts,
        ledgers: Sequence[Ledger],
        timeline: Sequence[TimelineEvent],
        signed: bytes,
    ) -> None:
        """Give each envelope a row and an item of its own, in one transaction with the message's row.

        The items are enqueued first, with a delay: an item without its row is put back, a row without its item is lost.
        """
        blob = f"{row.message}/signed"
        await self._storage.content.put(blob, signed)
        names = [f"envelope:{number:03}" for number in range(1, len(ledgers) + 1)]
        await asyncio.gather(*(self.enqueue(DELIVERIES, SpoolItem(row.message, name), delay=2.0) for name in names))
        inserts = [
            Insert({"PartitionKey": row.message, "RowKey": name, **_facts(facts), **_ledger(ledger), "signedBlob": blob})
            for name, ledger in zip(names, ledgers, strict=True)
        ]
        done = Ledger(row.ledger.entries, attempt=row.ledger.attempt + 1, claim_token=row.ledger.claim_token)
        changes = {**_facts(replace(facts, envelopes=len(names))), **_ledger(done), **_timeline(timeline)}
        await self._storage.tables.transact(MESSAGES, [*inserts, Merge(row.message, row.row, changes, row.etag)])

    async def _stored(self, name: str, content: bytes, blob: str) -> dict[str, Value]:
        if len(content) <= INLINE_LIMIT:
            return _chunks(name, content)
        await self._storage.content.put(blob, content)
        return {f"{name}Blob": blob}


_FACT_NAMES = {
    "accepted_at": "acceptedAt", "expires_at": "expiresAt", "door": "door", "sender": "sender", "domain": "domain",
    "size": "size", "request_hash": "requestHash", "api_version": "apiVersion", "content_kind": "contentKind",
    "status": "status", "error_code": "errorCode", "error_message": "errorMessage", "message_id": "messageId",
    "envelopes": "envelopes", "bounce_domain": "bounceDomain",
}  # fmt: skip
_LEDGER_NAMES = ("attempt", "claimUntil", "claimToken", "nextAttemptAt")
_PARTS = 4  # properties that ledger and timeline may take each
_LIGHT = (
    *_FACT_NAMES.values(),
    *_LEDGER_NAMES,
    *(f"{name}{part}" for name in ("ledger", "timeline") for part in ("Size", *range(_PARTS))),
    *(f"{name}Blob" for name in _HEAVY),
)
_entries = msgspec.json.Decoder(tuple[Entry, ...])
_events = msgspec.json.Decoder(tuple[TimelineEvent, ...])


def _facts(facts: MessageFacts) -> dict[str, Value]:
    return {name: getattr(facts, field) for field, name in _FACT_NAMES.items()}


def _ledger(ledger: Ledger) -> dict[str, Value]:
    return {
        "attempt": ledger.attempt,
        "claimUntil": ledger.claim_until,
        "claimToken": ledger.claim_token,
        "nextAttemptAt": ledger.next_attempt_at,
        **_sized("ledger", msgspec.json.encode(ledger.entries)),
    }


def _timeline(timeline: Sequence[TimelineEvent]) -> dict[str, Value]:
    """The timeline in at most `_PARTS` properties: the middle of a very long story gives way."""
    events = trimmed(timeline)
    encoded = msgspec.json.encode(events)
    while len(encoded) > _PARTS * _PROPERTY_LIMIT:
        keep = max(len(events) // 3, 1)
        events = (*events[:keep], *events[-keep:])
        encoded = msgspec.json.encode(events)
    return _sized("timeline", encoded)


def _sized(name: str, content: bytes) -> dict[str, Value]:
    """Chunks with their size, for a merge that needs fewer of them leaves the last old ones standing."""
    return {f"{name}Size": len(content), **_chunks(name, content)}


def _chunks(name: str, content: bytes) -> dict[str, Value]:
    return {
        f"{name}{part}": content[start : start + _PROPERTY_LIMIT]
        for part, start in enumerate(range(0, len(content) or 1, _PROPERTY_LIMIT))
    }


def _joined(name: str, values: Mapping[str, Value]) -> bytes:
    parts: list[bytes] = []
    while isinstance(part := values.get(f"{name}{len(parts)}"), bytes):
        parts.append(part)
    return b"".join(parts)[: int(values.get(f"{name}Size", INLINE_LIMIT * 2))]


def _row(message: str, row: str, entity: StoredEntity) -> SpooledRow:
    values = entity.values
    facts = MessageFacts(**{field: values[name] for field, name in _FACT_NAMES.items() if name in values})  # type: ignore[arg-type]
    ledger = Ledger(
        entries=_entries.decode(_joined("ledger", values) or b"[]"),
        attempt=int(values.get("attempt", 0)),
        claim_until=float(values.get("claimUntil", 0.0)),
        claim_token=str(values.get("claimToken", "")),
        next_attempt_at=float(values.get("nextAttemptAt", 0.0)),
    )
    return SpooledRow(
        message,
        row,
        entity.etag,
        facts,
        ledger,
        timeline=_events.decode(_joined("timeline", values) or b"[]"),
        content=_joined("content", values),
        content_blob=str(values.get("contentBlob", "")),
        signed=_joined("signed", values),
        signed_blob=str(values.get("signedBlob", "")),
    )
