"""The audit log: who did what, in one chain, with writers that meet and with somebody who changes what was written."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from email_core.administration.audit import AUDIT, AuditLog, Break, Change
from email_core.auth.principal import SYSTEM, Grant, PrincipalKind, Role
from email_core.errors import StorageUnavailable
from email_core.management.envelope import timestamp
from email_core.storage import Storage, Tables
from tests.kit.administration import Api, Reply
from tests.kit.clock import FakeClock

pytestmark = pytest.mark.peers

RESOURCE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Communication/emailServices/mail"


@dataclass
class Log:
    """A chain of the test's own."""

    storage: Storage
    clock: FakeClock
    log: AuditLog
    chain: str

    def worker(self) -> AuditLog:
        """The log as another worker has it."""
        return AuditLog(self.storage.tables, self.clock)

    async def append(self, text: str = "", **fields: Any) -> None:
        await self.log.append(self.chain, Change(SYSTEM, "Test", fields.pop("resource", RESOURCE), text=text, **fields))

    async def row(self, sequence: int) -> str:
        """The RowKey of an entry."""
        rows = [row.values async for row in self.storage.tables.query(AUDIT, f"PartitionKey eq '{self.chain}'")]
        return str(next(row["RowKey"] for row in rows if row["sequence"] == sequence))

    async def tamper(self, sequence: int, **changes: str) -> None:
        await self.storage.tables.merge(AUDIT, self.chain, await self.row(sequence), changes, etag="*")

    async def texts(self) -> list[str]:
        return [entry.text for entry in (await self.log.page(self.chain, most=1000)).entries]


@pytest.fixture
async def log(api: Api) -> AsyncIterator[Log]:
    clock = FakeClock()
    yield Log(api.storage, clock, AuditLog(api.storage.tables, clock), str(uuid.uuid4()))


async def test_entries_are_read_newest_first_in_one_chain(log: Log) -> None:
    for number in range(5):
        await log.append(f"entry {number}")
        log.clock.advance(1)
    page = await log.log.page(log.chain, most=10)
    assert [entry.text for entry in page.entries] == [f"entry {number}" for number in (4, 3, 2, 1, 0)]
    assert [entry.sequence for entry in page.entries] == [5, 4, 3, 2, 1]
    assert (page.verified, page.next) == (True, 0)
    assert await log.log.verify(log.chain) is None


async def test_entry_costs_one_round_trip_once_the_head_is_known(log: Log) -> None:
    await log.append()
    log.storage.round_trips.clear()
    for _ in range(3):
        await log.append()
    assert log.storage.round_trips == Counter({"tables.insert": 3})


async def test_fifty_entries_at_once_by_several_workers_are_one_chain(log: Log) -> None:
    workers = [log.worker() for _ in range(5)]

    async def append(number: int) -> None:
        change = Change(SYSTEM, "Test", RESOURCE, text=str(number))
        await workers[number % len(workers)].append(log.chain, change)

    await asyncio.gather(*(append(number) for number in range(50)))
    page = await log.log.page(log.chain, most=100)
    assert sorted(int(entry.text) for entry in page.entries) == list(range(50))
    assert [entry.sequence for entry in page.entries] == list(range(50, 0, -1))
    assert page.verified
    assert await log.log.verify(log.chain) is None


async def test_entry_of_which_the_answer_was_lost_is_written_once(log: Log) -> None:
    """The transport repeats an insert whose answer it did not get, and meets its own effect."""
    insert = Tables.insert

    async def twice(self: Tables, table: str, entity: Any) -> str:
        await insert(self, table, entity)
        return await insert(self, table, entity)

    await log.append("before")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tables, "insert", twice)
        await log.append("lost answer")
    await log.append("after")
    assert await log.texts() == ["after", "lost answer", "before"]
    assert await log.log.verify(log.chain) is None


async def test_entry_of_which_the_answer_was_lost_is_written_once_though_others_went_on(log: Log) -> None:
    insert, other = Tables.insert, log.worker()

    async def twice(self: Tables, table: str, entity: Any) -> str:
        await insert(self, table, entity)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Tables, "insert", insert)
            await other.append(log.chain, Change(SYSTEM, "Test", RESOURCE, text="another worker's"))
        return await insert(self, table, entity)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tables, "insert", twice)
        await log.append("lost answer")
    await log.append("after")
    assert await log.texts() == ["after", "another worker's", "lost answer"]
    assert await log.log.verify(log.chain) is None


