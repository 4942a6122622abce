"""Suppression lists and their addresses through the management plane."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from email_core.auth.principal import Role
from email_core.domains.documents import SuppressionListDocument
from email_core.suppression import customer_lists
from email_core.suppression.address_table import read_row
from email_core.suppression.customer_lists import CustomerLists, ListedAddress
from tests.kit.administration import Api
from tests.kit.suppression import hashed, make_list, suppress

pytestmark = pytest.mark.peers

NAME = "contoso.com"
DOMAIN = f"emailServices/mail/domains/{NAME}"
LISTS = f"{DOMAIN}/suppressionLists"


def address(email: object, **facts: object) -> dict[str, Any]:
    return {"properties": {"email": email, **facts}}


def unique() -> str:
    """An address that no other test uses: rows of addresses belong to the whole installation."""
    return f"ann-{uuid.uuid4().hex[:12]}@fabrikam.test"


async def holds(api: Api, email: str) -> dict[str, str]:
    """Which lists hold an address, by the row that sending reads."""
    return dict((await read_row(api.storage.tables, hashed(email.lower()))).lists)


async def key_of(api: Api, path: str) -> str:
    found = await api.admin.store.get(api.id(path), SuppressionListDocument)
    assert found is not None
    return found.document.key


@pytest.fixture
async def domain(api: Api) -> Api:
    """The management plane with a domain."""
    await api.stored_domain(NAME)
    return api


async def test_list_is_made_shown_changed_and_deleted(domain: Api) -> None:
    path = f"{LISTS}/Optouts"
    made = await domain.put(path, {"properties": {"listName": "news"}})
    assert made.status == 201
    assert made.body["type"] == "Microsoft.Communication/emailServices/domains/suppressionLists"
    properties = made.body["properties"]
    assert properties["listName"] == "news"
    assert properties["createdTimeStamp"] == properties["lastUpdatedTimeStamp"]
    assert properties["createdTimeStamp"].endswith("Z")
    domain.clock.advance(60)
    changed = await domain.put(f"{LISTS}/optouts", {"properties": {"listName": ""}})
    assert (changed.status, changed.body["properties"]["listName"], changed.body["name"]) == (200, "", "Optouts")
    assert changed.body["properties"]["lastUpdatedTimeStamp"] > changed.body["properties"]["createdTimeStamp"]
    assert (await domain.get(path)).body == changed.body
    assert [each["name"] for each in await domain.all_of(LISTS)] == ["Optouts"]
    assert (await domain.delete(path)).status == 200
    assert (await domain.delete(path)).status == 204
    assert (await domain.get(path)).status == 404


async def test_list_without_properties_is_for_the_whole_domain(domain: Api) -> None:
    made = await domain.put(f"{LISTS}/all", {"properties": {}})
    assert (made.status, made.body["properties"]["listName"]) == (201, "")


@pytest.mark.parametrize("second", ["News", ""], ids=["other case", "whole domain"])
async def test_list_for_senders_that_have_one_is_refused_and_names_it(domain: Api, second: str) -> None:
    await make_list(domain, "first", second.lower(), LISTS)
    refused = await domain.put(f"{LISTS}/second", {"properties": {"listName": second}})
    assert (refused.status, refused.code) == (409, "SuppressionListExists")
    assert f"{LISTS}/first'" in refused.message and "add addresses to that one" in refused.message


@pytest.mark.parametrize(
    ("body", "target", "words"),
    [
        ({"properties": {"listName": "a@b"}}, "properties.listName", "more than one"),
        ({"properties": {"listName": "x" * 65}}, "properties.listName", "0 to 64 characters"),
        ({"properties": {"listName": 7}}, "properties.listName", "a string"),
    ],
)
async def test_list_with_a_wrong_name_is_refused(domain: Api, body: object, target: str, words: str) -> None:
    refused = await domain.put(f"{LISTS}/list", body)
    assert (refused.status, refused.targets) == (400, [target])
    assert words in refused.message


async def test_list_below_a_domain_that_is_not_there_is_refused(api: Api) -> None:
    refused = await api.put(f"{LISTS}/list", {"properties": {"listName": ""}})
    assert (refused.status, refused.code) == (404, "ParentResourceNotFound")


async def test_list_that_is_deleted_takes_its_addresses_with_it_and_no_others(domain: Api) -> None:
    one, two = await make_list(domain, "one", "one", LISTS), await make_list(domain, "two", "two", LISTS)
    email, other = unique(), unique()
    for path, each in ((one, email), (two, email), (one, other)):
        await suppress(domain, path, each)
    key = await key_of(domain, two)
    assert (await domain.delete(one)).status == 200
    assert list(await holds(domain, email)) == [key]
    assert await holds(domain, other) == {}
    assert [each["properties"]["email"] for each in await domain.all_of(f"{two}/suppressionListAddresses")] == [email]
    again = await make_list(domain, "one", "one", LISTS)
    assert await domain.all_of(f"{again}/suppressionListAddresses") == []


async def test_domain_that_is_deleted_takes_lists_and_addresses_with_it(domain: Api) -> None:
    path, email = await make_list(domain, "one", "", LISTS), unique()
    await suppress(domain, path, email)
    assert (await domain.delete(DOMAIN)).status == 202
    await domain.work()
    assert await holds(domain, email) == {}
    assert (await domain.get(path)).status == 404


async def test_address_is_made_shown_changed_and_deleted(domain: Api) -> None:
    path, email = await make_list(domain, "all", "", LISTS), unique()
    one = f"{path}/suppressionListAddresses/{uuid.uuid4()}"
    made = await domain.put(one, address(email.upper(), firstName="Ann", notes="asked by letter"))
    assert made.status == 201
    assert made.body["type"] == "Microsoft.Communication/emailServices/domains/suppressionLists/suppressionListAddresses"
    assert made.body["id"] == domain.path(one)
    assert made.body["properties"]["email"] == email.upper()
    assert (made.body["properties"]["firstName"], made.body["properties"]["lastName"]) == ("Ann", "")
    assert made.body["properties"]["lastModified"] == made.body["systemData"]["lastModifiedAt"]
    domain.clock.advance(60)
    changed = await domain.put(one, {"properties": {**made.body["properties"], "lastName": "Smith"}})
    assert (changed.status, changed.body["properties"]["lastName"]) == (200, "Smith")
    assert changed.body["systemData"]["createdAt"] == made.body["systemData"]["createdAt"]
    assert changed.body["properties"]["lastModified"] > made.body["properties"]["lastModified"]
    assert (await domain.get(one.upper().replace("EMAILSERVICES", "emailServices"))).body == changed.body
    assert await holds(domain, email) == {await key_of(domain, path): one.rpartition("/")[2]}
    assert (await domain.delete(one)).status == 200
    assert await holds(domain, email) == {}
    assert (await domain.delete(one)).status == 204
    assert (await domain.get(one)).status == 404


async def test_address_whose_email_changes_leaves_the_old_one_free(domain: Api) -> None:
    path, old, new = await make_list(domain, "all", "", LISTS), unique(), unique()
    address_id = await suppress(domain, path, old)
    put = await domain.put(f"{path}/suppressionListAddresses/{address_id}", address(new))
    assert put.status == 200
    assert await holds(domain, old) == {}
    assert list((await holds(domain, new)).values()) == [address_id]


async def test_address_twice_in_one_list_is_refused_and_names_the_other(domain: Api) -> None:
    path, email = await make_list(domain, "all", "", LISTS), unique()
    address_id = await suppress(domain, path, email)
    refused = await domain.put(f"{path}/suppressionListAddresses/second", address(email.upper()))
    assert (refused.status, refused.code) == (409, "SuppressionListAddressExists")
    assert address_id in refused.message
    assert len(await domain.all_of(f"{path}/suppressionListAddresses")) == 1


@pytest.mark.parametrize(
    ("body", "targets"),
    [
        ({}, ["properties.email"]),
        (address("nobody"), ["properties.email"]),
        (address('"a b"@fabrikam.test', notes=["x"]), ["properties.email", "properties.notes"]),
        (address("a@fabrikam.test", firstName="x" * 257, lastName="a\nb"), ["properties.firstName", "properties.lastName"]),
    ],
    ids=["none", "no address", "quoted, and notes", "names"],
)
async def test_address_with_wrong_fields_is_refused_naming_all(domain: Api, body: object, targets: list[str]) -> None:
    path = await make_list(domain, "all", "", LISTS)
    refused = await domain.put(f"{path}/suppressionListAddresses/one", body)
    assert (refused.status, refused.targets) == (400, targets)


async def test_address_of_a_list_that_is_not_there_is_not_found(domain: Api) -> None:
    path = f"{LISTS}/nothing/suppressionListAddresses"
    put = await domain.put(f"{path}/one", address("a@fabrikam.test"))
    assert (put.status, put.code) == (404, "ParentResourceNotFound")
    for answered in (await domain.get(path), await domain.get(f"{path}/one"), await domain.delete(f"{path}/one")):
        assert (answered.status, answered.code) == (404, "ResourceNotFound")


async def test_address_with_a_stale_etag_is_neither_changed_nor_deleted(domain: Api) -> None:
    path, email = await make_list(domain, "all", "", LISTS), unique()
    one = f"{path}/suppressionListAddresses/one"
    first = await domain.put(one, address(email), headers={"if-none-match": "*"})
    second = await domain.put(one, address(email, notes="x"), headers={"if-match": first.etag})
    assert (first.status, second.status) == (201, 200)
    stale = {"if-match": first.etag}
    for answered in (
        await domain.put(one, address(email), headers=stale),
        await domain.delete(one, headers=stale),
        await domain.put(one, address(email), headers={"if-none-match": "*"}),
        await domain.put(one, address(email), headers={"if-none-match": second.etag}),
        await domain.put(f"{path}/suppressionListAddresses/two", address(unique()), headers={"if-match": "*"}),
    ):
        assert (answered.status, answered.code) == (412, "PreconditionFailed")
    assert (await domain.get(one)).body["properties"]["notes"] == "x"
    assert (await domain.delete(one, headers={"if-match": second.etag})).status == 200


async def test_addresses_come_in_pages_that_lose_and_repeat_none(domain: Api) -> None:
    path = await make_list(domain, "all", "", LISTS)
    emails = [unique() for _ in range(25)]
    await asyncio.gather(*(suppress(domain, path, email) for email in emails))
    first = await domain.get(f"{path}/suppressionListAddresses", query={"$top": "10"})
    assert len(first.body["value"]) == 10
    shown = await domain.all_of(f"{path}/suppressionListAddresses", query={"$top": "10"})
    assert sorted(each["properties"]["email"] for each in shown) == sorted(emails)


async def test_address_by_50_at_once_is_there_once_and_counts(domain: Api) -> None:
    path, email = await make_list(domain, "all", "", LISTS), unique()
    one = f"{path}/suppressionListAddresses/one"
    answers = await asyncio.gather(*(domain.put(one, address(email, notes=f"{number}")) for number in range(50)))
    assert sorted({answer.status for answer in answers}) == [200, 201]
    assert [answer.status for answer in answers].count(201) == 1
    assert list((await holds(domain, email)).values()) == ["one"]


async def test_email_by_20_ids_at_once_is_in_the_list_once(domain: Api) -> None:
    path, email = await make_list(domain, "all", "", LISTS), unique()
    ids = [f"{path}/suppressionListAddresses/{number}" for number in range(20)]
    answers = await asyncio.gather(*(domain.put(each, address(email)) for each in ids))
    assert [answer.status for answer in answers].count(201) == 1
    assert {answer.status for answer in answers} == {201, 409}
    [listed] = await domain.all_of(f"{path}/suppressionListAddresses")
    assert list((await holds(domain, email)).values()) == [listed["name"]]


async def test_delete_that_has_read_what_a_put_writes_again_does_not_hide_it(
    domain: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, key, wanted = domain.storage.tables, uuid.uuid4().hex, ListedAddress("one", unique())
    at_the_end, go_on = asyncio.Event(), asyncio.Event()
    delete, store = tables.delete, customer_lists.store_row
    deleting: list[asyncio.Task[bool]] = []

    async def held(*place: str, etag: str) -> None:
        at_the_end.set()
        await go_on.wait()
        await delete(*place, etag=etag)

    async def late(*arguments: Any) -> None:
        if not deleting:  # the list shows it, and it does not count yet
            deleting.append(asyncio.create_task(CustomerLists(tables).delete(key, "one", agree)))
            await at_the_end.wait()
        await store(*arguments)

    async def agree(_: ListedAddress) -> None:
        pass

    async def make(_: ListedAddress | None) -> ListedAddress:
        return wanted

    monkeypatch.setattr(tables, "delete", held)
    monkeypatch.setattr(customer_lists, "store_row", late)
    lists = CustomerLists(tables)
    await lists.put(key, "one", make)
    go_on.set()
    await deleting[0]
    counts = (await read_row(tables, wanted.digest)).lists.get(key) == "one"
    assert counts <= (await lists.get(key, "one") is not None)


async def test_put_and_delete_at_once_never_suppress_what_is_not_shown(domain: Api) -> None:
    path, email = await make_list(domain, "all", "", LISTS), unique()
    one = f"{path}/suppressionListAddresses/one"
    for _ in range(5):
        await asyncio.gather(*(call for _ in range(5) for call in (domain.put(one, address(email)), domain.delete(one))))
        shown = (await domain.get(one)).status == 200
        assert bool(await holds(domain, email)) <= shown


async def test_address_by_thousands_of_lists_is_one_row_that_still_can_be_changed(domain: Api) -> None:
    from email_core.suppression.address_rows import AddressRow
    from email_core.suppression.address_table import change_row

    path, email = await make_list(domain, "all", "", LISTS), unique()
    many = {f"{number:016x}": f"{uuid.UUID(int=number)}" for number in range(5000)}
    await change_row(domain.storage.tables, hashed(email), lambda row: AddressRow(many))
    address_id = await suppress(domain, path, email)
    assert await holds(domain, email) == {**many, await key_of(domain, path): address_id}
    assert (await domain.delete(f"{path}/suppressionListAddresses/{address_id}")).status == 200
    assert await holds(domain, email) == many


async def test_writes_are_in_the_audit_log_with_what_changed(domain: Api) -> None:
    path, email = await make_list(domain, "all", "", LISTS), unique()
    address_id = await suppress(domain, path, email)
    await domain.delete(f"{path}/suppressionListAddresses/{address_id}")
    events = await domain.all_of(f"/subscriptions/{domain.subscription}/providers/Microsoft.Communication/auditEvents")
    told = [(each["properties"]["operationName"], each["properties"]["changes"]) for each in events]
    assert [name for name, _ in told][:3] == [
        "SuppressionListAddresses_Delete", "SuppressionListAddresses_CreateOrUpdate", "SuppressionLists_CreateOrUpdate",
    ]  # fmt: skip
    assert email in str(told[0][1]) and email in str(told[1][1])


@pytest.mark.parametrize("role", [Role.READER, Role.SENDER])
async def test_writes_are_for_admins_alone(domain: Api, role: Role) -> None:
    path = await make_list(domain, "all", "", LISTS)
    other = domain.as_role(role)
    assert (await other.put(f"{path}/suppressionListAddresses/one", address(unique()))).status == 403
    assert (await other.delete(path)).status == 403
