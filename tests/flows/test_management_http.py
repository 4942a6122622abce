"""The management plane as HTTP: paths, methods, versions, who may, bodies, the ids of answers, and what becomes of faults."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest

from email_core.administration import handlers
from email_core.auth.principal import Grant, PrincipalKind, Role
from email_core.auth.token_refused import IssuerUnavailable
from email_core.errors import EntityChanged, StorageUnavailable, WorkerBusy
from email_core.management.api_version import API_VERSIONS
from tests.kit.administration import Api

pytestmark = pytest.mark.peers

PROVIDER = "providers/Microsoft.Communication"
MAIL = {"location": "global", "properties": {"dataLocation": "Europe"}}


@pytest.mark.parametrize("version", [version for version in API_VERSIONS if version >= "2023"])
async def test_put_in_every_api_version_is_accepted(api: Api, version: str) -> None:
    answer = await api.put("emailServices/mail", MAIL, version=version)
    assert (answer.status, answer.body["name"]) == (201, "mail")
    assert f"api-version={version}" in answer.headers["azure-asyncoperation"]


@pytest.mark.parametrize(
    ("version", "code"),
    [
        (None, "MissingApiVersionParameter"),
        ("2019-01-01", "NoRegisteredProviderFound"),
        ("2020-08-20", "NoRegisteredProviderFound"),  # before e-mail began
        ("x" * 5000, "NoRegisteredProviderFound"),
    ],
    ids=["none", "unknown", "too old", "long"],
)
async def test_request_with_a_wrong_api_version_is_refused_and_told_which_there_are(
    api: Api, version: str | None, code: str
) -> None:
    answer = await api.get("emailServices/mail", version=version)
    assert (answer.status, answer.code) == (400, code)
    supported = answer.message.partition("The supported api-versions are")[2]
    assert "2026-03-18" in supported and "2020-08-20" not in supported
    assert len(answer.message) < 700


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS"])
async def test_method_that_a_path_has_not_is_405_and_names_those_it_has(api: Api, method: str) -> None:
    answer = await api.call(method, "emailServices/mail")
    assert answer.status == 405
    assert answer.headers["allow"] == "DELETE, GET, PATCH, PUT"


@pytest.mark.parametrize(
    "path",
    [
        "emailServices/mail/nothing",
        "/subscriptions",
        "/subscriptions/",
        "/providers/Microsoft.Other/operations",
        "emailServices//domains/a.test",
        "emailServices/mail/domains/a.test/senderUsernames/x/y",
        "/subscriptions/" + "a/" * 3000,
    ],
)
async def test_path_that_is_no_operation_is_404(api: Api, path: str) -> None:
    answer = await api.get(path)
    assert (answer.status, answer.code) == (404, "InvalidResourceType")


async def test_path_is_compared_without_case_and_with_a_slash_at_its_end(api: Api) -> None:
    await api.email_service()
    answer = await api.get(f"{api.base.upper()}/EMAILSERVICES/MAIL/".replace("/SUBSCRIPTIONS/", "/Subscriptions/"))
    assert (answer.status, answer.body["id"]) == (200, f"{api.base}/emailServices/mail")


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", "Basic YTpi"])
async def test_request_without_a_good_token_is_401_and_challenged(api: Api, authorization: str) -> None:
    answer = await api.get("emailServices/mail", headers={"authorization": authorization})
    assert (answer.status, answer.code) == (401, "AuthenticationFailed")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("role", "method", "path", "allowed"),
    [
        (Role.READER, "GET", "emailServices/mail", True),
        (Role.READER, "PUT", "emailServices/mail", False),
        (Role.READER, "PATCH", "emailServices/mail", False),
        (Role.READER, "DELETE", "emailServices/mail", False),
        (Role.READER, "POST", "communicationServices/chat/listKeys", False),
        (Role.READER, "GET", "/providers/Microsoft.Communication/operations", True),
        (Role.SENDER, "GET", "emailServices/mail", False),
        (Role.SENDER, "PUT", "emailServices/mail", False),
        (Role.SENDER, "GET", "/providers/Microsoft.Communication/operations", False),
        (Role.ADMIN, "PUT", "emailServices/mail", True),
    ],
)
async def test_role_allows_what_it_is_for(api: Api, role: Role, method: str, path: str, allowed: bool) -> None:
    await api.email_service()
    answer = await api.as_role(role).call(method, path, MAIL if method in ("PUT", "PATCH") else None)
    if allowed:
        assert answer.status == 200
    else:
        assert (answer.status, answer.code) == (403, "AuthorizationFailed")
        assert "somebody@contoso.test" in answer.message


async def test_role_in_one_group_is_none_in_another(api: Api) -> None:
    mine = api.as_(Grant(Role.ADMIN, f"/subscriptions/{api.subscription}/resourcegroups/group"))
    assert (await mine.put("emailServices/mail", MAIL)).status == 201
    assert (await mine.elsewhere(group="group2").put("emailServices/mail", MAIL)).status == 403
    assert (await mine.get(f"/subscriptions/{api.subscription}/providers/Microsoft.Communication/emailServices")).status == 403


async def test_caller_without_any_role_may_not_even_list_operations(api: Api) -> None:
    answer = await api.as_(kind=PrincipalKind.APPLICATION).get("/providers/Microsoft.Communication/operations")
    assert (answer.status, answer.code) == (403, "AuthorizationFailed")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (
            "/subscriptions/no-guid/resourceGroups/g/" + PROVIDER + "/emailServices/mail",
            "InvalidResourceScope",
        ),
        (
            "/subscriptions/{s}/resourceGroups/ends./" + PROVIDER + "/emailServices/mail",
            "InvalidResourceScope",
        ),
        (
            "/subscriptions/{s}/resourceGroups/a%2Fb/" + PROVIDER + "/emailServices/mail",
            "InvalidResourceScope",
        ),
        ("emailServices/with.dot", "InvalidResourceName"),
        ("emailServices/mail%0A", "InvalidResourceName"),
        ("emailServices/" + "m" * 64, "InvalidResourceName"),
        ("emailServices/a%7Cb", "InvalidResourceName"),
        ("emailServices/m%C3%A4il", "InvalidResourceName"),
        ("communicationServices/a%20b", "InvalidResourceName"),
        ("emailServices/mail/domains/a%2Fb", "InvalidResourceName"),
        ("emailServices/mail/domains/a%C2%85b", "InvalidResourceName"),
        ("emailServices/mail/domains/" + "d" * 254, "InvalidResourceName"),
        ("emailServices/mail/domains/a.test/senderUsernames/a%40b", "InvalidResourceName"),
        ("emailServices/mail/domains/a.test/suppressionLists/under_score", "InvalidResourceName"),
        (f"emailServices/mail/domains/{'d' * 250}/suppressionLists/{'s' * 250}", "InvalidResourceName"),
        ("communicationServices/chat/providers/Microsoft.EventGrid/eventSubscriptions/ab", "InvalidResourceName"),
    ],
    ids=lambda value: value if len(value) < 40 else f"{value[:20]} and {len(value)} more",
)
async def test_name_outside_the_pattern_is_refused_with_the_rule(api: Api, path: str, code: str) -> None:
    answer = await api.put(path.replace("{s}", api.subscription), MAIL)
    assert (answer.status, answer.code) == (400, code)
    assert len(answer.message) < 500


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"   ", "empty"),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'{"location": ', "not valid JSON"),
        (b"{'location': 1}", "not valid JSON"),
        (b'\xef\xbb\xbf{"a": 1}', "not valid JSON"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'{"\xff": 1}', "UTF-8"),
        (b'{"a":' * 40_000 + b"1" + b"}" * 40_000, "nested too deeply"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "JSON"),
        (b'{"a": 1e999}', "JSON"),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else value,
)
async def test_body_that_cannot_be_read_is_refused_and_told_why(api: Api, body: bytes, said: str) -> None:
    answer = await api.put("emailServices/mail", body)
    assert (answer.status, answer.code) == (400, "InvalidRequestContent")
    assert said in answer.message


async def test_body_that_is_too_large_is_refused_by_its_declared_length(api: Api) -> None:
    """The host may have left it unread: then nothing of it arrives."""
    answer = await api.put("emailServices/mail", b"", headers={"content-length": str(256 * 1024 + 1)})
    assert (answer.status, answer.code) == (413, "RequestContentTooLarge")
    assert (await api.put("emailServices/mail", b" " * (256 * 1024 + 1))).status == 413


async def test_refusals_of_the_body_come_after_those_of_the_caller(api: Api) -> None:
    """Else what may be sent where would tell something to whom it does not concern."""
    answer = await api.as_role(Role.READER).put("emailServices/with.dot", b"{")
    assert (answer.status, answer.code) == (403, "AuthorizationFailed")


async def test_faults_of_a_body_are_told_all_at_once(api: Api) -> None:
    body = {"location": "moon", "tags": {"a": 1}, "properties": {"dataLocation": 7, "provisioningState": "Failed"}}
    answer = await api.put("emailServices/mail", body)
    assert (answer.status, answer.code) == (400, "InvalidRequestContent")
    assert answer.targets == ["location", "properties.dataLocation", "tags.a", "properties.provisioningState"]


async def test_answers_carry_the_ids_of_the_request(api: Api) -> None:
    client, chain = str(uuid.uuid4()), str(uuid.uuid4())
    headers = {"x-ms-client-request-id": client, "x-ms-correlation-request-id": chain}
    for path in ("emailServices/mail", "emailServices/nothing/here"):
        answer = await api.get(path, headers=headers)
        assert answer.headers["x-ms-client-request-id"] == client
        assert answer.headers["x-ms-correlation-request-id"] == chain
        assert uuid.UUID(answer.headers["x-ms-request-id"])
    alone = await api.get("emailServices/mail")
    assert alone.headers["x-ms-correlation-request-id"] == alone.headers["x-ms-request-id"]
    assert "x-ms-client-request-id" not in alone.headers


@pytest.mark.parametrize(
    ("fault", "status", "code", "retry_after"),
    [
        (StorageUnavailable("the secret of storage"), 503, "ServiceUnavailable", "5"),
        (StorageUnavailable("the secret of storage", retry_after=7.2), 503, "ServiceUnavailable", "8"),
        (EntityChanged("the secret of storage"), 409, "Conflict", None),
        (RuntimeError("the secret of storage"), 500, "InternalServerError", None),
    ],
    ids=["away", "throttled", "changed", "our fault"],
)
async def test_fault_of_an_operation_has_the_shape_of_arm_and_keeps_its_detail(
    api: Api, monkeypatch: pytest.MonkeyPatch, fault: Exception, status: int, code: str, retry_after: str | None
) -> None:
    async def failing(*_: Any) -> None:
        raise fault

    monkeypatch.setitem(handlers.HANDLERS, "EmailServices_Get", failing)
    answer = await api.get("emailServices/mail")
    assert (answer.status, answer.code, answer.headers.get("retry-after")) == (status, code, retry_after)
    assert "secret" not in answer.message


async def test_too_many_requests_are_429_with_a_pause(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(*_: Any) -> None:
        raise WorkerBusy("imports")

    monkeypatch.setitem(handlers.HANDLERS, "EmailServices_Get", failing)
    answer = await api.get("emailServices/mail")
    assert (answer.status, answer.code) == (429, "TooManyRequests")
    assert 2 <= int(answer.headers["retry-after"]) <= 8


async def test_issuer_that_is_away_is_503_and_not_401(api: Api) -> None:
    class Away:
        async def bearer(self, authorization: str, now: float) -> None:
            raise IssuerUnavailable("no keys")

    away = replace(api, services=replace(api.services, authenticator=Away()))  # type: ignore[arg-type]
    answer = await away.get("emailServices/mail")
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "ServiceUnavailable", "5")
