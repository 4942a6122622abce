"""Taking many addresses into a customer list at once: rows of the list in batches, rows of addresses side by side.

The ids of new addresses are derived from list and address, so that the same import again changes nothing. Where another writer
is met, or what a crash left, an address is put as if it came alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from email_core.errors import EntityChanged, EntityExists, EntityMissing
from email_core.storage import Insert, Merge, Operation, Tables
from email_core.suppression.address_rows import SUPPRESSIONS, AddressRow, digest
from email_core.suppression.address_table import for_each, look_up, store_row
from email_core.suppression.csv_file import CsvRow
from email_core.suppression.customer_lists import BATCH, AddressHeld, CustomerLists, ListedAddress, entity_of

CHUNK = 500  # addresses that are read before they are written
_ADDRESSES = uuid.UUID("c7a1f6de-5b1d-4f0a-9c54-1f3f3a0e8d27")  # namespace of derived ids


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who imports, and when (seconds since the epoch)."""

    at: float
    by: str
    by_type: str


class Imported(NamedTuple):
    """How many rows of a file were new, changed what was there, and changed nothing."""

    imported: int = 0
    updated: int = 0
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An address as it is and as it shall be. `before` is None when the list does not have it."""

    digest: str
    row: AddressRow
    before: ListedAddress | None
    after: ListedAddress


def derived_id(key: str, hashed: str, number: int = 0) -> str:
    """The id of an imported address; the next number when another address has it."""
    return str(uuid.uuid5(_ADDRESSES, f"{key}:{hashed}" + (f":{number}" if number else "")))


async def take_in(tables: Tables, key: str, rows: Sequence[CsvRow], stamp: Stamp) -> Imported:
    """Add the rows to a list, and change what is there already. A row counts as if it had come alone, in the order of the file.

    Raises what CustomerLists raises; the same import again then does what is left.
    """
    by_address: dict[str, list[CsvRow]] = {}
    for row in rows:
        by_address.setdefault(digest(row.address), []).append(row)
    counts = [0, 0, 0]
    digests = list(by_address)
    for start in range(0, len(digests), CHUNK):
        chunk = {hashed: by_address[hashed] for hashed in digests[start : start + CHUNK]}
        for count, more in enumerate(await _take_in(tables, key, chunk, stamp)):
            counts[count] += more
    return Imported(*counts)


async def _take_in(tables: Tables, key: str, chunk: dict[str, list[CsvRow]], stamp: Stamp) -> Imported:
    lists = CustomerLists(tables)
    known = await look_up(tables, chunk)

    async def listed(hashed: str) -> ListedAddress | None:
        held = known[hashed].lists.get(key)
        found = await lists.get(key, held) if held else None
        return found if found is not None and found.digest == hashed else None

    before = dict(zip(chunk, await for_each(listed, chunk), strict=True))
    counts, wanted = [0, 0, 0], []
    for hashed, rows in chunk.items():
        state = before[hashed]
        for row in rows:
            after = _applied(key, hashed, state, row, stamp)
            counts[0 if state is None else 2 if after == state else 1] += 1
            state = after
        if state is not None and state != before[hashed]:
            wanted.append(_Wanted(hashed, known[hashed], before[hashed], state))
    batches = [wanted[start : start + BATCH] for start in range(0, len(wanted), BATCH)]
    written = await for_each(lambda batch: _write(tables, key, batch), batches)
    alone = [each for batch, done in zip(batches, written, strict=True) if not done for each in batch]
    new = [each for batch, done in zip(batches, written, strict=True) if done for each in batch if each.before is None]
    noted = await for_each(lambda each: _note(tables, key, each), new)
    alone += [each for each, done in zip(new, noted, strict=True) if not done]
    await for_each(lambda each: _put(lists, key, each), alone)
    return Imported(*counts)


async def _write(tables: Tables, key: str, batch: Sequence[_Wanted]) -> bool:
    """Write rows of the list; False when somebody else was there, and nothing was written."""
    operations: list[Operation] = []
    for each in batch:
        entity = entity_of(key, each.after)
        if each.before is None:
            operations.append(Insert(entity))
        else:
            place = (str(entity["PartitionKey"]), str(entity["RowKey"]))
            operations.append(Merge(*place, entity, each.before.etag))
    try:
        await tables.transact(SUPPRESSIONS, operations)
    except (EntityExists, EntityChanged, EntityMissing):
        return False
    return True


async def _note(tables: Tables, key: str, each: _Wanted) -> bool:
    """Let an address that is in the list count; False when its row was changed meanwhile."""
    try:
        await store_row(tables, each.digest, each.row, each.row.with_list(key, each.after.row))
    except EntityChanged:
        return False
    return True


async def _put(lists: CustomerLists, key: str, each: _Wanted) -> None:
    """Put an address alone, under the id that it has or under one that is free."""
    wanted = each.after

    async def make(before: ListedAddress | None) -> ListedAddress:
        if before is None:
            return wanted
        return replace(
            wanted, id=before.id, created_at=before.created_at, created_by=before.created_by,
            created_by_type=before.created_by_type,
        )  # fmt: skip

    number = 0
    while True:
        held = await lists.holder(key, each.digest)
        address_id = held.id if held else derived_id(key, each.digest, number)
        taken = None if held else await lists.get(key, address_id)
        if taken is not None and taken.digest != each.digest:
            number += 1
            continue
        wanted = replace(wanted, id=address_id)
        try:
            await lists.put(key, address_id, make)
            return
        except AddressHeld:
            continue  # somebody else has just put it, under another id


def _applied(key: str, hashed: str, state: ListedAddress | None, row: CsvRow, stamp: Stamp) -> ListedAddress:
    """What a row makes of an address."""
    before = state or ListedAddress(
        id=derived_id(key, hashed), email="", created_at=stamp.at, created_by=stamp.by, created_by_type=stamp.by_type
    )
    after = replace(
        before,
        email=row.email,
        first_name=before.first_name if row.first_name is None else row.first_name,
        last_name=before.last_name if row.last_name is None else row.last_name,
        notes=before.notes if row.notes is None else row.notes,
    )
    if after == before:
        return before
    return replace(after, modified_at=stamp.at, modified_by=stamp.by, modified_by_type=stamp.by_type)
