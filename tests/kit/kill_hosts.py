"""Processes that are killed at random moments and started again at once: functions hosts and SMTP servers, the real ones."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from local.child import end_with_parent

ROOT = Path(__file__).resolve().parents[2]
_READY_SECONDS = 60.0
_STOP_SECONDS = 30.0
_WHILE_STARTING = 0.5  # seconds; a start takes about that long
_OURS = ("POSTRIDER_", "AzureWebJobs")


@dataclass
class Slot(ABC):
    """One process after the other, on one port and with one log."""

    number: int
    port: int
    folder: Path
    settings: Mapping[str, str]
    starts: int = field(default=0, init=False)
    kills: int = field(default=0, init=False)
    _is_told_to_end: bool = field(default=False, init=False)
    _log_began: int = field(default=0, init=False)
    _process: asyncio.subprocess.Process | None = field(default=None, init=False, repr=False)

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    @abstractmethod
    def command(self) -> Sequence[str]:
        """What follows the name of the interpreter."""

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None, f"{self.name} was not started"
        return self._process

    def environment(self) -> Mapping[str, str]:
        """What it is told beside what every process is."""
        return self.settings

    async def start(self) -> None:
        """Start it; it is ready about half a second later."""
        self.starts += 1
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        with self.log.open("ab") as log:
            log.write(f"--- start {self.starts}\n".encode())
            log.flush()
            self._log_began = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *self.command, cwd=ROOT, env={**environment, **self.environment()},
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=end_with_parent,
            )  # fmt: skip
        self._is_told_to_end = False

    async def kill(self) -> None:
        """SIGKILL; RuntimeError when it was not running any more."""
        self.check()
        self.kills += 1
        self._is_told_to_end = True
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    def check(self) -> None:
        """Raises RuntimeError when it ended by itself, which none does."""
        if self._process is not None and self._process.returncode is not None and not self._is_told_to_end:
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.end_of_log()}")

    async def ready(self) -> None:
        """Wait until it works."""
        async with asyncio.timeout(_READY_SECONDS):
            while b"Ready: " not in self._first_words():
                await asyncio.sleep(0.05)

    def _first_words(self) -> bytes:
        with self.log.open("rb") as log:
            log.seek(self._log_began)
            return log.read(8192)

    async def stop(self) -> int:
        """SIGTERM to one that works; the exit status."""
        if self.process.returncode is None:
            await self.ready()
            self._is_told_to_end = True
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), _STOP_SECONDS)

    def end(self) -> None:
        """Let nothing run on, whatever happened."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def end_of_log(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])


@dataclass
class HostSlot(Slot):
    """A functions host."""

    visibility: float = 30.0  # seconds after which an item that a killed host had comes back
    patience: int = 20  # seconds that functions are given when it is asked to stop

    @property
    def name(self) -> str:
        return f"host-{self.number}"

    @property
    def command(self) -> Sequence[str]:
        return (
            "-m", "local.functions_host", "--root", str(ROOT), "--http-port", str(self.port),
            "--state", str(self.folder / f"state-{self.number}"), "--visibility", str(self.visibility),
            "--patience", str(self.patience),
        )  # fmt: skip


@dataclass
class RelaySlot(Slot):
    """An SMTP server: submission with STARTTLS on `port`, with TLS from the first octet on `tls_port`."""

    tls_port: int = 0

    @property
    def name(self) -> str:
        return f"relay-{self.number}"

    @property
    def command(self) -> Sequence[str]:
        return ("-m", "smtp_relay")

    def environment(self) -> dict[str, str]:
        ports = {"SUBMISSION": self.port, "TLS": self.tls_port, "INBOUND": 0, "HEALTH": 0}
        return {**self.settings, **{f"POSTRIDER_SMTP_{name}_PORT": str(port) for name, port in ports.items()}}


class Trouble(Protocol):
    """What happens `times` times while messages are under way; `done` counts."""

    times: int
    done: int

    async def strike(self) -> None: ...


@dataclass
class Killer:
    """Kills one slot after the other, and now and then one that is just starting; it is started again at once."""

    slots: Sequence[Slot]
    times: int
    chance: random.Random
    gap: tuple[float, float] = (0.2, 1.2)  # seconds between two kills, at least
    share_while_starting: float = 0.15
    done: int = 0
    while_starting: int = 0
    _turns: int = 0

    async def strike(self) -> None:
        await asyncio.sleep(self.chance.uniform(*self.gap))
        slot = self.slots[self._turns % len(self.slots)]
        self._turns += 1
        await self._kill(slot)
        while self.done < self.times and self.chance.random() < self.share_while_starting:
            await asyncio.sleep(self.chance.uniform(0.0, _WHILE_STARTING))
            self.while_starting += 1
            await self._kill(slot)

    async def _kill(self, slot: Slot) -> None:
        await slot.kill()
        self.done += 1
        await slot.start()


def lines_about(slots: Sequence[Slot], words: Sequence[str]) -> dict[str, list[str]]:
    """Of each word, such as an operation id, the log lines of all slots that have it, with the start that wrote them."""
    found: dict[str, list[str]] = {word: [] for word in words}
    if not words:
        return found
    pattern = re.compile("|".join(map(re.escape, words)))
    for slot in slots:
        start = ""
        with slot.log.open(errors="replace") as log:
            for line in log:
                if line.startswith("--- start"):
                    start = line.strip("- \n")
                for word in set(pattern.findall(line)):
                    found[word].append(f"{slot.name} {start}: {line.rstrip()}")
    return found
