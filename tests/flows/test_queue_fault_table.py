"""Items that come twice, out of order, too late, garbled or from another version: one send, and no harm to other mail."""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from email_core.delivery.spool import DELIVERIES, MESSAGES, SUBMISSIONS
from email_core.storage import Value
from tests.kit.fault_tables import FaultTable
from tests.kit.faulty_pipeline import FaultyPipeline, HostItem, Installation
from tests.kit.requests import get, message, post

pytestmark = pytest.mark.peers

LATER = ["451 4.3.0 later", "250 2.1.5 now"]
TWO_DOMAINS = {"to": [{"address": "ann@a.test"}, {"address": "bob@b.test"}]}
LARGE = {"subject": "A test", "plainText": ("0123456789" * 99 + "\r\n") * 210}  # does not fit its row


@dataclass
class Scene:
    """Two workers of one installation, which share a receiver, and the message that a case is about."""

    one: FaultyPipeline
    two: FaultyPipeline
    operation_id: str = ""

    @property
    def name(self) -> str:
        """The message as items name it."""
        return f"{self.one.service.key}:{self.operation_id}"

    async def accept(self, **changes: Any) -> HostItem:
        """Accept the message; its item."""
        self.operation_id = str(uuid.uuid4())
        answer = await post(self.one, message(**changes), headers={"operation-id": self.operation_id})
        assert answer.status == 202
        [item] = self.one.collect()
        return item

    async def deliver_at_once(self, item: HostItem, *copies: int) -> None:
        """Deliver an item and copies of it to the workers in turn, all at once; each copy has the dequeue count given."""
        runs = [(self.one, item)]
        for worker, dequeue_count in zip(itertools.cycle((self.two, self.one)), copies, strict=False):
            runs.append((worker, worker.put(item.queue, item.text)))
            runs[-1][1].dequeue_count = dequeue_count - 1
        await asyncio.gather(*(worker.deliver(each) for worker, each in runs))

    async def change(self, properties: dict[str, Value], row: str = "message") -> None:
        """Write properties into a row, as a newer version would."""
        await self.one.storage.tables.merge(MESSAGES, self.name, row, properties, etag="*")

    async def value(self, name: str) -> Any:
        """The JSON that a property of the message's row holds."""
        entity = await self.one.storage.tables.get(MESSAGES, self.name, "message")
        assert entity is not None
        return json.loads(entity.values[name])  # type: ignore[arg-type]


Story = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    """What happens to a message, and what comes of it."""

    name: str
    story: Story
    outcome: str


def text_of(message: str, **fields: object) -> str:
    return json.dumps({"m": message, "r": "message", "a": 0, "b": 0} | fields)


def item(text: Callable[[Scene], str], queue: str = SUBMISSIONS) -> Story:
    """An item that nothing of ours has enqueued, beside a message that is accepted as always."""

    async def story(scene: Scene) -> None:
        await scene.accept()
        scene.one.put(queue, text(scene))

    return story


def in_place(**fields: object) -> Story:
    """The item of a message, with other fields."""

    async def story(scene: Scene) -> None:
        accepted = await scene.accept()
        accepted.text = json.dumps(json.loads(accepted.text) | fields)

    return story


def row_with(name: str, change: Callable[[Any], Any]) -> Story:
    """The row of a message, with a JSON property changed before the item is worked."""

    async def story(scene: Scene) -> None:
        await scene.accept()
        changed = json.dumps(change(await scene.value(f"{name}0"))).encode()
        await scene.change({f"{name}0": changed, f"{name}Size": len(changed)})

    return story


def at_once(*copies: int) -> Story:
    async def story(scene: Scene) -> None:
        await scene.deliver_at_once(await scene.accept(), *copies)

    return story


async def envelope_twice_at_once(scene: Scene) -> None:
    await scene.accept(recipients=TWO_DOMAINS)
    await scene.one.step()
    first, second = scene.one.collect()
    scene.one.clock.advance(1.0)
    await asyncio.gather(scene.deliver_at_once(first, 1), scene.deliver_at_once(second, 1))


