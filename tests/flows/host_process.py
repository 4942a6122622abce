"""The functions host as a process, with an app that a test writes."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.kit.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
HEAD = "import azure.functions as func\napp = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)\n"


@dataclass
class HostProcess:
    """`ports` maps http and https to their numbers."""

    process: subprocess.Popen[bytes]
    log: Path
    ports: dict[str, int]
    environment: Mapping[str, str]

    def request(
        self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers (lower case) and body of one request over plain HTTP."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["http"], timeout=10)
        try:
            connection.request(method, target, body, dict(headers or {}))
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        finally:
            connection.close()

    def raw(self, content: bytes) -> bytes:
        """All that the host answers to these bytes until it closes the connection."""
        with socket.create_connection(("127.0.0.1", self.ports["http"]), timeout=10) as connection:
            connection.sendall(content)
            received = b""
            while part := connection.recv(65536):
                received += part
            return received

    def said(self, text: str, count: int = 1) -> None:
        """Wait until the log holds `text` so many times."""
        wait_until(lambda: self.log.read_text().count(text) >= count, timeout=15, what=f"{text!r} in {self.log}")

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """The exit status."""
        self.process.send_signal(sign)
        return self.process.wait(30)


@contextmanager
def functions_host(
    folder: Path,
    app: str,
    *,
    environment: Mapping[str, str] | None = None,
    host: Mapping[str, object] | None = None,
    tls: tuple[Path, Path] | None = None,
) -> Iterator[HostProcess]:
    """A host that is ready; stopped at the end."""
    command = prepare(folder, app, host)
    if tls:
        command += ["--https-port", "0", "--certificate", str(tls[0]), "--key", str(tls[1])]
    log = folder / "host.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, stderr=out, env={**os.environ, **(environment or {})})

    def ready() -> dict[str, int] | None:
        if process.poll() is not None:
            raise AssertionError(f"the host ended with {process.returncode}: {log.read_text()}")
        found = re.search(r"Ready: (.*)", log.read_text())
        return {pair.split("=")[0]: int(pair.split("=")[1]) for pair in found[1].split()} if found else None

    try:
        yield HostProcess(process, log, wait_until(ready, timeout=30, what="functions host"), environment or {})
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(30)


def prepare(folder: Path, app: str, host: Mapping[str, object] | None = None) -> list[str]:
    """Write the app; the command that runs it on a free port."""
    (folder / "function_app.py").write_text(HEAD + textwrap.dedent(app))
    extensions = {"http": {"routePrefix": ""}, **(host or {})}
    (folder / "host.json").write_text(json.dumps({"version": "2.0", "extensions": extensions}))
    options = {"--root": folder, "--state": folder / "state", "--http-port": 0}
    return [sys.executable, "-m", "local.functions_host", *(str(word) for option in options.items() for word in option)]
