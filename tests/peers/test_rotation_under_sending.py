"""Keys rotate while mail goes out: mailauth verifies every message, when it arrives and for as long as its signature holds.

The zone is Knot's and written by updates; messages go through the whole pipeline, which keeps a domain's keys in memory for a
while as a worker does. mailauth looks with the clock of the test.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace

import pytest

from email_core.administration import rotation
from email_core.administration.rotation_steps import STEPS
from email_core.domains import key_rotation as stages
from email_core.domains.documents import DomainDocument
from email_core.domains.records import zone_lines
from email_core.domains.tasks import Rotate
from email_core.management.resource_id import ResourceId, parse_resource_id
from email_core.settings import Secret, Settings
from tests.kit import mailauth
from tests.kit.knot import Knot
from tests.kit.knot import missing_reason as no_knot
from tests.kit.peers import require
from tests.kit.pipeline import DOMAIN, Pipeline, build_pipeline, draft_to
from tests.kit.receiver import Receiver

pytestmark = [pytest.mark.peers, pytest.mark.timeout(300)]

LONGEST_TIME_TO_LIVE = 120 * 3600.0  # so that signatures hold as long as they ever do


@dataclass(frozen=True)
class Sent:
    """A message as it arrived. `ends_at` is when its signatures end, `slot` who signed."""

    stage: str
    content: bytes
    ends_at: float
    slots: frozenset[str]


@dataclass
class Sending:
    """Sends while a rotation goes on, and looks whether what was sent still verifies."""

    pipeline: Pipeline
    sink: Receiver
    knot: Knot
    domain: ResourceId
    sent: list[Sent] = field(default_factory=list)

    async def document(self) -> DomainDocument:
        found = await self.pipeline.services.administration().store.get(self.domain, DomainDocument)
        assert found is not None
        return found.document

    async def send(self, stage: str) -> Sent:
        await self.pipeline.accept(draft_to("ann@rcpt.test"))
        await self.pipeline.drain()
        content = self.sink.received.pop().content
        headers = content.partition(b"\r\n\r\n")[0].replace(b"\r\n\t", b" ").replace(b"\r\n ", b" ")
        ends = {int(found) for found in re.findall(rb"\bx=(\d+)", headers)}
        slots = frozenset(found.decode() for found in re.findall(rb"\bs=(postrider\d)", headers))
        assert len(ends) == 1 and len(slots) == 1
        message = Sent(stage, content, float(ends.pop()), slots)
        await self.verify([message])
        self.sent.append(message)
        return message

    async def verify(self, messages: list[Sent]) -> None:
        """Every signature of these messages holds now."""
        now, places = self.pipeline.clock.now(), asyncio.Semaphore(2)

        async def judge(message: Sent) -> list[str]:
            async with places:
                verdict = await mailauth.verdict(
                    message.content, client_ip="127.0.0.1", helo="mx.test", mail_from="",
                    dns=(self.knot.host, self.knot.port), at=now,
                )  # fmt: skip
            assert len(verdict["dkim"]) == 2
            return [f"{each['selector']}: {each['comment']}" for each in verdict["dkim"] if each["result"] != "pass"]

        failed = await asyncio.gather(*map(judge, messages))
        assert {message.stage: why for message, why in zip(messages, failed, strict=True) if why} == {}

    def alive(self) -> list[Sent]:
        """The messages whose signatures have not ended."""
        return [message for message in self.sent if message.ends_at > self.pipeline.clock.now()]

    async def go_to(self, moment: float) -> None:
        self.pipeline.clock.advance(max(moment - self.pipeline.clock.now(), 0.0))

    async def rotate(self) -> list[str]:
        """A whole rotation, with messages at each of its steps; the stages that it went through."""
        admin = self.pipeline.services.administration()
        await rotation.begin(admin, self.domain, await self.document())
        went_through = []
        while (held := (await self.document()).rotation) is not None:
            if held.stage == stages.RETIRING:
                await self.last_moments(held.next_at)
            await self.go_to(held.next_at)
            await self.send(f"at the end of {held.stage}")
            await rotation.run(admin, Rotate(domain=self.domain.text, run=held.run))
            await self.send(f"right after {held.stage}")
            went_through.append(held.stage)
        return went_through

    async def last_moments(self, retired_at: float) -> None:
        """A worker signs with the keys that it has in memory; receivers look at the last moment of a signature."""
        cached = self.sent[-1]
        self.pipeline.clock.advance(self.pipeline.services.settings.configuration_seconds + 1)
        renewed = await self.send("with the new keys")
        assert cached.slots != renewed.slots
        await self.verify(self.alive())
        await self.go_to(cached.ends_at - 1)
        assert cached in self.alive()
        await self.verify(self.alive())
        assert self.pipeline.clock.now() < retired_at


@pytest.fixture
def zone() -> Iterator[Knot]:
    require(not no_knot(), no_knot())
    require(not mailauth.missing_reason(), mailauth.missing_reason())
    with Knot({DOMAIN: []}) as server:
        yield server


@pytest.fixture
async def sending(azurite: str, sink: Receiver, zone: Knot) -> AsyncIterator[Sending]:
    def change(settings: Settings) -> Settings:
        return replace(
            settings,
            zones=(Secret(zone.zone_entry(DOMAIN)),),
            dns_server=zone.address,
            dns_port=zone.port,
            time_to_live=LONGEST_TIME_TO_LIVE,
        )

    pipeline = await build_pipeline(azurite, routes=f"capture://127.0.0.1:{sink.port}", change=change)
    zone.add_records(zone_lines(pipeline.records))
    yield Sending(pipeline, sink, zone, parse_resource_id(pipeline.provisioner.domain_id("email", DOMAIN)))
    await pipeline.close()


async def test_rotation_under_continuous_sending_fails_no_message(sending: Sending) -> None:
    before = await sending.send("before any rotation")

    first = await sending.rotate()
    second = await sending.rotate()

    assert first == second == list(STEPS)
    after = await sending.document()
    assert before.slots == {"postrider1"} and stages.active_slot(after) == 1
    assert {slot for message in sending.sent for slot in message.slots} == {"postrider1", "postrider2"}
    assert len(sending.sent) > 20
