"""The load of the SMTP figures: messages of 10 KB from a client that is a process of its own, over kept connections."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.mail import RECIPIENT
from bench.mail_world import Sent
from bench.program import Done, Program
from bench.programs.load_smtp import SERIAL
from bench.smtp_servers import Door

SIZE = 10 * 1024  # octets of a message, its header included
_LINE = "The quick brown fox jumps over the lazy dog while the mail is on its way."
_PATIENCE = 120.0  # seconds


class SmtpLoad:
    """The client. It asks for PIPELINING where it is offered, and waits for the answer to each final dot."""

    def __init__(self, program: Program, scratch: Path) -> None:
        self._program = program
        self._task = scratch / "load.json"
        self._content = scratch / "message.eml"

    @contextmanager
    def connected(self, door: Door, connections: int) -> Iterator[None]:
        """So many connections that have started TLS and logged in, until the end of the block. Raises ContenderFailed."""
        self._do(do="connect", address=[door.host, door.port], connections=connections, user=door.user, password=door.password)
        try:
            yield
        finally:
            self._do(do="close")

    def send(self, door: Door, messages: int, size: int = SIZE) -> Sent:
        """So many over the connections. Raises ContenderFailed for one that was not taken."""
        done = self._mail("send", door, size, messages=messages)
        return Sent(done.rate, float(done.result))

    def begin(self, door: Door, size: int) -> None:
        """Begin a message on every connection, and leave it there after so many octets."""
        self._mail("begin", door, size)

    def _mail(self, what: str, door: Door, size: int, **task: object) -> Done:
        self._content.write_bytes(smtp_message(door.sender, size))
        return self._do(do=what, sender=door.sender, recipient=RECIPIENT, content=str(self._content), size=size, **task)

    def _do(self, **task: object) -> Done:
        self._task.write_text(json.dumps(task))
        return self._program.do(self._task, 0.0, _PATIENCE)


def smtp_message(sender: str, size: int) -> bytes:
    """A message of plain text in lines of CRLF, so many octets long, with all that an application puts into its header."""
    head = (
        f"From: Contoso <{sender}>\r\nTo: Ann <{RECIPIENT}>\r\nSubject: What is new at Contoso this week\r\n"
        f"Date: Sun, 22 Nov 2026 01:19:43 +0000\r\nMessage-ID: <{SERIAL.decode()}@contoso.example>\r\nMIME-Version: 1.0\r\n"
        'Content-Type: text/plain; charset="utf-8"\r\nContent-Transfer-Encoding: 8bit\r\nX-Mailer: bench\r\n\r\n'
    )
    left = size - len(head)
    whole, rest = divmod(left, len(_LINE) + 2)
    if rest == 1:  # which is no line
        whole, rest = whole - 1, rest + len(_LINE) + 2
    text = f"{_LINE}\r\n" * whole + ("x" * (rest - 2) + "\r\n" if rest else "")
    return (head + text).encode()
