"""`./postrider send` against a data plane that is a list of answers."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from email_core.auth.hmac_access_key import AccessKey, SignedRequest, verify
from local import cli
from local.environment import write_environment
from local.folder import Folder
from local.ports import free_ports

SECRET = b"a secret of 32 bytes, for tests."
KEY = base64.b64encode(SECRET).decode()


class Service(HTTPServer):
    """Answers requests in order, after their signature was checked; the last answer repeats."""

    def __init__(self, *answers: tuple[int, dict[str, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = list(answers)
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = SignedRequest(self.command, self.path, [headers["host"]], headers, body)
        assert verify(request, [AccessKey("service", "primary", SECRET)], now=time.time())
        self.server.requests.append((self.command, self.path, json.loads(body or b"{}")))
        status, content = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Operation-Location", f"{self.server.endpoint}/emails/operations/7?api-version=2025-09-01")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = _answer

    def log_message(self, *_: object) -> None:
        """Nothing to tell."""


ACCEPTED = (202, {"id": "7", "status": "Running"})


def state(status: str, *recipients: str, **error: Any) -> tuple[int, dict[str, Any]]:
    """An operation whose recipients a, b, ... have these states."""
    views = [
        {"address": f"{name}@x.test", "status": each, "attempts": 1, "lastReply": "250 ok\nand more", "nextAttempt": None}
        for name, each in zip("abc", recipients, strict=False)
    ]
    return 200, {"id": "7", "status": status, "error": error or None, "recipients": views}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COMMUNICATION_CONNECTION_STRING_EMAIL", "SENDER_ADDRESS", "RECIPIENT_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    services: list[Service] = []

    def send(*answers: tuple[int, dict[str, Any]], arguments: tuple[str, ...] = ()) -> tuple[int, Service]:
        services.append(Service(*answers))
        words = ["--endpoint", services[-1].endpoint, "--access-key", KEY, "--from", "s@x.test", "--to", "a@x.test"]
        return cli.main(["send", *words, *arguments], tmp_path), services[-1]

    yield send
    for service in services:
        service.shutdown()
        service.server_close()


@pytest.mark.parametrize(
    ("final", "status"),
    [
        (state("Succeeded", "Delivered", "Delivered"), 0),
        (state("Succeeded", "Delivered", "Bounced"), 1),
        (state("Succeeded", "Suppressed"), 1),
        (state("Succeeded", "Expired"), 1),
        (state("Failed", code="EmailDropped", message="dropped"), 1),
        ((200, {"id": "7", "status": "Succeeded"}), 0),
    ],
)
def test_send_status_is_what_became_of_the_recipients(run: Any, final: tuple[int, dict[str, Any]], status: int) -> None:
    result, service = run(ACCEPTED, state("Running", "Pending"), state("Succeeded", "Pending"), final)
    assert result == status
    assert [request[0] for request in service.requests] == ["POST", "GET", "GET", "GET"]
    assert service.requests[0][1] == "/emails:send?api-version=2025-09-01"
    assert service.requests[0][2]["recipients"] == {"to": [{"address": "a@x.test"}]}
    assert service.requests[1][1] == "/emails/operations/7?api-version=2025-09-01"


def test_send_shows_each_change_once(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run(ACCEPTED, state("Running", "Pending"), state("Running", "Pending"), state("Succeeded", "Delivered"))
    told = capsys.readouterr().out.splitlines()
    assert told[0].endswith(" as 7")
    assert told[1:] == ["a@x.test: Pending (250 ok and more)", "a@x.test: Delivered (250 ok and more)"]


def test_send_that_is_not_final_in_time_ends_with_4(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    deferred = state("Succeeded", "Deferred")
    deferred[1]["recipients"][0]["nextAttempt"] = "2026-11-22T05:22:28.384Z"
    assert run(ACCEPTED, deferred, arguments=("--wait", "0"))[0] == 4
    assert "a@x.test: Deferred (250 ok and more), attempt 2 at 2026-11-22T05:22:28.384Z" in capsys.readouterr().out


def test_send_that_is_refused_shows_every_fault(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    detail = [{"code": "BadRequest", "message": "one", "target": "content"}, {"code": "BadRequest", "message": "two"}]
    assert run((400, {"error": {"code": "BadRequest", "message": "first", "details": detail}}))[0] == 1
    assert capsys.readouterr().out.splitlines() == ["Refused with 400: BadRequest first", "  content: one", "  : two"]


def test_send_uses_the_environment_file_of_the_local_world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service = Service(ACCEPTED, state("Succeeded", "Delivered"))
    folder = Folder.of_up(tmp_path)
    folder.base.mkdir()
    variables = {
        "COMMUNICATION_CONNECTION_STRING_EMAIL": f"Endpoint={service.endpoint}/;AccessKey={KEY}",
        "SENDER_ADDRESS": "DoNotReply@x.test",
        "RECIPIENT_ADDRESS": "delivered@simulator.postrider.test",
    }
    write_environment(folder.environment_file, variables)
    assert cli.main(["send", "--subject", "hello"], tmp_path) == 0
    service.shutdown()
    service.server_close()
    assert service.requests[0][2]["senderAddress"] == "DoNotReply@x.test"
    assert service.endpoint in capsys.readouterr().out


def test_send_without_a_world_ends_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["send"], tmp_path) == 3
    assert "./postrider up" in capsys.readouterr().err


def test_send_to_nobody_who_answers_ends_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    endpoint = f"http://127.0.0.1:{free_ports(1)[0]}"
    words = ["--endpoint", endpoint, "--access-key", KEY, "--from", "s@x.test", "--to", "a@x.test"]
    assert cli.main(["send", *words], tmp_path) == 3
    assert f"nothing answers at {endpoint}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--endpoint", "https://x"], "go together"),
        (["--endpoint", "ftp://x", "--access-key", KEY], "http:// or https://"),
        (["--endpoint", "https://x", "--access-key", "a"], "not base64"),
    ],
)
def test_send_with_a_wrong_service_ends_with_2(
    tmp_path: Path, arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["send", *arguments], tmp_path) == 2
    assert word in capsys.readouterr().err
