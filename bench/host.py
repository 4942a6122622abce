"""A functions host that figures are measured against: a process as production has it, with a service that can send."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import ContenderFailed
from email_core.administration.provision import LocalService
from email_core.auth.hmac_access_key import authorization_headers
from local.child import end_with_parent
from local.environment import own_environment
from local.provision import provision

API_VERSION = "2025-09-01"
RECIPIENT = "ann@fabrikam.example"
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: status, headers with lower-case names, and the body read as JSON."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Host:
    """A running functions host and the service that it has."""

    process: subprocess.Popen[bytes]
    port: int
    service: LocalService

    def send(self, body: bytes) -> str:
        """Post a message; its operation id. Raises ContenderFailed when it is not accepted."""
        answer = self._ask("POST", f"/emails:send?api-version={API_VERSION}", body)
        if answer.status != 202:
            raise ContenderFailed(f"a message was answered with {answer.status}: {answer.body}")
        return str(answer.body["id"])

    def wait_until_delivered(self, operation_id: str, patience: float = 60.0) -> None:
        """Wait until every recipient has it. Raises ContenderFailed after `patience` seconds."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            answer = self._ask("GET", f"/emails/operations/{operation_id}?api-version={API_VERSION}", b"")
            if answer.body.get("recipients") and all(each["status"] == "Delivered" for each in answer.body["recipients"]):
                return
            time.sleep(_PAUSE)
        raise ContenderFailed(f"a message was not delivered within {patience:g} s: {answer.body}")

    def message(self, **content: object) -> dict[str, Any]:
        """A request's body with this content."""
        return {
            "senderAddress": self.service.sender_address,
            "recipients": {"to": [{"address": RECIPIENT}]},
            "content": {"subject": "A figure", **content},
        }

    def _ask(self, method: str, target: str, body: bytes) -> Answer:
        host = f"localhost:{self.port}"
        key = base64.b64decode(self.service.access_key)
        headers = authorization_headers(method, target, host, body, key, time.time())
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, target, body or None, {"Host": host, "Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, json.load(answer))
        finally:
            connection.close()


@contextmanager
def functions_host(root: Path, scratch: Path, connection_string: str, **settings: str) -> Iterator[Host]:
    """A host on this storage whose mail goes to a capture sink of its own. `settings` are more app settings.

    Raises ContenderFailed.
    """
    with ExitStack() as stack:
        sink = ["local.sink", "--folder", str(scratch / "outbox")]
        _, sink_port = stack.enter_context(_child(root, scratch / "sink.log", sink, {}))
        app_settings = {
            "AzureWebJobsStorage": connection_string,
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "POSTRIDER_LOCAL": "on",
            "POSTRIDER_SEALING_KEY": base64.b64encode(b"a sealing key for figures, 32 by").decode(),
            "POSTRIDER_ROUTES": f"capture://127.0.0.1:{sink_port}",
            **settings,
        }
        service = asyncio.run(provision(app_settings))
        command = ["local.functions_host", "--root", str(root), "--state", str(scratch / "state"), "--http-port", "0"]
        process, port = stack.enter_context(_child(root, scratch / "host.log", command, app_settings))
        yield Host(process, port, service)


@contextmanager
def _child(
    root: Path, log: Path, command: Sequence[str], variables: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process of ours and the port that it says it listens on."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=root, env={**own_environment(), **variables}, stdin=subprocess.DEVNULL,
            stdout=out, stderr=subprocess.STDOUT, preexec_fn=end_with_parent,
        )  # fmt: skip
    try:
        yield process, _port(process, log)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        said = log.read_text(errors="replace")
        if found := re.search(r"Ready: (?:http|smtp)=(\d+)", said):
            return int(found[1])
        if process.poll() is not None:
            break
        time.sleep(_PAUSE)
    raise ContenderFailed(f"{log.stem} does not start: {said[-500:]}")
