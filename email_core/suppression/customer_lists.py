"""Customer lists: the addresses of each, for people, and what sending asks, kept in step.

An address of a list is two rows: one of the list, with everything about it, and the row of the address, which alone counts when
mail is sent. There is no transaction over both, so the order sees to it that nobody is suppressed by a list that does not show
it: the row of the list is written first and deleted last. What a crash leaves is shown and does not count, until the same PUT
or DELETE is repeated. Writers who meet find out by ETags: whoever takes an address off a list changes its row even when that
list is not in it, so that a PUT on its way, which read the row before, begins anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import cast

from email_core.errors import EntityChanged, EntityExists, EntityMissing
from email_core.message.address import parse_address
from email_core.storage import Delete, Entity, StoredEntity, Tables, text_literal
from email_core.suppression.address_rows import SUPPRESSIONS, AddressRow, digest
from email_core.suppression.address_table import MOST_TRIES, change_row, for_each, pause, read_row, store_row

PAGE = 1000  # entities of one round trip
BATCH = 100  # operations of a transaction

_TEXTS = {
    "id": "addressId", "email": "email", "first_name": "firstName", "last_name": "lastName", "notes": "notes",
    "created_by": "createdBy", "created_by_type": "createdByType",
    "modified_by": "lastModifiedBy", "modified_by_type": "lastModifiedByType",
}  # fmt: skip
_TIMES = {"created_at": "createdAt", "modified_at": "lastModifiedAt"}


class AddressHeld(Exception):
    """A list holds an e-mail address under another id already. `args[0]`: that id."""


@dataclass(frozen=True, slots=True)
class ListedAddress:
    """An address of a list. `email` is as it was given; times are in seconds since the epoch."""

    id: str
    email: str
    first_name: str = ""
    last_name: str = ""
    notes: str = ""
    created_at: float = 0.0
    created_by: str = ""
    created_by_type: str = ""
    modified_at: float = 0.0
    modified_by: str = ""
    modified_by_type: str = ""
    etag: str = field(default="", compare=False)

    @property
    def row(self) -> str:
        """RowKey: ids are compared without case."""
        return self.id.lower()

    @property
    def digest(self) -> str:
        """The hash of the address, which names its own row."""
        return digest(parse_address(self.email))


class CustomerLists:
    """Reads and changes the addresses of lists, which their key names. Every method raises StorageUnavailable, and those that
    write raise EntityChanged when other writers never end, and StorageLimit when too many lists hold an address."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def get(self, key: str, address_id: str) -> ListedAddress | None:
        """An address by its id."""
        entity = await self._tables.get(SUPPRESSIONS, partition_of_list(key), address_id.lower())
        return None if entity is None else _listed(entity)

    async def addresses(self, key: str, *, after: str = "", page_size: int = PAGE) -> AsyncIterator[ListedAddress]:
        """The addresses of a list in the order of their ids, from behind the row `after` on."""
        where = f"PartitionKey eq {text_literal(partition_of_list(key))}"
        if after:
            where += f" and RowKey gt {text_literal(after)}"
        async for entity in self._tables.query(SUPPRESSIONS, where, page_size=page_size):
            yield _listed(entity)

    async def holder(self, key: str, hashed: str) -> ListedAddress | None:
        """The address that a list holds by its hash."""
        held = (await read_row(self._tables, hashed)).lists.get(key)
        listed = await self.get(key, held) if held else None
        return listed if listed is not None and listed.digest == hashed else None

    async def put(
        self, key: str, address_id: str, make: Callable[[ListedAddress | None], Awaitable[ListedAddress]]
    ) -> tuple[ListedAddress, bool]:
        """Add an address, or change it, as `make` says of what is there; what is there then, and whether it is new.

        `make` may be called again when writers meet. Raises AddressHeld when the list has its e-mail under another id.
        """
        original: ListedAddress | None = None
        wanted: ListedAddress | None = None
        for _ in range(MOST_TRIES):
            before = await self.get(key, address_id)
            if wanted is None or before != wanted:
                original, wanted = before, await make(before)
            try:
                return await self._stored(key, before, wanted), original is None
            except AddressHeld:
                if before == wanted:
                    await self._undo(key, before, original)  # two PUTs of one e-mail met, and the other one was faster
                raise
            except (EntityChanged, EntityExists, EntityMissing):
                await pause()
        raise EntityChanged(f"address {address_id} of list {key} met too many other writers")

    async def delete(self, key: str, address_id: str, agree: Callable[[ListedAddress], Awaitable[None]]) -> bool:
        """Take an address off a list; False when it is not there. `agree` is asked before, and raises what forbids it."""
        for _ in range(MOST_TRIES):
            before = await self.get(key, address_id)
            if before is None:
                return False
            await agree(before)
            await self._release(key, before)
            try:
                await self._tables.delete(SUPPRESSIONS, partition_of_list(key), before.row, etag=before.etag)
                return True
            except EntityChanged:
                await pause()
        raise EntityChanged(f"address {address_id} of list {key} met too many other writers")

    async def _stored(self, key: str, before: ListedAddress | None, wanted: ListedAddress) -> ListedAddress:
        hashed = wanted.digest
        row = await read_row(self._tables, hashed)
        held = row.lists.get(key)
        if held not in (None, wanted.row):
            other = await self.get(key, str(held))
            if other is not None and other.digest == hashed:
                raise AddressHeld(other.id)
        if before is not None and before.digest != hashed:
            await self._release(key, before)
        stored = before
        # Also as it is already, when it does not count yet: a DELETE that has read it must not go through after it counts.
        if stored is None or stored != wanted or held != wanted.row:
            stored = replace(wanted, etag=await self._write(key, before, wanted))
        if held != wanted.row:
            await store_row(self._tables, hashed, row, row.with_list(key, wanted.row))
        return stored

    async def _write(self, key: str, before: ListedAddress | None, wanted: ListedAddress) -> str:
        entity = entity_of(key, wanted)
        if before is None:
            return await self._tables.insert(SUPPRESSIONS, entity)
        keys = (str(entity["PartitionKey"]), str(entity["RowKey"]))
        return await self._tables.merge(SUPPRESSIONS, *keys, entity, etag=before.etag)

    async def _release(self, key: str, listed: ListedAddress) -> None:
        await change_row(self._tables, listed.digest, lambda row: row.without_list(key, listed.row))

    async def _undo(self, key: str, written: ListedAddress | None, original: ListedAddress | None) -> None:
        if written is None:
            return
        try:
            if original is None:
                await self._tables.delete(SUPPRESSIONS, partition_of_list(key), written.row, etag=written.etag)
                return
            await self._write(key, written, original)
        except (EntityChanged, EntityMissing):
            return  # somebody went on from there
        await change_row(self._tables, original.digest, lambda row: row.with_list(key, original.row))


