"""The pipeline behind the storage proxy: the app's own functions, real storage and a real receiver, one service for all tests.

Each test has services of its own, with cold caches, and a proxy of its own. Queue items are taken from what the proxy saw
take effect, whatever the pipeline was told, and are delivered as the functions host does: again after half a minute when the
function raised, and to the poison queue when it did so eight times. An item of a poison queue has nowhere else to go.
"""

from __future__ import annotations

import asyncio
import functools
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import azure.functions as func
import pytest
from azure.functions.queue import QueueMessage

from email_core.clock import Clock
from email_core.delivery.rows import SpooledRow
from email_core.domains import directory
from email_core.domains.sending import CommunicationService
from email_core.services import Services, Worker, build_services
from email_core.settings import Secret, Settings, StorageSettings
from email_core.storage import ContentStore, Queues, Storage, Tables
from email_core.storage.account import account_of
from email_core.storage.pipeline import Connection, Service
from email_core.triggers.queues import register
from tests.kit.clock import FakeClock
from tests.kit.pipeline import build_pipeline
from tests.kit.receiver import Receiver, receiver
from tests.kit.requests import Ready
from tests.kit.storage_proxy import StorageProxy

VISIBILITY = 600.0  # seconds after which an item comes back that nobody gave back
PAUSE_AFTER_EXCEPTION = 30.0  # seconds; visibilityTimeout of host.json
MOST_TRIES = 8  # maxDequeueCount of host.json


@dataclass
class HostItem:
    """An item as the host has it. `due` is a time of the monotonic clock, for a queue does not know what a worker's says."""

    queue: str
    text: str
    due: float
    id: str
    dequeue_count: int = 0


@dataclass
class FaultyPipeline:
    """One worker of an installation that is there already.

    `items` wait for their time, `enqueued` has every item that was ever put on a queue, `poisoned` those that the host gave
    up on, and `raised` what left the functions.
    """

    services: Services
    clock: FakeClock
    service: CommunicationService
    managed_domain: str
    proxy: StorageProxy
    sink: Receiver
    items: list[HostItem] = field(default_factory=list)
    enqueued: list[HostItem] = field(default_factory=list)
    poisoned: list[HostItem] = field(default_factory=list)
    raised: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._register()

    def restart(self) -> None:
        """A new worker, which knows nothing yet of services and domains."""
        self.services = build_services(self.services.settings, self.clock, storage=self.services.storage)
        self._register()

    async def warm(self) -> None:
        """Read services and domains into the caches, as a worker has them that has been running for a while."""
        for service in await self.services.directory.services():
            if service.key == self.service.key:
                await asyncio.gather(*(self.services.directory.domain(domain) for domain in service.linked_domains))

    def _register(self) -> None:
        app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
        register(app, cast(Worker, Ready(self.services)))
        self._functions: dict[str, Callable[[QueueMessage], Awaitable[None]]] = {
            cast(Any, function.get_trigger()).queue_name: function.get_user_function() for function in app.get_functions()
        }

    @property
    def storage(self) -> Storage:
        return self.services.storage

    def collect(self) -> list[HostItem]:
        """Take over what was enqueued since; all items that wait, the one that is due first in front."""
        for item in self.proxy.enqueued:
            self.enqueued.append(self.put(item.queue, item.text, delay=item.delay))
        self.proxy.enqueued.clear()
        self.items.sort(key=lambda item: item.due)
        return self.items

    def put(self, queue: str, text: str, *, delay: float = 0.0) -> HostItem:
        """Let an item wait that the pipeline did not enqueue itself."""
        item = HostItem(queue, text, self.clock.monotonic() + delay, f"{uuid.uuid4()}")
        self.items.append(item)
        return item

    async def deliver(self, item: HostItem) -> Exception | None:
        """Deliver an item now, and do what the host does then; the exception that left the function."""
        item.dequeue_count += 1
        message = QueueMessage(id=item.id, body=item.text, dequeue_count=item.dequeue_count)  # type: ignore[no-untyped-call]
        try:
            await self._functions[item.queue](message)
        except Exception as error:
            self.raised.append(error)
            if item.queue.endswith("-poison"):
                item.due = self.clock.monotonic() + VISIBILITY  # there is no poison queue of a poison queue
            elif item.dequeue_count < MOST_TRIES:
                item.due = self.clock.monotonic() + PAUSE_AFTER_EXCEPTION
            else:
                self.items.remove(item)
                self.poisoned.append(self.put(f"{item.queue}-poison", item.text))
            return error
        self.items.remove(item)
        return None

    async def step(self) -> HostItem | None:
        """Wait for the item that is due first and deliver it; None when there is none."""
        if not self.collect():
            return None
        item = self.items[0]
        self.clock.advance(max(item.due - self.clock.monotonic(), 0.0))
        await self.deliver(item)
        return item

    async def drain(self, most: int = 100) -> list[HostItem]:
        """Deliver items until there are none."""
        steps: list[HostItem] = []
        while (item := await self.step()) is not None:
            steps.append(item)
            assert len(steps) <= most, f"no end after {most} items: {item.queue} {item.text[:200]} {self.raised[-1:]}"
            gave_up = item.queue.endswith("-poison") and item.dequeue_count >= MOST_TRIES
            assert not gave_up, f"a poison item that cannot be kept: {item.text[:200]} {self.raised[-1]!r}"
        return steps

    async def rows(self, operation_id: str) -> list[SpooledRow]:
        """The rows that hold the ledgers of a message: none when it was never stored."""
        row = await self.services.spool.read(f"{self.service.key}:{operation_id}", with_content=False)
        if row is None:
            return []
        return await self.services.spool.envelopes(row.message) if row.facts.envelopes else [row]

    def arrived(self, operation_id: str) -> Counter[str]:
        """How often each recipient got the message; its Message-ID is made of the operation's id."""
        return Counter(
            recipient
            for received in self.sink.received
            for recipient in received.recipients
            if f"Message-ID: <{operation_id}@".encode() in received.content.partition(b"\r\n\r\n")[0]
        )


