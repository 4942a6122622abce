"""What the administrators' commands do not send a token to, and what never gets into an error or onto a terminal."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import cli
from tests.unit.local.arm_service import SUBSCRIPTION, TOKEN, ArmService


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArmService]:
    """A service without any resource, which the environment names."""
    with ArmService(lambda asked: (200, {"value": []})) as running:
        monkeypatch.setenv("POSTRIDER_ENDPOINT", running.endpoint)
        monkeypatch.setenv("POSTRIDER_ADMIN_TOKEN", TOKEN)
        monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION)
        monkeypatch.delenv("AZURE_RESOURCE_GROUP", raising=False)
        yield running


def told(capsys: pytest.CaptureFixture[str], status: int, *words: str) -> str:
    assert cli.main(list(words), Path("/nonexistent")) == status
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://localhost?to=elsewhere", "https://localhost#@mail.contoso.com", "https://localhost@mail.contoso.com",
        "http://localhost@mail.contoso.com", "https://localhost:many", "https://localhost:0", "https://[::1",
        "https://local\thost", "https://",
    ],
)  # fmt: skip
def test_endpoint_that_is_more_than_a_host_is_told_as_that(
    service: ArmService, capsys: pytest.CaptureFixture[str], endpoint: str
) -> None:
    assert "without a path" in told(capsys, 2, "domain", "list", "--endpoint", endpoint)
    assert service.asked == []


@pytest.mark.parametrize("token", ["of two\nlines", "of two words", "mit-ümläuten", "with-a-dash\u2013"])
def test_token_that_no_header_takes_is_told_without_showing_it(
    service: ArmService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("POSTRIDER_ADMIN_TOKEN", token)
    text = told(capsys, 2, "domain", "list")
    assert "POSTRIDER_ADMIN_TOKEN" in text
    assert not any(part in text for part in token.split() if len(part) > 4)
    assert service.asked == []


def test_token_with_the_line_break_of_its_file_is_sent_without_it(
    service: ArmService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTRIDER_ADMIN_TOKEN", f"{TOKEN}\r\n")
    told(capsys, 0, "domain", "list")
    assert len(service.asked) == 1


def test_refusal_moves_no_cursor(service: ArmService, capsys: pytest.CaptureFixture[str]) -> None:
    details = [{"target": "a\x1b[2Jb", "message": "c\rd"}]
    service.answer = lambda asked: (400, {"error": {"code": "Bad", "message": "\x1b]0;title\x07", "details": details}})
    text = told(capsys, 1, "domain", "list")
    assert not set("\x1b\x07\r") & set(text)


def test_endpoint_that_speaks_no_http_ends_with_3_and_no_traceback(
    service: ArmService, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"220 mail.contoso.com ESMTP\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        text = told(capsys, 3, "domain", "list", "--endpoint", f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    assert "is no Postrider" in text
