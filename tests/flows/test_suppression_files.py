"""Suppression lists as CSV files: out, in, and nothing of a file that has a wrong row."""

from __future__ import annotations

import uuid

import pytest

from email_core.errors import StorageUnavailable
from email_core.suppression.address_table import read_row
from email_core.suppression.intake import CHUNK, derived_id
from tests.flows.test_suppression_lists import LISTS, NAME, key_of
from tests.kit.administration import Api, Reply
from tests.kit.suppression import hashed, make_list, suppress

pytestmark = pytest.mark.peers

CSV = {"content-type": "text/csv; charset=utf-8"}
HEADER = "email,firstName,lastName,notes\r\n"


@pytest.fixture
async def domain(api: Api) -> Api:
    """The management plane with a domain."""
    await api.stored_domain(NAME)
    return api


def some(count: int = 3) -> list[str]:
    """Addresses that no other test uses, in order."""
    stem = uuid.uuid4().hex[:12]
    return [f"{stem}-{number:05}@fabrikam.test" for number in range(count)]


async def imported(api: Api, path: str, content: str | bytes, headers: dict[str, str] = CSV) -> Reply:
    return await api.post(f"{path}/import", content.encode() if isinstance(content, str) else content, headers=headers)


async def exported(api: Api, path: str) -> list[str]:
    answer = await api.get(f"{path}/export")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8; header=present")
    return bytes(answer.body).decode().split("\r\n")


async def held(api: Api, path: str, email: str) -> bool:
    return await key_of(api, path) in (await read_row(api.storage.tables, hashed(email.lower()))).lists


async def test_import_adds_what_is_new_changes_what_is_not_and_counts_both(domain: Api) -> None:
    path, (one, two, three) = await make_list(domain, "all", "", LISTS), some()
    address_id = await suppress(domain, path, one, firstName="Ann")
    content = (
        HEADER + f"{one},Anna,,\r\n{two},Bob,B,said no\r\n{three},,,\r\n{three.upper()},,,twice\r\n{two},Bob,B,said no\r\n"
    )
    answer = await imported(domain, path, "\ufeff" + content)
    assert (answer.status, answer.body) == (200, {"imported": 2, "updated": 2, "unchanged": 1})
    shown = {each["properties"]["email"]: each for each in await domain.all_of(f"{path}/suppressionListAddresses")}
    assert sorted(shown) == sorted([one, two, three.upper()])
    assert (shown[one]["name"], shown[one]["properties"]["firstName"]) == (address_id, "Anna")
    assert shown[three.upper()]["properties"]["notes"] == "twice"
    assert shown[two]["name"] == derived_id(await key_of(domain, path), hashed(two))
    assert [await held(domain, path, each) for each in (one, two, three)] == [True] * 3


async def test_import_again_changes_nothing(domain: Api) -> None:
    path, emails = await make_list(domain, "all", "", LISTS), some(CHUNK + 50)
    content = HEADER + "".join(f"{email},,,\r\n" for email in emails)
    assert (await imported(domain, path, content)).body == {"imported": len(emails), "updated": 0, "unchanged": 0}
    before = await domain.all_of(f"{path}/suppressionListAddresses", query={"$top": "1000"})
    domain.clock.advance(60)
    assert (await imported(domain, path, content)).body == {"imported": 0, "updated": 0, "unchanged": len(emails)}
    assert await domain.all_of(f"{path}/suppressionListAddresses", query={"$top": "1000"}) == before
    assert len(before) == len(emails)


async def test_import_without_a_column_leaves_what_it_holds(domain: Api) -> None:
    path, (one, *_) = await make_list(domain, "all", "", LISTS), some()
    await suppress(domain, path, one, firstName="Ann", notes="asked by letter")
    assert (await imported(domain, path, f"notes,email\nby phone,{one}\n")).body["updated"] == 1
    [shown] = await domain.all_of(f"{path}/suppressionListAddresses")
    assert (shown["properties"]["firstName"], shown["properties"]["notes"]) == ("Ann", "by phone")


