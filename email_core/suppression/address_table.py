"""Reading and changing the rows of addresses: by their ETag, and again when writers meet."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from email_core.errors import EntityChanged, EntityExists, EntityMissing
from email_core.storage import Tables
from email_core.suppression.address_rows import (
    ADDRESS_ROW,
    SUPPRESSIONS,
    AddressRow,
    decode_row,
    encode_row,
    partition_of,
)

AT_ONCE = 50  # reads or changes of one caller
MOST_TRIES = 60  # writers of one row that meet: each round one of them comes through

T = TypeVar("T")
R = TypeVar("R")


async def read_row(tables: Tables, digest: str) -> AddressRow:
    """The row of an address: one point read."""
    return decode_row(await tables.get(SUPPRESSIONS, partition_of(digest), ADDRESS_ROW))


async def look_up(tables: Tables, digests: Iterable[str]) -> dict[str, AddressRow]:
    """The rows of addresses: a point read for each. Raises StorageUnavailable: then nothing is known."""
    wanted = list(dict.fromkeys(digests))
    return dict(zip(wanted, await for_each(lambda digest: read_row(tables, digest), wanted), strict=True))


async def for_each(work: Callable[[T], Awaitable[R]], items: Iterable[T]) -> list[R]:
    """Do something with each item, `AT_ONCE` of them at once; what came of each, in their order."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(item: T) -> R:
        async with places:
            return await work(item)

    return await asyncio.gather(*map(one, items))


async def store_row(tables: Tables, digest: str, before: AddressRow, after: AddressRow) -> None:
    """Write a row in place of the one that was read. Raises EntityChanged when somebody else was there first.

    Its own effect, whose answer was lost, raises it as well: whoever reads the row again finds it as wanted. Raises
    StorageLimit when more lists hold the address than a row has room for, which is some fifteen thousand.
    """
    partition = partition_of(digest)
    try:
        if before.etag:
            await tables.merge(SUPPRESSIONS, partition, ADDRESS_ROW, encode_row(after), etag=before.etag)
        else:
            await tables.insert(SUPPRESSIONS, {"PartitionKey": partition, "RowKey": ADDRESS_ROW, **encode_row(after)})
    except (EntityExists, EntityMissing) as error:
        raise EntityChanged(digest) from error


async def change_row(tables: Tables, digest: str, make: Callable[[AddressRow], AddressRow | None]) -> AddressRow:
    """Change a row as `make` says of it, which is called again when writers meet; None: leave it as it is.

    Returns the row as it is then. Raises EntityChanged when there is no end of other writers.
    """
    for _ in range(MOST_TRIES):
        before = await read_row(tables, digest)
        after = make(before)
        if after is None:
            return before
        try:
            await store_row(tables, digest, before, after)
            return after
        except EntityChanged:
            await pause()
    raise EntityChanged(f"the row of address {digest} met too many other writers")


async def pause() -> None:
    """A short, random time, so that those who met once do not meet again."""
    await asyncio.sleep(random.uniform(0.0, 0.05))  # noqa: S311
