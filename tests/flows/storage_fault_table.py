"""The steps of the pipeline with their round trips to storage, and what comes of it when one of them fails."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from email_core.delivery.spool import SpoolItem
from tests.kit.faulty_pipeline import FaultyPipeline, HostItem
from tests.kit.requests import Answer, get, message, post
from tests.kit.storage_proxy import Fault, Rule


@dataclass(frozen=True)
class Trip:
    """A round trip, and what comes of it when it fails.

    `once`: at the first try, in each of the ways. `never`: at every try, without effect. `after`: at every try, with effect.
    """

    operation: str
    name: str
    once: str
    never: str
    after: str


@dataclass
class Scene:
    """A step that is about to be made. `act` makes it and says what its caller or the host sees of it.

    `owed` are the operations that a caller was told are accepted, `refused` those of which no caller was told.
    """

    pipeline: FaultyPipeline
    act: Callable[[Scene], Awaitable[str]]
    owed: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    body: dict[str, Any] = field(default_factory=message)
    item: HostItem | None = None

    def send(self, operation_id: str) -> Awaitable[Answer]:
        return post(self.pipeline, self.body, headers={"operation-id": operation_id})


Arrange = Callable[[FaultyPipeline], Awaitable[Scene]]


@dataclass(frozen=True)
class Step:
    """A step of the pipeline with all of its round trips, about in their order: some are made at once."""

    name: str
    arrange: Arrange
    trips: tuple[Trip, ...]


ANN = message()
LARGE = message(
    content={"subject": "A test", "plainText": ("0123456789" * 99 + "\r\n") * 210},  # few long lines: cheap to receive
    recipients={"to": [{"address": "ok@fabrikam.test"}, {"address": "later@fabrikam.test"}]},
)
TWO_DOMAINS = message(recipients={"to": [{"address": "later@a.test"}, {"address": "ok@b.test"}]})
LATER = ["451 4.3.0 later", "250 2.1.5 now"]


async def accepting(pipeline: FaultyPipeline, body: dict[str, Any] = ANN, *, cold: bool = False) -> Scene:
    """A POST; one that fails is repeated by its caller with storage healthy again, and another one is not."""

    async def act(scene: Scene) -> str:
        given_up, repeated = str(uuid.uuid4()), str(uuid.uuid4())
        answer = await scene.send(given_up)
        if answer.status == 202:
            scene.owed.add(given_up)
            return "202"
        assert_clear_refusal(answer)
        scene.refused.add(given_up)
        assert (await scene.send(repeated)).status == 503
        pipeline.proxy.rules = []
        assert (await scene.send(repeated)).status == 202
        scene.owed.add(repeated)
        return "503"

    if not cold:
        await pipeline.warm()
    return Scene(pipeline, act, body=body)


async def accepting_cold(pipeline: FaultyPipeline) -> Scene:
    """The first POST of a worker, for a managed domain, whose keys are in a row of their own."""
    return await accepting(pipeline, message(senderAddress=f"DoNotReply@{pipeline.managed_domain}"), cold=True)


async def accepting_large(pipeline: FaultyPipeline) -> Scene:
    return await accepting(pipeline, LARGE)


async def accepting_again(pipeline: FaultyPipeline) -> Scene:
    """A POST that repeats one that was accepted."""
    operation_id = str(uuid.uuid4())

    async def act(scene: Scene) -> str:
        answer = await scene.send(operation_id)
        if answer.status != 202:
            assert_clear_refusal(answer)
            pipeline.proxy.rules = []
            assert (await scene.send(operation_id)).status == 202
        return str(answer.status)

    scene = Scene(pipeline, act, owed={operation_id})
    assert (await scene.send(operation_id)).status == 202
    return scene


async def asking(pipeline: FaultyPipeline, body: dict[str, Any] = ANN) -> Scene:
    """A GET of the status of a message that was delivered."""

    async def act(scene: Scene) -> str:
        [operation_id] = scene.owed
        answer = await get(pipeline, operation_id)
        if answer.status != 200:
            assert_clear_refusal(answer)
            pipeline.proxy.rules = []
            assert (await get(pipeline, operation_id)).body["status"] == "Succeeded"
        return str(answer.status)

    scene = await accepted(pipeline, body, act)
    await pipeline.drain()
    pipeline.restart()
    return scene


async def asking_split(pipeline: FaultyPipeline) -> Scene:
    return await asking(pipeline, TWO_DOMAINS)


async def accepted(
    pipeline: FaultyPipeline, body: dict[str, Any], act: Callable[[Scene], Awaitable[str]], *, item: str = ""
) -> Scene:
    """A message that was accepted, and its item, which is the first whose text has `item`."""
    operation_id = str(uuid.uuid4())
    pipeline.sink.replies = {"later@fabrikam.test": list(LATER), "later@a.test": list(LATER)}
    scene = Scene(pipeline, act, owed={operation_id}, body=body)
    assert (await scene.send(operation_id)).status == 202
    [scene.item] = pipeline.collect()
    return scene


async def work(scene: Scene) -> str:
    """Deliver the item: the function raises, or puts it back, or is done with it."""
    pipeline, item = scene.pipeline, scene.item
    assert item is not None
    pipeline.clock.advance(max(item.due - pipeline.clock.monotonic(), 0.0))
    if await pipeline.deliver(item) is not None:
        return "delivered again"
    return "put back" if any(same_work(other, item) for other in pipeline.collect()) else "done"


async def preparing(pipeline: FaultyPipeline, body: dict[str, Any] = ANN) -> Scene:
    return await accepted(pipeline, body, work)


async def preparing_cold(pipeline: FaultyPipeline) -> Scene:
    scene = await preparing(pipeline)
    pipeline.restart()
    return scene


async def preparing_large(pipeline: FaultyPipeline) -> Scene:
    return await preparing(pipeline, LARGE)


async def preparing_two_domains(pipeline: FaultyPipeline) -> Scene:
    return await preparing(pipeline, TWO_DOMAINS)


async def delivering(pipeline: FaultyPipeline) -> Scene:
    """An envelope whose recipient is deferred, and later delivered."""
    scene = await preparing(pipeline, TWO_DOMAINS)
    await pipeline.step()
    [scene.item] = [item for item in pipeline.collect() if "envelope:001" in item.text]
    return scene


async def putting_back(pipeline: FaultyPipeline) -> Scene:
    """An item whose earlier run claimed the message and never came back."""
    scene = await preparing(pipeline)
    pipeline.proxy.rules = [Rule("tables.merge", Fault.LOST_ANSWER, times=None)]
    await pipeline.step()
    pipeline.proxy.rules = []
    [scene.item] = pipeline.collect()
    return scene


async def poisoned(pipeline: FaultyPipeline) -> Scene:
    """An item that the host gave up on."""
    scene = await preparing(pipeline)
    assert scene.item is not None
    scene.item.queue += "-poison"
    return scene


async def poisoned_under_a_claim(pipeline: FaultyPipeline) -> Scene:
    """An item that the host gave up on while an earlier run still has its claim."""
    scene = await putting_back(pipeline)
    assert scene.item is not None
    scene.item.queue += "-poison"
    return scene


def same_work(one: HostItem, other: HostItem) -> bool:
    """Whether two items stand for the same attempt."""
    return replace(SpoolItem.decode(one.text), put_backs=0) == replace(SpoolItem.decode(other.text), put_backs=0)


def assert_clear_refusal(answer: Answer) -> None:
    """A 503 in the shape of ACS, which says when to try again."""
    assert (answer.status, answer.code) == (503, "ServiceUnavailable")
    assert answer.body["error"]["message"]
    assert int(answer.headers["retry-after"]) >= 1


# A poison item that is delivered again comes ten minutes later, and a claim is over by then.
WAITS, AGAIN, ENDS = "put back, flagged", "delivered again, flagged", "delivered again, Failed, flagged"

STEPS = (
    Step(
        "accept, the first request of a worker, managed domain",
        accepting_cold,
        (
            Trip("tables.query", "resources", "202", "503, not sent", "503, not sent"),
            Trip("tables.query", "resources", "202", "503, not sent", "503, not sent"),
            Trip("tables.get", "resources", "202", "503, not sent", "503, not sent"),
            Trip("tables.insert", "messages", "202", "503, not sent", "503, sent"),
            Trip("queues.enqueue", "submissions", "202", "503, not sent", "503, sent"),
        ),
    ),
    Step(
        "accept, a large request",
        accepting_large,
        (
            Trip("content.put", "content", "202", "503, not sent", "503, not sent"),
            Trip("tables.insert", "messages", "202", "503, not sent", "503, sent"),
            Trip("queues.enqueue", "submissions", "202", "503, not sent", "503, sent"),
        ),
    ),
    Step(
        "accept, the same Operation-Id again",
        accepting_again,
        (
            Trip("tables.insert", "messages", "202", "503", "503"),
            Trip("queues.enqueue", "submissions", "202", "503", "503"),
            Trip("tables.get", "messages", "202", "503", "503"),
        ),
    ),
    Step(
        "prepare, the first message of a worker",
        preparing_cold,
        (
            Trip("tables.get", "messages", "done", "put back", "put back"),
            Trip("tables.merge", "messages", "done", "put back", "put back, flagged"),
            Trip("tables.query", "resources", "done", "put back", "put back"),
            Trip("tables.get", "suppressions", "done", "put back", "put back"),
            Trip("tables.merge", "messages", "done", "put back, sent twice, flagged", "put back"),
            Trip("tables.upsert", "activity", "done", "done", "done"),
        ),
    ),
    Step(
        "prepare, a large message, one of two deferred",
        preparing_large,
        (
            Trip("tables.get", "messages", "done", "put back", "put back"),
            Trip("tables.merge", "messages", "done", "put back", "put back, flagged"),
            Trip("content.get", "content", "done", "put back", "put back"),
            Trip("tables.get", "suppressions", "done", "put back", "put back"),
            Trip("tables.get", "suppressions", "done", "put back", "put back"),
            Trip("queues.enqueue", "deliveries", "done", "delivered again", "delivered again"),
            Trip("content.put", "content", "done", "put back", "put back"),
            Trip("tables.merge", "messages", "done", "put back, sent twice, flagged", "put back"),
            Trip("tables.transact", "activity", "done", "done", "done"),
        ),
    ),
    Step(
        "prepare, recipients of two domains",
        preparing_two_domains,
        (
            Trip("tables.get", "messages", "done", "put back", "put back"),
            Trip("tables.merge", "messages", "done", "put back", "put back, flagged"),
            Trip("tables.get", "suppressions", "done", "put back", "put back"),
            Trip("tables.get", "suppressions", "done", "put back", "put back"),
            Trip("content.put", "content", "done", "put back", "put back"),
            Trip("queues.enqueue", "deliveries", "done", "delivered again", "delivered again"),
            Trip("queues.enqueue", "deliveries", "done", "delivered again", "delivered again"),
            Trip("tables.transact", "messages", "done", "put back", "put back"),
        ),
    ),
    Step(
        "deliver, deferred",
        delivering,
        (
            Trip("tables.get", "messages", "done", "put back", "put back"),
            Trip("tables.merge", "messages", "done", "put back", "put back, flagged"),
            Trip("content.get", "content", "done", "put back", "put back"),
            Trip("queues.enqueue", "deliveries", "done", "delivered again", "delivered again"),
            Trip("tables.merge", "messages", "done", "put back, flagged", "put back"),
            Trip("tables.upsert", "activity", "done", "done", "done"),
        ),
    ),
    Step(
        "put an item back, whose message is claimed",
        putting_back,
        (
            Trip("tables.get", "messages", "put back, flagged", "put back, flagged", "put back, flagged"),
            Trip("queues.enqueue", "submissions", "put back, flagged", "delivered again, flagged", "delivered again, flagged"),
        ),
    ),
    Step(
        "keep a poison item",
        poisoned,
        (
            Trip("tables.insert", "poison", "done, Failed", "delivered again, Failed", "delivered again, Failed"),
            Trip("tables.get", "messages", "done, Failed", "delivered again, Failed", "delivered again, Failed"),
            Trip("tables.upsert", "poison", "done, Failed", "delivered again, Failed", "delivered again, Failed"),
            Trip("tables.merge", "messages", "done, Failed", "delivered again, Failed", "delivered again, Failed"),
            Trip("tables.upsert", "activity", "done, Failed", "done, Failed", "done, Failed"),
        ),
    ),
    Step(
        "keep a poison item, whose message is claimed",
        poisoned_under_a_claim,
        (
            Trip("tables.insert", "poison", WAITS, ENDS, ENDS),
            Trip("tables.get", "messages", WAITS, ENDS, ENDS),
            Trip("tables.upsert", "poison", WAITS, ENDS, ENDS),
            Trip("queues.enqueue", "submissions", WAITS, ENDS, AGAIN),
            Trip("tables.delete", "poison", WAITS, AGAIN, AGAIN),
        ),
    ),
    Step(
        "status, the first request of a worker",
        asking,
        (
            Trip("tables.query", "resources", "200", "503", "503"),
            Trip("tables.get", "messages", "200", "503", "503"),
        ),
    ),
    Step(
        "status of a message in envelopes",
        asking_split,
        (
            Trip("tables.query", "resources", "200", "503", "503"),
            Trip("tables.get", "messages", "200", "503", "503"),
            Trip("tables.query", "messages", "200", "503", "503"),
        ),
    ),
)