async def retry_before_the_attempt(scene: Scene) -> None:
    scene.one.sink.replies = {"ann@fabrikam.test": list(LATER)}
    accepted = await scene.accept()
    await scene.one.deliver(scene.one.put(DELIVERIES, text_of(scene.name, a=1)))
    await scene.one.deliver(accepted)


async def retry_before_the_attempt_is_settled(scene: Scene) -> None:
    """The retry item is enqueued before the attempt is written down, and is as fast as can be."""
    scene.one.sink.replies = {"ann@fabrikam.test": list(LATER)}
    accepted = await scene.accept()
    await asyncio.gather(
        scene.one.deliver(accepted), scene.two.deliver(scene.two.put(DELIVERIES, text_of(scene.name, a=1)))
    )  # fmt: skip


async def attempt_after_its_retry(scene: Scene) -> None:
    scene.one.sink.replies = {"ann@fabrikam.test": list(LATER)}
    first = await scene.accept()
    await scene.one.drain()
    await scene.one.deliver(scene.one.put(first.queue, first.text))


async def attempt_after_it_deferred(scene: Scene) -> None:
    scene.one.sink.replies = {"ann@fabrikam.test": list(LATER)}
    first = await scene.accept()
    await scene.one.step()
    again = scene.one.put(first.queue, first.text)
    again.dequeue_count = 1
    await scene.one.deliver(again)


async def row_deleted(scene: Scene) -> None:
    await scene.accept()
    await scene.one.storage.tables.delete(MESSAGES, scene.name, "message")


async def rows_deleted_after_split(scene: Scene) -> None:
    await scene.accept(recipients=TWO_DOMAINS)
    await scene.one.step()
    for row in ("message", "envelope:001", "envelope:002"):
        await scene.one.storage.tables.delete(MESSAGES, scene.name, row)


async def row_deleted_while_it_is_sent(scene: Scene) -> None:
    scene.one.sink.data_seconds = 0.2
    accepted = await scene.accept()
    delivering = asyncio.create_task(scene.one.deliver(accepted))
    while not scene.one.sink.asked:
        await asyncio.sleep(0)
    await scene.one.storage.tables.delete(MESSAGES, scene.name, "message")
    await delivering


async def blob_deleted(scene: Scene) -> None:
    await scene.accept(content=LARGE)
    entity = await scene.one.storage.tables.get(MESSAGES, scene.name, "message")
    assert entity is not None
    await scene.one.storage.content.delete(str(entity.values["contentBlob"]))


async def properties_of_a_newer_version(scene: Scene) -> None:
    await scene.accept()
    await scene.change({"priority": 2, "tenant": "x", "sealed9": b"\x00", "v": 7})


def with_status(status: str) -> Callable[[Any], Any]:
    return lambda entries: [entry | {"status": status} for entry in entries]


