"""SMTP usernames: made through the management plane, unique in the installation, with a password that is shown once."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from email_core.administration import smtp_usernames
from email_core.auth.principal import Role
from email_core.auth.smtp_credential import verify_password
from email_core.domains.documents import SmtpUsernameDocument
from email_core.domains.smtp_names import SETTLING_SECONDS, NameTaken, SmtpNames
from email_core.management.resource_id import ResourceId
from tests.kit.administration import Api, Reply

pytestmark = pytest.mark.peers

APP = "0f8fad5b-d9cb-469f-a165-70867728950e"
TENANT = "7e6d4f0e-3f52-4fd7-a3f7-5a3c2f6f1b22"


def unique(name: str = "news") -> str:
    """A username that no other test has: they are unique in the installation, which the tests share."""
    return f"{name}-{uuid.uuid4().hex[:12]}"


def body(username: str, **changes: object) -> dict[str, object]:
    return {"properties": {"username": username, "entraApplicationId": APP, "tenantId": TENANT, **changes}}


async def put(api: Api, username: str, *, service: str = "chat", name: str = "smtp1", **changes: object) -> Reply:
    return await api.put(f"communicationServices/{service}/smtpUsernames/{name}", body(username, **changes))


def names_of(api: Api) -> SmtpNames:
    return SmtpNames(api.storage.tables, api.admin.store, api.clock)


async def test_username_is_made_changed_listed_and_deleted(api: Api) -> None:
    await api.communication_service()
    username = unique()
    made = await put(api, username)
    assert made.status == 201
    properties = made.body["properties"]
    assert (properties["username"], properties["entraApplicationId"], properties["tenantId"]) == (username, APP, TENANT)
    assert made.body["type"] == "Microsoft.Communication/communicationServices/smtpUsernames"
    path = "communicationServices/chat/smtpUsernames"
    assert (await put(api, username, tenantId=APP)).status == 200
    assert (await api.get(f"{path}/smtp1")).body["properties"]["tenantId"] == APP
    assert [each["name"] for each in await api.all_of(path)] == ["smtp1"]
    assert (await api.delete(f"{path}/smtp1")).status == 200
    assert (await api.delete(f"{path}/smtp1")).status == 204
    assert (await api.get(f"{path}/smtp1")).status == 404


async def test_password_is_shown_once_and_kept_as_a_hash(api: Api) -> None:
    await api.communication_service()
    username = unique()
    await put(api, username)
    path = "communicationServices/chat/smtpUsernames/smtp1"
    first = await api.post(f"{path}/regeneratePassword")
    second = await api.post(f"{path}/regeneratePassword")
    assert (first.status, first.body["username"]) == (200, username)
    passwords = [first.body["password"], second.body["password"]]
    assert len(set(passwords)) == 2 and all(len(password) >= 32 for password in passwords)
    stored = await api.admin.store.get(api.id(path), SmtpUsernameDocument)
    assert stored is not None
    assert [verify_password(password, stored.document.password) for password in passwords] == [False, True]
    shown = await api.get(path)
    assert shown.body["properties"]["passwordCreatedOn"]
    for table in ("resources", "audit"):
        text = str([row.values async for row in api.storage.tables.query(table, "")])
        assert not any(password in text for password in passwords)
    assert stored.document.password not in str(shown.body)
    assert (await put(api, username)).status == 200  # a PUT of the same properties leaves the password alone
    again = await api.admin.store.get(api.id(path), SmtpUsernameDocument)
    assert again is not None and again.document.password == stored.document.password


async def test_limits_of_a_username_are_set_kept_and_taken_away(api: Api) -> None:
    await api.communication_service()
    username, path = unique(), "communicationServices/chat/smtpUsernames/smtp1"
    limits = [{"unit": "messages", "window": "minute", "most": 100}, {"unit": "recipients", "window": "day", "most": 20_000}]

    async def shown() -> object:
        return (await api.get(path)).body["properties"]["limits"]

    assert (await put(api, username)).body["properties"]["limits"] == []
    assert (await put(api, username, limits=limits)).body["properties"]["limits"] == limits == await shown()
    await put(api, username, tenantId=APP)  # by a client of ACS, which knows nothing of limits
    assert await shown() == limits
    await api.post(f"{path}/regeneratePassword")
    assert await shown() == limits
    await put(api, username, limits=[])
    assert await shown() == []


async def test_username_of_another_service_is_a_conflict(api: Api) -> None:
    await api.communication_service("first")
    await api.communication_service("second")
    username = unique()
    assert (await put(api, username, service="first")).status == 201
    answer = await put(api, username.upper(), service="second")
    assert (answer.status, answer.code, answer.targets) == (409, "UsernameTaken", ["properties.username"])
    assert "first" not in answer.message
    assert (await put(api, username, service="first", name="smtp2")).status == 409
    await api.delete("communicationServices/first/smtpUsernames/smtp1")
    assert (await put(api, username, service="second")).status == 201


async def test_username_that_many_services_want_at_once_is_that_of_one(api: Api) -> None:
    services = [f"service{number}" for number in range(8)]
    for service in services:
        await api.communication_service(service)
    username = unique()
    answers = await asyncio.gather(*(put(api, username, service=service) for service in services))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 7
    found = await names_of(api).owner(username)
    winner = next(service for service, answer in zip(services, answers, strict=True) if answer.status == 201)
    assert found is not None and found[0] == api.id(f"communicationServices/{winner}/smtpUsernames/smtp1")


async def test_username_that_is_made_again_while_it_is_deleted_stays_its_own(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.communication_service()
    username = unique()
    await put(api, username)
    release = SmtpNames.release

    async def after_a_put(names: SmtpNames, name: str, target: ResourceId) -> None:
        assert (await put(api, username)).status == 201
        await release(names, name, target)

    monkeypatch.setattr(SmtpNames, "release", after_a_put)
    assert (await api.delete("communicationServices/chat/smtpUsernames/smtp1")).status == 200
    assert await names_of(api).owner(username) is not None


async def test_username_that_is_deleted_while_it_is_written_is_claimed_again_or_told_to_be_taken(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    for service in ("chat", "second"):
        await api.communication_service(service)
    username, write = unique(), smtp_usernames.write

    async def after_a_delete(*arguments: Any) -> Any:
        monkeypatch.setattr(smtp_usernames, "write", write)
        await api.delete("communicationServices/chat/smtpUsernames/smtp1")
        if taken:
            assert (await put(api, username, service="second")).status == 201
        return await write(*arguments)

    for taken in (False, True):
        await put(api, username)
        monkeypatch.setattr(smtp_usernames, "write", after_a_delete)
        answer = await put(api, username, tenantId=APP)
        assert (answer.status, answer.code if taken else "") == ((409, "UsernameTaken") if taken else (201, ""))
        owner = await names_of(api).owner(username)
        assert owner is not None
        assert owner[0] == api.id(f"communicationServices/{'second' if taken else 'chat'}/smtpUsernames/smtp1")
    assert (await api.get("communicationServices/chat/smtpUsernames/smtp1")).status == 404


async def test_username_that_is_changed_sets_the_old_one_free(api: Api) -> None:
    await api.communication_service("first")
    await api.communication_service("second")
    old, new = unique("old"), unique("new")
    await put(api, old, service="first")
    assert (await put(api, new, service="first")).status == 200
    assert (await names_of(api).owner(old)) is None
    assert (await put(api, old, service="second")).status == 201
    assert (await put(api, new, service="second", name="smtp2")).status == 409


async def test_username_of_a_service_that_is_gone_is_free_after_a_while(api: Api) -> None:
    await api.communication_service("first")
    await api.communication_service("second")
    username = unique()
    await put(api, username, service="first")
    await api.delete("communicationServices/first")
    await api.work()
    assert (await names_of(api).owner(username)) is None
    api.clock.advance(SETTLING_SECONDS)
    assert (await put(api, username, service="second")).status == 201


async def test_claim_without_its_resource_holds_until_it_must_have_been_written(api: Api) -> None:
    await api.communication_service("first")
    username, names = unique(), names_of(api)
    first, second = (api.id(f"communicationServices/first/smtpUsernames/smtp{number}") for number in (1, 2))
    await names.claim(username, first)
    await names.claim(username, first)
    with pytest.raises(NameTaken):
        await names.claim(username, second)
    api.clock.advance(SETTLING_SECONDS)
    await names.claim(username, second)
    await names.release(username, first)  # it is not its own any more
    with pytest.raises(NameTaken):
        await names.claim(username, first)


async def test_username_that_is_an_address_needs_a_linked_domain(api: Api) -> None:
    domain = f"{unique('contoso')}.test"
    domain_id = await api.stored_domain(domain)
    await api.communication_service("chat", linkedDomains=[domain_id])
    assert (await put(api, f"Printer@{domain.upper()}")).status == 201
    answer = await put(api, "printer@fabrikam.test", name="smtp2")
    assert (answer.status, answer.targets) == (400, ["properties.username"])
    assert "fabrikam.test" in answer.message and "link" in answer.message


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({"username": None}, "properties.username"),
        ({"username": ""}, "properties.username"),
        ({"username": "two words"}, "properties.username"),
        ({"username": " news"}, "properties.username"),
        ({"username": "x" * 254}, "properties.username"),
        ({"username": "a@b@c.test"}, "properties.username"),
        ({"username": f"chat.{APP}.{TENANT}"}, "properties.username"),
        ({"username": f"chat|{APP}|{TENANT}"}, "properties.username"),
        ({"entraApplicationId": "app"}, "properties.entraApplicationId"),
        ({"entraApplicationId": None}, "properties.entraApplicationId"),
        ({"tenantId": "contoso.onmicrosoft.com"}, "properties.tenantId"),
        ({"tenantId": None}, "properties.tenantId"),
        ({"limits": "100"}, "properties.limits"),
        ({"limits": [{"unit": "messages", "window": "week", "most": 1}]}, "properties.limits[0].window"),
        ({"limits": [{"unit": "messages", "window": "day", "most": 0}]}, "properties.limits[0].most"),
        ({"limits": [{"unit": "messages", "window": "day", "most": 1}] * 2}, "properties.limits[1]"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value)[:40],
)
async def test_username_with_a_bad_property_is_refused(api: Api, changes: dict[str, object], target: str) -> None:
    await api.communication_service()
    answer = await put(api, **{"username": unique(), **changes})  # type: ignore[arg-type]
    assert (answer.status, answer.targets) == (400, [target])
    assert await api.all_of("communicationServices/chat/smtpUsernames") == []


async def test_username_of_a_service_that_is_not_there_is_not_found(api: Api) -> None:
    answer = await put(api, unique(), service="nothing")
    assert (answer.status, answer.code) == (404, "ParentResourceNotFound")
    path = "communicationServices/nothing/smtpUsernames"
    assert (await api.get(path)).status == 404
    assert (await api.post(f"{path}/smtp1/regeneratePassword")).status == 404


async def test_reader_of_usernames_may_not_make_a_password(api: Api) -> None:
    await api.communication_service()
    await put(api, unique())
    path = "communicationServices/chat/smtpUsernames/smtp1"
    for role in (Role.READER, Role.SENDER):
        assert (await api.as_role(role).post(f"{path}/regeneratePassword")).status == 403
    assert (await api.as_role(Role.READER).get(path)).status == 200
