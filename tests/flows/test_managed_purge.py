"""Entries of the managed list come and go while others are at them: nothing is ever held back that the list does not show."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from email_core.message.address import Address, parse_address
from email_core.suppression import managed
from email_core.suppression.address_rows import AddressRow
from email_core.suppression.address_table import change_row, read_row, store_row
from email_core.suppression.leases import DAY, MEMORY, Bounce, is_held
from email_core.suppression.managed import ManagedList
from email_core.triggers import timers
from tests.kit.administration import Api
from tests.kit.suppression import hashed

pytestmark = pytest.mark.peers


def bounce(at: float) -> Bounce:
    return Bounce(f"service:{uuid.uuid4()}", 0, at, "invalid_recipient", "no-such-user", "550 5.1.1 no such user", "sub")


def somebody() -> Address:
    return parse_address(f"gone-{uuid.uuid4().hex[:12]}@fabrikam.test")


async def begun(api: Api, *, ago: float = 0.0) -> Address:
    """An address that bounced so many seconds ago."""
    address = somebody()
    await ManagedList(api.storage.tables).bounced(address, bounce(api.clock.now() - ago))
    return address


async def test_lease_that_ended_30_days_ago_is_purged_with_the_row_of_its_address_and_no_other(api: Api) -> None:
    tables, list_ = api.storage.tables, ManagedList(api.storage.tables)
    old = await begun(api, ago=DAY + MEMORY + 60)
    recent = await begun(api, ago=DAY + MEMORY - 60)
    listed = await begun(api, ago=DAY + MEMORY + 60)
    await change_row(tables, hashed(listed.key), lambda row: row.with_list("key", "one"))

    assert await list_.purge(api.clock.now()) >= 2  # those of other tests as well

    assert await list_.get(hashed(old.key)) is None
    assert (await read_row(tables, hashed(old.key))).etag == ""
    assert await list_.get(hashed(listed.key)) is None
    kept = await read_row(tables, hashed(listed.key))
    assert (kept.lists, kept.lease) == ({"key": "one"}, None)
    assert await list_.get(hashed(recent.key)) is not None
    assert (await read_row(tables, hashed(recent.key))).lease is not None


async def test_daily_timer_purges(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    old = await begun(api, ago=DAY + MEMORY + 60)
    caplog.set_level("INFO", logger="postrider")
    await timers.daily(api.services)
    assert await ManagedList(api.storage.tables).get(hashed(old.key)) is None
    assert "leases=" in caplog.text


async def test_lease_that_begins_anew_while_it_is_purged_stays_and_is_shown(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounce comes between the look of the purge and its deletions."""
    old = await begun(api, ago=DAY + MEMORY + 60)
    list_, met = ManagedList(api.storage.tables), False

    async def read_and_bounce(tables: Any, digest: str) -> AddressRow:
        nonlocal met
        row = await read_row(tables, digest)
        if digest == hashed(old.key) and not met:
            met = True
            await list_.bounced(old, bounce(api.clock.now()))
        return row

    monkeypatch.setattr(managed, "read_row", read_and_bounce)
    await list_.purge(api.clock.now())
    assert met
    entry = await list_.get(hashed(old.key))
    assert entry is not None and is_held(entry.lease, api.clock.now())
    assert (await read_row(api.storage.tables, hashed(old.key))).lease == entry.lease


async def test_entry_whose_lease_goes_on_is_not_purged_whatever_it_says_itself(api: Api) -> None:
    """Two bounces that met may have left an entry that is older than the lease."""
    tables, list_ = api.storage.tables, ManagedList(api.storage.tables)
    address = await begun(api, ago=DAY + MEMORY + 60)
    stale = await list_.get(hashed(address.key))
    assert stale is not None
    await list_.bounced(address, bounce(api.clock.now()))
    await list_._show(address, hashed(address.key), stale.lease)
    await list_.purge(api.clock.now())
    assert await list_.get(hashed(address.key)) is not None
    assert is_held((await read_row(tables, hashed(address.key))).lease, api.clock.now())


@pytest.mark.parametrize("lists", [False, True])
async def test_entry_that_is_taken_off_while_it_is_begun_holds_nothing_back_unseen(
    api: Api, monkeypatch: pytest.MonkeyPatch, lists: bool
) -> None:
    """The bounce has written its entry, and not yet its lease, when an administrator takes the entry off."""
    tables, list_, address, met = api.storage.tables, ManagedList(api.storage.tables), somebody(), False
    if lists:
        await change_row(tables, hashed(address.key), lambda row: row.with_list("key", "one"))

    async def remove_and_store(tables: Any, digest: str, before: AddressRow, after: AddressRow) -> None:
        nonlocal met
        if not met:
            met = True
            await list_.remove(digest)
        await store_row(tables, digest, before, after)

    monkeypatch.setattr(managed, "store_row", remove_and_store)
    await list_.bounced(address, bounce(api.clock.now()))
    held = is_held((await read_row(tables, hashed(address.key))).lease, api.clock.now())
    assert met
    assert not held or await list_.get(hashed(address.key)) is not None
