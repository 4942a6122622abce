"""The pipeline in one process: real storage, a clock that tests set, and the queue items in the test's own hands.

Items go to the real queues and are noted as well, so that a test can work an item whose delay has not passed on the real
clock, work one twice, or lose one.
"""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import pytest

from email_core.administration.provision import CONTAINERS, QUEUES, TABLES, Provisioner
from email_core.delivery.dsn_sending import NOTICES
from email_core.delivery.rows import SpooledRow
from email_core.delivery.spool import DELIVERIES, SUBMISSIONS, SpoolItem
from email_core.domains.records import DnsRecord
from email_core.domains.sending import CommunicationService
from email_core.message.address import parse_address
from email_core.message.draft import Draft
from email_core.sealing import Sealer
from email_core.services import Services, build_services
from email_core.settings import Secret, Settings, StorageSettings
from email_core.storage import Queues, Storage, open_storage
from email_core.submission.accept import Accepted, Submission, accept
from email_core.suppression.managed import ManagedList
from tests.kit.clock import FakeClock
from tests.kit.receiver import Receiver, receiver

# One key for all tests, because services of earlier tests stay in the table and must be readable.
SEALING_KEY = Secret(base64.b64encode(b"a sealing key for tests, 32 byte").decode())
DOMAIN = "contoso.test"


@dataclass
class Noted:
    """An item as it was enqueued; `delay` is in seconds."""

    queue: str
    item: SpoolItem
    delay: float


class NotingQueues(Queues):
    """The real queues, with a note of each item of mail that was enqueued."""

    def __init__(self, inner: Queues) -> None:
        self.__dict__.update(inner.__dict__)
        self.noted: list[Noted] = []

    async def enqueue(self, queue: str, text: str, *, delay: float = 0.0) -> None:
        await super().enqueue(queue, text, delay=delay)
        if queue in (SUBMISSIONS, DELIVERIES, NOTICES):
            self.noted.append(Noted(queue, SpoolItem.decode(text), delay))


@dataclass
class Pipeline:
    """One communication service with a custom domain, and everything that works its messages."""

    services: Services
    clock: FakeClock
    queues: NotingQueues
    service: CommunicationService
    sealer: Sealer
    provisioner: Provisioner
    records: list[DnsRecord]  # what the zone of the sending domain must hold
    worked: list[Noted] = field(default_factory=list)

    @property
    def storage(self) -> Storage:
        return self.services.storage

    async def accept(self, draft: Draft, *, operation_id: str = "", request_hash: str = "hash", size: int = 1000) -> Accepted:
        """Accept a draft as a door would."""
        submission = Submission(
            service=self.service,
            draft=draft,
            operation_id=operation_id or str(uuid.uuid4()),
            request_hash=request_hash,
            size=size,
            door="http",
            api_version="2025-09-01",
        )
        return await accept(
            self.services.spool,
            self.services.directory,
            self.services.limits,
            submission,
            now=self.clock.now(),
            time_to_live=self.services.settings.time_to_live,
        )

    async def work(self, noted: Noted, *, dequeue_count: int = 1) -> None:
        """Work an item once its delay has passed."""
        self.clock.advance(noted.delay)
        self.worked.append(noted)
        if noted.queue == NOTICES:
            await self.services.notifier.work(noted.item)
        elif noted.queue == SUBMISSIONS:
            await self.services.preparer.prepare(noted.item, dequeue_count=dequeue_count)
        else:
            await self.services.deliverer.deliver(noted.item, dequeue_count=dequeue_count)

    async def step(self) -> Noted | None:
        """Work the item that is due first; None when there is none."""
        if not self.queues.noted:
            return None
        noted = min(self.queues.noted, key=lambda each: each.delay)
        self.queues.noted.remove(noted)
        for other in self.queues.noted:
            other.delay = max(other.delay - noted.delay, 0.0)
        await self.work(noted)
        return noted

    async def drain(self, most: int = 200) -> list[Noted]:
        """Work items until there are none."""
        steps = []
        while (noted := await self.step()) is not None:
            steps.append(noted)
            assert len(steps) <= most, f"no end after {most} items: {steps[-3:]}"
        return steps

    async def row(self, accepted: Accepted, name: str = "message") -> SpooledRow:
        """A row of a message."""
        row = await self.services.spool.read(f"{self.service.key}:{accepted.operation_id}", name, with_content=False)
        assert row is not None
        return row

    async def close(self) -> None:
        await self.services.close()


async def build_pipeline(
    connection_string: str, *, routes: str, change: Callable[[Settings], Settings] = lambda settings: settings
) -> Pipeline:
    """A pipeline of its own: its service and domain live under a resource group that no other test uses."""
    settings = change(
        Settings(
            storage=StorageSettings(connection_string=Secret(connection_string)),
            sealing_key=SEALING_KEY,
            routes=routes,
            allow_private_addresses=True,
        )
    )
    storage = open_storage(settings.storage)
    await storage.ensure(tables=TABLES, queues=QUEUES, containers=CONTAINERS)
    await forget_leases(storage)
    storage.queues = queues = NotingQueues(storage.queues)
    clock = FakeClock(time.time())  # a signature of another time would not verify
    services = build_services(settings, clock, storage=storage)
    sealer = Sealer.from_setting(SEALING_KEY)
    group = f"test-{uuid.uuid4().hex[:12]}"
    provisioner = Provisioner(storage, sealer, settings, subscription_id=str(uuid.uuid4()), resource_group=group)
    await provisioner.platform()
    records = await provisioner.custom_domain("email", DOMAIN, senders=("DoNotReply", "news"))
    await provisioner.service(group, f"{group}.localhost", [provisioner.domain_id("email", DOMAIN).lower()])
    service = next(each for each in await services.directory.services() if each.name == group)
    storage.round_trips.clear()
    return Pipeline(services, clock, queues, service, sealer, provisioner, records)


async def forget_leases(storage: Storage) -> None:
    """Empty the managed list: tests share an installation, and the bounce of one would be the suppression of another."""
    managed = ManagedList(storage.tables)
    for entry in [entry async for entry in managed.entries(now=0.0)]:
        await managed.remove(entry.digest)


@pytest.fixture
async def sink() -> AsyncIterator[Receiver]:
    """A receiver of the test's own."""
    async with receiver() as running:
        yield running


@pytest.fixture
async def pipeline(azurite: str, sink: Receiver) -> AsyncIterator[Pipeline]:
    """A pipeline that delivers everything to `sink`."""
    built = await build_pipeline(azurite, routes=f"capture://127.0.0.1:{sink.port}")
    yield built
    await built.close()


def draft_to(*recipients: str, **fields: object) -> Draft:
    """A small draft from the test domain to the recipients."""
    draft = Draft(
        sender=parse_address(f"news@{DOMAIN}"),
        subject="A test",
        to=tuple(parse_address(recipient) for recipient in recipients),
        text="Hello.\n",
    )
    return replace(draft, **fields)  # type: ignore[arg-type]


__all__ = ["DELIVERIES", "SUBMISSIONS", "Noted", "Pipeline", "build_pipeline", "draft_to"]
