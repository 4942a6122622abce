"""The management plane with the tokens that it is called with in earnest: roles and scopes, and what is refused."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from email_core.auth.authenticate import Authenticator
from email_core.settings import Secret
from tests.kit.administration import Api
from tests.kit.token_issuer import TokenIssuer

pytestmark = pytest.mark.peers

ARM = "https://management.azure.com/"
ADMIN_TOKEN = Secret("an admin token of more than thirty-two characters")
BODY = {"location": "global", "properties": {"dataLocation": "Europe"}}


def with_issuer(api: Api, issuer: TokenIssuer, *roles: str) -> Api:
    """The same, asked with tokens of the issuer."""
    settings = replace(
        api.services.settings, entra_tenants=(issuer.tenant,), entra_authority=issuer.authority, admin_token=ADMIN_TOKEN,
        roles=roles,
    )  # fmt: skip
    return replace(api, services=replace(api.services, authenticator=Authenticator(settings, api.clock)))


@pytest.fixture
async def real(api: Api, issuer: TokenIssuer) -> AsyncIterator[Api]:
    yield with_issuer(api, issuer)


async def test_admin_manages_and_the_audit_log_names_the_person(real: Api, issuer: TokenIssuer) -> None:
    ann = replace(real, token=issuer.user_token(aud=ARM, roles=["Admin"], name="ann@contoso.test"))
    made = await ann.put("emailServices/mail", BODY)
    assert made.status == 201
    assert (made.body["systemData"]["createdBy"], made.body["systemData"]["createdByType"]) == ("ann@contoso.test", "User")
    events = await ann.get(f"/subscriptions/{ann.subscription}/providers/Microsoft.Communication/auditEvents")
    assert events.body["value"][0]["properties"]["caller"] == "ann@contoso.test"


async def test_admin_token_manages(real: Api) -> None:
    assert (await replace(real, token=ADMIN_TOKEN).put("emailServices/mail", BODY)).status == 201


async def test_reader_who_writes_is_refused(real: Api, issuer: TokenIssuer) -> None:
    reader = replace(real, token=issuer.token(aud=ARM, roles=["Reader"]))
    assert (await reader.get("emailServices")).status == 200
    for answer in (await reader.put("emailServices/mail", BODY), await reader.delete("emailServices/mail")):
        assert (answer.status, answer.code) == (403, "AuthorizationFailed")


async def test_sender_who_manages_is_refused(real: Api, issuer: TokenIssuer) -> None:
    sender = replace(real, token=issuer.token(aud=ARM, roles=["Sender"]))
    for answer in (await sender.get("emailServices"), await sender.put("emailServices/mail", BODY)):
        assert (answer.status, answer.code) == (403, "AuthorizationFailed")


async def test_admin_of_one_group_is_refused_in_another_whether_there_is_something_or_not(
    api: Api, issuer: TokenIssuer
) -> None:
    who = str(uuid.uuid4())
    real = with_issuer(api, issuer, f"{who}=Admin@/subscriptions/{api.subscription}/resourceGroups/{api.group}")
    admin = replace(real, token=issuer.user_token(aud=ARM, oid=who))
    elsewhere = admin.elsewhere(group="another")
    await replace(real, token=ADMIN_TOKEN, group="another").put("emailServices/there", BODY)
    assert (await admin.put("emailServices/mail", BODY)).status == 201
    there, nowhere = (await elsewhere.get("emailServices/there"), await elsewhere.get("emailServices/gone"))
    assert (there.status, nowhere.status) == (403, 403)
    assert there.message.replace("there", "gone") == nowhere.message.replace("there", "gone")


@pytest.mark.parametrize(
    ("token", "scheme"), [("", "Bearer"), ("x.y.z", "Bearer"), (str(ADMIN_TOKEN), "Basic"), (str(ADMIN_TOKEN)[:-1], "Bearer")]
)
async def test_caller_without_a_good_token_is_asked_for_one(real: Api, token: str, scheme: str) -> None:
    answer = await real.get("emailServices", headers={"authorization": f"{scheme} {token}"})
    assert (answer.status, answer.code, answer.headers["www-authenticate"]) == (401, "AuthenticationFailed", "Bearer")


async def test_caller_while_the_issuer_is_away_is_told_to_come_again(
    real: Api, issuer: TokenIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", "postrider")
    token = issuer.token(aud=ARM, roles=["Admin"])
    issuer.close()
    answer = await replace(real, token=token).get("emailServices")
    assert (answer.status, answer.code) == (503, "ServiceUnavailable")
    assert int(answer.headers["retry-after"]) > 0
