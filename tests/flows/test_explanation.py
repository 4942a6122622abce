"""`GET /emails/operations/{id}/explanation`: the story of a message, for the owner of the key that sent it and nobody else."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator

import msgspec
import pytest

from email_core.explain.explanation import Explanation
from tests.kit.free_ports import free_port
from tests.kit.pipeline import SEALING_KEY, Pipeline, build_pipeline
from tests.kit.receiver import Receiver
from tests.kit.requests import Answer, explanation, get, message, post

pytestmark = pytest.mark.peers


def to(*addresses: str) -> dict[str, object]:
    return {"recipients": {"to": [{"address": address} for address in addresses]}}


def told(answer: Answer) -> Explanation:
    assert answer.status == 200, answer.body
    return msgspec.convert(answer.body, Explanation)


def words(story: Explanation) -> str:
    return "\n".join(step.text for step in story.steps)


async def test_explanation_is_there_right_after_the_202_and_grows_with_the_message(pipeline: Pipeline, sink: Receiver) -> None:
    sink.replies = {"later@fabrikam.test": ["451 4.3.0 not now", "250 2.1.5 now"]}
    sent = await post(pipeline, message(**to("later@fabrikam.test")))
    story = told(await explanation(pipeline, sent.body["id"]))
    assert (story.id, story.status, story.sender) == (sent.body["id"], "Running", "news@contoso.test")
    assert [step.kind for step in story.steps] == ["accepted"]
    assert story.recipients[0].status == "Pending"
    assert "begins by itself" in story.recipients[0].next
    await pipeline.step()
    story = told(await explanation(pipeline, sent.body["id"]))
    [recipient] = story.recipients
    assert (recipient.status, recipient.bounce_class, recipient.last_reply) == ("Deferred", "network", "451 4.3.0 not now")
    assert "It is tried again at" in recipient.next
    assert recipient.next_attempt and recipient.expires_at
    assert words(story).count("RCPT TO:<later@fabrikam.test> -> 451 4.3.0 not now") == 1
    await pipeline.drain()
    story = told(await explanation(pipeline, sent.body["id"]))
    [recipient] = story.recipients
    assert (recipient.status, recipient.tries, recipient.next) == ("Delivered", 2, "Nothing: this is final.")
    assert "The capture sink of this installation keeps the message." in recipient.meaning
    kinds = [step.kind for step in story.steps]
    assert kinds[:3] == ["accepted", "signed", "route"]
    assert kinds.count("next-attempt") == 1
    assert story.message_id == f"<{story.id}@contoso.test>"


async def test_explanation_foreign_unknown_or_malformed_is_not_found_as_the_operation_is(
    azurite: str, pipeline: Pipeline
) -> None:
    other = await build_pipeline(azurite, routes="capture://127.0.0.1:9")
    sent = await post(other, message())
    for operation_id in (sent.body["id"], str(uuid.uuid4()), "not-a-uuid"):
        asked, explained = await get(pipeline, operation_id), await explanation(pipeline, operation_id)
        assert (explained.status, explained.code) == (404, "NotFound")
        assert explained.body == asked.body
    assert (await explanation(other, sent.body["id"].upper())).status == 200
    await other.close()


async def test_explanation_with_a_wrong_key_is_denied(pipeline: Pipeline) -> None:
    sent = await post(pipeline, message())
    answer = await explanation(pipeline, sent.body["id"], key=b"another secret, of some 32 bytes")
    assert (answer.status, answer.code) == (401, "Denied")


async def test_explanation_of_a_split_message_tells_each_recipient_and_each_envelope(
    pipeline: Pipeline, sink: Receiver
) -> None:
    sink.replies = {"no@b.test": ["550 5.1.1 no such user"], "full@b.test": ["452 4.2.2 mailbox full"]}
    sent = await post(pipeline, message(**to("yes@a.test", "no@b.test", "full@b.test")))
    await pipeline.step()
    halfway = told(await explanation(pipeline, sent.body["id"]))
    assert [each.status for each in halfway.recipients] == ["Pending"] * 3
    assert words(halfway).endswith("Split into 2 deliveries, one for each domain: a.test, b.test.")
    await pipeline.step()
    await pipeline.step()
    story = told(await explanation(pipeline, sent.body["id"]))
    assert {each.address: each.status for each in story.recipients} == {
        "yes@a.test": "Delivered",
        "no@b.test": "Bounced",
        "full@b.test": "Deferred",
    }
    yes, no, full = story.recipients
    assert (yes.next_attempt, no.next_attempt) == (None, None)
    assert full.next_attempt
    assert "is full" in full.meaning and "no mailbox for no@b.test" in no.meaning
    assert {step.envelope for step in story.steps if "RCPT TO:<yes@a.test>" in step.text} == {1}
    assert {step.envelope for step in story.steps if "@b.test> ->" in step.text} == {2}


async def test_explanation_holds_no_body_no_key_and_no_signature(pipeline: Pipeline, sink: Receiver) -> None:
    content = {"subject": "A secret subject", "plainText": "The words of the body.", "html": "<p>The words of the body.</p>"}
    sent = await post(pipeline, message(content=content))
    await pipeline.drain()
    text = json.dumps((await explanation(pipeline, sent.body["id"])).body)
    assert sink.received
    for secret in ("secret subject", "words of the body", "DKIM-Signature", "subscriptions/", str(SEALING_KEY)):
        assert secret not in text


@pytest.fixture
async def behind_a_relay(azurite: str) -> AsyncIterator[Pipeline]:
    built = await build_pipeline(azurite, routes=f"smarthost://customer:hunter2@127.0.0.1:{free_port()}?tls=off")
    yield built
    await built.close()


async def test_explanation_of_a_relay_that_does_not_answer_names_it_without_user_and_password(behind_a_relay: Pipeline) -> None:
    sent = await post(behind_a_relay, message())
    await behind_a_relay.step()
    answer = await explanation(behind_a_relay, sent.body["id"])
    [recipient] = told(answer).recipients
    assert "through which this service sends, could not be reached" in recipient.meaning
    assert "whether the relay runs" in recipient.for_operator
    text = json.dumps(answer.body)
    assert "The route is by the relay 127.0.0.1:" in text
    assert "hunter2" not in text and "customer" not in text


async def test_explanation_of_a_message_that_cannot_be_signed_tells_the_operator_what_to_look_for(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(_: str) -> None:
        """The domain was deleted after the message was accepted."""

    sent = await post(pipeline, message())
    monkeypatch.setattr(pipeline.services.directory, "domain", gone)
    await pipeline.step()
    story = told(await explanation(pipeline, sent.body["id"]))
    [recipient] = story.recipients
    assert (story.status, recipient.status, recipient.bounce_class) == ("Running", "Deferred", "")
    assert "is not signed yet" in recipient.meaning
    assert "It is tried again at" in recipient.next
    assert "`fault where=prepare`" in recipient.for_operator
    assert [step.text for step in story.steps][1] == "Not tried: the message can't be signed yet."
