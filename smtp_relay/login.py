"""AUTH: the dialogues of PLAIN (RFC 4616), LOGIN and XOAUTH2, and what a try costs."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from email_core import maillog
from email_core.auth.authenticate import IssuerUnavailable
from email_core.clock import Clock
from email_core.errors import StorageRefused, StorageUnavailable, WorkerBusy
from smtp_relay import replies
from smtp_relay.counters import Counters
from smtp_relay.credentials import Credentials, LoginRefused, Submitter
from smtp_relay.door import Visit
from smtp_relay.lockout import Lockout
from smtp_relay.replies import Reply

MECHANISMS = ("PLAIN", "LOGIN", "XOAUTH2")

# What a client of XOAUTH2 is told before it is refused, so that it can get itself another token.
TOKEN_REFUSED = b'{"status":"401","schemes":"bearer","scope":"https://communication.azure.com/.default"}'

_xoauth2 = re.compile(rb"user=(?P<user>[^\x01]+)\x01auth=Bearer (?P<token>[^\x01\s]+)\x01\x01", re.IGNORECASE)

Ask = Callable[[bytes], Awaitable[bytes]]  # sends a challenge, and waits for the decoded response


class DialogueEnded(Exception):
    """The client cancelled, or sent what can't be read. `reply` says so."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a client gave: a name, with a password or a token."""

    user: str
    secret: str
    is_token: bool = False

    def __repr__(self) -> str:
        return f"Attempt(user={self.user!r}, secret=...)"


def decode_response(text: bytes) -> bytes:
    """A response of a client, without its line end. Raises DialogueEnded."""
    if text == b"*":  # RFC 4954 section 4
        raise DialogueEnded(replies.AUTH_CANCELLED)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise DialogueEnded(replies.NOT_BASE64) from None


async def ask_for_attempt(mechanism: str, initial: bytes | None, ask: Ask) -> Attempt | None:
    """The dialogue of a mechanism; `initial` is the decoded initial response. None for one that can't be right."""
    if mechanism == "LOGIN":
        user = initial if initial is not None else await ask(b"Username:")
        return _attempt(user, await ask(b"Password:"))
    response = initial if initial is not None else await ask(b"")
    if mechanism == "XOAUTH2":
        found = _xoauth2.fullmatch(response)
        return _attempt(found["user"], found["token"], is_token=True) if found else None
    parts = response.split(b"\0")
    # Nobody acts for somebody else here: the identity to act as is empty, or the one that logs in.
    if len(parts) != 3 or parts[0] not in (b"", parts[1]):
        return None
    return _attempt(parts[1], parts[2])


def _attempt(user: bytes, secret: bytes, *, is_token: bool = False) -> Attempt | None:
    try:
        return Attempt(user.decode(), secret.decode(), is_token)
    except UnicodeDecodeError:
        return None


class Logins:
    """Tries to log in, with what that costs: an unknown user, a wrong password and a user without one are all the same."""

    def __init__(
        self, credentials: Credentials, lockout: Lockout, counters: Counters, clock: Clock, *, failed_seconds: float
    ) -> None:
        self._credentials = credentials
        self._lockout = lockout
        self._counters = counters
        self._clock = clock
        self._failed_seconds = failed_seconds

    async def log_in(self, visit: Visit, mechanism: str, attempt: Attempt | None) -> Submitter | Reply:
        """Who it is, or the reply that refuses; a refusal comes no sooner than `failed_seconds` after the call."""
        began = self._clock.monotonic()
        user = attempt.user if attempt is not None else ""
        wait = self._lockout.wait(visit.client, user, began)
        if wait:
            visit.login_failures += 1  # whoever goes on asking is hung up on: each try is a line of the log
            self._tell(visit, mechanism, user, "locked-out", f"locked out for {wait:.1f} s")
            return replies.locked_out(wait)
        try:
            submitter = await self._checked(visit, attempt)
        except asyncio.CancelledError:
            self._lockout.failed(visit.client, user, began)  # or whoever hangs up at once could have tried for ever
            raise
        except LoginRefused as refused:
            self._lockout.failed(visit.client, user, began)
            visit.login_failures += 1
            self._tell(visit, mechanism, user, "credentials", str(refused))
            reply = replies.LOGIN_REFUSED
        except (StorageUnavailable, StorageRefused, IssuerUnavailable, WorkerBusy) as error:
            self._tell(visit, mechanism, user, "unavailable", f"{type(error).__name__}: {error}")
            reply = replies.LOGIN_LATER
        except Exception as error:  # a fault of ours must not look like a refusal, nor end the connection without a word
            maillog.fault("smtp-auth", error=error, request=visit.id)
            reply = replies.LOGIN_LATER
        else:
            self._lockout.succeeded(visit.client, user)
            self._counters.add("logins_total", mechanism=mechanism)
            maillog.logged_in(visit.id, client=visit.client, user=submitter.user, mechanism=mechanism)
            return submitter
        await self._clock.sleep(max(began + self._failed_seconds - self._clock.monotonic(), 0.0))
        return reply

    async def _checked(self, visit: Visit, attempt: Attempt | None) -> Submitter:
        if attempt is None:
            raise LoginRefused("the response does not have the form of its mechanism")
        check = self._credentials.by_token if attempt.is_token else self._credentials.by_password
        return await check(attempt.user, attempt.secret, visit.client)

    def _tell(self, visit: Visit, mechanism: str, user: str, kind: str, reason: str) -> None:
        self._counters.add("auth_failures_total", mechanism=mechanism, reason=kind)
        maillog.login_refused(visit.id, client=visit.client, user=user[:64], mechanism=mechanism, reason=reason)
