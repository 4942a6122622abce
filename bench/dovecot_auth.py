"""The server that Postfix asks whether a log-in is right, in the place of Dovecot's: one user, PLAIN alone.

It speaks as much of Dovecot's authentication protocol, version 1.1, as Postfix does. Log-ins come before the clock starts, so
how quick it is matters to no figure.
"""

from __future__ import annotations

import base64
import os
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    wanted = ""


class _Conversation(socketserver.StreamRequestHandler):
    """One process of Postfix, which keeps its connection."""

    def handle(self) -> None:
        wanted = cast(_Server, self.server).wanted
        hello = f"VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t{os.getpid()}\nCUID\t1\nCOOKIE\t{os.urandom(16).hex()}\nDONE\n"
        self.wfile.write(hello.encode())
        for line in self.rfile:
            if (answer := answer_to(line.decode(), wanted)) is not None:
                self.wfile.write(answer.encode())


def answer_to(line: str, wanted: str) -> str | None:
    """What a line of Postfix is answered with; None for one that wants no answer. `wanted` is the right response of PLAIN."""
    words = line.rstrip("\n").split("\t")
    if words[0] != "AUTH" or len(words) < 3:
        return None
    response = next((word.removeprefix("resp=") for word in words if word.startswith("resp=")), "")
    if words[2] != "PLAIN" or response != wanted:
        return f"FAIL\t{words[1]}\n"
    return f"OK\t{words[1]}\tuser={base64.b64decode(response).split(bytes(1))[1].decode()}\n"


@contextmanager
def dovecot_auth(user: str, password: str) -> Iterator[int]:
    """The port of 127.0.0.1 that it listens on."""
    with _Server(("127.0.0.1", 0), _Conversation) as server:
        server.wanted = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
