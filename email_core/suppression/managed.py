"""The managed list: addresses that bounced, for the whole installation, with a lease for each.

What counts is the lease in the row of the address. Beside it, for people, each lease has a row under `managed:` and the first
digit of its hash, with all the facts. That one is written first, and deleted last, so that nothing is held back unseen.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from email_core.errors import EntityChanged
from email_core.message.address import Address
from email_core.storage import StoredEntity, Tables, text_literal
from email_core.suppression.address_rows import (
    ADDRESS_ROW,
    SUPPRESSIONS,
    AddressRow,
    Lease,
    decode_lease,
    digest,
    encode_lease,
    partition_of,
)
from email_core.suppression.address_table import MOST_TRIES, change_row, for_each, pause, read_row, store_row
from email_core.suppression.complaints import Complaint, complained
from email_core.suppression.leases import MEMORY, Bounce, bounced, withheld

PREFIX = "managed:"

_PAGE = 1000  # entities of one round trip
_entries = f"PartitionKey ge {text_literal(PREFIX)} and PartitionKey lt {text_literal(PREFIX[:-1] + ';')}"  # ";" after ":"


@dataclass(frozen=True, slots=True)
class ManagedEntry:
    """An entry of the managed list as people see it: the normalised address, its hash, and the lease."""

    digest: str
    address: str
    lease: Lease
    etag: str = ""

    @property
    def place(self) -> tuple[str, str]:
        """PartitionKey and RowKey: what a page goes on behind."""
        return _place(self.digest)


class ManagedList:
    """Reads and changes the managed list. Every method raises StorageUnavailable; EntityChanged when writers never end."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def bounced(self, address: Address, bounce: Bounce) -> Lease | None:
        """Note a bounce that says that the address takes no mail; the lease as it is then."""
        return await self._change(address, lambda lease: bounced(lease, bounce))

    async def complained(self, address: Address, complaint: Complaint) -> Lease | None:
        """Note that a recipient complained; the lease as it is then."""
        return await self._change(address, lambda lease: complained(lease, complaint))

    async def withheld(self, address: Address, message: str, now: float) -> Lease | None:
        """Note that a message to the address was held back; the lease as it is then, None when somebody took it off."""
        return await self._change(address, lambda lease: None if lease is None else withheld(lease, message, now))

    async def get(self, digest: str) -> ManagedEntry | None:
        """An entry by the hash of its address."""
        row = await self._tables.get(SUPPRESSIONS, *_place(digest))
        return None if row is None else _entry(row)

    async def remove(self, digest: str) -> ManagedEntry | None:
        """Take an address off the list, and forget its bounces; what the entry was, None when there is none.

        The row of the address is changed even when it has no lease: a bounce on its way, which has written its entry and read
        the row before, begins anew. Else its lease would hold mail back after its entry is gone.
        """
        entry = await self.get(digest)
        await change_row(self._tables, digest, lambda row: AddressRow(row.lists) if row.lease or entry else None)
        if entry is None:
            return None
        with contextlib.suppress(EntityChanged):  # it bounced again meanwhile: the row that is there now is right
            await self._tables.delete(SUPPRESSIONS, *entry.place, etag=entry.etag)
        return entry

    async def entries(
        self, *, now: float, subscription: str = "", after: tuple[str, str] = ("", ""), page_size: int = 1000
    ) -> AsyncIterator[ManagedEntry]:
        """The entries whose lease lasts, in the order of their places from behind `after` on.

        With a `subscription` only those that a bounce of its own mail began.
        """
        where = f"{_entries} and until gt {now:.3f}"
        if subscription:
            where += f" and subscription eq {text_literal(subscription.lower())}"
        if after[0]:
            partition, row = (text_literal(key) for key in after)
            where += f" and (PartitionKey gt {partition} or (PartitionKey eq {partition} and RowKey gt {row}))"
        async for entity in self._tables.query(SUPPRESSIONS, where, page_size=page_size):
            yield _entry(entity)

    async def purge(self, now: float) -> int:
        """Remove the entries whose lease ended so long before `now` that bounces of then count no more; how many.

        For the daily timer. What it leaves, since it was interrupted or met a bounce, it finds again the next day.
        """
        before, count = now - MEMORY, 0
        where = f"{_entries} and until lt {before:.3f}"
        ended: list[ManagedEntry] = []
        async for entity in self._tables.query(SUPPRESSIONS, where, page_size=_PAGE):
            ended.append(_entry(entity))
            if len(ended) == _PAGE:
                count += sum(await for_each(lambda entry: self._forget(entry, before), ended))
                ended = []
        return count + sum(await for_each(lambda entry: self._forget(entry, before), ended))

    async def _forget(self, entry: ManagedEntry, before: float) -> bool:
        """Remove an entry with its lease, and the row of the address when that holds nothing else; whether it is gone.

        Whoever writes a lease writes its entry before, and then the row by its ETag: who meets this begins anew with both, or
        has changed one of the two that are named here. The row has been there for as long as the lease, so that nobody is on
        the way who found none and would add it.
        """
        row = await read_row(self._tables, entry.digest)
        if row.lease is not None and max(row.lease.until, row.lease.last_seen) >= before:
            return False
        try:
            if row.lease is not None and row.lists:
                await store_row(self._tables, entry.digest, row, AddressRow(row.lists))
            elif row.lease is not None:
                await self._tables.delete(SUPPRESSIONS, partition_of(entry.digest), ADDRESS_ROW, etag=row.etag)
            await self._tables.delete(SUPPRESSIONS, *entry.place, etag=entry.etag)
        except EntityChanged:
            return False
        return True

    async def _change(self, address: Address, make: Callable[[Lease | None], Lease | None]) -> Lease | None:
        hashed = digest(address)
        for _ in range(MOST_TRIES):
            before = await read_row(self._tables, hashed)
            lease = make(before.lease)
            if lease is None:
                return before.lease
            if lease.until:
                await self._show(address, hashed, lease)
            try:
                await store_row(self._tables, hashed, before, AddressRow(before.lists, lease))
                return lease
            except EntityChanged:
                await pause()
        raise EntityChanged(f"the lease of address {hashed} met too many other writers")

    async def _show(self, address: Address, hashed: str, lease: Lease) -> None:
        partition, row = _place(hashed)
        await self._tables.upsert(
            SUPPRESSIONS,
            {
                "PartitionKey": partition,
                "RowKey": row,
                "address": address.key,
                "until": lease.until,
                "subscription": lease.subscription.lower(),
                "lease": encode_lease(lease),
            },
        )


def _place(digest: str) -> tuple[str, str]:
    return f"{PREFIX}{digest[:1]}", digest


def _entry(entity: StoredEntity) -> ManagedEntry:
    values = entity.values
    stored = values["lease"]
    lease = decode_lease(stored if isinstance(stored, bytes) else b"")
    return ManagedEntry(str(values["RowKey"]), str(values["address"]), lease, entity.etag)
