"""Sends mail over SMTP connections that are kept: `python -m bench.programs.load_smtp`.

The input is a file of JSON, whose "do" says which of four things is done:

- connect: {"address": [HOST, PORT], "connections", "user", "password"}. Each connection starts TLS and logs in.
- send: {"messages", "sender", "recipient", "content": FILE, "size"}. Each message is sent once, the next one on a connection as
  soon as the final dot of the one before is answered. The result is the time of the monotonic clock when the first was sent.
- begin: the same without "messages". Every connection begins a message with this content and does not end it.
- close: nothing more. The connections are gone.

MAIL, RCPT and DATA go out together where the server offers PIPELINING (RFC 2920), one by one elsewhere. An answer that is not
the one which is wanted ends the task. A connection has a thread, because blocking sockets take less of the machine than an
event loop with TLS does.
"""

from __future__ import annotations

import base64
import itertools
import json
import signal
import socket
import ssl
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

_PATIENCE = 60.0  # seconds for an answer
_AT_ONCE = 8  # connections that are opened at the same time
# In the Message-ID of a content: each message that is sent has another number there, for the same one again would be a repeat.
SERIAL = b"00000000000000000000"
_FROM_ONE_ADDRESS = 16  # connections; servers have a limit for those of one address


class Unexpected(Exception):
    """An answer that is not the one which is wanted."""


class Connection:
    """A connection that has greeted, started TLS, and logged in."""

    def __init__(self, task: dict[str, Any], number: int) -> None:
        source = f"127.77.0.{1 + number // _FROM_ONE_ADDRESS}"
        self._read = bytearray()
        self._socket = socket.create_connection(tuple(task["address"]), timeout=_PATIENCE, source_address=(source, 0))
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._answer(b"220")
            self.ask(b"EHLO client.test", b"250")
            self.ask(b"STARTTLS", b"220")
            self._socket = _context().wrap_socket(self._socket)
            self._pipelining = b"PIPELINING" in self.ask(b"EHLO client.test", b"250")
            response = base64.b64encode(f"\0{task['user']}\0{task['password']}".encode())
            self.ask(b"AUTH PLAIN " + response, b"235")
        except BaseException:
            self._socket.close()
            raise

    def ask(self, line: bytes, wanted: bytes) -> bytes:
        """Say a command; its answer. Raises Unexpected."""
        self._socket.sendall(line + b"\r\n")
        return self._answer(wanted)

    def begin(self, task: dict[str, Any], octets: bytes) -> None:
        """Begin a message and send these octets of it. Raises Unexpected."""
        mail = f"MAIL FROM:<{task['sender']}> SIZE={task['size']}".encode()
        commands = (mail, f"RCPT TO:<{task['recipient']}>".encode(), b"DATA")
        answers = (b"250", b"250", b"354")
        if self._pipelining:
            self._socket.sendall(b"".join(command + b"\r\n" for command in commands))
            for wanted in answers:
                self._answer(wanted)
        else:
            for command, wanted in zip(commands, answers, strict=True):
                self.ask(command, wanted)
        self._socket.sendall(octets)

    def send(self, task: dict[str, Any], octets: bytes) -> None:
        """Send a message; `octets` have its final dot. Raises Unexpected when it is not taken."""
        self.begin(task, octets)
        self._answer(b"250")

    def close(self) -> None:
        self._socket.close()

    def _answer(self, wanted: bytes) -> bytes:
        """The next answer, all of its lines."""
        answer = b""
        while True:
            line = self._line()
            answer += line
            if line[3:4] != b"-":
                break
        if not answer.startswith(wanted):
            raise Unexpected(f"the server said: {answer.decode(errors='replace').strip()}")
        return answer

    def _line(self) -> bytes:
        while (end := self._read.find(b"\n")) < 0:
            octets = self._socket.recv(65536)
            if not octets:
                raise Unexpected("the server closed the connection")
            self._read += octets
        line = bytes(self._read[: end + 1])
        del self._read[: end + 1]
        return line


class Client:
    """The connections that are open."""

    def __init__(self) -> None:
        self._connections: Sequence[Connection] = ()
        self._serials = itertools.count(time.time_ns())

    def do(self, task: dict[str, Any]) -> dict[str, Any]:
        """The answer to a task. Raises Unexpected and OSError."""
        began = time.monotonic()
        match task["do"]:
            case "connect":
                with ThreadPoolExecutor(_AT_ONCE) as pool:
                    self._connections = list(pool.map(lambda number: Connection(task, number), range(task["connections"])))
                count = len(self._connections)
            case "send":
                count = task["messages"]
                began = self._send(task, _dotted(task) + b".\r\n")
            case "begin":
                octets, count = _dotted(task), len(self._connections)
                for connection in self._connections:
                    connection.begin(task, octets)
            case _:
                count = len(self._connections)
                for connection in self._connections:
                    connection.close()
                self._connections = ()
        return {"count": count, "seconds": time.monotonic() - began, "result": repr(began)}

    def _send(self, task: dict[str, Any], octets: bytes) -> float:
        numbers = iter(range(task["messages"]))  # shared: each of them is taken once

        def work(connection: Connection) -> None:
            for _ in numbers:
                connection.send(task, octets.replace(SERIAL, b"%020d" % next(self._serials), 1))

        with ThreadPoolExecutor(len(self._connections)) as pool:
            began = time.monotonic()
            for done in [pool.submit(work, connection) for connection in self._connections]:
                done.result()
        return began


def stuffed(content: bytes) -> bytes:
    """The content as it is sent after DATA (RFC 5321 section 4.5.2), without the final dot."""
    octets = content.replace(b"\r\n.", b"\r\n..")
    return b"." + octets if octets.startswith(b".") else octets


def _dotted(task: dict[str, Any]) -> bytes:
    return stuffed(Path(task["content"]).read_bytes())


def _context() -> ssl.SSLContext:
    # Whose certificate it is does not matter here, and looking would be the client's work.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _tasks() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(Path(json.loads(line)["input"]).read_text())


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us ends us, by ending our input
    client = Client()
    for task in _tasks():
        try:
            answer = client.do(task)
        except (Unexpected, OSError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
