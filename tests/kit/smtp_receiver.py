"""A receiving server that fails as told: a reply map, so that every SMTP fault is one line of test data.

    async with SmtpReceiver({"RCPT": "450 4.2.0 later", "MAIL": ["421 4.3.2 not now", "250 ok"]}) as receiver:
        ...
        receiver.messages, receiver.commands

A key is a whole command line, or a verb, or one of `greeting` (the first reply), `handshake` (what comes instead of TLS after
STARTTLS was agreed to), `body` (when the first bytes of a message arrive) and `.` (the final dot). A value is a reply, bytes
that are sent as they are, or a Fault; a list is worked off from one command to the next, and its last entry stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from enum import Enum
from typing import NoReturn, TypeAlias


class Fault(Enum):
    """What a server can do instead of answering, or with the answer that it usually gives."""

    DROP = "drop"  # the connection is closed in good order
    RESET = "reset"  # the connection is reset
    STALL = "stall"  # nothing, until the client goes away
    BROKEN_TLS = "broken TLS"  # yes to STARTTLS, and then no TLS
    DRIBBLE = "one byte at a time"  # the usual reply, far too slowly
    ENDLESS = "no end"  # the usual reply, whose last line never comes
    MANY_LINES = "500 lines"  # the usual reply, in so many lines
    ODD_BYTES = "NUL and 8-bit"  # the usual reply, with bytes in it that no reply may have
    EARLY = "early reply"  # the usual reply, and at once a yes to a command that was not sent yet


DROP = Fault.DROP
RESET = Fault.RESET
STALL = Fault.STALL
BROKEN_TLS = Fault.BROKEN_TLS
DRIBBLE = Fault.DRIBBLE
EARLY = Fault.EARLY

DRIBBLE_PAUSE = 0.05  # seconds between two bytes
TLS_BEGINNING = b"\x16\x03\x03\x40\x00" + b"\x02" * 100  # a record of 16 KiB, as far as it has come

Say: TypeAlias = str | bytes | Fault
Script: TypeAlias = Mapping[str, Say | Sequence[Say]]

EXTENSIONS = ("SIZE 20000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")

_DEFAULTS: dict[str, str | bytes] = {
    "greeting": "220 receiver.invalid ESMTP",
    "HELO": "250 receiver.invalid",
    "STARTTLS": "220 2.0.0 go ahead",
    "handshake": TLS_BEGINNING,
    "AUTH": "235 2.7.0 welcome",
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "DATA": "354 go ahead",
    ".": "250 2.0.0 taken",
    "RSET": "250 2.0.0 ok",
    "QUIT": "221 2.0.0 bye",
}


class _GoneError(Exception):
    """The conversation ends here."""


class SmtpReceiver:
    """A server on loopback. Everything that was said to it is kept: command lines, messages (as sent, stuffed dots removed)."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        extensions: Sequence[str] = EXTENSIONS,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """With `tls` the server offers STARTTLS, or speaks TLS from the start."""
        self._script = {
            key: [say] if isinstance(say, str | bytes | Fault) else list(say) for key, say in (script or {}).items()
        }
        self._extensions = [*extensions, "STARTTLS"] if tls and not implicit_tls else list(extensions)
        self._tls = tls
        self._implicit_tls = implicit_tls
        self.host = host
        self.port = port
        self.commands: list[str] = []
        self.messages: list[bytes] = []
        self.wire: list[bytes] = []  # the messages as they came, dots stuffed
        self.kept: list[
            tuple[str, ...]
        ] = []  # the recipients of each message that it may well deliver: all but those it refused
        self.connections = 0
        self.encrypted_commands: list[str] = []
        self.ended = asyncio.Event()  # set when a conversation ends
        self._server: asyncio.Server | None = None
        self.conversations: list[asyncio.Task[None]] = []  # in their order; one is done when its connection is closed
        self._recipients: list[str] = []

    async def __aenter__(self) -> SmtpReceiver:
        self._server = await asyncio.start_server(
            self._accept, self.host, self.port, ssl=self._tls if self._implicit_tls else None
        )
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for conversation in self.conversations:
            conversation.cancel()
        await asyncio.gather(*self.conversations, return_exceptions=True)

    def verbs(self) -> list[str]:
        """The command lines, first words only."""
        return [command.partition(" ")[0].upper() for command in self.commands]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.conversations.append(task)
        self.connections += 1
        # The way in which this server is told to fail, the client's way of ending, or the end of the test.
        endings = (_GoneError, ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError)
        try:
            with contextlib.suppress(*endings):
                await self._converse(reader, writer)
        finally:
            writer.transport.abort()
            self.ended.set()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        encrypted = self._implicit_tls
        await self._say(reader, writer, "greeting")
        while line := await reader.readline():
            command = line.removesuffix(b"\r\n").decode("utf-8", "replace")
            self.commands.append(command)
            if encrypted:
                self.encrypted_commands.append(command)
            verb = command.partition(" ")[0].upper()
            said = await self._say(reader, writer, command, verb)
            if verb == "STARTTLS" and said.startswith(b"220"):
                await self._shake_hands(reader, writer)
                encrypted = True
            elif verb == "MAIL":
                self._recipients = []
            elif verb == "RCPT" and said.startswith(b"250"):
                self._recipients.append(command.partition("<")[2].partition(">")[0])
            elif verb == "DATA" and said.startswith(b"354"):
                await self._take_message(reader, writer)
            elif verb == "AUTH":
                await self._take_secrets(reader, writer, said)
            elif verb == "QUIT":
                return

    async def _shake_hands(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if "handshake" in self._script:
            await reader.read(1)  # the client begins
            await self._say(reader, writer, "handshake")
            await self._wait_until_left(reader)
        assert self._tls is not None
        await writer.start_tls(self._tls)

    async def _take_message(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if "body" in self._script:
            await reader.readexactly(1)
            if self._script["body"] != [STALL]:
                await self._say(reader, writer, "body")
            await asyncio.sleep(3600)  # reads no more
        taken = bytearray()
        while not (taken.endswith(b"\r\n.\r\n") or taken == b".\r\n"):
            if not (block := await reader.read(65536)):
                raise _GoneError
            taken += block
        self.wire.append(bytes(taken))
        text = bytes(taken).removesuffix(b".\r\n")
        self.messages.append(b"".join(line.removeprefix(b".") for line in text.splitlines(keepends=True)))
        say = self._script.get(".", [_DEFAULTS["."]])[0]
        if not (isinstance(say, str) and say[0] in "45"):
            self.kept.append(tuple(self._recipients))
        await self._say(reader, writer, ".")

    async def _take_secrets(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytes) -> None:
        while said.startswith(b"334"):
            line = await reader.readline()
            if not line:
                raise _GoneError
            self.commands.append(line.decode().strip())
            said = await self._say(reader, writer, "AUTH")

    async def _say(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *keys: str) -> bytes:
        says = next((self._script[key] for key in keys if key in self._script), None)
        say = self._default(keys[-1]) if says is None else (says.pop(0) if len(says) > 1 else says[0])
        if say is RESET:
            # A socket that may not linger is closed with RST.
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if say in (DROP, RESET):
            raise _GoneError
        if say is STALL:
            await self._wait_until_left(reader)
        if say is BROKEN_TLS:
            writer.write(b"220 go ahead\r\n")
            await reader.read(1)
            writer.write(b"what is this?\r\n")
            raise _GoneError
        sent = _spoilt(self._default(keys[-1]), say) if isinstance(say, Fault) else _bytes(say)
        if say is Fault.DRIBBLE:
            for byte in sent:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(DRIBBLE_PAUSE)
        while say is Fault.ENDLESS:
            writer.write(sent * 100)
            await writer.drain()
        if say is not Fault.DRIBBLE:
            writer.write(sent)
            await writer.drain()
        return sent

    async def _wait_until_left(self, reader: asyncio.StreamReader) -> NoReturn:
        while await reader.read(65536):
            pass
        raise _GoneError

    def _default(self, key: str) -> str | bytes:
        if key == "EHLO":
            lines = ["receiver.invalid", *self._extensions]
            return "\n".join(f"250{'-' if line is not lines[-1] else ' '}{line}" for line in lines)
        return _DEFAULTS.get(key, "500 5.5.2 unknown command")


def _bytes(reply: str | bytes) -> bytes:
    return reply if isinstance(reply, bytes) else "".join(f"{line}\r\n" for line in reply.split("\n")).encode()


def _spoilt(reply: str | bytes, fault: Fault) -> bytes:
    """The usual reply as it is sent with that fault."""
    usual = _bytes(reply)
    code, last = usual[:3], usual.splitlines(keepends=True)[-1]
    match fault:
        case Fault.ENDLESS:
            return code + b"-and there is more\r\n"
        case Fault.MANY_LINES:
            return (code + b"-this server has much to say" + b" and says it" * 5 + b"\r\n") * (500 - usual.count(b"\n")) + usual
        case Fault.ODD_BYTES:
            return usual.removesuffix(last) + last.replace(b"\r\n", b" \x00 \xff\xfe gr\xc3\xbc\xc3\x9fe\r\n")
        case Fault.EARLY:
            return usual + b"250 2.0.0 ok\r\n"
    return usual


@contextlib.asynccontextmanager
async def receivers_on_one_port(*scripts: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[list[SmtpReceiver]]:
    """A receiver on each of 127.0.0.1, 127.0.0.2, ..., all on one port: the MX hosts of one domain."""
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(SmtpReceiver(scripts[0], tls=tls))
        others = [
            await stack.enter_async_context(SmtpReceiver(script, tls=tls, host=f"127.0.0.{number}", port=first.port))
            for number, script in enumerate(scripts[1:], start=2)
        ]
        yield [first, *others]