async def test_import_with_wrong_rows_tells_each_by_line_and_takes_none(domain: Api) -> None:
    path, (one, two, three) = await make_list(domain, "all", "", LISTS), some()
    content = HEADER + f"{one},,,\r\nnobody,,,\r\n{two},,\r\n{three},,,\r\n"
    answer = await imported(domain, path, content)
    assert (answer.status, answer.code, answer.targets) == (400, "InvalidCsv", ["line 3", "line 4"])
    assert answer.message.startswith('Line 3: email has no "@"') and "Nothing was imported." in answer.message
    assert await domain.all_of(f"{path}/suppressionListAddresses") == []
    assert not await held(domain, path, one)


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        ("email\n", {"content-type": "application/json"}, 415, "UnsupportedMediaType"),
        (b"email\n\xff\n", CSV, 400, "InvalidCsv"),
        ("", CSV, 400, "InvalidCsv"),
        ("email\n" + "x" * (4 * 1024 * 1024), CSV, 413, "RequestContentTooLarge"),
    ],
    ids=["json", "no utf-8", "empty", "too large"],
)
async def test_import_of_what_is_no_such_file_is_refused(
    domain: Api, content: str | bytes, headers: dict[str, str], status: int, code: str
) -> None:
    path = await make_list(domain, "all", "", LISTS)
    answer = await imported(domain, path, content, headers)
    assert answer.status == status
    if status != 413:
        assert answer.code == code


async def test_import_that_storage_interrupts_hides_nobody_and_is_repeated_to_its_end(domain: Api) -> None:
    path, emails = await make_list(domain, "all", "", LISTS), some(40)
    content = HEADER + "".join(f"{email},,,\r\n" for email in emails)
    tables, count = domain.storage.tables, 0
    insert = tables.insert

    async def failing(table: str, entity: dict[str, str]) -> str:
        nonlocal count
        if table == "suppressions" and str(entity["PartitionKey"]).startswith("address:"):
            count += 1
            if count > 10:
                raise StorageUnavailable("no answer")
        return await insert(table, entity)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "insert", failing)
        assert (await imported(domain, path, content)).status == 503
    shown = {each["properties"]["email"] for each in await domain.all_of(f"{path}/suppressionListAddresses")}
    counted = {email for email in emails if await held(domain, path, email)}
    assert counted and counted < shown
    assert (await imported(domain, path, content)).status == 200
    assert [email for email in emails if not await held(domain, path, email)] == []
    assert len(await domain.all_of(f"{path}/suppressionListAddresses", query={"$top": "100"})) == len(emails)


async def test_import_of_an_address_whose_derived_id_another_one_has_leaves_that_one_alone(domain: Api) -> None:
    path, (one, two, *_) = await make_list(domain, "all", "", LISTS), some()
    taken = derived_id(await key_of(domain, path), hashed(one))
    put = await domain.put(f"{path}/suppressionListAddresses/{taken}", {"properties": {"email": two}})
    assert put.status == 201
    assert (await imported(domain, path, HEADER + f"{one},,,\r\n")).body["imported"] == 1
    assert {await held(domain, path, one), await held(domain, path, two)} == {True}
    shown = {each["properties"]["email"]: each["name"] for each in await domain.all_of(f"{path}/suppressionListAddresses")}
    assert shown[two] == taken and shown[one] != taken


async def test_export_is_what_an_import_takes_without_formulas(domain: Api) -> None:
    path, (one, two, _) = await make_list(domain, "all", "", LISTS), some()
    await suppress(domain, path, f"-{one}", firstName="=cmd()", lastName="O'Neil", notes='a "quoted", note')
    await suppress(domain, path, two, firstName="Zoë")
    lines = await exported(domain, path)
    assert lines[0] + "\r\n" == HEADER
    assert sorted(lines[1:-1]) == sorted([f'\'-{one},\'=cmd(),O\'Neil,"a ""quoted"", note"', f"{two},Zoë,,"])
    answer = await imported(domain, path, "\r\n".join(lines))
    assert answer.body == {"imported": 0, "updated": 0, "unchanged": 2}


async def test_export_of_an_empty_list_is_the_header_row(domain: Api) -> None:
    assert await exported(domain, await make_list(domain, "all", "", LISTS)) == [HEADER.strip(), ""]


async def test_files_of_a_list_that_is_not_there_are_not_found(domain: Api) -> None:
    for answer in (await imported(domain, f"{LISTS}/nothing", HEADER), await domain.get(f"{LISTS}/nothing/export")):
        assert (answer.status, answer.code) == (404, "ResourceNotFound")
