"""Lists and what is around the resources: paging, names, the list of operations, and the operations that clients follow."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid

import pytest

from email_core.administration import operation_statuses
from email_core.auth.principal import Grant, Role
from email_core.domains.documents import EmailServiceDocument, SenderDocument
from email_core.management.operations import OPERATIONS
from tests.kit.administration import HOST, Api

pytestmark = pytest.mark.peers

PROVIDER = "providers/Microsoft.Communication"


async def email_services(api: Api, count: int) -> list[str]:
    """Email services straight into the table; their names in the order of a list."""
    names = [f"mail-{number:04d}" for number in range(count)]
    targets = [api.id(f"emailServices/{name}") for name in names]
    for start in range(0, count, 50):
        await asyncio.gather(
            *(
                api.admin.store.create(target, EmailServiceDocument(id=target.text, name=target.name))
                for target in targets[start : start + 50]
            )
        )
    return names


async def test_list_of_250_resources_is_followed_page_by_page(api: Api) -> None:
    names = await email_services(api, 250)
    first = await api.get("emailServices")
    assert len(first.body["value"]) == 100
    found = await api.all_of("emailServices")
    assert [each["name"] for each in found] == names
    assert [each["name"] for each in await api.all_of("emailServices", query={"$top": "249"})] == names


@pytest.mark.parametrize("path", ["emailServices", "emailServices/mail/domains"])
async def test_list_leaves_out_what_can_not_be_read_and_logs_it(api: Api, path: str, caplog: pytest.LogCaptureFixture) -> None:
    names = ["a.test", "b.test"] if "/" in path else ["mail", "other"]
    for name in names:
        await (api.stored_domain(name) if "/" in path else api.email_service(name))
    broken = api.id(f"{path}/{names[1]}")
    await api.storage.tables.merge("resources", broken.partition, broken.row, {"document": "{"}, etag="*")
    assert [each["name"] for each in await api.all_of(path)] == names[:1]
    assert f"{names[1]} can't be used" in caplog.text


async def test_next_link_keeps_what_was_asked_for(api: Api) -> None:
    await email_services(api, 3)
    link = (await api.get("emailServices", query={"$top": "1"})).body["nextLink"]
    assert link.startswith(f"https://{HOST}{api.base}/emailServices?")
    assert "api-version=2025-09-01" in link and "$top=1" in link and "$skipToken=" in link
    second = await api.get(link.removeprefix(f"https://{HOST}"))
    assert [each["name"] for each in second.body["value"]] == ["mail-0001"]


async def test_page_that_holds_all_has_no_next_link(api: Api) -> None:
    await email_services(api, 2)
    assert set((await api.get("emailServices", query={"$top": "2"})).body) == {"value"}
    assert (await api.elsewhere(group="empty").get("emailServices")).body == {"value": []}


async def test_list_of_a_subscription_goes_through_its_groups_and_no_other_subscription(api: Api) -> None:
    for number in range(5):
        await email_services(api.elsewhere(group=f"group-{number}"), 3)
    await email_services(api.elsewhere(subscription=str(uuid.uuid4())), 1)
    path = f"/subscriptions/{api.subscription}/{PROVIDER}/emailServices"
    found = [each["id"] for each in await api.all_of(path, query={"$top": "4"})]
    assert len(found) == len(set(found)) == 15
    assert all(f"/subscriptions/{api.subscription}/resourceGroups/group-" in each for each in found)
    group = [each["id"] for each in await api.elsewhere(group="GROUP-1").all_of("emailServices")]
    assert len(group) == 3


async def test_list_while_resources_come_and_go_misses_none_that_stays(api: Api) -> None:
    names = await email_services(api, 6)
    first = await api.get("emailServices", query={"$top": "3"})
    for name in (names[0], names[2], names[4]):  # the last one that was shown is among them
        await api.delete(f"emailServices/{name}")
    await api.work()
    rest = await api.all_of(first.body["nextLink"].removeprefix(f"https://{HOST}"))
    assert [each["name"] for each in rest] == [names[3], names[5]]


async def test_list_of_children_is_of_one_kind_and_one_parent(api: Api) -> None:
    for name in ("a.test", "b.test"):
        await api.stored_domain(name)
        sender = api.id(f"emailServices/mail/domains/{name}/senderUsernames/news")
        await api.admin.store.create(sender, SenderDocument(id=sender.text, name="news", username="news"))
    assert [each["name"] for each in await api.all_of("emailServices/mail/domains", query={"$top": "1"})] == [
        "a.test",
        "b.test",
    ]
    senders = await api.all_of("emailServices/mail/domains/a.test/senderUsernames")
    assert [each["id"] for each in senders] == [f"{api.base}/emailServices/mail/domains/a.test/senderUsernames/news"]


async def test_list_below_what_is_not_there_is_404(api: Api) -> None:
    for path in ("emailServices/none/domains", "communicationServices/none/accessKeys"):
        assert ((await api.get(path)).status) == 404


@pytest.mark.parametrize("top", ["0", "1001", "-1", "x", "1.5", "٣", "9" * 50])
async def test_top_out_of_range_is_refused(api: Api, top: str) -> None:
    answer = await api.get("emailServices", query={"$top": top})
    assert (answer.status, answer.code, answer.targets) == (400, "InvalidParameter", ["$top"])


def token(*keys: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(keys).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    ["x", "!", "ä", "=" * 10, "a" * 5000, token(), token("one"), token(1, 2), token("a", "\x00"), token("a", "b", "c"),
     base64.urlsafe_b64encode(b'"ab"').decode()],
    ids=lambda value: value[:12],
)  # fmt: skip
async def test_skip_token_that_is_none_is_refused(api: Api, text: str) -> None:
    answer = await api.get("emailServices", query={"$skipToken": text})
    assert (answer.status, answer.code, answer.targets) == (400, "InvalidParameter", ["$skipToken"])


@pytest.mark.parametrize("keys", [("x' or '1' eq '1", "y"), ("a", "b' or PartitionKey ne ''"), ("~", "~")])
async def test_skip_token_that_was_made_up_shows_nothing_of_others(api: Api, keys: tuple[str, str]) -> None:
    await email_services(api.elsewhere(subscription=str(uuid.uuid4())), 1)
    answer = await api.get("emailServices", query={"$skipToken": token(*keys)})
    assert (answer.status, answer.body) == (200, {"value": []})


# --- around the resources ---------------------------------------------------------------------------------------------


async def test_operations_are_listed_as_rights_each_once(api: Api) -> None:
    answer = await api.get(f"/{PROVIDER}/operations")
    rights = [right["name"] for right in answer.body["value"]]
    assert answer.status == 200 and len(rights) == len(set(rights))
    assert {
        "Microsoft.Communication/communicationServices/listKeys/action",
        "Microsoft.Communication/emailServices/domains/write",
        "Microsoft.Communication/emailServices/domains/senderUsernames/delete",
        "Microsoft.Communication/checkNameAvailability/action",
        "Microsoft.EventGrid/eventSubscriptions/read",
    } <= set(rights)
    assert all(right["display"]["provider"] and right["isDataAction"] is False for right in answer.body["value"])
    assert len(rights) < len(OPERATIONS)


@pytest.mark.parametrize(
    ("name", "kind", "available", "reason"),
    [
        ("free", "communicationServices", True, None),
        ("CHAT", "CommunicationServices", False, "AlreadyExists"),
        ("chat", "emailServices", True, None),
        ("with.dot", "communicationServices", False, "Invalid"),
        ("", "communicationServices", False, "Invalid"),
    ],
)
async def test_name_is_available_when_it_fits_and_is_free(
    api: Api, name: str, kind: str, available: bool, reason: str | None
) -> None:
    await api.elsewhere(group="other").communication_service("chat")
    path = f"/subscriptions/{api.subscription}/{PROVIDER}/checkNameAvailability"
    answer = await api.post(path, {"name": name, "type": f"Microsoft.Communication/{kind}"})
    assert (answer.status, answer.body["nameAvailable"], answer.body.get("reason")) == (200, available, reason)
    assert ("message" in answer.body) is not available


async def test_name_of_a_type_that_there_is_not_is_refused(api: Api) -> None:
    path = f"/subscriptions/{api.subscription}/{PROVIDER}/checkNameAvailability"
    assert (await api.post(path, {"name": "a", "type": "Microsoft.Web/sites"})).targets == ["type"]
    assert (await api.post(path)).targets == ["name", "type"]


async def test_exchange_online_domains_are_none(api: Api) -> None:
    answer = await api.post(f"/subscriptions/{api.subscription}/{PROVIDER}/listVerifiedExchangeOnlineDomains")
    assert (answer.status, answer.body) == (200, [])


async def test_operation_of_a_foreign_resource_is_as_good_as_none(api: Api) -> None:
    body = {"location": "global", "properties": {"dataLocation": "Europe"}}
    made = await api.elsewhere(group="theirs").put("emailServices/mail", body)
    status = made.headers["azure-asyncoperation"].removeprefix(f"https://{HOST}")
    mine = api.as_(Grant(Role.ADMIN, api.base.lower()))
    unknown = status.replace(status.rpartition("/")[2].partition("?")[0], str(uuid.UUID(int=0)))
    for path in (status, status.replace("operationStatuses", "operationResults")):
        foreign, none = await mine.get(path), await mine.get(path.replace(status.partition("?")[0], unknown.partition("?")[0]))
        assert (foreign.status, foreign.code) == (none.status, none.code) == (404, "OperationNotFound")
        assert (await api.get(path)).status in (200, 204)
    for name in ("x", "%27 or 1 eq 1", "a" * 500):
        answer = await mine.get(f"/subscriptions/{api.subscription}/{PROVIDER}/locations/global/operationStatuses/{name}")
        assert answer.code == "OperationNotFound"


async def test_operation_that_ended_long_ago_is_forgotten(api: Api) -> None:
    body = {"location": "global", "properties": {"dataLocation": "Europe"}}
    old = (await api.put("emailServices/mail", body)).headers["azure-asyncoperation"].removeprefix(f"https://{HOST}")
    api.clock.advance(operation_statuses.KEPT_SECONDS + 1)
    new = (await api.put("emailServices/mail", body)).headers["azure-asyncoperation"].removeprefix(f"https://{HOST}")
    assert await operation_statuses.forget_old(api.admin) >= 1
    assert [(await api.get(path)).status for path in (old, new)] == [404, 200]
