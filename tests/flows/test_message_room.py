"""The room that messages take in a worker's memory: who finds none comes again, and who had some is written down."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from email_core.delivery.capacity import Capacity
from email_core.delivery.deliver import message_room
from email_core.delivery.settle import Settler
from tests.kit.pipeline import Pipeline, draft_to
from tests.kit.receiver import Receiver

pytestmark = pytest.mark.peers


async def test_large_message_without_room_in_memory_is_put_back_and_delivered_later(pipeline: Pipeline, sink: Receiver) -> None:
    room = Capacity("messages", most=9, most_bytes=1024 * 1024, patience=0.01)
    deliverer = replace(pipeline.services.deliverer, room=room)
    preparer = replace(pipeline.services.preparer, deliverer=deliverer)
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"), size=1024 * 1024)
    [noted] = pipeline.queues.noted
    pipeline.queues.noted.clear()
    async with room.place(1024 * 1024):
        await preparer.prepare(noted.item, dequeue_count=1)
        assert sink.received == []
    [again] = pipeline.queues.noted
    assert (again.queue, again.item.attempt) == (noted.queue, 0)
    await preparer.prepare(again.item, dequeue_count=1)
    assert [entry.tries for entry in (await pipeline.row(accepted)).ledger.entries] == [1]
    assert len(sink.received) == 1


class LeftWithAFault(Capacity):
    """Room that is left with a fault of ours."""

    @asynccontextmanager
    async def place(self, size: int) -> AsyncIterator[None]:
        async with super().place(size):
            yield
        raise KeyError("room")


async def test_mail_that_was_sent_is_written_down_however_its_room_was_left(pipeline: Pipeline, sink: Receiver) -> None:
    room = LeftWithAFault("messages", most=9, most_bytes=2**20, patience=1.0)
    deliverer = replace(pipeline.services.deliverer, room=room)
    prepared = await pipeline.accept(draft_to("ann@fabrikam.test"))
    with pytest.raises(KeyError, match="room"):
        await replace(pipeline.services.preparer, deliverer=deliverer).prepare(
            pipeline.queues.noted.pop().item, dequeue_count=1
        )
    delivered = await pipeline.accept(draft_to("ann@fabrikam.test", "bob@example.test"))
    await pipeline.services.preparer.prepare(pipeline.queues.noted.pop().item, dequeue_count=1)
    for noted in pipeline.queues.noted:
        with pytest.raises(KeyError, match="room"):
            await deliverer.deliver(noted.item, dequeue_count=1)
    envelopes = await pipeline.services.spool.envelopes((await pipeline.row(delivered)).message)
    rows = [await pipeline.row(prepared), *envelopes]
    assert [entry.status for row in rows for entry in row.ledger.entries] == ["Delivered"] * 3
    assert len(sink.received) == 3


async def test_first_attempt_is_settled_when_its_room_is_free_again(pipeline: Pipeline, sink: Receiver) -> None:
    room = message_room(2**20)
    settled_with: list[int] = []

    class Noting(Settler):
        async def settle(self, *arguments: Any, **options: Any) -> None:
            settled_with.append(room.taken)
            await super().settle(*arguments, **options)

    services = pipeline.services
    settler = Noting(services.storage, services.spool, services.settings, pipeline.clock)
    preparer = replace(services.preparer, settler=settler, deliverer=replace(services.deliverer, room=room))
    await pipeline.accept(draft_to("ann@fabrikam.test"))
    await preparer.prepare(pipeline.queues.noted.pop().item, dequeue_count=1)
    assert settled_with == [0]
    assert len(sink.received) == 1
