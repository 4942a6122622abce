"""The load client of the SMTP figures, and the log-in that Postfix asks for."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bench.dovecot_auth import answer_to, dovecot_auth
from bench.programs.load_smtp import Client, Unexpected, stuffed
from bench.smtp_load import SIZE, smtp_message
from local.certificates import ensure_certificates

RIGHT = base64.b64encode(b"\0bench\0secret").decode()


@pytest.mark.parametrize("size", [*range(500, 580), SIZE])
def test_message_is_as_long_as_asked_and_in_lines(size: int) -> None:
    message = smtp_message("news@contoso.example", size)

    assert len(message) == size
    assert message.endswith(b"\r\n")
    assert message.count(b"\r") == message.count(b"\n") == message.count(b"\r\n")
    assert max(map(len, message.split(b"\r\n"))) <= 998


def test_content_is_stuffed_where_a_line_begins_with_a_dot() -> None:
    assert stuffed(b".a\r\n..b\r\nc.\r\n") == b"..a\r\n...b\r\nc.\r\n"


class ScriptedServer:
    """Takes one connection with TLS, keeps what it reads, and answers it with lines in turn. `blocks` is what came at once."""

    def __init__(self, folder: Path, offers: bytes, last: bytes) -> None:
        files = ensure_certificates(folder, {})
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(files.certificate, files.key)
        self._offers, self._last = offers, last
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.blocks: list[bytes] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listening.close()
        self._thread.join(10.0)

    def _serve(self) -> None:
        plain, _ = self._listening.accept()
        plain.sendall(b"220 scripted\r\n")
        for answer in (b"250 STARTTLS\r\n", b"220 Go ahead\r\n"):
            plain.recv(4096)
            plain.sendall(answer)
        with self._context.wrap_socket(plain, server_side=True) as secured:
            for answer in (b"250-scripted\r\n250 " + self._offers + b"\r\n", b"235 Welcome\r\n"):
                self.blocks.append(secured.recv(65536))
                secured.sendall(answer)
            while block := secured.recv(65536):
                self.blocks.append(block)
                if block.endswith(b"\r\n.\r\n"):
                    secured.sendall(self._last)
                else:
                    secured.sendall(b"".join(b"354 Go on\r\n" if line == b"DATA" else b"250 OK\r\n" for line in block.split()
                                             if line in (b"MAIL", b"RCPT", b"DATA")))  # fmt: skip


def sent(folder: Path, server: ScriptedServer, messages: int) -> dict[str, object]:
    """The answer of a client that has sent so many messages."""
    content = folder / "message.eml"
    content.write_bytes(b"Subject: A test\r\n\r\n.Hello.\r\n")
    client = Client()
    client.do({"do": "connect", "address": ["127.0.0.1", server.port], "connections": 1, "user": "bench", "password": "secret"})
    try:
        task = {"do": "send", "messages": messages, "sender": "a@b.test", "recipient": "c@d.test"}
        return client.do({**task, "content": str(content), "size": content.stat().st_size})
    finally:
        client.do({"do": "close"})


COMMANDS = [b"MAIL FROM:<a@b.test> SIZE=28\r\n", b"RCPT TO:<c@d.test>\r\n", b"DATA\r\n"]
CONTENT = b"Subject: A test\r\n\r\n..Hello.\r\n.\r\n"


@pytest.mark.parametrize(
    ("offers", "expected"),
    [(b"PIPELINING", [b"".join(COMMANDS), CONTENT]), (b"8BITMIME", [*COMMANDS, CONTENT])],
    ids=["pipelining", "one-by-one"],
)
def test_client_sends_commands_together_where_the_server_offers_it(
    tmp_path: Path, offers: bytes, expected: list[bytes]
) -> None:
    with closing(ScriptedServer(tmp_path / "tls", offers, b"250 Taken\r\n")) as server:
        assert sent(tmp_path, server, 2)["count"] == 2

    hello, login, *transactions = server.blocks
    assert (hello, login) == (b"EHLO client.test\r\n", f"AUTH PLAIN {RIGHT}\r\n".encode())
    assert transactions == expected * 2


def test_client_tells_what_refused_a_message(tmp_path: Path) -> None:
    with (
        closing(ScriptedServer(tmp_path / "tls", b"PIPELINING", b"451 4.3.0 Not today\r\n")) as server,
        pytest.raises(Unexpected, match=r"451 4\.3\.0 Not today"),
    ):
        sent(tmp_path, server, 2)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (f"AUTH\t7\tPLAIN\tservice=smtp\tresp={RIGHT}\n", "OK\t7\tuser=bench\n"),
        ("AUTH\t7\tPLAIN\tservice=smtp\tresp=AGJlbmNoAHdyb25n\n", "FAIL\t7\n"),
        ("AUTH\t7\tPLAIN\tservice=smtp\n", "FAIL\t7\n"),
        (f"AUTH\t7\tLOGIN\tresp={RIGHT}\n", "FAIL\t7\n"),
        ("CPID\t4711\n", None),
        ("VERSION\t1\t1\n", None),
    ],
    ids=["right", "wrong", "no-response", "other-mechanism", "process", "version"],
)
def test_log_in_of_postfix_is_right_with_the_password_alone(line: str, answer: str | None) -> None:
    assert answer_to(line, RIGHT) == answer


@pytest.fixture
def auth() -> Iterator[socket.socket]:
    """A connection to the server that Postfix asks."""
    with dovecot_auth("bench", "secret") as port, socket.create_connection(("127.0.0.1", port), timeout=10.0) as connection:
        yield connection


def test_log_in_of_postfix_is_answered_behind_a_greeting(auth: socket.socket) -> None:
    lines = auth.makefile("rw", encoding="utf-8", newline="\n")
    greeting = [lines.readline() for _ in range(6)]
    lines.write(f"VERSION\t1\t1\nCPID\t1\nAUTH\t1\tPLAIN\tservice=smtp\tresp={RIGHT}\n")
    lines.flush()

    assert [greeting[0], greeting[1], greeting[-1]] == ["VERSION\t1\t1\n", "MECH\tPLAIN\tplaintext\n", "DONE\n"]
    assert lines.readline() == "OK\t1\tuser=bench\n"
