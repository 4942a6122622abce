"""One Azurite for a whole test session, on ports of its own, in a folder that goes with it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.kit.peers import require

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # documented, no secret

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPT = _ROOT / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
_LISTENING = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at (http://\S+)")
_KEEPS_GARBAGE = Path(__file__).with_name("azurite_keeps_garbage.cjs")
_HEAP = 8192  # MB at most; node takes a part of what the machine has, and a long run in memory needs more
_START_SECONDS = 90
_STOP_SECONDS = 10


class Azurite:
    """A running Azurite. It chooses free ports itself and says which, so no two test runs can meet on one."""

    def __init__(
        self, folder: Path, *, in_memory: bool = False, keeps_garbage: bool = False, ports: Mapping[str, int] | None = None
    ) -> None:
        """`in_memory`: nothing is written to `folder`, and much is faster. `keeps_garbage`: what is deleted from queues stays
        in memory, and the half minutes of standing still after some 10,000 items are gone. `ports` are those of an earlier one.
        """
        self._endpoints: dict[str, str] = {}
        self._said: list[str] = []
        self._changed = threading.Condition()
        services = [
            f"--{service}{what}"
            for service in ("blob", "queue", "table")
            for what in ("Host=127.0.0.1", f"Port={(ports or {}).get(service, 0)}")
        ]
        self._process = subprocess.Popen(
            ["node", f"--max-old-space-size={_HEAP}"]
            + (["--require", str(_KEEPS_GARBAGE)] if keeps_garbage else [])
            + [str(_SCRIPT), "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
            + (["--inMemoryPersistence"] if in_memory else ["--location", str(folder)])
            + [word for option in services for word in option.split("=")],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._wait_until_up()

    @property
    def connection_string(self) -> str:
        """Names the account, its key and the three endpoints."""
        endpoints = "".join(f"{service}Endpoint={url}/{ACCOUNT};" for service, url in sorted(self._endpoints.items()))
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};{endpoints}"

    @property
    def process_id(self) -> int:
        """For who wants to know what it costs."""
        return self._process.pid

    @property
    def ports(self) -> dict[str, int]:
        """By service, for one that shall take its place."""
        return {service.lower(): int(url.rpartition(":")[2]) for service, url in self._endpoints.items()}

    def stop(self) -> None:
        """End it as it wants to be ended: SIGTERM makes it write what it has."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(_STOP_SECONDS)
        if self._process.stdout:
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self._said.append(line)
                if found := _LISTENING.search(line):
                    self._endpoints[found[1]] = found[2]
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        with self._changed:
            while len(self._endpoints) < 3:
                if self._process.poll() is not None or not self._changed.wait(deadline - time.monotonic()):
                    self._process.kill()
                    self._process.wait()
                    raise RuntimeError("Azurite did not start:\n" + "".join(self._said))


def unique_name(prefix: str) -> str:
    """A name for a table, queue or container that no other test uses."""
    return f"{prefix}{uuid.uuid4().hex[:16]}"


@pytest.fixture(scope="session")
def azurite() -> Iterator[str]:
    """The connection string of an Azurite that runs for the test session."""
    require(shutil.which("node"), "node is not installed")
    require(_SCRIPT.exists(), "Azurite is not installed: npm ci")
    with tempfile.TemporaryDirectory(prefix="azurite-") as folder:
        server = Azurite(Path(folder))
        try:
            yield server.connection_string
        finally:
            server.stop()