async def delete_list(tables: Tables, list_key: str) -> None:
    """Delete all addresses of a list that takes no more. Raises StorageUnavailable: the next call deletes what is left."""

    async def release(listed: ListedAddress) -> None:
        def make(row: AddressRow) -> AddressRow | None:
            return row.without_list(list_key, listed.row) if row.lists.get(list_key) == listed.row else None

        await change_row(tables, listed.digest, make)

    async def delete(batch: Sequence[ListedAddress]) -> None:
        with contextlib.suppress(EntityMissing):  # another call deletes as well: who is left comes with the next page
            await tables.transact(SUPPRESSIONS, [Delete(partition_of_list(list_key), listed.row) for listed in batch])

    while page := [listed async for listed in _first_page(tables, list_key)]:
        await for_each(release, page)
        await for_each(delete, [page[start : start + BATCH] for start in range(0, len(page), BATCH)])


async def _first_page(tables: Tables, list_key: str) -> AsyncIterator[ListedAddress]:
    addresses = CustomerLists(tables).addresses(list_key)
    async with aclosing(cast(AsyncGenerator[ListedAddress, None], addresses)) as following:
        left = PAGE
        async for listed in following:
            yield listed
            left -= 1
            if not left:
                return


def partition_of_list(key: str) -> str:
    """PartitionKey of the addresses of a list."""
    return f"list:{key}"


def entity_of(key: str, listed: ListedAddress) -> Entity:
    """The row of an address of a list."""
    values = {name: getattr(listed, attribute) for attribute, name in (*_TEXTS.items(), *_TIMES.items())}
    return {"PartitionKey": partition_of_list(key), "RowKey": listed.row, **values}


def _listed(entity: StoredEntity) -> ListedAddress:
    values = entity.values
    texts = {attribute: str(values.get(name, "")) for attribute, name in _TEXTS.items()}
    times = {attribute: float(values.get(name, 0.0)) for attribute, name in _TIMES.items()}
    return ListedAddress(**texts, **times, etag=entity.etag)  # type: ignore[arg-type]
