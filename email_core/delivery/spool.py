"""The spool: messages and envelopes as rows of the table `messages`, and the queue items that point at them.

A row holds the whole of an ordinary message: facts, ledger, timeline and content. What does not fit inline lies in a blob.
A merge writes only what changed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from email_core.delivery.ledger import Ledger
from email_core.delivery.outcome import TimelineEvent
from email_core.delivery.rows import (
    INLINE_LIMIT,
    LIGHT,
    LIGHTEST,
    MESSAGE_ROW,
    SIGNED,
    MessageFacts,
    SpooledRow,
    facts_of,
    ledger_of,
    row_of,
    timeline_of,
)
from email_core.errors import EntityChanged, EntityExists, EntityMissing, StorageUnavailable
from email_core.storage import Insert, Merge, Storage, Value, chunks, text_literal

MESSAGES = "messages"
SUBMISSIONS = "submissions"
DELIVERIES = "deliveries"
SPLIT_DELAY = 1.0  # seconds; the transaction that follows the items of a split takes less
MOST_TOUCHES = 4  # of a row by others while a run has its claim; notes and sweepers touch it once a run, if at all


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
        state = {**facts_of(facts), **ledger_of(ledger), **timeline_of(timeline), **stored}
        entity = {"PartitionKey": message, "RowKey": MESSAGE_ROW, **state}
        inserted, enqueued = await asyncio.gather(
            self._storage.tables.insert(MESSAGES, entity), self.enqueue(SUBMISSIONS, SpoolItem(message)), return_exceptions=True
        )
        if isinstance(enqueued, BaseException):
            raise enqueued
        if isinstance(inserted, EntityExists):
            earlier = await self.shown(message)
            if earlier is None:
                raise StorageUnavailable(f"the row of {message} was there and is gone")
            return earlier
        if isinstance(inserted, BaseException):
            raise inserted
        return None

    async def add_signed(
        self, message: str, facts: MessageFacts, ledger: Ledger, timeline: Sequence[TimelineEvent], signed: bytes
    ) -> None:
        """Store a message that is signed already and enqueue it for delivery; the same once more only enqueues it again.

        Raises StorageUnavailable; call it again then, for a row without its item is nobody's work.
        """
        stored = await self._stored("signed", signed, f"{message}/signed")
        state = {**facts_of(facts), **ledger_of(ledger), **timeline_of(timeline), **stored}
        with contextlib.suppress(EntityExists):
            await self._storage.tables.insert(MESSAGES, {"PartitionKey": message, "RowKey": MESSAGE_ROW, **state})
        await self.enqueue(DELIVERIES, SpoolItem(message))

    async def enqueue(self, queue: str, item: SpoolItem, *, delay: float = 0.0) -> None:
        """Put an item on a queue, invisible for `delay` seconds."""
        await self._storage.queues.enqueue(queue, item.encode(), delay=delay)

    async def read(self, message: str, row: str = MESSAGE_ROW, *, with_content: bool = True) -> SpooledRow | None:
        """A row, or None. One round trip; a blob is fetched only by `content` and `signed`."""
        entity = await self._storage.tables.get(MESSAGES, message, row, select=() if with_content else LIGHT)
        return None if entity is None else row_of(message, row, entity)

    async def shown(self, message: str) -> SpooledRow | None:
        """The row of a message to tell of, without its content, or None; a newer version may have written it."""
        entity = await self._storage.tables.get(MESSAGES, message, MESSAGE_ROW, select=LIGHT)
        return None if entity is None else row_of(message, MESSAGE_ROW, entity, shown=True)

    async def envelopes(self, message: str, *, with_timelines: bool = True, shown: bool = False) -> list[SpooledRow]:
        """The envelope rows of a message that was split, in order, without content; with `shown`, to tell of them."""
        rows = self._storage.tables.query(
            MESSAGES,
            f"PartitionKey eq {text_literal(message)} and RowKey ge 'envelope:' and RowKey lt 'envelope;'",
            select=("RowKey", *(LIGHT if with_timelines else LIGHTEST)),
        )
        return [row_of(message, str(entity.values["RowKey"]), entity, shown=shown) async for entity in rows]

    async def content(self, row: SpooledRow) -> bytes:
        """The draft as it was accepted. Raises EntityMissing when its blob is gone."""
        return await self._storage.content.get(row.content_blob) if row.content_blob else row.content

    async def signed(self, row: SpooledRow) -> bytes:
        """The signed message, as it goes over the wire at every attempt. Raises EntityMissing when it is not there."""
        signed = await self._storage.content.get(row.signed_blob) if row.signed_blob else row.signed
        if not signed:
            raise EntityMissing(f"no signed message in {row.message} {row.row}")
        return signed

    async def queue_of(self, row: SpooledRow) -> str:
        """The queue on which the next item of a row belongs: a message that was not signed yet has to be prepared first.

        The row may have been read without its content: whether there is a signed message costs one round trip then.
        """
        if row.row != MESSAGE_ROW or row.signed or row.signed_blob:
            return DELIVERIES
        signed = await self._storage.tables.get(MESSAGES, row.message, row.row, select=(SIGNED,))
        return DELIVERIES if signed is not None and signed.values.get(SIGNED) else SUBMISSIONS

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
        changes = ledger_of(ledger)
        if facts is not None:
            changes |= facts_of(facts)
        if timeline is not None:
            changes |= timeline_of(timeline)
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

    async def update_held(
        self,
        row: SpooledRow,
        *,
        ledger: Ledger,
        facts: MessageFacts | None = None,
        timeline: Sequence[TimelineEvent] | None = None,
    ) -> None:
        """As `update`, for the run that has the claim: that somebody touched the row and left the claim alone does not count.

        Raises EntityChanged when the claim is another's, the attempt is settled, or the row is touched without an end.
        """
        for left in reversed(range(MOST_TOUCHES)):
            try:
                await self.update(row, ledger=ledger, facts=facts, timeline=timeline)
                return
            except EntityChanged:
                current = await self.read(row.message, row.row, with_content=False)
                if current is not None and _same_claim(current, row) and current.ledger == ledger:
                    return  # our own merge, whose answer was lost
                if not left or current is None or not _same_claim(current, row):
                    raise
                row = replace(row, etag=current.etag)

    async def split(
        self,
        row: SpooledRow,
        *,
        facts: MessageFacts,
        ledgers: Sequence[Ledger],
        timeline: Sequence[TimelineEvent],
        signed: bytes,
        now: float,
    ) -> None:
        """Give each envelope a row and an item of its own, in one transaction with the message's row.

        The items are enqueued first, with a delay: an item without its row is put back, a row without its item has to wait
        for the sweeper, which looks at when the attempt was due. An envelope whose recipients all have their end needs none.
        A touch that leaves the claim alone does not stop it. Raises EntityExists or EntityChanged when another run has the
        message.
        """
        blob = f"{row.message}/signed"
        await self._storage.content.put(blob, signed)
        dues = [each if each.finished else replace(each, next_attempt_at=now + SPLIT_DELAY) for each in ledgers]
        envelopes = {envelope_row(number): due for number, due in enumerate(dues, 1)}
        items = [SpoolItem(row.message, name) for name, due in envelopes.items() if not due.finished]
        await asyncio.gather(*(self.enqueue(DELIVERIES, item, delay=SPLIT_DELAY) for item in items))
        inserts = [
            Insert({"PartitionKey": row.message, "RowKey": name, **facts_of(facts), **ledger_of(due), "signedBlob": blob})
            for name, due in envelopes.items()
        ]
        done = Ledger(row.ledger.entries, attempt=row.ledger.attempt + 1, claim_token=row.ledger.claim_token)
        changes = {**facts_of(replace(facts, envelopes=len(envelopes))), **ledger_of(done), **timeline_of(timeline)}
        etag = row.etag
        for left in reversed(range(MOST_TOUCHES)):
            try:
                await self._storage.tables.transact(MESSAGES, [*inserts, Merge(row.message, row.row, changes, etag)])
                return
            except (EntityExists, EntityChanged):
                # Our own transaction took effect and its answer was lost, or another run has the message, or a sweeper or a
                # note on the timeline touched the row.
                current = await self.read(row.message, with_content=False)
                if current is None or current.ledger.claim_token != row.ledger.claim_token:
                    raise
                if current.facts.envelopes:
                    return
                if not left or not _same_claim(current, row):
                    raise
                etag = current.etag

    async def _stored(self, name: str, content: bytes, blob: str) -> dict[str, Value]:
        if len(content) <= INLINE_LIMIT:
            return chunks(name, content)
        await self._storage.content.put(blob, content)
        return {f"{name}Blob": blob}


def envelope_row(number: int) -> str:
    """The RowKey of an envelope; they count from 1."""
    return f"envelope:{number:03}"


def _same_claim(current: SpooledRow, held: SpooledRow) -> bool:
    """Whether a row is still that of the run that holds it, as it was read: its claim, and its attempt is not settled."""
    now, then = current.ledger, held.ledger
    return (now.claim_token, now.attempt) == (then.claim_token, then.attempt)
