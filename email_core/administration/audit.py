"""The audit log: every write of an administrator and every change that the service makes by itself, chained by hash.

One chain for each subscription, in table `audit`: PartitionKey is the subscription, RowKey counts down, so that the newest
entry comes first. Each entry holds the hash of the one before, so none can be changed or taken out unseen. An entry is written
before the change that it tells of: there may be an entry without its change, when storage failed in between, and never a change
without its entry.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from email_core import maillog
from email_core.administration.audit_entry import (
    FIRST_PREVIOUS,
    Entry,
    changes_text,
    cut,
    entry_of,
    hash_of,
    properties_of,
)
from email_core.auth.principal import Principal
from email_core.clock import Clock
from email_core.errors import EntityExists, StorageUnavailable
from email_core.management.envelope import timestamp
from email_core.storage import Tables, text_literal

AUDIT = "audit"

MOST_TRIES = 200  # writers of one chain that meet: each round one of them comes through
PAGE = 1000  # entries of one round trip
_LAST = 10**15 - 1  # a thousand entries a second for thirty thousand years

_valid_key = re.compile(r"[^/\\#?\x00-\x1f\x7f-\x9f]{1,200}")


@dataclass(frozen=True, slots=True)
class Change:
    """One write. `changes` maps a property's path to its value before and after, secrets as `(secret)`."""

    principal: Principal
    operation: str
    resource: str  # resource id
    request_id: str = ""
    changes: Mapping[str, tuple[object, object]] = field(default_factory=dict)
    outcome: str = "accepted"
    text: str = ""  # for people


