"""A domain whose records are gone: its senders are told why, what waits goes on waiting, and all of it resumes by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from email_core.domains.documents import DELETING, DomainDocument, StateDocument, Status
from email_core.domains.resource_store import ResourceStore
from email_core.management.resource_id import parse_resource_id
from tests.kit.pipeline import DOMAIN, Pipeline, build_pipeline
from tests.kit.receiver import Receiver
from tests.kit.requests import message, post

pytestmark = pytest.mark.peers

LOST = StateDocument(
    status=Status.VERIFIED, lost_since=1.0, reason="There is no TXT record that begins with v=spf1.", remedy="Publish it again."
)  # fmt: skip


@pytest.fixture
async def pipeline(azurite: str, sink: Receiver) -> AsyncIterator[Pipeline]:
    built = await build_pipeline(azurite, routes=f"capture://127.0.0.1:{sink.port}")
    yield built
    await built.close()


async def change(pipeline: Pipeline, **changes: object) -> None:
    """Change the domain's document, and have the directory forget what it knew."""
    store = ResourceStore(pipeline.storage.tables)
    found = await store.get(parse_resource_id(pipeline.provisioner.domain_id("email", DOMAIN)), DomainDocument)
    assert found is not None
    await store.replace(found, msgspec.structs.replace(found.document, **changes))
    pipeline.clock.advance(31)


async def pause(pipeline: Pipeline) -> None:
    store = ResourceStore(pipeline.storage.tables)
    found = await store.get(parse_resource_id(pipeline.provisioner.domain_id("email", DOMAIN)), DomainDocument)
    assert found is not None
    await change(pipeline, paused_since=2.0, verification_states={**found.document.verification_states, "SPF": LOST})


async def test_send_from_a_paused_domain_is_refused_with_the_record_and_the_remedy(pipeline: Pipeline) -> None:
    await pause(pipeline)
    answer = await post(pipeline, message())
    assert (answer.status, answer.code) == (404, "DomainNotLinked")
    text = answer.body["error"]["message"]
    assert f"Sending from '{DOMAIN}' is paused: SPF: There is no TXT record that begins with v=spf1. Publish it again." in text
    assert pipeline.queues.noted == []
    await change(pipeline, paused_since=0.0)
    assert (await post(pipeline, message())).status == 202


async def test_message_accepted_before_the_pause_waits_for_its_end(pipeline: Pipeline, sink: Receiver) -> None:
    assert (await post(pipeline, message())).status == 202
    await pause(pipeline)
    await pipeline.step()
    assert sink.received == []
    assert len(pipeline.queues.noted) == 1
    await change(pipeline, paused_since=0.0)
    await pipeline.drain()
    assert len(sink.received) == 1


async def test_send_from_a_domain_that_is_being_deleted_is_refused(pipeline: Pipeline) -> None:
    await change(pipeline, provisioning_state=DELETING)
    answer = await post(pipeline, message())
    assert (answer.status, answer.code) == (404, "DomainNotLinked")
