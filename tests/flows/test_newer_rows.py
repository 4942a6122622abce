"""Rows that a newer version wrote, as during an update or after one was taken back: whoever asks is told what can be told."""

from __future__ import annotations

import json

import msgspec
import pytest

from email_core.storage import sized_chunks
from tests.kit.pipeline import Pipeline
from tests.kit.requests import explanation, get, message, post

pytestmark = pytest.mark.peers


async def test_operation_with_states_of_a_newer_version_is_told_as_one_that_goes_on(pipeline: Pipeline) -> None:
    sent = await post(pipeline, message())
    tables, name = pipeline.storage.tables, f"{pipeline.service.key}:{sent.body['id']}"
    entries = [{"address": "ann@fabrikam.test", "status": "Opened", "tries": 1}, {"address": "bob@fabrikam.test"}]
    newer = {"status": "Scheduled", "attempt": 1, "nextAttemptAt": 0.0, **sized_chunks("ledger", json.dumps(entries).encode())}
    await tables.merge("messages", name, "message", newer, etag="*")

    answer = await get(pipeline, sent.body["id"])
    assert (answer.status, answer.body["status"], answer.headers["retry-after"]) == (200, "Running", "1")
    told = [(each["address"], each["status"], each["nextAttempt"]) for each in answer.body["recipients"]]
    assert told == [("ann@fabrikam.test", "Pending", None), ("bob@fabrikam.test", "Pending", None)]
    assert (await explanation(pipeline, sent.body["id"])).status == 200
    assert (await post(pipeline, message(), headers={"operation-id": sent.body["id"]})).status == 202


async def test_envelopes_with_states_of_a_newer_version_are_told_and_not_worked(pipeline: Pipeline) -> None:
    sent = await post(pipeline, message(recipients={"to": [{"address": "x@a.test"}, {"address": "y@b.test"}]}))
    await pipeline.step()
    name = f"{pipeline.service.key}:{sent.body['id']}"
    newer = sized_chunks("ledger", json.dumps([{"address": "x@a.test", "status": "Opened"}]).encode())
    await pipeline.storage.tables.merge("messages", name, "envelope:001", newer, etag="*")

    answer = await get(pipeline, sent.body["id"])
    assert [(each["address"], each["status"]) for each in answer.body["recipients"]] == [
        ("x@a.test", "Pending"),
        ("y@b.test", "Pending"),
    ]
    assert (await explanation(pipeline, sent.body["id"])).status == 200
    with pytest.raises(msgspec.ValidationError):
        await pipeline.services.spool.envelopes(name)
