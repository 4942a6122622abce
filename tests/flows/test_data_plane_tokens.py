"""The data plane with bearer tokens: who may send and ask, and which service a token without a host of its own is for."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from email_core.auth.authenticate import Authenticator
from email_core.domains.documents import ServiceDocument
from email_core.domains.resource_store import ResourceStore
from email_core.management.resource_id import parse_resource_id
from email_core.settings import Secret
from tests.kit.pipeline import DOMAIN, Pipeline, build_pipeline
from tests.kit.requests import Answer, explanation, get, message, post
from tests.kit.token_issuer import TokenIssuer

pytestmark = pytest.mark.peers

ADMIN_TOKEN = Secret("an admin token of more than thirty-two characters")
SHARED = "shared.postrider.test"  # the host of no service


@pytest.fixture
async def pipeline(azurite: str, issuer: TokenIssuer) -> AsyncIterator[Pipeline]:
    built = await build_pipeline(
        azurite,
        routes="capture://127.0.0.1:9",
        change=lambda settings: replace(
            settings, entra_tenants=(issuer.tenant,), entra_authority=issuer.authority, admin_token=ADMIN_TOKEN
        ),
    )
    yield built
    await built.close()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def scope_of(pipeline: Pipeline) -> str:
    """The resource group of the test."""
    return "/".join(pipeline.service.resource_id.split("/")[:5])


def scoped(pipeline: Pipeline, issuer: TokenIssuer, role: str, scope: str) -> dict[str, str]:
    """A token of somebody who has the role there and nowhere else."""
    who = str(uuid.uuid4())
    settings = replace(pipeline.services.settings, roles=(f"{who}={role}@{scope}",))
    pipeline.services = replace(pipeline.services, authenticator=Authenticator(settings, pipeline.clock))
    return bearer(issuer.user_token(oid=who))


async def change_service(pipeline: Pipeline, **changes: Any) -> None:
    """Change the document of the service, and let the directory forget the old one."""
    store = ResourceStore(pipeline.storage.tables)
    found = await store.get(parse_resource_id(pipeline.service.resource_id), ServiceDocument)
    assert found is not None
    await store.replace(found, msgspec.structs.replace(found.document, **changes))
    pipeline.clock.advance(31)


async def second_service(pipeline: Pipeline, domain: str = "fabrikam.test") -> None:
    """Another service of the same group, with a domain of its own."""
    await pipeline.provisioner.custom_domain("email", domain, senders=("news",))
    await pipeline.provisioner.service("second", "second.localhost", [pipeline.provisioner.domain_id("email", domain).lower()])
    pipeline.clock.advance(31)


def without_id(answer: Answer) -> Mapping[str, Any]:
    """An answer without what only repeats the question."""
    text = str(answer.body["error"]["message"]).split("messageID: ")
    return {"status": answer.status, "error": {**answer.body["error"], "message": text[0]}, "headers": answer.headers}


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("role", ["Sender", "Admin"])
async def test_token_of_a_sender_or_admin_sends_and_reads(
    pipeline: Pipeline, issuer: TokenIssuer, role: str, version: int
) -> None:
    token = bearer(issuer.token(version=version, roles=[role]))
    sent = await post(pipeline, message(), headers=token)
    assert sent.status == 202
    assert sent.headers["operation-location"].startswith(f"https://{pipeline.service.host_name}/emails/operations/")
    assert (await get(pipeline, sent.body["id"], headers=token)).status == 200
    assert (await explanation(pipeline, sent.body["id"], headers=token)).status == 200


async def test_admin_token_of_the_installation_sends_and_reads(pipeline: Pipeline) -> None:
    sent = await post(pipeline, message(), headers=bearer(ADMIN_TOKEN))
    assert (sent.status, (await get(pipeline, sent.body["id"], headers=bearer(ADMIN_TOKEN))).status) == (202, 200)


async def test_token_of_a_reader_reads_and_may_not_send(pipeline: Pipeline, issuer: TokenIssuer) -> None:
    sent = await post(pipeline, message())
    token = bearer(issuer.user_token(roles=["Reader"]))
    assert (await get(pipeline, sent.body["id"], headers=token)).status == 200
    assert (await explanation(pipeline, sent.body["id"], headers=token)).status == 200
    refused = await post(pipeline, message(), headers=token)
    assert (refused.status, refused.code) == (403, "Forbidden")
    assert "takes the role Sender or Admin" in refused.body["error"]["message"]
    assert "has the role Reader" in refused.body["error"]["message"]
    assert len(pipeline.queues.noted) == 1


async def test_token_without_a_role_may_do_nothing(pipeline: Pipeline, issuer: TokenIssuer) -> None:
    sent = await post(pipeline, message())
    token = bearer(issuer.token(roles=["Mail.Send"]))
    answers = [
        await post(pipeline, message(), headers=token),
        await get(pipeline, sent.body["id"], headers=token),
        await get(pipeline, str(uuid.uuid4()), headers=token),
    ]
    assert [(answer.status, answer.code) for answer in answers] == [(403, "Forbidden")] * 3
    assert without_id(answers[1]) == without_id(answers[2])


async def test_token_that_is_refused_says_to_the_caller_no_more_than_that(
    pipeline: Pipeline, issuer: TokenIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "postrider")
    for token, reason in ((issuer.token(aud="https://graph.microsoft.com"), "InvalidAudience"), ("x.y.z", "no token")):
        refused = await post(pipeline, message(), headers=bearer(token))
        assert (refused.status, refused.code) == (401, "Denied")
        assert reason not in str(refused.body) and any(reason in line for line in caplog.messages)
        assert token not in caplog.text
    assert pipeline.queues.noted == []


async def test_token_while_the_issuer_is_away_is_503_and_not_denied(
    pipeline: Pipeline, issuer: TokenIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "postrider")
    token = bearer(issuer.token(roles=["Sender"]))
    issuer.close()
    refused = await post(pipeline, message(), headers=token)
    assert (refused.status, refused.code, refused.headers["retry-after"]) == (503, "ServiceUnavailable", "5")


async def test_token_with_a_scope_reaches_the_services_below_it_alone(
    azurite: str, pipeline: Pipeline, issuer: TokenIssuer
) -> None:
    other = await build_pipeline(azurite, routes="capture://127.0.0.1:9")
    foreign = await post(other, message())
    await other.close()
    pipeline.clock.advance(31)
    token = scoped(pipeline, issuer, "Admin", scope_of(pipeline))
    assert (await post(pipeline, message(), headers=token)).status == 202
    refused = await post(pipeline, message(), headers=token, host=other.service.host_name)
    assert (refused.status, refused.code) == (403, "Forbidden")
    there = await get(pipeline, foreign.body["id"], headers=token, host=SHARED)
    nowhere = await get(pipeline, str(uuid.uuid4()), headers=token, host=SHARED)
    assert (there.status, there.code) == (404, "NotFound")
    assert without_id(there) == without_id(nowhere)


async def test_token_at_a_shared_host_sends_through_the_service_that_the_domain_is_linked_to(
    pipeline: Pipeline, issuer: TokenIssuer
) -> None:
    await second_service(pipeline)
    token = scoped(pipeline, issuer, "Sender", scope_of(pipeline))
    ours = scope_of(pipeline).lower()
    services = await pipeline.services.directory.services()
    known = {service.name: service.key for service in services if service.resource_id.lower().startswith(ours)}
    for domain, name in ((DOMAIN, pipeline.service.name), ("fabrikam.test", "second")):
        body = message(senderAddress=f"news@{domain}")
        sent = await post(pipeline, body, headers=token, host=SHARED)
        assert sent.status == 202, sent.body
        assert pipeline.queues.noted[-1].item.message == f"{known[name]}:{sent.body['id']}"
        assert sent.headers["operation-location"].startswith(f"https://{SHARED}/")
        assert (await get(pipeline, sent.body["id"], headers=token, host=SHARED)).status == 200


async def test_token_at_a_shared_host_with_a_domain_of_nobody_is_not_linked(pipeline: Pipeline, issuer: TokenIssuer) -> None:
    await second_service(pipeline)
    token = scoped(pipeline, issuer, "Sender", scope_of(pipeline))
    answer = await post(pipeline, message(senderAddress="news@adatum.test"), headers=token, host=SHARED)
    assert (answer.status, answer.code) == (404, "DomainNotLinked")


async def test_token_that_repeats_a_request_at_a_shared_host_meets_the_same_operation(
    pipeline: Pipeline, issuer: TokenIssuer
) -> None:
    linked = pipeline.provisioner.domain_id("email", DOMAIN).lower()
    await pipeline.provisioner.service("second", "second.localhost", [linked])
    pipeline.clock.advance(31)
    token = {**scoped(pipeline, issuer, "Sender", scope_of(pipeline)), "operation-id": str(uuid.uuid4())}
    answers = [await post(pipeline, message(), headers=token, host=SHARED) for _ in range(3)]
    assert {(answer.status, answer.body["id"]) for answer in answers} == {(202, token["operation-id"])}
    assert len({noted.item.message for noted in pipeline.queues.noted}) == 1


async def test_service_without_local_auth_takes_tokens_and_no_key(pipeline: Pipeline, issuer: TokenIssuer) -> None:
    await change_service(pipeline, disable_local_auth=True)
    refused = await post(pipeline, message())
    assert (refused.status, refused.code) == (401, "Denied")
    assert (await post(pipeline, message(), headers=bearer(issuer.token(roles=["Sender"])))).status == 202


@pytest.mark.parametrize("access", ["Disabled", "SecuredByPerimeter"])
@pytest.mark.parametrize(
    ("forwarded_for", "status"),
    [("10.1.2.3:4711", 202), ("203.0.113.7:4711", 403), ("10.1.2.3, 203.0.113.7:4711", 403), ("", 403)],
    ids=["private", "public", "claims to be private", "unknown"],
)
async def test_service_without_public_access_is_reached_from_private_networks_alone(
    pipeline: Pipeline, issuer: TokenIssuer, access: str, forwarded_for: str, status: int
) -> None:
    await change_service(pipeline, public_network_access=access)
    for credentials in ({}, bearer(issuer.token(roles=["Sender"]))):
        answer = await post(pipeline, message(), headers={**credentials, "x-forwarded-for": forwarded_for})
        assert answer.status == status
        if status == 403:
            assert answer.code == "PublicNetworkAccessDisabled"
