"""Sender usernames through the management plane, and what the directory makes of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from email_core.auth.principal import Role
from email_core.domains.documents import AZURE_MANAGED_NAME
from tests.kit.administration import Api, build_api

pytestmark = pytest.mark.peers

NAME = "contoso.com"
DOMAIN = f"emailServices/mail/domains/{NAME}"
MANAGED = f"emailServices/mail/domains/{AZURE_MANAGED_NAME}"


def sender(username: object, **properties: object) -> dict[str, Any]:
    return {"properties": {"username": username, **properties}}


@pytest.fixture
async def domain(api: Api) -> Api:
    """The management plane with a domain without senders."""
    await api.stored_domain(NAME)
    return api


async def managed(api: Api) -> Api:
    await api.email_service()
    made = await api.put(MANAGED, {"location": "global", "properties": {"domainManagement": "AzureManaged"}})
    assert made.status == 201, made.body
    return api


async def test_sender_is_made_shown_changed_and_deleted(domain: Api) -> None:
    path = f"{DOMAIN}/senderUsernames/News"
    made = await domain.put(path, sender("News", displayName="The news"))
    assert made.status == 201
    assert made.body["type"] == "Microsoft.Communication/emailServices/domains/senderUsernames"
    assert made.body["name"] == "News"
    assert made.body["properties"] == {
        "dataLocation": "", "username": "News", "displayName": "The news", "provisioningState": "Succeeded",
    }  # fmt: skip
    changed = await domain.put(f"{DOMAIN}/senderUsernames/news", sender("news"))
    assert (changed.status, changed.body["properties"]["displayName"]) == (200, "")
    assert (await domain.get(path)).body == changed.body
    assert [each["name"] for each in await domain.all_of(f"{DOMAIN}/senderUsernames")] == ["News"]
    assert (await domain.delete(path)).status == 200
    assert (await domain.delete(path)).status == 204
    assert (await domain.get(path)).status == 404


async def test_sender_is_found_by_the_directory_whatever_its_case(domain: Api) -> None:
    await domain.put(f"{DOMAIN}/senderUsernames/News", sender("News", displayName="The news"))
    found = await domain.services.directory.domain(domain.id(DOMAIN).text)
    assert found is not None
    assert found.sender_usernames == {"news": "The news"}


async def test_sender_with_an_international_local_part_is_taken(domain: Api) -> None:
    made = await domain.put(f"{DOMAIN}/senderUsernames/büro", sender("büro"))
    assert (made.status, made.body["properties"]["username"]) == (201, "büro")


WRONG_SENDERS = {
    "another name than that of the path": ("news", sender("sales")),
    "no username": ("news", {"properties": {}}),
    "no properties": ("news", {}),
    "a number": ("news", sender(7)),
    "two dots": ("a..b", sender("a..b")),
    "a percent sign": ("a%b", sender("a%b")),
    "a comma": ("a,b", sender("a,b")),
}


@pytest.mark.parametrize(("name", "body"), WRONG_SENDERS.values(), ids=WRONG_SENDERS)
async def test_sender_that_is_no_local_part_of_its_name_is_refused(domain: Api, name: str, body: dict[str, Any]) -> None:
    answer = await domain.put(f"{DOMAIN}/senderUsernames/{name.replace('%', '%25')}", body)
    assert (answer.status, answer.targets) == (400, ["properties.username"])


@pytest.mark.parametrize("name", ["a@b", "a b", "x" * 65])
async def test_sender_with_a_name_that_no_resource_may_have_is_refused(domain: Api, name: str) -> None:
    answer = await domain.put(f"{DOMAIN}/senderUsernames/{name.replace(' ', '%20')}", sender(name))
    assert (answer.status, answer.code) == (400, "InvalidResourceName")


@pytest.mark.parametrize("display_name", ["x" * 257, "a\r\nBcc: b@contoso.com", 7])
async def test_sender_with_a_wrong_display_name_is_refused(domain: Api, display_name: object) -> None:
    answer = await domain.put(f"{DOMAIN}/senderUsernames/news", sender("news", displayName=display_name))
    assert (answer.status, answer.targets) == (400, ["properties.displayName"])


async def test_sender_with_other_read_only_properties_is_refused(domain: Api) -> None:
    path = f"{DOMAIN}/senderUsernames/news"
    made = await domain.put(path, sender("news"))
    assert (await domain.put(path, made.body)).status == 200
    answer = await domain.put(path, sender("news", dataLocation="Africa", provisioningState="Failed"))
    assert answer.targets == ["properties.dataLocation", "properties.provisioningState"]


async def test_sender_below_a_domain_that_is_not_there_is_refused(domain: Api) -> None:
    path = "emailServices/mail/domains/other.com/senderUsernames"
    answer = await domain.put(f"{path}/news", sender("news"))
    assert (answer.status, answer.code) == (404, "ParentResourceNotFound")
    assert (await domain.get(path)).status == 404


async def test_managed_domain_has_its_one_sender_and_takes_no_other(api: Api) -> None:
    await managed(api)
    answer = await api.put(f"{MANAGED}/senderUsernames/news", sender("news"))
    assert (answer.status, answer.code) == (403, "Forbidden")
    assert "POSTRIDER_MANAGED_DOMAIN_EXTRAS" in answer.message
    named = await api.put(f"{MANAGED}/senderUsernames/DoNotReply", sender("DoNotReply", displayName="Contoso"))
    assert (named.status, named.body["properties"]["displayName"]) == (200, "Contoso")
    kept = await api.delete(f"{MANAGED}/senderUsernames/donotreply")
    assert (kept.status, kept.code) == (403, "Forbidden")
    assert [each["name"] for each in await api.all_of(f"{MANAGED}/senderUsernames")] == ["DoNotReply"]


async def test_managed_domain_takes_other_senders_where_the_setting_lifts_the_rule(azurite: str) -> None:
    api = await managed(await build_api(azurite, change=lambda settings: replace(settings, managed_domain_extras=True)))
    assert (await api.put(f"{MANAGED}/senderUsernames/news", sender("news"))).status == 201
    assert (await api.delete(f"{MANAGED}/senderUsernames/news")).status == 200
    assert (await api.delete(f"{MANAGED}/senderUsernames/DoNotReply")).status == 403
    await api.services.close()


async def test_custom_domain_begins_with_a_sender_that_its_owner_may_delete(api: Api) -> None:
    await api.domain(NAME)
    path = f"{DOMAIN}/senderUsernames/DoNotReply"
    assert (await api.get(path)).body["properties"]["dataLocation"] == "Europe"
    assert (await api.delete(path)).status == 200
    await api.domain(NAME)  # a PUT of what is there does not bring it back
    assert (await api.get(path)).status == 404


async def test_senders_are_not_for_readers_to_write(domain: Api) -> None:
    reader = domain.as_role(Role.READER)
    path = f"{DOMAIN}/senderUsernames/news"
    assert (await reader.put(path, sender("news"))).status == 403
    assert (await reader.delete(path)).status == 403
    assert await reader.all_of(f"{DOMAIN}/senderUsernames") == []
