"""The window after the final dot, through the whole pipeline: whoever may have the message gets it again, and is told so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from email_core.insights.activity import ACTIVITY
from tests.kit.pipeline import Pipeline, build_pipeline
from tests.kit.requests import get, message, post
from tests.kit.smtp_receiver import DROP, RESET, STALL, Say, Script, SmtpReceiver

pytestmark = pytest.mark.peers
RUN_SECONDS = 2.0  # a stall takes the rest of it


@asynccontextmanager
async def relayed(azurite: str, script: Script) -> AsyncIterator[tuple[Pipeline, SmtpReceiver, SmtpReceiver]]:
    """A pipeline whose first smarthost follows the script; a second one would take everything."""
    async with SmtpReceiver(script) as first, SmtpReceiver() as second:
        routes = ",".join(f"smarthost://127.0.0.1:{each.port}?tls=off" for each in (first, second))
        pipeline = await build_pipeline(azurite, routes=routes, change=lambda each: replace(each, run_seconds=RUN_SECONDS))
        try:
            yield pipeline, first, second
        finally:
            await pipeline.close()


def message_id(sent: bytes) -> bytes:
    [line] = [line for line in sent.splitlines() if line.lower().startswith(b"message-id:")]
    return line


async def activity(pipeline: Pipeline, operation_id: str) -> list[tuple[object, object]]:
    """Status and flag of each activity row of the operation, in their order."""
    filtered = f"CorrelationId eq '{operation_id}'"
    rows = [row.values async for row in pipeline.storage.tables.query(ACTIVITY, filtered)]
    ordered = sorted(rows, key=lambda row: int(str(row["Attempt"])))
    return [(row["DeliveryStatus"], row["PossibleDuplicate"]) for row in ordered]


@pytest.mark.parametrize("fault", [DROP, RESET, STALL, b"250 ok, but no end of the line"], ids=str)
async def test_answer_to_the_final_dot_lost_is_told_flagged_and_the_same_message_sent_again(azurite: str, fault: Say) -> None:
    async with relayed(azurite, {".": [fault, "250 2.0.0 taken"]}) as (pipeline, first, second):
        sent = await post(pipeline, message())
        operation = sent.body["id"]
        await pipeline.step()

        [recipient] = (await get(pipeline, operation)).body["recipients"]
        assert (recipient["status"], recipient["possibleDuplicate"], recipient["attempts"]) == ("Deferred", True, 1)
        assert recipient["lastReply"].endswith("the receiver may have the message")
        assert recipient["nextAttempt"] is not None
        await pipeline.drain()

        row = await pipeline.services.spool.read(f"{pipeline.service.key}:{operation}", "message", with_content=False)
        assert row is not None
        [doubt] = [event for event in row.timeline if event.kind == "indeterminate"]
        assert doubt.facts["recipients"] == ["ann@fabrikam.test"]
        assert str(doubt.facts["why"]).endswith("the receiver may have the message")
        [recipient] = (await get(pipeline, operation)).body["recipients"]
        assert (recipient["status"], recipient["possibleDuplicate"], recipient["attempts"]) == ("Delivered", True, 2)
        assert await activity(pipeline, operation) == [("Deferred", True), ("Delivered", True)]
    once, again = first.messages
    assert once == again
    assert message_id(once) == message_id(again)
    assert second.connections == 0


@pytest.mark.parametrize("reply", ["451 4.3.0 not now", "421 4.3.2 shutting down"])
async def test_answer_to_the_final_dot_that_says_not_now_is_no_doubt(azurite: str, reply: str) -> None:
    async with relayed(azurite, {".": [reply, "250 2.0.0 taken"]}) as (pipeline, first, second):
        sent = await post(pipeline, message())
        await pipeline.drain()
        [recipient] = (await get(pipeline, sent.body["id"])).body["recipients"]
        assert await activity(pipeline, sent.body["id"]) == [("Deferred", False), ("Delivered", False)]
    assert (recipient["status"], recipient["possibleDuplicate"]) == ("Delivered", False)
    assert len(set(first.messages)) == 1
    assert second.connections == 0


async def test_message_that_one_smarthost_may_have_goes_to_the_next_only_when_the_first_is_gone(azurite: str) -> None:
    async with relayed(azurite, {"greeting": ["220 hello", "421 4.3.2 shutting down"], ".": DROP}) as (pipeline, first, second):
        sent = await post(pipeline, message())
        await pipeline.step()
        assert (len(first.messages), second.connections) == (1, 0)
        await pipeline.drain()
        [recipient] = (await get(pipeline, sent.body["id"])).body["recipients"]
    assert (recipient["status"], recipient["possibleDuplicate"]) == ("Delivered", True)
    assert first.messages == second.messages
