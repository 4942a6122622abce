"""One SMTP connection: its life, its lines, and every command that is not about a message.

It is aiosmtpd's dispatcher, with what that does wrong done here. aiosmtpd 1.4.6 takes a bare CR, LF or NUL in a message, knows
AUTH on implicit TLS only without requiring TLS, ends a running command when the client has sent its last octet, grows limits
that all connections share, and logs addresses and messages. So lines and messages are read here, TLS is started by asyncio's
own function, and all of it has time limits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from aiosmtpd.smtp import SMTP

from email_core import maillog
from smtp_relay import replies
from smtp_relay.commands import MAX_AUTH, MAX_COMMAND, SyntaxRefused, parse_line
from smtp_relay.door import Door, Visit
from smtp_relay.login import MECHANISMS
from smtp_relay.relay import Relay
from smtp_relay.replies import Reply
from smtp_relay.wire import BLOCK, LineReader, LineTooLong

_BEFORE_TLS = ("EHLO", "HELO", "STARTTLS", "NOOP", "RSET", "QUIT", "HELP", "AUTH")
_LEAD_NOWHERE = ("EHLO", "HELO", "HELP", "NOOP", "RSET", "VRFY")  # fine now and then, and a burden without an end
_VERBS = (
    "AUTH", "DATA", "EHLO", "EXPN", "HELO", "HELP", "MAIL", "NOOP", "QUIT", "RCPT", "RSET", "STARTTLS", "VRFY",
)  # fmt: skip

# Commands whose replies go out with the next one's, when that has come already (RFC 2920 section 3.2): to send them one by one
# costs more than to find them. No other reply waits, that to a message least of all.
_GROUPED = ("MAIL", "RCPT")
_MOST_OWED = 4096  # octets of replies that wait

_IN_A_ROW = 16  # commands of a pipeline, then the others have their turn: nothing else in here waits for anything

logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # aiosmtpd's own, which quotes addresses


class HungUp(Exception):
    """The connection ends here, after this reply if there is one."""

    def __init__(self, reply: Reply | None = None, *, linger: bool = False) -> None:
        super().__init__(reply)
        self.reply = reply
        self.linger = linger


class Conversation(SMTP):
    """One connection, without the commands of a mail transaction. It is a `connections.Connection`."""

    line_length_limit = BLOCK  # of the stream, which then holds two of them at most

    def __init__(self, relay: Relay, visit: Visit, make_door: Callable[[Visit], Door]) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            object(), data_size_limit=relay.options.max_bytes, enable_SMTPUTF8=True, hostname=relay.options.host_name,
            ident="ESMTP Postrider", loop=loop,
        )  # fmt: skip
        self.visit = visit
        self.relay = relay
        self.opening: asyncio.Task[None] | None = None  # while TLS is not there yet
        self._door = make_door(visit)
        self._limits = relay.options.limits
        self._patience: asyncio.Timeout | None = None  # while a command is waited for
        self._farewell: Reply | None = None
        self._errors = 0  # since the last message that was kept
        self._fruitless = 0  # commands that lead nowhere, since then
        self._obeyed = 0
        self._owed = b""  # replies that go out with the next one
        self._began = loop.time()
        self._in_transaction = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        asyncio.StreamReaderProtocol.connection_made(self, transport)
        self.transport = transport
        self._lines = LineReader(self._reader)
        self._handler_coroutine = self.loop.create_task(self._handle_client())

    def connection_lost(self, error: Exception | None) -> None:
        asyncio.StreamReaderProtocol.connection_lost(self, error)
        self.transport = None
        self.relay.connections.leave(self)
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()  # what has been accepted to the final dot goes on, see _take

    def eof_received(self) -> bool:
        asyncio.StreamReaderProtocol.eof_received(self)
        # A client that has sent its last octet still gets its replies; TLS can't be half closed.
        return not self.visit.secure

    def interrupt(self, farewell: Reply) -> None:
        if not self._in_transaction:
            self.dismiss(farewell)

    def dismiss(self, farewell: Reply) -> None:
        self._farewell = farewell
        if self._patience is not None:
            with suppress(RuntimeError):  # it is over already
                self._patience.reschedule(self.loop.time())
        elif self.opening is not None:
            self.opening.cancel()

    async def _handle_client(self) -> None:
        # When the client is gone, nothing is owed to it any more.
        with suppress(EOFError, TimeoutError, OSError):
            try:
                try:
                    await self._converse()
                except HungUp as ended:
                    if ended.reply is not None:
                        await self._say(ended.reply)
                    if ended.linger:
                        await self._linger()
            finally:
                self._close()

    def _close(self) -> None:
        if self.transport is not None:
            if self._owed:  # our own fault ended it
                self._writer.write(self._owed)
            self.transport.close()
            # Closing waits for what was written to be read, and a client need not read.
            self.loop.call_later(self._limits.farewell, cast("asyncio.Transport", self.transport).abort)

    async def _converse(self) -> None:
        if self.relay.draining:
            raise HungUp(replies.DRAINING)
        await self._say(Reply(220, "", f"{self.hostname} {self.__ident__}"))
        while True:
            try:
                line = await self._command()
            except LineTooLong:
                await self._answer(replies.LINE_TOO_LONG)
                continue
            try:
                verb, argument = parse_line(line)
            except SyntaxRefused as refused:
                reply = Reply(500, "5.5.2", refused.text)
                if not line.endswith(b"\r\n"):
                    # To whoever handed this on, what is behind the LF was no command. It must not be one here.
                    raise HungUp(reply, linger=True) from None
                await self._answer(reply)
                continue
            await self._obey(verb, argument)
            self._obeyed += 1
            if self._obeyed % _IN_A_ROW == 0:
                await asyncio.sleep(0)
            if self.relay.draining and not self._in_transaction:
                raise HungUp(replies.DRAINING)

    async def _command(self) -> bytes:
        if self._farewell is not None:
            raise HungUp(self._farewell)
        seconds, late = self._limits.command, replies.TIMED_OUT
        if self._door.needs_login and self.visit.submitter is None:
            left = self._began + self._limits.login - self.loop.time()
            if left < seconds:
                seconds, late = max(left, 0.0), replies.LOG_IN_SOONER
        try:
            async with asyncio.timeout(seconds) as self._patience:
                return await self._lines.line(MAX_AUTH)
        except TimeoutError:
            raise HungUp(self._farewell or late) from None
        finally:
            self._patience = None

    async def _obey(self, verb: str, argument: str) -> None:
        if verb not in _VERBS:
            await self._answer(replies.UNKNOWN_COMMAND)
        elif verb != "AUTH" and len(argument) > MAX_COMMAND:
            await self._answer(replies.LINE_TOO_LONG)
        elif not self.visit.secure and self._door.needs_login and verb not in _BEFORE_TLS:
            await self._answer(replies.TLS_FIRST)
        else:
            self._fruitless += verb in _LEAD_NOWHERE
            if self._fruitless > self.relay.options.most_errors:
                raise HungUp(replies.TOO_MUCH_TALK)
            await self._smtp_methods[verb](argument)

    async def _say(self, *lines: Reply) -> None:
        await self._write(b"".join(line.encode() for line in lines))

    async def _write(self, octets: bytes) -> None:
        octets, self._owed = self._owed + octets, b""
        self._writer.write(octets)
        async with asyncio.timeout(self._limits.write):
            await self._writer.drain()

    async def _answer(self, reply: Reply, command: str = "") -> None:
        """Reply to a command; too many refusals end the connection."""
        if reply.is_refusal:
            self.relay.counters.add("refused_total", command=command, code=reply.enhanced)
            if reply.code == 421:  # RFC 5321 section 3.8: the connection is closed after it
                raise HungUp(reply)
            self._errors += reply.code >= 500
            if self._errors >= self.relay.options.most_errors:
                raise HungUp(replies.TOO_MANY_ERRORS)
        if command in _GROUPED and self._lines.has_line and len(self._owed) < _MOST_OWED:
            self._owed += reply.encode()
        else:
            await self._say(reply)

    async def _linger(self) -> None:
        """Read what the client still sends, so that it comes to read why: octets that nobody reads make the reply get lost."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.linger) as self._patience:
                discarded = 0
                while discarded < 2 * self._door.max_bytes:
                    discarded += len(await self._lines.block())

    def _reset(self) -> None:
        self._in_transaction = False
        self._door.reset()

    async def smtp_HELO(self, argument: str) -> None:
        if not argument:
            return await self._answer(Reply(501, "5.5.4", "Syntax: HELO hostname"), "HELO")
        self._reset()
        self.visit.greeted_as = argument[:255]
        return await self._say(Reply(250, "", self.hostname))

    async def smtp_EHLO(self, argument: str) -> None:
        if not argument:
            return await self._answer(Reply(501, "5.5.4", "Syntax: EHLO hostname"), "EHLO")
        self._reset()
        self.visit.greeted_as = argument[:255]
        offers = [
            self.hostname, f"SIZE {self._door.max_bytes}", "8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES",
            "DSN",
        ]  # fmt: skip
        if not self.visit.secure:
            offers.append("STARTTLS")
        elif self._door.needs_login:
            offers.append(f"AUTH {' '.join(MECHANISMS)}")
        lines = "".join(f"250{' ' if offer is offers[-1] else '-'}{offer}\r\n" for offer in offers)
        return await self._write(lines.encode("ascii"))

    async def smtp_NOOP(self, argument: str) -> None:
        await self._say(replies.OK)

    async def smtp_RSET(self, argument: str) -> None:
        self._reset()
        await self._say(replies.OK)

    async def smtp_QUIT(self, argument: str) -> None:
        raise HungUp(replies.BYE)

    async def smtp_HELP(self, argument: str) -> None:
        await self._say(Reply(214, "2.0.0", "See RFC 5321 and RFC 6409; the howto of Postrider says how to send by SMTP"))

    async def smtp_VRFY(self, argument: str) -> None:
        await self._say(replies.CANNOT_VERIFY)  # the same for everybody

    async def smtp_EXPN(self, argument: str) -> None:
        await self._answer(replies.NOT_IMPLEMENTED, "EXPN")

    async def smtp_STARTTLS(self, argument: str) -> None:
        if argument:
            return await self._answer(Reply(501, "5.5.4", "Syntax: STARTTLS"), "STARTTLS")
        if self.visit.secure:
            return await self._answer(replies.TLS_ALREADY, "STARTTLS")
        transport = cast("asyncio.Transport", self.transport)
        transport.pause_reading()
        # Commands that came in the clear behind STARTTLS are not the client's once there is TLS (RFC 3207 section 4.2).
        self._lines.drop()
        await self._say(replies.READY_FOR_TLS)
        self._lines.drop()
        try:
            # With a time limit of our own as well: asyncio's is gone when the connection is reset during the handshake.
            async with asyncio.timeout(self._limits.handshake + 1.0):
                secured = await self.loop.start_tls(
                    transport, self, self.relay.certificates.context, server_side=True,
                    ssl_handshake_timeout=self._limits.handshake,
                )  # fmt: skip
        except OSError as error:  # time-outs and TLS errors are of its kind
            maillog.refused(door="smtp", status=454, code="4.7.0", reason=f"TLS: {error!r}", request=self.visit.id)
            transport.abort()
            self.relay.connections.leave(self)  # nobody tells this protocol any more that the connection is lost
            raise HungUp from error
        if secured is None:
            raise HungUp
        self._use(secured)
        self._reset()
        self.visit.secure, self.visit.greeted_as = True, ""
        return None

    def _use(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        # As aiosmtpd and, from Python 3.12 on, asyncio itself do it.
        for holder in cast("tuple[Any, ...]", (self._reader, self._writer, self)):
            holder._transport = transport
