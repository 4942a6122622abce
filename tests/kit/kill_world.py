"""The world of the kill run: an Azurite of its own, a counting receiver, slots for hosts and relays, all of them processes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
import secrets
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from email_core.administration.provision import Provisioner, provision_local
from email_core.clock import SystemClock
from email_core.domains.directory import Directory
from email_core.sealing import Sealer
from email_core.settings import load_settings
from email_core.storage import Storage, open_storage
from local.child import end_with_parent
from local.ports import free_ports
from tests.kit.azurite import Azurite
from tests.kit.kill_hosts import ROOT, HostSlot, RelaySlot
from tests.kit.kill_messages import Message
from tests.kit.smtp_relay import RelayFiles

VISIBILITIES = (6.0, 10.0)  # seconds, one host shorter than a claim, one longer: a put-back and a takeover at once
CLAIM = 8  # seconds; a run may take one less
DOT = (0.0, 0.3)  # seconds to answer the final dot, so that kills meet conversations at it
_SAYS_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Service:
    """A communication service, as its clients know it; `key` is what its messages begin with in storage.

    `name` is that of its SMTP user as well, who is there when the world has relays.
    """

    name: str
    host_name: str
    access_key: bytes
    key: str


@dataclass
class World:
    """What runs beside the hosts."""

    folder: Path
    storage: Storage
    slots: list[HostSlot]
    services: list[Service]
    sender: str
    receiver: CountingReceiver
    azurite: Azurite
    relays: list[RelaySlot]
    relay_files: RelayFiles
    smtp_password: str

    def service_of(self, message: Message) -> Service:
        """The service that a message is sent by."""
        return self.services[message.number % len(self.services)]

    def row_key(self, message: Message) -> str:
        """What names a message in storage."""
        return f"{self.service_of(message).key}:{message.operation_id}"

    async def restart_azurite(self) -> None:
        """Stop it with SIGTERM, which makes it write what it has, and start another one on its ports."""
        ports = self.azurite.ports
        await asyncio.to_thread(self.azurite.stop)
        self.azurite = await asyncio.to_thread(Azurite, self.folder / "azurite", ports=ports)

    async def restart_receiver(self) -> None:
        """Stop it in the middle of conversations, and start it again; it goes on counting."""
        await self.receiver.stop()
        await self.receiver.start()


@dataclass
class CountingReceiver:
    """The receiver's process; it can be stopped and started again and goes on counting."""

    folder: Path
    seed: int
    dot: tuple[float, float] = DOT
    port: int = 0
    _process: asyncio.subprocess.Process | None = field(default=None, repr=False)

    @property
    def counts(self) -> Path:
        return self.folder / "counts.json"

    @property
    def copies(self) -> Counter[str]:
        """Once it has stopped: what had arrived of what came by SMTP, by operation id instead of Message-ID."""
        return Counter(json.loads(self.counts.read_text())["copies"])

    async def start(self) -> None:
        """Start it on the port that it had, and wait until it listens."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.kit.kill_receiver", "--port", str(self.port), "--counts", str(self.counts),
            "--seed", str(self.seed), "--dot", *map(str, self.dot),
            cwd=ROOT, stdout=asyncio.subprocess.PIPE, preexec_fn=end_with_parent,
        )  # fmt: skip
        self.port = int((await self._line()).rpartition("=")[2])

    async def first_message(self) -> None:
        """Wait until a message has come as far as its final dot; that is answered a while later."""
        assert await self._line() == "First message"

    async def _line(self) -> str:
        assert self._process is not None and self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), _SAYS_SECONDS)
        return line.decode().strip()

    async def stop(self) -> Counter[str]:
        """End it; what had arrived."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(self._process.wait(), 60)
        return Counter(json.loads(self.counts.read_text())["arrivals"])

    def end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()


@contextlib.asynccontextmanager
async def kill_world(
    folder: Path,
    seed: int,
    *,
    in_memory: bool = True,
    dot: tuple[float, float] = DOT,
    claim: int = CLAIM,
    services: int = 1,
    relays: int = 0,
) -> AsyncIterator[World]:
    """Azurite, the receiver, a service that can send, and slots whose hosts and relays are not started yet.

    An Azurite that is stopped and started again must not be in memory. With more than some thousand messages there should
    be more than one service: Azurite looks through all of a partition of the table `activity` at each write.
    """
    (folder / "azurite").mkdir()
    azurite = await asyncio.to_thread(Azurite, folder / "azurite", in_memory=in_memory, keeps_garbage=in_memory)
    receiver = CountingReceiver(folder, seed, dot)
    world: World | None = None
    try:
        await receiver.start()
        app_settings = {
            "AzureWebJobsStorage": azurite.connection_string,
            "POSTRIDER_SEALING_KEY": base64.b64encode(random.Random(seed).randbytes(32)).decode(),
            "POSTRIDER_LOCAL": "on",
            "POSTRIDER_ROUTES": f"capture://127.0.0.1:{receiver.port}",
            "POSTRIDER_CLAIM_SECONDS": str(claim),
            "POSTRIDER_RUN_SECONDS": str(claim - 1),
            # Nothing may need the sweeper; and Azurite looks through all rows for each service that it seeks.
            "AzureWebJobs.sweep.Disabled": "true",
            "POSTRIDER_RETRY_PAUSES": "12,20,30",  # the first is beyond what clocks may differ by, and so is waited for
        }
        world = await _provisioned(folder, app_settings, receiver, azurite, services, relays)
        yield world
    finally:
        receiver.end()
        if world is not None:
            for slot in (*world.slots, *world.relays):
                slot.end()
            await world.storage.close()
            azurite = world.azurite
        await asyncio.to_thread(azurite.stop)


async def _provisioned(
    folder: Path, app_settings: dict[str, str], receiver: CountingReceiver, azurite: Azurite, count: int, relays: int
) -> World:
    settings = load_settings(app_settings)
    storage = open_storage(settings.storage)
    sealer = Sealer.from_setting(settings.sealing_key)
    local = await provision_local(storage, sealer, settings)
    (first,) = await Directory(storage.tables, sealer, SystemClock(), 30.0).services()
    provisioner = Provisioner(
        storage, sealer, settings, subscription_id=local.subscription_id, resource_group=local.resource_group
    )
    password = secrets.token_urlsafe(24)
    for number in range(count):
        await provisioner.service(f"kills-{number}", f"kills-{number}.localhost", first.linked_domains)
        if relays:
            await provisioner.smtp_username(f"kills-{number}", f"kills-{number}", password)
    known = await Directory(storage.tables, sealer, SystemClock(), 30.0).services()
    services = [
        Service(each.name, each.host_name, each.access_keys[0].secret, each.key) for each in known if each.key != first.key
    ]
    ports = iter(free_ports(len(VISIBILITIES) + 2 * relays))
    slots = [
        HostSlot(number, next(ports), folder, app_settings, visibility)
        for number, visibility in enumerate(VISIBILITIES, start=1)
    ]
    files = RelayFiles(folder)
    smtp = {
        **app_settings,
        "POSTRIDER_SMTP_HOST": "127.0.0.1",
        "POSTRIDER_SMTP_CERTIFICATE": str(files.certificate),
        "POSTRIDER_SMTP_KEY": str(files.key),
    }
    their = [RelaySlot(number, next(ports), folder, smtp, next(ports)) for number in range(1, relays + 1)]
    return World(folder, storage, slots, services, local.sender_address, receiver, azurite, their, files, password)