@dataclass(frozen=True)
class Installation:
    """What all pipelines of a module share: an account with one service and one domain."""

    connection_string: str
    settings: Settings
    service: CommunicationService
    managed_domain: str  # its own name; its sender is DoNotReply

    @asynccontextmanager
    async def pipeline(
        self, *, sink: Receiver | None = None, clock: Clock | None = None, **settings: Any
    ) -> AsyncIterator[FaultyPipeline]:
        """A worker with a proxy, and unless they are given a receiver and a clock of its own; `settings` change fields."""
        async with AsyncExitStack() as stack:
            proxy = await stack.enter_async_context(StorageProxy(self.connection_string))
            sink = sink or await stack.enter_async_context(receiver())
            clock = clock or FakeClock(time.time())
            chosen = replace(self.settings, routes=f"capture://127.0.0.1:{sink.port}", **settings)
            services = build_services(chosen, clock, storage=storage_without_backoff(proxy.connection_string))
            try:
                yield FaultyPipeline(services, cast(FakeClock, clock), self.service, self.managed_domain, proxy, sink)
            finally:
                await services.close()


def storage_without_backoff(connection_string: str) -> Storage:
    """As `open_storage`, with tries that follow each other at once."""
    account = account_of(StorageSettings(connection_string=Secret(connection_string)))
    counter: Counter[str] = Counter()
    connection = Connection(account, counter, backoff=0.0)
    return Storage(
        account,
        connection,
        Tables(Service(connection, "tables", account.table_endpoint, short_form=True)),
        Queues(Service(connection, "queues", account.queue_endpoint), "base64"),
        ContentStore(Service(connection, "content", account.blob_endpoint)),
        counter,
    )


async def _provisioned(connection_string: str) -> Installation:
    built = await build_pipeline(connection_string, routes="capture://127.0.0.1:1")
    managed = await built.provisioner.managed_domain("email")
    await built.provisioner.link(built.service.name, built.provisioner.domain_id("email", "AzureManagedDomain"))
    await built.close()
    return Installation(connection_string, built.services.settings, built.service, managed)


@pytest.fixture(scope="module")
def installation(azurite: str) -> Iterator[Installation]:
    """A provisioned installation for the tests of a module: making keys and tables takes longer than a test."""
    with pytest.MonkeyPatch.context() as patch:
        # Cold caches are part of the tests, but to check the same RSA keys again takes longer than all the rest.
        patch.setattr(directory, "load_private_key", functools.cache(directory.load_private_key))
        yield asyncio.run(_provisioned(azurite))
