"""Many who ask for stories, and stories that are long: what that may cost a worker."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from email_core.delivery.capacity import Capacity
from email_core.delivery.outcome import TimelineEvent
from email_core.explain import story
from email_core.submission.admission import MOST_EXPLANATIONS
from tests.kit.pipeline import Pipeline
from tests.kit.requests import explanation, get, message, post

pytestmark = pytest.mark.peers


async def test_explanation_beyond_those_in_hand_is_told_to_come_again(pipeline: Pipeline) -> None:
    sent = await post(pipeline, message())
    places = Capacity("explanations", most=1, most_bytes=0, patience=0.01)
    busy = replace(pipeline, services=replace(pipeline.services, explanations=places))
    async with places.place(0):
        refused = await explanation(busy, sent.body["id"])
        assert (await get(busy, sent.body["id"])).status == 200
    assert (refused.status, refused.code) == (503, "ServiceUnavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert (await explanation(busy, sent.body["id"])).status == 200


async def test_explanations_of_a_worker_have_four_places(pipeline: Pipeline) -> None:
    places = pipeline.services.explanations
    for _ in range(MOST_EXPLANATIONS):
        await places.place(0).__aenter__()
    assert (places.taken, MOST_EXPLANATIONS) == (4, 4)


@pytest.mark.parametrize(("events", "elsewhere"), [(1, False), (200, True)])
async def test_explanation_of_a_long_story_is_told_off_the_event_loop(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, events: int, elsewhere: bool
) -> None:
    sent = await post(pipeline, message())
    spool = pipeline.services.spool
    row = await spool.read(f"{pipeline.service.key}:{sent.body['id']}", with_content=False)
    assert row is not None
    timeline = [TimelineEvent(pipeline.clock.now(), "waiting", {"why": f"reason {number}"}) for number in range(events)]
    await spool.update(row, ledger=row.ledger, timeline=timeline)
    told, threads = story.explain_message, []

    def noting(*arguments: Any, **options: Any) -> object:
        threads.append(threading.get_ident())
        return told(*arguments, **options)

    monkeypatch.setattr(story, "explain_message", noting)
    answer = await explanation(pipeline, sent.body["id"])
    assert (answer.status, len(threads)) == (200, 1)
    assert (threads[0] != threading.get_ident()) is elsewhere


async def test_status_of_a_split_message_reads_no_timelines_of_its_envelopes(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipients = {"to": [{"address": "x@a.test"}, {"address": "y@b.test"}]}
    sent = await post(pipeline, message(recipients=recipients))
    await pipeline.drain()
    query, selected = pipeline.storage.tables.query, []

    def noting(table: str, *arguments: Any, **options: Any) -> Any:
        selected.append((table, tuple(options.get("select", ()))))
        return query(table, *arguments, **options)

    monkeypatch.setattr(pipeline.storage.tables, "query", noting)
    answer = await get(pipeline, sent.body["id"])
    assert [each["status"] for each in answer.body["recipients"]] == ["Delivered", "Delivered"]
    [names] = [names for table, names in selected if table == "messages"]
    assert "ledger0" in names
    assert not [name for name in names if name.startswith("timeline")]
