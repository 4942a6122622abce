"""The receiver of the kill run, a process of its own: it counts what arrives, by Message-ID and recipient.

`python -m tests.kit.kill_receiver --port 0 --counts FILE --dot 0 0.3`. What a recipient gets depends on how its local part
begins: `grey` is deferred when it is first asked for, `no` is refused, everybody else is taken. SIGTERM ends it, and then
the counts are in the file; one that is there at the start is counted on from.

A message counts when its final dot has come, whoever is still there to hear the reply: that is what a receiver has.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

_GREETING = b"220 receiver.test ESMTP\r\n"
_EHLO = b"250-receiver.test\r\n250-SIZE 20000000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n"
_message_id = re.compile(rb"^message-id:\s*<([^@>]+)@", re.IGNORECASE | re.MULTILINE)
_trace = re.compile(rb"^received: by \S+ \(Postrider\) with \S+ id ([0-9a-f-]{36});", re.IGNORECASE | re.MULTILINE)
_recipient = re.compile(r"RCPT TO:<([^>]+)>", re.IGNORECASE)


class Counts:
    """What arrived, and how often: `<local part of the Message-ID> <recipient>`, which is the operation id by HTTP.

    `copies` has `<operation id> <recipient>` of what came by SMTP, whose Message-ID is the client's, by our Received field.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        known = json.loads(file.read_text()) if file.exists() else {}
        self.arrivals: Counter[str] = Counter(known.get("arrivals", {}))
        self.copies: Counter[str] = Counter(known.get("copies", {}))
        self.greylisted: set[str] = set(known.get("greylisted", ()))

    def answer(self, recipient: str) -> bytes:
        """The reply to a RCPT."""
        if recipient.startswith("no"):
            return b"550 5.1.1 no such user\r\n"
        if recipient.startswith("grey") and recipient not in self.greylisted:
            self.greylisted.add(recipient)
            return b"450 4.2.0 not now\r\n"
        return b"250 2.1.5 taken\r\n"

    def count(self, content: bytes, recipients: Sequence[str]) -> None:
        header, _, _ = content.partition(b"\r\n\r\n")  # a report has the header of another message in its body
        found, trace = _message_id.search(header), _trace.search(header)
        name = found[1].decode() if found else "?"
        if not self.arrivals:
            print("First message", flush=True)
        self.arrivals.update(f"{name} {recipient}" for recipient in recipients)
        if trace:
            self.copies.update(f"{trace[1].decode()} {recipient}" for recipient in recipients)

    def write(self) -> None:
        self._file.write_text(
            json.dumps({"arrivals": self.arrivals, "copies": self.copies, "greylisted": sorted(self.greylisted)})
        )


class Conversation(asyncio.Protocol):
    """One client, which may be gone at any moment."""

    def __init__(self, counts: Counts, pause: Callable[[], float]) -> None:
        self._counts = counts
        self._pause = pause
        self._buffer = b""
        self._in_content = False
        self._recipients: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(_GREETING)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._take_content() if self._in_content else self._take_command():
            pass

    def _take_content(self) -> bool:
        content, dot, rest = self._buffer.partition(b"\r\n.\r\n")
        if not dot:
            return False
        self._counts.count(content, self._recipients)
        self._buffer, self._in_content, self._recipients = rest, False, []
        asyncio.get_running_loop().call_later(self._pause(), self._say, b"250 2.0.0 taken\r\n")
        return True

    def _take_command(self) -> bool:
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end:
            return False
        self._buffer = rest
        self._say(self._reply(line.decode("utf-8", "replace")))
        if line.upper() == b"QUIT":
            self._transport.close()
        return True

    def _reply(self, line: str) -> bytes:
        match line.partition(" ")[0].upper():
            case "EHLO":
                return _EHLO
            case "RCPT":
                return self._asked(line)
            case "DATA":
                self._in_content = bool(self._recipients)
                return b"354 go ahead\r\n" if self._recipients else b"503 5.5.1 nobody to send to\r\n"
            case "QUIT":
                return b"221 2.0.0 bye\r\n"
            case "MAIL" | "RSET":
                self._recipients = []
        return b"250 2.0.0 ok\r\n"

    def _asked(self, line: str) -> bytes:
        found = _recipient.match(line)
        if not found:
            return b"501 5.1.3 not a path\r\n"
        answer = self._counts.answer(found[1])
        if answer.startswith(b"250"):
            self._recipients.append(found[1])
        return answer

    def _say(self, reply: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(reply)


async def serve(port: int, counts: Counts, pause: Callable[[], float]) -> None:
    """Listen on 127.0.0.1 until SIGTERM. `pause` gives the seconds that each final dot waits for its answer."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    server = await loop.create_server(lambda: Conversation(counts, pause), "127.0.0.1", port, backlog=1024)
    print(f"Ready: smtp={server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await stopping.wait()
    counts.write()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kit.kill_receiver", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 for a free one")
    parser.add_argument("--counts", type=Path, required=True, help="file of the counts")
    parser.add_argument("--dot", type=float, nargs=2, required=True, help="seconds to answer it: least, most")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    chance = random.Random(options.seed)
    asyncio.run(serve(options.port, Counts(options.counts), lambda: chance.uniform(*options.dot)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
