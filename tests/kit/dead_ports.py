"""Ports at which no server can be reached: one refuses, one swallows every packet as a dead machine does."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def refusing_port(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port that is taken and at which nobody listens: SYN is answered with RST."""
    with socket.socket() as taken:
        taken.bind((host, port))
        yield int(taken.getsockname()[1])


@contextlib.contextmanager
def silent_port(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port whose backlog is full: every further SYN is dropped."""
    with contextlib.ExitStack() as stack:
        dead = stack.enter_context(socket.create_server((host, port), backlog=0))
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(dead.getsockname())
        yield int(dead.getsockname()[1])
