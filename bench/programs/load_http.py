"""Sends HTTP requests that are ready, over connections that are kept: `python -m bench.programs.load_http`.

The input is a file of JSON: {"port", "connections", "status", "requests": [TEXT in latin-1, ...]}. Each request is sent once,
the next one on a connection as soon as the answer is there. Beside count and seconds, the result is the time of the monotonic
clock at which the first request was sent. An answer with another status than the one that is wanted ends the round.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


class Unexpected(Exception):
    """An answer that is not the one which is wanted."""


class Connection(asyncio.Protocol):
    """One connection that works the requests with others, and connects again when the server closes it after an answer."""

    def __init__(self, requests: Iterator[bytes], port: int, status: bytes) -> None:
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests, self._port, self._status = requests, port, status
        self._transport: asyncio.Transport | None = None
        self._waiting = False
        self._read = bytearray()

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, "127.0.0.1", self._port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # for the type checker
        self._transport = transport

    def send_next(self) -> None:
        request = next(self._requests, None)
        assert self._transport is not None  # for the type checker
        if request is None:
            self._transport.close()
            self._finish(None)
            return
        self._waiting = True
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._read += data
        end = self._read.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._read[:end])
        length = _LENGTH.search(head)
        if length is not None and len(self._read) < end + 4 + int(length[1]):
            return
        if head[9:12] != self._status or length is None:
            self._waiting = False
            self._finish(Unexpected(self._read.decode(errors="replace")))
            return
        self._read.clear()
        self._waiting = False
        if _CLOSE.search(head):
            self._reconnect()
        else:
            self.send_next()

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiting:
            self._finish(Unexpected(f"the connection was closed under a request: {error}"))

    def _reconnect(self) -> None:
        assert self._transport is not None  # for the type checker
        self._transport.close()
        task = asyncio.ensure_future(self.connect())
        task.add_done_callback(lambda done: self._finish(done.exception()) if done.exception() else self.send_next())

    def _finish(self, error: BaseException | None) -> None:
        if not self.finished.done():
            if error is None:
                self.finished.set_result(None)
            else:
                self.finished.set_exception(error)


async def load(task: dict[str, Any]) -> dict[str, Any]:
    """The answer to a task."""
    requests = [text.encode("latin-1") for text in task["requests"]]
    shared = iter(requests)
    connections = [Connection(shared, task["port"], str(task["status"]).encode()) for _ in range(task["connections"])]
    for connection in connections:
        await connection.connect()
    began = time.monotonic()
    for connection in connections:
        connection.send_next()
    await asyncio.gather(*(connection.finished for connection in connections))
    return {"count": len(requests), "seconds": time.monotonic() - began, "result": repr(began)}


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us ends us, by ending our input
    for line in sys.stdin:
        try:
            answer = asyncio.run(load(json.loads(Path(json.loads(line)["input"]).read_text())))
        except (Unexpected, OSError) as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