CASES = (
    Case("An item comes twice at once", at_once(1), "sent once, Delivered"),
    Case("An item comes three times at once", at_once(1, 1), "sent once, Delivered"),
    Case("An item comes again while its run is under way", at_once(2), "sent once, Delivered"),
    Case("The items of two envelopes come twice at once", envelope_twice_at_once, "sent once, Delivered"),
    Case("Attempt 1 comes before attempt 0", retry_before_the_attempt, "sent once, Delivered"),
    Case("Attempt 1 comes while attempt 0 is settled", retry_before_the_attempt_is_settled, "sent once, Delivered"),
    Case("Attempt 0 comes again after it was deferred", attempt_after_it_deferred, "sent once, Delivered"),
    Case("Attempt 0 comes again after attempt 1", attempt_after_its_retry, "sent once, Delivered"),
    Case("The message was deleted", row_deleted, "not sent, no message"),
    Case("The message was deleted with its envelopes", rows_deleted_after_split, "not sent, no message"),
    Case("The message is deleted while it is sent", row_deleted_while_it_is_sent, "sent once, no message"),
    Case("The blob of the message was deleted", blob_deleted, "not sent, Failed, item kept as poison"),
    Case("An item has unknown fields", in_place(priority=9, tags=["x", {"y": None}]), "sent once, Delivered"),
    Case("An item has an unknown version", in_place(v=7), "sent once, Delivered"),
    Case("An item is 48 KB long", in_place(padding="x" * 49_000), "sent once, Delivered"),
    Case(
        "An item lacks all but its message",
        item(lambda scene: json.dumps({"m": scene.name})),
        "sent once, Delivered",
    ),
    Case("An item is empty", item(lambda scene: ""), "sent once, Delivered, item kept as poison"),
    Case("An item is no JSON", item(lambda scene: "\x00 not json"), "sent once, Delivered, item kept as poison"),
    Case("An item has no message", item(lambda scene: '{"r": "message"}'), "sent once, Delivered, item kept as poison"),
    Case(
        "An item has fields of other types",
        item(lambda scene: text_of(scene.name, a="0")),
        "sent once, Delivered, item kept as poison",
    ),
    Case("An item is no JSON and 48 KB long", item(lambda scene: "x" * 49_000), "sent once, Delivered, item kept as poison"),
    Case(
        "An item is for an envelope that does not exist",
        item(lambda scene: text_of(scene.name, r="envelope:099"), DELIVERIES),
        "sent once, Delivered",
    ),
    Case(
        "An item is for a message that does not exist",
        item(lambda scene: text_of(f"{scene.one.service.key}:{uuid.uuid4()}")),
        "sent once, Delivered",
    ),
    Case(
        "An item is for a message of another service",
        item(lambda scene: text_of(f"anotherone:{scene.operation_id}")),
        "sent once, Delivered",
    ),
    Case(
        "An item names its message in another form",
        item(lambda scene: text_of("https://contoso.communication.azure.com/emails/operations/1?a=b#c\n'")),
        "sent once, Delivered, item kept as poison",
    ),
    Case(
        "An item is for the other queue's row",
        item(lambda scene: text_of(scene.name), DELIVERIES),
        "sent once, Delivered",
    ),
    Case("An item has an attempt that never was", item(lambda scene: text_of(scene.name, a=-1)), "sent once, Delivered"),
    Case("An item has an attempt far ahead", item(lambda scene: text_of(scene.name, a=2**62)), "sent once, Delivered"),
    Case("A row has unknown properties", properties_of_a_newer_version, "sent once, Delivered"),
    Case(
        "An entry of a row has unknown fields",
        row_with("ledger", lambda entries: [entry | {"opened": True} for entry in entries]),
        "sent once, Delivered",
    ),
    Case(
        "A timeline has events of an unknown kind",
        row_with("timeline", lambda events: [*events, events[0] | {"kind": "greylisted?", "extra": 1}]),
        "sent once, Delivered",
    ),
    Case(
        "An entry of a row has an unknown status",
        row_with("ledger", with_status("Teleported")),
        "not sent, Pending, item kept as poison",
    ),
)

TABLES = [FaultTable("queue", ("What happens", "What comes of it"), [(case.name, case.outcome) for case in CASES])]


async def ending(scene: Scene) -> str:
    """What became of the message when nothing is left to do."""
    for worker in (scene.one, scene.two):
        worker.sink.data_seconds = 0.0
        await worker.drain()
    arrived = scene.one.arrived(scene.operation_id)
    words = [{0: "not sent", 1: "sent once"}.get(most := max(arrived.values(), default=0), f"sent {most} times")]
    words.append(await state(scene))
    poisoned = [*scene.one.poisoned, *scene.two.poisoned]
    found = [await scene.one.storage.tables.get("poison", kept.queue.removesuffix("-poison"), kept.id) for kept in poisoned]
    assert all(found)
    return ", ".join(words + ["item kept as poison"] * bool(poisoned))


async def state(scene: Scene) -> str:
    answer = await get(scene.one, scene.operation_id)
    if answer.status == 404:
        return "no message"
    if answer.status != 200:
        return "unreadable"
    return "/".join(sorted({str(recipient["status"]) for recipient in answer.body["recipients"]}))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_item_or_row_that_is_odd_sends_once_and_harms_no_other_mail(installation: Installation, case: Case) -> None:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(installation.pipeline())
        two = await stack.enter_async_context(installation.pipeline(sink=one.sink, clock=one.clock))
        scene = Scene(one, two)
        await case.story(scene)
        other = await post(two, message())
        assert await ending(scene) == case.outcome
        assert one.arrived(other.body["id"]) == Counter({"ann@fabrikam.test": 1})
