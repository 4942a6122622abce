"""An SMTP server that takes every message and forgets it, quickly: `python -m bench.programs.smtp_sink`.

It listens on a free port of 127.0.0.1. To each line on its input it answers with how many messages have come until then, the
time of the monotonic clock when the last one had, and as the result the port and how many of them had a DKIM signature.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time

_EHLO = b"250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 104857600\r\n"


class Sink:
    """What has come."""

    def __init__(self) -> None:
        self.count = self.signed = 0
        self.last = 0.0

    def keep(self, content: bytes) -> None:
        self.count += 1
        self.last = time.monotonic()
        self.signed += b"DKIM-Signature:" in content.partition(b"\r\n\r\n")[0]


class Conversation(asyncio.Protocol):
    """One connection. Bytes are looked at once: either commands, or a message until its final dot."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._read = bytearray()
        self._in_content = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # for the type checker
        self._transport = transport
        transport.write(b"220 sink.test ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._read += data
        replies = b""
        while True:
            mark = b"\r\n.\r\n" if self._in_content else b"\r\n"
            end = self._read.find(mark)
            if end < 0:
                break
            taken = bytes(self._read[:end])
            del self._read[: end + len(mark)]
            replies += self._content(taken) if self._in_content else self._command(taken)
        if replies:
            self._transport.write(replies)
        if replies.endswith(b"221 2.0.0 Bye\r\n"):
            self._transport.close()

    def _content(self, content: bytes) -> bytes:
        self._in_content = False
        self._sink.keep(content)
        return b"250 2.0.0 Taken\r\n"

    def _command(self, line: bytes) -> bytes:
        match line[:4].upper():
            case b"EHLO":
                return _EHLO
            case b"DATA":
                self._in_content = True
                return b"354 Go on\r\n"
            case b"QUIT":
                return b"221 2.0.0 Bye\r\n"
            case _:
                return b"250 2.0.0 OK\r\n"


async def serve() -> None:
    """Until the input ends."""
    loop = asyncio.get_running_loop()
    sink = Sink()
    server = await loop.create_server(lambda: Conversation(sink), "127.0.0.1", 0, backlog=512)
    port = server.sockets[0].getsockname()[1]
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with server:
        while await lines.readline():
            result = json.dumps({"port": port, "signed": sink.signed})
            print(json.dumps({"count": sink.count, "seconds": sink.last, "result": result}), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us ends us, by ending our input
    asyncio.run(serve())