async def test_page_looks_at_so_many_entries_and_no_more_whatever_it_is_narrowed_to(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or one request of a reader would go through a chain of any length."""
    monkeypatch.setattr("email_core.administration.audit.PAGE", 3)
    begin = log.clock.now()
    for number in range(7):
        await log.append(str(number))
        log.clock.advance(1)
    below, found, pages = 0, [], 0
    while pages == 0 or below:
        log.storage.round_trips.clear()
        page = await log.log.page(log.chain, most=2, below=below, until=timestamp(begin + 1))
        assert page.verified and log.storage.round_trips["tables.query"] <= 2
        below, pages = page.next, pages + 1
        found += [entry.text for entry in page.entries]
    assert (found, pages) == (["1", "0"], 3)


async def test_entry_that_could_not_be_stored_stops_the_change_and_leaves_the_chain_whole(log: Log) -> None:
    async def away(*_: object, **__: object) -> str:
        raise StorageUnavailable("the table service does not answer")

    await log.append("before")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tables, "insert", away)
        with pytest.raises(StorageUnavailable):
            await log.append("lost")
    await log.append("after")
    assert await log.texts() == ["after", "before"]
    assert await log.log.verify(log.chain) is None


async def test_entry_of_a_worker_whose_clock_is_behind_keeps_times_in_order(log: Log) -> None:
    await log.append()
    log.clock.jump(-300)
    await log.append()
    newer, older = (await log.log.page(log.chain, most=10)).entries
    assert newer.at == older.at


async def test_entries_beyond_the_limits_of_storage_are_cut_and_marked(log: Log) -> None:
    changes: dict[str, tuple[object, object]] = {
        "tags": ({}, {f"name{number}": "ü" * 256 for number in range(50)}),
        "long": ("x" * 100_000, "\ud800 half"),
        "list": (None, [b"bytes", 1.5, {"a": {"b": SYSTEM.kind}}]),
        **{f"property{number}": (None, "y" * 1000) for number in range(500)},
    }
    await log.append("z" * 100_000, changes=changes, resource="/" + "r" * 10_000, request_id="a\nb\x00c")
    [entry] = (await log.log.page(log.chain, most=1)).entries
    assert "(100000 characters)" in entry.text and len(entry.text) < 3000
    assert entry.request_id == "a\nb?c"
    assert len(entry.changes) <= 24_000 and "more properties" in entry.changes
    assert await log.log.verify(log.chain) is None


@pytest.mark.parametrize("chain", ["", "a/b?c#d\\e", "x" * 2000, "tab\there"])
async def test_chain_of_what_is_no_key_has_a_key_all_the_same(log: Log, chain: str) -> None:
    log.chain = f"{chain}{uuid.uuid4()}" if chain else chain
    await log.append("entry")
    assert "entry" in await log.texts()


async def test_chain_in_another_case_is_the_same(log: Log) -> None:
    await log.append("first")
    log.chain = log.chain.upper()
    await log.append("second")
    assert await log.texts() == ["second", "first"]


@pytest.mark.parametrize(
    "change",
    [
        {"text": "another"},
        {"principal": "somebody else"},
        {"at": "2020-01-01T00:00:00.000000Z"},
        {"changes": "{}"},
        {"hash": "0" * 64},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_entry_that_was_changed_is_the_first_that_does_not_fit(log: Log, change: dict[str, str]) -> None:
    for number in range(6):
        await log.append(f"entry {number}", changes={"a": (1, 2)})
    await log.tamper(3, **change)
    broken = await log.log.verify(log.chain)
    assert broken is not None and broken.sequence == 3
    assert not (await log.log.page(log.chain, most=10)).verified


async def test_entry_that_was_changed_with_its_hash_is_found_by_the_next_one(log: Log) -> None:
    for number in range(4):
        await log.append(f"entry {number}")
    changed = next(entry for entry in (await log.log.page(log.chain, most=10)).entries if entry.sequence == 2)
    await log.tamper(2, text="another", hash=replace(changed, text="another").sealed().hash)
    assert await log.log.verify(log.chain) == Break(3, "the entry before it is not the one that it names")
    assert not (await log.log.page(log.chain, most=10)).verified


@pytest.mark.parametrize(
    ("sequence", "broken"),
    [
        (1, Break(2, "the entries before it are missing")),
        (3, Break(4, "the entry before it is missing")),
    ],
    ids=["first", "middle"],
)
async def test_entry_that_was_taken_out_is_missed(log: Log, sequence: int, broken: Break) -> None:
    for number in range(5):
        await log.append(f"entry {number}")
    await log.storage.tables.delete(AUDIT, log.chain, await log.row(sequence))
    assert await log.log.verify(log.chain) == broken
    assert not (await log.log.page(log.chain, most=10)).verified


async def test_head_is_told_to_the_mail_log_so_that_a_cut_off_end_shows(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "postrider")
    await log.append("entry")
    [entry] = (await log.log.page(log.chain, most=1)).entries
    assert f"audited chain={log.chain} sequence=1 operation=Test hash={entry.hash}" in caplog.messages


# --- through the API --------------------------------------------------------------------------------------------------


async def events(api: Api, **query: str) -> Reply:
    path = f"/subscriptions/{api.subscription}/providers/Microsoft.Communication/auditEvents"
    return await api.get(path, query=query)


async def test_events_of_a_write_say_who_what_and_when(api: Api) -> None:
    ann = api.as_(Grant(Role.ADMIN), kind=PrincipalKind.USER, name="ann@contoso.test")
    made = await ann.put("emailServices/mail", {"location": "global", "properties": {"dataLocation": "Europe"}})
    await ann.patch("emailServices/mail", {"tags": {"a": "b"}})
    answer = await events(api)
    assert (answer.status, answer.body["verified"]) == (200, True)
    changed, created = [event["properties"] for event in answer.body["value"]]
    assert (created["operationName"], created["caller"], created["callerKind"]) == (
        "EmailServices_CreateOrUpdate", "ann@contoso.test", "user",
    )  # fmt: skip
    assert created["resourceId"] == made.body["id"]
    assert created["requestId"] == made.headers["x-ms-request-id"]
    assert created["changes"]["data_location"]["after"] == "Europe"
    assert changed["changes"] == {"tags": {"before": {}, "after": {"a": "b"}}}
    assert (changed["sequence"], changed["previousHash"]) == (2, created["hash"])


async def test_events_come_in_pages_that_are_verified_each(api: Api) -> None:
    for number in range(7):
        await api.email_service(f"mail{number}")
    answer, found = await events(api, **{"$top": "3"}), []
    while True:
        assert answer.body["verified"]
        assert len(answer.body["value"]) <= 3
        found += [event["properties"]["sequence"] for event in answer.body["value"]]
        link = answer.body.get("nextLink", "")
        if not link:
            break
        answer = await api.get(link.partition("postrider.test")[2])
    assert found == [7, 6, 5, 4, 3, 2, 1]


async def test_events_after_somebody_changed_one_are_not_verified(api: Api) -> None:
    for number in range(3):
        await api.email_service(f"mail{number}")
    rows = [row.values async for row in api.storage.tables.query(AUDIT, f"PartitionKey eq '{api.subscription}'")]
    await api.storage.tables.merge(AUDIT, api.subscription, str(rows[1]["RowKey"]), {"principal": "nobody"}, etag="*")
    assert (await events(api)).body["verified"] is False
    assert (await events(api, **{"$top": "1"})).body["verified"] is False  # the entry that the page ends at names it
    assert [(await api.admin.audit.verify(api.subscription))] == [Break(2, "its hash is not that of what it says")]


async def test_events_are_narrowed_by_resource_and_time(api: Api) -> None:
    times = []
    for name in ("mail", "mail2", "other"):
        times.append(api.clock.now())
        await api.email_service(name)
        api.clock.advance(60)
    await api.put("emailServices/mail", {"location": "global", "properties": {"dataLocation": "Europe"}, "tags": {"a": "b"}})

    async def names(**query: str) -> list[str]:
        answer = await events(api, **query)
        assert (answer.status, answer.body["verified"]) == (200, True), answer.body
        return [event["properties"]["resourceId"].rpartition("/")[2] for event in answer.body["value"]]

    assert await names(resourceId=f"{api.base}/emailServices/MAIL/") == ["mail", "mail"]
    assert await names(resourceId=f"{api.base}") == ["mail", "other", "mail2", "mail"]
    assert await names(**{"from": timestamp(times[1])}) == ["mail", "other", "mail2"]
    assert await names(to=timestamp(times[1])) == ["mail2", "mail"]
    assert await names(**{"from": timestamp(times[1]), "to": timestamp(times[1] + 59)}) == ["mail2"]
    assert await names(**{"from": timestamp(times[2] + 3600)}) == []


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ({"from": "yesterday"}, "from"),
        ({"to": "99999-01-01"}, "to"),
        ({"$top": "0"}, "$top"),
        ({"$skipToken": "WyJ4Il0"}, "$skipToken"),
        ({"$skipToken": "!"}, "$skipToken"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value.values())),
)
async def test_events_with_a_bad_parameter_are_refused(api: Api, query: dict[str, str], target: str) -> None:
    answer = await events(api, **query)
    assert (answer.status, answer.code, answer.targets) == (400, "InvalidParameter", [target])


async def test_events_of_a_subscription_are_for_its_readers(api: Api) -> None:
    await api.email_service()
    assert (await events(api.as_role(Role.READER))).status == 200
    below = api.as_role(Role.ADMIN, f"/subscriptions/{api.subscription}/resourceGroups/{api.group}")
    for other in (api.as_role(Role.SENDER), below, api.as_()):
        assert (await events(other)).status == 403
    assert (await events(api.elsewhere(subscription=str(uuid.uuid4())))).body["value"] == []
