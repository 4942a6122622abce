"""The protocol class of an SMTP connection: bytes become replies, and what nobody asked for is noticed.

aiosmtplib's own reading drops what comes between two commands, gives up on a long reply although its code is known, and
reads the whole reply anew with every packet. A reply that is taken for the answer to another command is mail that is lost
or sent twice, so replies are read here.
"""

from __future__ import annotations

import asyncio
import re

from aiosmtplib.errors import SMTPResponseException
from aiosmtplib.protocol import SMTPProtocol
from aiosmtplib.response import SMTPResponse
from aiosmtplib.typing import SMTPStatus

MAX_LINE = 8 * 1024  # octets; RFC 5321 section 4.5.3.1.5 allows 512
MAX_REPLY = 256 * 1024  # octets of one reply: five hundred lines of full length
_MAX_UNASKED = 200  # octets kept of what came unasked, for the timeline

# RFC 5321 section 4.2: three digits, the first of them from 2 to 5. int() takes "+25" and "-10" too.
_code = re.compile(rb"[2-5][0-9][0-9](?![0-9])")


class ReplyProtocol(SMTPProtocol):
    """Adds to aiosmtplib's: replies of any length in bounded memory, whether there is room to write, and what came unasked."""

    def __init__(self) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.room = asyncio.Event()
        self.room.set()
        self._texts: list[bytes] = []  # of the reply that is being read
        self._octets = 0
        self._unasked = bytearray()

    @property
    def unasked(self) -> bytes:
        """The beginning of what the server said beyond what it was asked; it would pass for the answer to the next command.

        Not while a reply is awaited: what has come of that one is meant then.
        """
        return bytes(self._unasked or self._buffer[:_MAX_UNASKED])

    def forget_unasked(self) -> None:
        """Throw it away: what was said in plain counts for nothing after the handshake (RFC 3207 section 4.2)."""
        self._unasked.clear()
        self._buffer.clear()

    def data_received(self, data: bytes) -> None:
        waiter = self._response_waiter
        if waiter is None:  # the connection is lost already
            return
        if waiter.done() or not self._response_pending:
            self._unasked += data[: _MAX_UNASKED - len(self._unasked)]
            return
        self._buffer += data
        try:
            reply = self._next_reply()
        except SMTPResponseException as error:
            self._set_response_exception(waiter, error)
            return
        if reply is not None:
            waiter.set_result(reply)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.room.clear()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.room.set()

    def _next_reply(self) -> SMTPResponse | None:
        """The reply whose last line is in the buffer, taken out of it; None while it goes on. Raises SMTPResponseException."""
        while (end := self._buffer.find(b"\n") + 1) > 0:
            line = bytes(self._buffer[:end])
            del self._buffer[:end]
            if len(line) > MAX_LINE or not _code.match(line):
                raise _not_a_reply(line[:_MAX_UNASKED].decode("utf-8", "replace"))
            self._octets += len(line)
            self._texts.append(line[4:].strip(b" \t\r\n"))
            # All lines have the same code (RFC 5321 section 4.2.1); where they don't, the last one counts, as with Postfix.
            if line[3:4] != b"-":
                text = b"\n".join(self._texts).decode("utf-8", "surrogateescape")
                self._texts, self._octets = [], 0
                return SMTPResponse(int(line[:3]), text)
            if self._octets > MAX_REPLY:
                raise _not_a_reply(f"no end after {MAX_REPLY} octets")
        if len(self._buffer) > MAX_LINE:
            raise _not_a_reply(f"a line of more than {MAX_LINE} octets")
        return None


def _not_a_reply(said: str) -> SMTPResponseException:
    return SMTPResponseException(SMTPStatus.invalid_response.value, said)