@dataclass(frozen=True, slots=True)
class Break:
    """Where a chain doesn't hold: the first entry, counted from the oldest, that doesn't fit, and why."""

    sequence: int
    reason: str


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries, the newest first. `next` is the sequence number that the next page begins below, 0 at the end of the chain.

    `verified`: the hash of each entry that was looked at fits what it says, and each is the one that the entry after it names.
    """

    entries: Sequence[Entry]
    next: int
    verified: bool


class AuditLog:
    """Appends to the chains, and reads them. Every method raises StorageUnavailable."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock
        self._heads: dict[str, Entry] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def append(self, subscription: str, change: Change) -> None:
        """Write an entry. Raises StorageUnavailable: then the change itself must not be made."""
        chain = chain_key(subscription)
        lock = self._locks.setdefault(chain, asyncio.Lock())
        async with lock:  # those of this worker wait for each other, instead of meeting in storage
            await self._append(chain, change)

    async def _append(self, chain: str, change: Change) -> None:
        for _ in range(MOST_TRIES):
            # The head that was written last here does: has another worker gone on from it, the insert below meets its entry.
            head = self._heads.pop(chain, None) or await self._head(chain)
            entry = self._following(head, change)
            try:
                await self._tables.insert(
                    AUDIT, {"PartitionKey": chain, "RowKey": _row(entry.sequence), **properties_of(entry)}
                )
            except EntityExists:
                written = await self._tables.get(AUDIT, chain, _row(entry.sequence), select=("id",))
                # Else it met itself: the answer to the first try was lost.
                if written is None or written.values.get("id") != entry.id:
                    await asyncio.sleep(random.uniform(0.0, 0.02))  # noqa: S311 - so that those who met do not meet again
                    continue
            self._heads[chain] = entry
            maillog.audited(chain, sequence=entry.sequence, operation=entry.operation, hash=entry.hash)
            return
        raise StorageUnavailable(f"the audit log of {chain} has more writers than come through")

    def _following(self, head: Entry | None, change: Change) -> Entry:
        who = change.principal
        now = timestamp(self._clock.now())
        entry = Entry(
            sequence=head.sequence + 1 if head else 1,
            id=secrets.token_hex(16),
            # Never before the entry before it, whatever the clocks of the workers say: so times are in order as well.
            at=max(now, head.at) if head else now,
            principal_kind=who.kind.value,
            principal=cut(who.name or who.key_name),
            object_id=cut(who.object_id),
            tenant=cut(who.tenant),
            operation=cut(change.operation),
            resource=cut(change.resource),
            request_id=cut(change.request_id),
            changes=changes_text(change.changes),
            outcome=cut(change.outcome),
            text=cut(change.text),
            previous=head.hash if head else FIRST_PREVIOUS,
        )
        return entry.sealed()

    async def _head(self, chain: str) -> Entry | None:
        async with aclosing(self._entries(chain, page_size=1)) as entries:
            async for entry in entries:
                return entry
        return None

    async def page(
        self, subscription: str, *, most: int, below: int = 0, resource: str = "", since: str = "", until: str = ""
    ) -> AuditPage:
        """Entries of a subscription, the newest first, from those with a sequence number less than `below` on (0: all).

        `resource` is the beginning of a resource id; `since` and `until` are times as `envelope.timestamp` writes them. So many
        as `PAGE` are looked at: when narrowed down, a page may have fewer than `most`, or none, and a next one all the same.
        Storage itself narrows nothing down: for what few entries fit it would go through the whole chain in one request.
        """
        chain, looked = chain_key(subscription), 0
        shown: list[Entry] = []
        newer: Entry | None = None
        verified = True
        page_size = PAGE if resource or until else min(most + 1, PAGE)
        async with aclosing(self._entries(chain, below=below, page_size=page_size)) as rows:
            async for entry in rows:
                verified = verified and hash_of(entry) == entry.hash and (newer is None or _fits(entry, newer))
                if since and entry.at < since:
                    return AuditPage(shown, 0, verified)  # times are in order, so what follows is older as well
                if looked == PAGE or len(shown) == most:  # this one was read for the link to it alone
                    return AuditPage(shown, newer.sequence if newer else 0, verified)
                newer, looked = entry, looked + 1
                if _within(entry.resource, resource) and (not until or entry.at <= until):
                    shown.append(entry)
        return AuditPage(shown, 0, verified and (newer is None or _is_first(newer)))

    async def verify(self, subscription: str) -> Break | None:
        """The first entry of a chain that doesn't fit; None when all do, or there is none.

        That the newest entries were cut off shows in no entry: compare the head with what the mail log says of it.
        """
        newer: Entry | None = None
        broken: Break | None = None
        async with aclosing(self._entries(chain_key(subscription))) as entries:
            async for entry in entries:
                if newer is not None and newer.sequence != entry.sequence + 1:
                    broken = Break(newer.sequence, "the entry before it is missing")
                elif newer is not None and newer.previous != entry.hash:
                    broken = Break(newer.sequence, "the entry before it is not the one that it names")
                if hash_of(entry) != entry.hash:
                    broken = Break(entry.sequence, "its hash is not that of what it says")
                newer = entry
        if newer is not None and not _is_first(newer):
            return Break(newer.sequence, "the entries before it are missing")
        return broken

    async def _entries(self, chain: str, *, below: int = 0, page_size: int = PAGE) -> AsyncGenerator[Entry, None]:
        filters = [f"PartitionKey eq {text_literal(chain)}"]
        if below:
            filters.append(f"RowKey gt {text_literal(_row(below))}")
        async for row in self._tables.query(AUDIT, " and ".join(filters), page_size=page_size):
            key = str(row.values["RowKey"])
            yield entry_of(row.values, _LAST - int(key) if key.isdecimal() else 0)  # 0 fits nowhere


def chain_key(subscription: str) -> str:
    """The PartitionKey of a chain: the subscription in lower case, or a hash of what can't be a key."""
    key = subscription.lower()
    return key if _valid_key.fullmatch(key) else hashlib.sha256(key.encode(errors="replace")).hexdigest()


def _row(sequence: int) -> str:
    return f"{_LAST - sequence:015d}"


def _fits(older: Entry, newer: Entry) -> bool:
    return newer.sequence == older.sequence + 1 and newer.previous == older.hash


def _is_first(entry: Entry) -> bool:
    return entry.sequence == 1 and entry.previous == FIRST_PREVIOUS


def _within(resource: str, prefix: str) -> bool:
    target, wanted = resource.lower().rstrip("/"), prefix.lower().rstrip("/")
    return not wanted or target == wanted or target.startswith(f"{wanted}/")
