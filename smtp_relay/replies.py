"""What clients are told: each reply with its enhanced status code (RFC 3463), with the texts of ACS where it has one."""

from __future__ import annotations

import errno
import math
from http import HTTPStatus
from typing import NamedTuple

from email_core import maillog
from email_core.errors import (
    ConfigurationMissing,
    DomainNotLinked,
    DomainPaused,
    LimitReached,
    LimitTooSmall,
    RequestRefused,
    SenderUnknown,
    StorageRefused,
    StorageUnavailable,
    WorkerBusy,
)
from email_core.message.refusal import MessageRefused

MOST_TEXT = 400  # characters: a reply line has at most 512 octets (RFC 5321 section 4.5.3.1.5)


class Reply(NamedTuple):
    """A reply of one line. `enhanced` is empty where RFC 2034 wants none: greeting, EHLO, 334 and 354."""

    code: int
    enhanced: str
    text: str

    @property
    def is_refusal(self) -> bool:
        return self.code >= 400

    def encode(self) -> bytes:
        """The line as it goes out: printable ASCII, whatever the text was made of."""
        text = "".join(character if " " <= character <= "~" else "?" for character in self.text)[:MOST_TEXT]
        return f"{' '.join(part for part in (str(self.code), self.enhanced, text) if part)}\r\n".encode()


OK = Reply(250, "2.0.0", "Ok")
BYE = Reply(221, "2.0.0", "Bye")
CONTINUE_AUTH = Reply(334, "", "")
GO_AHEAD = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
READY_FOR_TLS = Reply(220, "2.0.0", "Ready to start TLS")
LOGGED_IN = Reply(235, "2.7.0", "Authentication successful")
CANNOT_VERIFY = Reply(252, "2.5.2", "Cannot VRFY user, but will accept message and attempt delivery")

LINE_TOO_LONG = Reply(500, "5.5.6", "Line too long")
UNKNOWN_COMMAND = Reply(500, "5.5.2", "Command not recognized")
NOT_IMPLEMENTED = Reply(502, "5.5.1", "Command not implemented")
HELLO_FIRST = Reply(503, "5.5.1", "Send EHLO first")
MAIL_FIRST = Reply(503, "5.5.1", "Send MAIL first")
RECIPIENTS_FIRST = Reply(503, "5.5.1", "Send RCPT first: there is no recipient that was accepted")
ONE_AT_A_TIME = Reply(503, "5.5.1", "There is a sender already: finish with DATA, or start again with RSET")
TLS_ALREADY = Reply(503, "5.5.1", "TLS is in use already")
TLS_FIRST = Reply(530, "5.7.0", "Must issue a STARTTLS command first")
TLS_FIRST_FOR_AUTH = Reply(538, "5.7.11", "Encryption required for requested authentication mechanism: issue STARTTLS first")
LOG_IN_FIRST = Reply(530, "5.7.0", "Authentication required")
LOGGED_IN_ALREADY = Reply(503, "5.5.1", "Already authenticated")
AUTH_IN_TRANSACTION = Reply(503, "5.5.1", "AUTH is not allowed during a mail transaction")
UNKNOWN_MECHANISM = Reply(504, "5.5.4", "Unrecognized authentication type: use PLAIN, LOGIN or XOAUTH2")
AUTH_CANCELLED = Reply(501, "5.7.0", "Authentication cancelled")
NOT_BASE64 = Reply(501, "5.5.2", "Cannot decode the response: it must be base64")
# ACS has this text, where RFC 4954 section 6 would have 5.7.8.
LOGIN_REFUSED = Reply(535, "5.7.3", "Authentication unsuccessful")
LOGIN_LATER = Reply(454, "4.7.0", "Temporary authentication failure: try again later")
TOO_MANY_LOGINS = Reply(454, "4.7.0", "Too many authenticated connections: close some, or try again later")
TOO_MANY_OF_USER = Reply(454, "4.7.0", "Too many connections of this user: close some, or try again later")

TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "Too many recipients: send to the others in another message")
STRAY_OCTET = Reply(550, "5.6.11", "The message has a bare CR, a bare LF or a NUL: end lines with CR LF, and encode the rest")
DATA_LINE_TOO_LONG = Reply(
    550, "5.6.0", "The message has a line of more than 998 octets (RFC 5322 section 2.1.1): encode it, as quoted-printable"
)

