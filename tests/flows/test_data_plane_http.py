"""The data plane as a client meets it: signatures, versions, idempotency, refusals. Storage is real, nothing is sent."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from email_core.data_plane.api_version import API_VERSIONS
from email_core.data_plane.sandbox_limits import SandboxLimits
from email_core.domains.directory import RESOURCES
from email_core.errors import StorageUnavailable
from tests.kit.pipeline import DOMAIN, Pipeline, build_pipeline
from tests.kit.requests import get, message, post

pytestmark = pytest.mark.peers


@pytest.fixture
async def pipeline(azurite: str) -> AsyncIterator[Pipeline]:
    built = await build_pipeline(azurite, routes="capture://127.0.0.1:9")
    yield built
    await built.close()


@pytest.mark.parametrize("version", API_VERSIONS)
async def test_send_every_api_version_is_accepted(pipeline: Pipeline, version: str) -> None:
    answer = await post(pipeline, message(), version=version)
    assert answer.status == 202
    assert answer.body == {"id": answer.body["id"], "status": "Running"}
    location = f"https://{pipeline.service.host_name}/emails/operations/{answer.body['id']}?api-version={version}"
    assert answer.headers["operation-location"] == location
    assert answer.headers["retry-after"] == "1"


async def test_operation_is_readable_right_after_the_202(pipeline: Pipeline) -> None:
    sent = await post(pipeline, message())
    answer = await get(pipeline, sent.body["id"])
    assert (answer.status, answer.body["status"], answer.body["error"]) == (200, "Running", None)
    [recipient] = answer.body["recipients"]
    assert (recipient["address"], recipient["status"], recipient["attempts"]) == ("ann@fabrikam.test", "Pending", 0)
    assert answer.headers["retry-after"] == "1"


async def test_operation_of_a_deferred_message_tells_reply_and_next_attempt(pipeline: Pipeline) -> None:
    sent = await post(pipeline, message())
    await pipeline.step()  # nobody listens on port 9
    answer = await get(pipeline, sent.body["id"])
    [recipient] = answer.body["recipients"]
    assert (answer.body["status"], recipient["status"], recipient["attempts"]) == ("Succeeded", "Deferred", 1)
    assert recipient["nextAttempt"].endswith("Z")
    assert "127.0.0.1" in recipient["lastReply"] or "refused" in recipient["lastReply"].lower()
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize(
    ("version", "code"), [(None, "MissingApiVersionParameter"), ("2019-01-01", "UnsupportedApiVersionValue")]
)
async def test_send_missing_or_unknown_api_version_is_refused(pipeline: Pipeline, version: str | None, code: str) -> None:
    answer = await post(pipeline, message(), version=version)
    assert (answer.status, answer.code) == (400, code)
    assert "2025-09-01" in answer.body["error"]["message"]


async def test_send_secondary_key_is_accepted(pipeline: Pipeline) -> None:
    assert (await post(pipeline, message(), key=pipeline.service.access_keys[1].secret)).status == 202


@pytest.mark.parametrize(
    ("situation", "changes"),
    [
        ("wrong key", {"key": b"k" * 64}),
        ("another body than was signed", {"sent_body": json.dumps(message(replyTo=[])).encode()}),
        ("signed six minutes ago", {"date_skew": -360.0}),
        ("signed six minutes ahead", {"date_skew": 360.0}),
        ("signed for another host", {"headers": {"host": "other.example"}}),
        ("no signature", {"headers": {"Authorization": ""}}),
        ("an unknown scheme", {"headers": {"Authorization": "Basic YTpi"}}),
        ("a bearer token", {"headers": {"Authorization": "Bearer abc"}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_send_that_does_not_prove_itself_is_denied(pipeline: Pipeline, situation: str, changes: dict[str, Any]) -> None:
    answer = await post(pipeline, message(), **changes)
    assert (answer.status, answer.code) == (401, "Denied"), situation
    assert "retry-after" not in answer.headers
    assert pipeline.queues.noted == []


async def test_send_skew_says_what_is_wrong_with_the_clock(pipeline: Pipeline) -> None:
    answer = await post(pipeline, message(), date_skew=-301)
    assert "greater than the allowed margin of 5 minutes" in answer.body["error"]["message"]
    assert (await post(pipeline, message(), date_skew=-299)).status == 202


async def test_send_behind_a_proxy_is_verified_against_the_public_host(pipeline: Pipeline) -> None:
    public = pipeline.service.host_name
    answer = await post(
        pipeline,
        message(),
        headers={"host": "10.0.0.4:8080", "x-forwarded-host": public, "x-forwarded-proto": "https"},
    )
    assert answer.status == 202
    assert answer.headers["operation-location"].startswith(f"https://{public}/emails/operations/")


@pytest.mark.parametrize("spell", [str.upper, str.title, str.lower])
async def test_send_host_in_any_spelling_is_verified_as_the_client_signed_it(
    pipeline: Pipeline, spell: Callable[[str], str]
) -> None:
    host = spell(pipeline.service.host_name)
    answer = await post(pipeline, message(), host=host)
    assert answer.status == 202
    assert answer.headers["operation-location"].startswith(f"https://{host}/emails/operations/")


async def test_send_to_another_service_in_another_spelling_with_our_key_is_denied(pipeline: Pipeline) -> None:
    await pipeline.provisioner.service("third", "third.localhost", [])
    pipeline.clock.advance(31)  # the directory forgets
    answer = await post(pipeline, message(), host="Third.Localhost:443")
    assert (answer.status, answer.code) == (401, "Denied")


async def test_send_denied_is_challenged_with_the_scheme_that_is_taken(pipeline: Pipeline) -> None:
    answer = await post(pipeline, message(), headers={"Authorization": "Bearer abc"})
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "HMAC-SHA256")


async def test_send_while_another_service_is_malformed_is_accepted(pipeline: Pipeline) -> None:
    tables, keys = pipeline.storage.tables, (f"broken|{uuid.uuid4()}", "communicationservices|broken")
    entity = {"PartitionKey": keys[0], "RowKey": keys[1], "kind": "communicationServices", "document": '{"id": "broken"}'}
    await tables.insert(RESOURCES, entity)
    try:
        pipeline.clock.advance(31)  # the directory forgets
        assert (await post(pipeline, message())).status == 202
    finally:
        await tables.delete(RESOURCES, *keys)


async def test_send_echoes_the_client_request_id_on_success_and_on_error(pipeline: Pipeline) -> None:
    header = {"x-ms-client-request-id": str(uuid.uuid4())}
    for body in (message(), {}):
        answer = await post(pipeline, body, headers=header)
        assert answer.headers["x-ms-client-request-id"] == header["x-ms-client-request-id"]


async def test_send_same_operation_id_and_body_is_the_same_operation(pipeline: Pipeline) -> None:
    header = {"Operation-Id": str(uuid.uuid4()).upper()}
    answers = [await post(pipeline, message(), headers={k.lower(): v for k, v in header.items()}) for _ in range(2)]
    assert [answer.status for answer in answers] == [202, 202]
    assert {answer.body["id"] for answer in answers} == {header["Operation-Id"].lower()}


async def test_send_same_operation_id_with_another_body_is_a_conflict(pipeline: Pipeline) -> None:
    header = {"operation-id": str(uuid.uuid4())}
    assert (await post(pipeline, message(), headers=header)).status == 202
    answer = await post(pipeline, message(content={"subject": "Another", "plainText": "x"}), headers=header)
    assert (answer.status, answer.code) == (409, "Conflict")


async def test_send_200_equal_requests_in_parallel_are_one_operation(pipeline: Pipeline) -> None:
    header = {"operation-id": str(uuid.uuid4())}
    answers = await asyncio.gather(*(post(pipeline, message(), headers=header) for _ in range(200)))
    assert {answer.status for answer in answers} == {202}
    assert {answer.body["id"] for answer in answers} == {header["operation-id"]}


async def test_send_operation_id_that_is_no_uuid_is_refused(pipeline: Pipeline) -> None:
    answer = await post(pipeline, message(), headers={"operation-id": "42"})
    assert (answer.status, answer.body["error"]["target"]) == (400, "Operation-Id")


async def test_send_every_bad_field_is_reported_at_once(pipeline: Pipeline) -> None:
    body = message(recipients={"to": [{"address": "not an address"}]}, headers={"X-A": "a\r\nBcc: x@y.z"}, replyTo=7)
    answer = await post(pipeline, body)
    targets = {detail["target"] for detail in answer.body["error"]["details"]}
    assert answer.status == 400
    assert targets == {"recipients.to[0].address", "headers['X-A']", "replyTo"}


async def test_send_body_over_the_limit_is_refused_by_its_declared_length(pipeline: Pipeline) -> None:
    """The host leaves such a body unread, so the function sees the header alone; not even the signature is looked at."""
    answer = await post(pipeline, b"", headers={"content-length": str(11 * 1024 * 1024), "Authorization": ""})
    assert (answer.status, answer.code) == (413, "RequestBodyTooLarge")
    assert "10485760" in answer.body["error"]["message"]


async def test_send_without_a_body_is_told_to_send_its_length(pipeline: Pipeline) -> None:
    answer = await post(pipeline, b"", headers={"content-length": ""})
    assert (answer.status, answer.code) == (411, "LengthRequired")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (message(senderAddress="news@other.test"), 404, "DomainNotLinked"),
        (message(senderAddress=f"sales@{DOMAIN}"), 400, "InvalidSenderUserName"),
        (message(recipients={"to": [{"address": f"r{n}@x.test"} for n in range(51)]}), 400, "BadRequest"),
        (b"{", 400, "BadRequest"),
        (b"[" * 100_000, 400, "BadRequest"),
    ],
    ids=["unlinked domain", "unknown sender", "51 recipients", "malformed JSON", "deep JSON"],
)
async def test_send_what_may_not_be_sent_is_refused_and_stores_nothing(
    pipeline: Pipeline, body: object, status: int, code: str
) -> None:
    answer = await post(pipeline, body)
    assert (answer.status, answer.code) == (status, code)
    assert pipeline.queues.noted == []


async def test_send_to_another_service_with_our_key_is_denied(pipeline: Pipeline) -> None:
    await pipeline.provisioner.service("second", "second.localhost", [])
    pipeline.clock.advance(31)  # the directory forgets
    answer = await post(pipeline, message(), host="second.localhost")
    assert (answer.status, answer.code) == (401, "Denied")


async def test_operation_unknown_foreign_or_malformed_is_not_found_alike(azurite: str, pipeline: Pipeline) -> None:
    other = await build_pipeline(azurite, routes="capture://127.0.0.1:9")
    sent = await post(other, message())
    for operation_id in (sent.body["id"], str(uuid.uuid4()), "not-a-uuid"):
        answer = await get(pipeline, operation_id)
        assert (answer.status, answer.code) == (404, "NotFound")
    assert (await get(other, sent.body["id"].upper())).status == 200
    await other.close()


async def test_send_storage_away_is_503_with_retry_after_and_nothing_accepted(pipeline: Pipeline) -> None:
    async def away(*_: object, **__: object) -> None:
        raise StorageUnavailable("the table service does not answer")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.storage.tables, "insert", away)
        answer = await post(pipeline, message())
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "ServiceUnavailable", "5")
    assert "table service" not in json.dumps(answer.body)


async def test_send_fault_of_ours_is_a_500_without_detail(pipeline: Pipeline) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.services.spool, "add", broken)
        answer = await post(pipeline, message())
    assert (answer.status, answer.code) == (500, "InternalServerError")
    assert "secret" not in json.dumps(answer.body)
    assert "retry-after" not in answer.headers


async def test_send_over_the_sandbox_limit_is_429_with_honest_retry_after(pipeline: Pipeline) -> None:
    pipeline.services = replace(pipeline.services, sandbox_limits=SandboxLimits())
    answers = [await post(pipeline, message()) for _ in range(31)]
    assert [answer.status for answer in answers].count(202) == 30
    refused = answers[-1]
    assert (refused.status, refused.code) == (429, "TooManyRequests")
    assert "PerSubscriptionPerMinuteLimitExceeded" in refused.body["error"]["message"]
    assert refused.headers["retry-after"] == "60"
    pipeline.clock.advance(61)
    assert (await post(pipeline, message())).status == 202


async def test_send_attachment_and_inline_image_reach_the_draft(pipeline: Pipeline) -> None:
    attachments = [
        {"name": "note.txt", "contentType": "text/plain", "contentInBase64": base64.b64encode(b"note").decode()},
        {
            "name": "dot.png",
            "contentType": "image/png",
            "contentInBase64": base64.b64encode(b"\x89PNG").decode(),
            "contentId": "dot",
        },
    ]
    content = {"subject": "Files", "html": '<img src="cid:dot">'}
    assert (await post(pipeline, message(attachments=attachments, content=content))).status == 202
