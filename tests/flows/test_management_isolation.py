"""Whoever has a role elsewhere learns nothing: each route answers for what is there as for what is not."""

from __future__ import annotations

import re
import uuid
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from email_core.auth.principal import Grant, Role
from email_core.management.operations import OPERATIONS, Operation
from tests.kit.administration import Api, Reply

pytestmark = pytest.mark.peers

# Names that no message holds for another reason.
KINDS = (
    "communicationServiceName", "emailServiceName", "senderUsername", "suppressionListName", "addressId", "smtpUsername",
    "accessKeyName", "eventSubscriptionName", "suppressionId", "resourceGroupName",
)  # fmt: skip
THERE = {**{kind: f"there-{kind}-q" for kind in KINDS}, "domainName": "there-q.test", "location": "global"}
ABSENT = {**{kind: f"absent-{kind}-q" for kind in KINDS}, "domainName": "absent-q.test", "location": "global"}

BODIES: list[Any] = [None, {}, {"location": "global", "properties": {"dataLocation": "x"}}, b"{", b"[" * 1000]


async def make_all(api: Api) -> str:
    """Something of each kind in the group of THERE; the id of an operation on it."""
    theirs = api.elsewhere(group=THERE["resourceGroupName"])
    mail, chat = THERE["emailServiceName"], THERE["communicationServiceName"]
    await theirs.email_service(mail)
    await theirs.domain(THERE["domainName"], mail)
    await theirs.communication_service(chat)
    domain = f"emailServices/{mail}/domains/{THERE['domainName']}"
    children = {
        f"{domain}/senderUsernames/{THERE['senderUsername']}": {"username": THERE["senderUsername"]},
        f"{domain}/suppressionLists/{THERE['suppressionListName']}": {"listName": ""},
        f"communicationServices/{chat}/accessKeys/{THERE['accessKeyName']}": {},
    }
    for path, properties in children.items():
        made = await theirs.put(path, {"properties": properties})
        assert made.status == 201, made.body
    put = await theirs.put(f"emailServices/{mail}", {"location": "global", "properties": {"dataLocation": "Europe"}})
    return put.headers["azure-asyncoperation"].partition("?")[0].rpartition("/")[2]


def path_of(operation: Operation, values: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], operation.template)


def without_names(answer: Reply, values: dict[str, str]) -> tuple[int, Any, list[str]]:
    """Status, body and names of headers, with the caller's own words taken out of the text."""
    text = str(answer.body)
    for name in sorted(values.values(), key=len, reverse=True):
        text = text.replace(name, "*")
    return answer.status, text, sorted(answer.headers)


async def compare(api: Api, mine: Api, operation: Operation, operation_id: str, body: Any, role: Role) -> None:
    there = {**THERE, "subscriptionId": api.subscription, "operationId": operation_id}
    absent = {**ABSENT, "subscriptionId": api.subscription, "operationId": str(uuid.uuid4())}
    sent = body if operation.method in ("PUT", "PATCH", "POST") else None
    answers = [
        without_names(await mine.call(operation.method, path_of(operation, values), sent), values) for values in (there, absent)
    ]
    assert answers[0] == answers[1], (operation.name, role)
    if not operation.anywhere:
        assert answers[0][0] == 403, (operation.name, role)
    assert "there-q" not in answers[0][1]


async def test_every_route_answers_a_stranger_the_same_whether_there_is_something_or_not(api: Api) -> None:
    operation_id = await make_all(api)
    group = f"/subscriptions/{api.subscription}/resourcegroups/{THERE['resourceGroupName'].lower()}"
    scopes = [
        f"/subscriptions/{api.subscription}/resourcegroups/mine",
        group[:-1],  # the beginning of a name is not the name
        f"{group}2",
        f"/subscriptions/{uuid.uuid4()}",
    ]
    strangers = [(role, api.as_(Grant(role, scope))) for role in Role for scope in scopes]
    for operation in OPERATIONS:
        for role, mine in strangers:
            await compare(api, mine, operation, operation_id, {}, role)


async def test_any_body_and_any_name_from_a_stranger_is_answered_the_same(api: Api) -> None:
    """Neither what is wrong with a body nor how a name is written makes a difference before it is known who asks."""
    operation_id = await make_all(api)
    mine = api.as_(Grant(Role.ADMIN, f"/subscriptions/{api.subscription}/resourcegroups/mine"))
    for operation in OPERATIONS:
        for body in BODIES:
            await compare(api, mine, operation, operation_id, body, Role.ADMIN)


@given(name=st.text(min_size=1, max_size=40), operation=st.sampled_from([each for each in OPERATIONS if not each.anywhere]))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_name_from_a_stranger_is_refused_as_every_other(api: Api, name: str, operation: Operation) -> None:
    mine = api.as_(Grant(Role.ADMIN, f"/subscriptions/{api.subscription}/resourcegroups/mine"))
    written = quote(name.encode("utf-8", "replace").decode(), safe="")
    values = {**dict.fromkeys(THERE, written), "subscriptionId": api.subscription, "operationId": written}
    answer = await mine.call(operation.method, path_of(operation, values))
    assert answer.status in (403, 404)
    if answer.status == 404:  # a dot segment, which makes another path of it
        assert answer.code == "InvalidResourceType"


async def test_reader_of_one_resource_reads_it_and_what_is_below_it_alone(api: Api) -> None:
    domain = await api.stored_domain("contoso.test")
    await api.communication_service()
    mine = api.as_role(Role.READER, "emailServices/mail")
    for path in ("emailServices/mail", domain, f"{domain}/senderUsernames"):
        assert (await mine.get(path)).status == 200
    for path in ("communicationServices/chat", "emailServices", "emailServices/mail2"):
        assert (await mine.get(path)).status == 403