STORAGE_AWAY = Reply(451, "4.3.0", "The message cannot be stored right now: try again later")
NO_ROOM = Reply(452, "4.3.1", "There is no room for the message right now: try again later")
EXCESSIVE_RATE = Reply(450, "4.5.127", "Message rejected. Excessive message rate from sender")
OUR_FAULT = Reply(451, "4.3.0", "Something went wrong here: try again later")
BUSY = Reply(451, "4.3.2", "Too much in hand: try again later")
DRAINING = Reply(421, "4.3.2", "Shutting down: connect again")
TIMED_OUT = Reply(421, "4.4.2", "Timeout: connect again")
TOO_SLOW = Reply(421, "4.4.2", "The message comes too slowly: connect again")
LOG_IN_SOONER = Reply(421, "4.7.0", "No log-in in time: connect again")
LOG_IN_AGAIN = Reply(421, "4.7.0", "The log-in does not hold any more: connect and log in again")
MADE_ROOM = Reply(421, "4.3.2", "Too many connections: connect again")
TOO_MANY_FROM_ADDRESS = Reply(421, "4.7.0", "Too many connections from your address: use those that you have")
TOO_MANY_ERRORS = Reply(421, "4.7.0", "Too many errors")
TOO_MUCH_TALK = Reply(421, "4.7.0", "Too many commands without a message: connect again when there is one")
TOO_MANY_FAILED_LOGINS = Reply(421, "4.7.0", "Too many failed log-ins")


def too_large(most: int) -> Reply:
    """`most` octets may come."""
    text = f"Message size exceeds fixed maximum message size of {most} octets: send less, or a link to what is large"
    return Reply(552, "5.3.4", text)


def locked_out(seconds: float) -> Reply:
    """The same for users that exist and for others."""
    wait = max(math.ceil(seconds), 1)
    return Reply(454, "4.7.0", f"Too many failed log-ins: try again in {wait} second{'' if wait == 1 else 's'}")


def of_error(error: Exception, *, request: str) -> Reply:
    """The reply to what went wrong with MAIL, RCPT or a message. What the client need not know goes to the log.

    `request` names the connection there. Whatever is not known here is our fault, and temporary.
    """
    reply, reason = _known(error)
    if reply is None:
        maillog.fault("smtp", error=error, request=request)
        reply = OUR_FAULT
    maillog.refused(door="smtp", status=reply.code, code=reply.enhanced, reason=reason or reply.text, request=request)
    return reply


def _known(error: Exception) -> tuple[Reply | None, str]:
    match error:
        case MessageRefused():
            return Reply(error.code, error.enhanced, error.text), error.reason
        case DomainNotLinked():
            return Reply(501, "5.1.7", "The specified sender domain has not been linked."), str(error)
        case DomainPaused():
            domain, why = error.args
            text = f"The specified sender domain has not been linked. Sending from {domain} is paused: {why}"
            return Reply(501, "5.1.7", text), ""
        case SenderUnknown():
            name = str(error)[:64]
            text = f"Invalid email sender username: '{name}'. Please use a username from the list of valid usernames "
            return Reply(501, "5.1.7", f"{text}configured by your admin."), ""
        case LimitReached():
            return EXCESSIVE_RATE, error.rule
        case RequestRefused(status=HTTPStatus.TOO_MANY_REQUESTS):
            return EXCESSIVE_RATE, str(error)
        case LimitTooSmall():
            return Reply(554, "5.5.3", f"{error.rule} does not allow {error.number} {error.unit} at any time"), ""
        case StorageUnavailable() | StorageRefused():
            return STORAGE_AWAY, str(error)
        case WorkerBusy():
            return BUSY, str(error)
        case OSError(errno=errno.ENOSPC | errno.EDQUOT | errno.EMFILE | errno.ENFILE):
            return NO_ROOM, str(error)
        case ConfigurationMissing():
            return Reply(451, "4.3.5", "The sender's domain cannot be used right now: tell the administrator"), str(error)
    return None, ""
