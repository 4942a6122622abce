"""The commands that make a message: who logs in, from whom, to whom, and the message itself."""

from __future__ import annotations

import asyncio
import base64
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import BinaryIO, cast

from email_core import maillog
from smtp_relay import replies
from smtp_relay.commands import Path, SyntaxRefused, parse_path, parse_size
from smtp_relay.conversation import Conversation, HungUp
from smtp_relay.login import MECHANISMS, TOKEN_REFUSED, DialogueEnded, ask_for_attempt, decode_response
from smtp_relay.message_reading import Broken, Unwritten, read_message
from smtp_relay.replies import Reply
from smtp_relay.wire import LineTooLong

IN_MEMORY = 64 * 1024  # octets of a message; the rest is in a file of /tmp


class RelayProtocol(Conversation):
    """One connection with all of its commands."""

    _recipients = 0

    def _reset(self) -> None:
        super()._reset()
        self._recipients = 0

    async def smtp_AUTH(self, argument: str) -> None:
        refusal = self._auth_refusal()
        mechanism, _, initial = argument.partition(" ")
        if refusal is None and mechanism.upper() not in MECHANISMS:
            refusal = replies.UNKNOWN_MECHANISM
        if refusal is not None:
            return await self._answer(refusal, "AUTH")
        mechanism = mechanism.upper()
        try:
            # "=" is an initial response that is empty (RFC 4954 section 4).
            given = None if not initial else b"" if initial == "=" else decode_response(initial.encode())
            attempt = await ask_for_attempt(mechanism, given, self._ask)
        except DialogueEnded as ended:
            return await self._answer(ended.reply, "AUTH")
        found = await self.relay.logins.log_in(self.visit, mechanism, attempt)
        if isinstance(found, Reply):
            return await self._refuse_login(mechanism, found)
        no_place = self.relay.connections.promote(self, f"{found.service.key}:{found.user.casefold()}")
        if no_place is not None:
            return await self._answer(no_place, "AUTH")
        self.visit.submitter = found
        return await self._say(replies.LOGGED_IN)

    def _auth_refusal(self) -> Reply | None:
        if not self._door.needs_login:
            return replies.NOT_IMPLEMENTED
        if not self.visit.secure:
            return replies.TLS_FIRST_FOR_AUTH
        if not self.visit.greeted_as:
            return replies.HELLO_FIRST
        if self.visit.submitter is not None:
            return replies.LOGGED_IN_ALREADY
        return replies.AUTH_IN_TRANSACTION if self._in_transaction else None

    async def _refuse_login(self, mechanism: str, reply: Reply) -> None:
        if mechanism == "XOAUTH2" and reply is replies.LOGIN_REFUSED:
            with suppress(DialogueEnded):  # the client's answer, whatever it is, asks for the reply
                await self._ask(TOKEN_REFUSED)
        if self.visit.login_failures >= self.relay.options.most_login_failures:
            await self._say(reply)
            raise HungUp(replies.TOO_MANY_FAILED_LOGINS)
        await self._answer(reply, "AUTH")

    async def _ask(self, challenge: bytes) -> bytes:
        await self._write(b"334 " + base64.b64encode(challenge) + b"\r\n")
        try:
            line = await self._command()
        except LineTooLong:
            raise DialogueEnded(replies.LINE_TOO_LONG) from None
        return decode_response(line.rstrip(b"\r\n"))

    async def smtp_MAIL(self, argument: str) -> None:
        refusal = self._mail_refusal()
        if refusal is None:
            refusal = await self._asked(lambda: self._mail(argument))
        self._in_transaction = self._in_transaction or not refusal.is_refusal
        await self._answer(refusal, "MAIL")

    def _mail_refusal(self) -> Reply | None:
        if not self.visit.greeted_as:
            return replies.HELLO_FIRST
        if self._door.needs_login and self.visit.submitter is None:
            return replies.LOG_IN_FIRST
        return replies.ONE_AT_A_TIME if self._in_transaction else None

    async def _mail(self, argument: str) -> Reply:
        path = parse_path("FROM:", argument)
        parameters = dict(path.parameters)
        if "SIZE" in parameters and parse_size(parameters.pop("SIZE")) > self._door.max_bytes:
            return replies.too_large(self._door.max_bytes)
        if parameters.pop("BODY", "8BITMIME").upper() not in ("7BIT", "8BITMIME"):
            raise SyntaxRefused("BODY must be 7BIT or 8BITMIME")
        if parameters.get("SMTPUTF8"):
            raise SyntaxRefused("SMTPUTF8 has no value")
        if not path.address.isascii() and "SMTPUTF8" not in parameters:
            return Reply(550, "5.6.7", "An address outside of ASCII needs the parameter SMTPUTF8 (RFC 6531)")
        parameters.pop("AUTH", None)  # RFC 4954 section 5: who logged in is known better
        return await self._door.mail(Path(path.address, parameters))

    async def smtp_RCPT(self, argument: str) -> None:
        if not self._in_transaction:
            return await self._answer(replies.MAIL_FIRST, "RCPT")
        reply = await self._asked(lambda: self._rcpt(argument))
        self._recipients += not reply.is_refusal
        return await self._answer(reply, "RCPT")

    async def _rcpt(self, argument: str) -> Reply:
        return await self._door.rcpt(parse_path("TO:", argument))

    async def _asked(self, ask: Callable[[], Awaitable[Reply]]) -> Reply:
        try:
            return await ask()
        except SyntaxRefused as refused:
            return Reply(501, "5.5.4", refused.text)
        except Exception as error:
            return replies.of_error(error, request=self.visit.id)

    async def smtp_DATA(self, argument: str) -> None:
        if argument:
            return await self._answer(Reply(501, "5.5.4", "Syntax: DATA"), "DATA")
        if not self._recipients:
            reply = replies.RECIPIENTS_FIRST if self._in_transaction else replies.MAIL_FIRST
            return await self._answer(reply, "DATA")
        await self._say(replies.GO_AHEAD)
        content = cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=IN_MEMORY))  # noqa: SIM115 - _close does
        try:
            size = await self._read(content)
        except Broken as broken:
            _close(content)
            self._tell(broken.reply, broken.why)
            raise HungUp(broken.reply, linger=broken.linger) from None
        except Unwritten as unwritten:
            _close(content)
            self._reset()
            return await self._answer(replies.of_error(unwritten.why, request=self.visit.id), "DATA")
        except BaseException:
            _close(content)
            raise
        if size > self._door.max_bytes:
            _close(content)
            reply = replies.too_large(self._door.max_bytes)
            self._tell(reply, f"{size} octets")
        else:
            # It is not given up when the client goes away now: whether it is kept is then decided here, and once.
            reply = await asyncio.shield(self.relay.keep(self._take(content, size)))
        self._reset()
        if not reply.is_refusal:
            self._errors = self._fruitless = 0
        return await self._answer(reply, "DATA")

    async def _read(self, content: BinaryIO) -> int:
        """Read a message, unless the connection is dismissed meanwhile. Raises as `read_message`, and HungUp."""
        try:
            async with asyncio.timeout(None) as self._patience:
                return await read_message(self._lines, content, self._limits, self._door)
        except TimeoutError:
            raise HungUp(self._farewell, linger=True) from None
        finally:
            self._patience = None

    async def _take(self, content: BinaryIO, size: int) -> Reply:
        try:
            return await self._asked(lambda: self._hand_over(content, size))
        finally:
            _close(content)

    async def _hand_over(self, content: BinaryIO, size: int) -> Reply:
        content.seek(0)  # which writes what is not yet in the file
        return await self._door.message(content, size)

    def _tell(self, reply: Reply, reason: str) -> None:
        maillog.refused(door="smtp", status=reply.code, code=reply.enhanced, reason=reason, request=self.visit.id)


def _close(content: BinaryIO) -> None:
    with suppress(OSError):  # when the disk is full closing fails as well, and what stood there is not wanted any more
        content.close()
