"""Limits on sending at the door, with real storage: two workers, what a refusal looks like, repeats, and round trips."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from email_core.domains.documents import DomainDocument, Limit, ServiceDocument
from email_core.domains.resource_store import ResourceStore
from email_core.errors import LimitReached, StorageUnavailable
from email_core.management.resource_id import parse_resource_id
from email_core.services import Services, build_services
from email_core.submission.accept import Accepted, Submission, accept
from email_core.submission.blocks import POLICIES
from tests.kit.pipeline import DOMAIN, Pipeline, draft_to
from tests.kit.requests import message, post

pytestmark = pytest.mark.peers


async def limit_service(pipeline: Pipeline, *limits: Limit) -> None:
    """Give the service limits, and let the caches of its workers grow old."""
    store = ResourceStore(pipeline.storage.tables)
    resource = await store.get(parse_resource_id(pipeline.service.resource_id), ServiceDocument)
    assert resource is not None
    resource.document.limits = limits
    await store.replace(resource, resource.document)
    await _refreshed(pipeline)


async def limit_domain(pipeline: Pipeline, *limits: Limit, any_sender: bool = False) -> None:
    """Give the domain limits."""
    store = ResourceStore(pipeline.storage.tables)
    resource = await store.get(parse_resource_id(pipeline.service.linked_domains[0]), DomainDocument)
    assert resource is not None
    resource.document.limits, resource.document.any_sender = limits, any_sender
    await store.replace(resource, resource.document)
    await _refreshed(pipeline)


async def _refreshed(pipeline: Pipeline) -> None:
    pipeline.clock.advance(31)
    pipeline.service = next(each for each in await pipeline.services.directory.services() if each.key == pipeline.service.key)
    # A window of a minute that has just begun, so that none ends under a test.
    pipeline.clock.advance(60 - pipeline.clock.now() % 60)


@pytest.fixture
async def second(pipeline: Pipeline) -> AsyncIterator[Services]:
    """Another worker on the same storage."""
    built = build_services(pipeline.services.settings, pipeline.clock)
    yield built
    await built.close()


async def send(services: Services, pipeline: Pipeline, *recipients: str, key_limits: tuple[Limit, ...] = ()) -> Accepted | None:
    """Accept a message as a door of that worker does; None when a limit refused it."""
    draft = draft_to(*(recipients or ("ann@fabrikam.test",)))
    submission = Submission(
        pipeline.service, draft, str(uuid.uuid4()), "hash", 1000, "http", key_name="web", key_limits=key_limits
    )
    try:
        return await accept(
            services.spool, services.directory, services.limits, submission, now=pipeline.clock.now(), time_to_live=3600
        )
    except LimitReached:
        return None


async def test_two_workers_together_never_exceed_the_limit(pipeline: Pipeline, second: Services) -> None:
    await limit_service(pipeline, Limit("messages", "minute", 60), Limit("recipients", "hour", 1000))
    workers = (pipeline.services, second)
    answers = await asyncio.gather(*(send(workers[number % 2], pipeline) for number in range(100)))
    accepted = [answer for answer in answers if answer is not None]
    assert 45 <= len(accepted) <= 60  # what one worker was too quick to take ahead lapses
    rest = [await send(worker, pipeline) for worker in workers for _ in range(60)]
    accepted += [answer for answer in rest if answer is not None]
    assert len(accepted) == 60
    rows = [
        row async for row in pipeline.storage.tables.query(POLICIES, f"PartitionKey eq 'limit:service:{pipeline.service.key}'")
    ]
    assert {str(row.values["RowKey"]).rpartition("|")[0] for row in rows} == {"minute|messages", "hour|recipients"}


async def test_limit_of_a_thousand_a_minute_costs_less_than_a_tenth_of_a_round_trip_a_message(
    pipeline: Pipeline, second: Services
) -> None:
    await limit_service(pipeline, Limit("messages", "minute", 1000))
    workers = (pipeline.services, second)
    await asyncio.gather(*(send(worker, pipeline) for worker in workers))  # reads the configuration
    for worker in workers:
        worker.storage.round_trips.clear()
    sent = 0
    for _ in range(10):
        sent += sum(each is not None for each in await asyncio.gather(*(send(workers[n % 2], pipeline) for n in range(40))))
    assert sent == 400
    counts = pipeline.storage.round_trips + second.storage.round_trips
    assert counts["tables.insert"] == 400  # the messages
    assert counts["queues.enqueue"] == 400
    assert counts["tables.merge"] + counts["tables.get"] < 0.1 * sent
    assert set(counts) <= {"tables.insert", "queues.enqueue", "tables.merge", "tables.get"}


async def test_domain_without_limits_costs_no_round_trip_more(pipeline: Pipeline) -> None:
    await send(pipeline.services, pipeline)
    pipeline.storage.round_trips.clear()
    await send(pipeline.services, pipeline)
    assert pipeline.storage.round_trips == {"tables.insert": 1, "queues.enqueue": 1}


async def test_refusal_is_a_429_with_retry_after_and_the_true_end_of_the_window(pipeline: Pipeline) -> None:
    await limit_domain(pipeline, Limit("messages", "minute", 2))
    pipeline.clock.advance(20)
    answers = [await post(pipeline, message()) for _ in range(3)]
    assert [answer.status for answer in answers] == [202, 202, 429]
    refused = answers[2]
    assert refused.code == "TooManyRequests"
    assert refused.headers["retry-after"] == "40"
    text = refused.body["error"]["message"]
    assert text.startswith("Please try again after 40 seconds. The limit of 2 messages per minute of domain contoso.test ")
    assert ":00Z" in text
    pipeline.clock.advance(40)
    assert (await post(pipeline, message())).status == 202


async def test_message_with_more_recipients_than_a_window_takes_is_a_400_without_retry_after(pipeline: Pipeline) -> None:
    await limit_domain(pipeline, Limit("recipients", "day", 1))
    two = [{"address": "ann@fabrikam.test"}, {"address": "bob@fabrikam.test"}]
    refused = await post(pipeline, message(recipients={"to": two}))
    assert (refused.status, refused.code) == (400, "BadRequest")
    assert "retry-after" not in refused.headers
    assert "1 recipients per day of domain contoso.test" in refused.body["error"]["message"]
    assert (await post(pipeline, message())).status == 202


async def test_limits_of_a_key_count_for_that_key_alone(pipeline: Pipeline) -> None:
    limits = (Limit("messages", "hour", 2),)
    assert [await send(pipeline.services, pipeline, key_limits=limits) is not None for _ in range(3)] == [True, True, False]
    assert await send(pipeline.services, pipeline) is not None


async def test_repeated_request_is_answered_again_counts_once_and_is_not_refused_by_the_limit(pipeline: Pipeline) -> None:
    await limit_service(pipeline, Limit("messages", "minute", 3))
    headers = {"operation-id": str(uuid.uuid4())}
    assert [(await post(pipeline, message(), headers=headers)).status for _ in range(5)] == [202] * 5
    assert [(await post(pipeline, message())).status for _ in range(3)] == [202, 202, 429]
    again = await post(pipeline, message(), headers=headers)
    assert (again.status, again.body["id"]) == (202, headers["operation-id"])


async def test_request_with_the_id_of_another_is_a_conflict_at_the_limit_too(pipeline: Pipeline) -> None:
    await limit_service(pipeline, Limit("messages", "minute", 1))
    headers = {"operation-id": str(uuid.uuid4())}
    assert (await post(pipeline, message(), headers=headers)).status == 202
    other = message(content={"subject": "Another", "plainText": "Hello.\n"})
    assert (await post(pipeline, other, headers=headers)).status == 409


async def test_storage_that_does_not_count_is_a_503_and_nothing_is_stored(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    await limit_service(pipeline, Limit("messages", "minute", 10))
    await pipeline.services.directory.sending_domain(pipeline.service, draft_to("ann@fabrikam.test").sender)
    tables, insert = pipeline.storage.tables, pipeline.storage.tables.insert

    async def failing(table: str, entity: dict[str, object]) -> str:
        if table == POLICIES:
            raise StorageUnavailable("503 ServerBusy")
        return await insert(table, entity)  # type: ignore[arg-type]

    monkeypatch.setattr(tables, "insert", failing)
    refused = await post(pipeline, message())
    assert (refused.status, refused.code) == (503, "ServiceUnavailable")
    assert pipeline.queues.noted == []
    monkeypatch.undo()
    assert (await post(pipeline, message())).status == 202


async def test_any_sender_of_a_domain_lets_any_local_part_send(pipeline: Pipeline) -> None:
    stranger = message(senderAddress=f"whoever@{DOMAIN}")
    assert (await post(pipeline, stranger)).code == "InvalidSenderUserName"
    await limit_domain(pipeline, any_sender=True)
    assert (await post(pipeline, stranger)).status == 202
