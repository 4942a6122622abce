"""Delivery status notifications (RFC 3464): the report to a submitter about recipients of its message.

Pure: a report comes in, the bytes of a message come out, without a signature. The first part is for people and says cause and
remedy; the second is for programs (RFC 3464 section 2); the third returns the message or its header (RFC 6522 section 3). Who
gets a report, and when, is `dsn_sending`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from email_core.message.dates import date_text
from email_core.message.encoded_words import fold_unstructured
from email_core.message.headers import check_header_block, check_message_id
from email_core.message.seven_bit import in_seven_bits
from email_core.message.status import Action
from email_core.message.text_body import BOUNDARY_MARK, encode_text

MAILER_DAEMON = "mailer-daemon"
MOST_RETURNED = 1024 * 1024  # octets of a message that RET=FULL returns; of a larger one the header comes back
MOST_HEADER_RETURNED = 64 * 1024
MOST_DIAGNOSTIC = 600  # characters
_LINE = 76

_not_plain = re.compile(r"[^ -~]")
_enhanced = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """One recipient of a report. Times are in seconds since the epoch, 0 when there is none.

    `original` is the ORCPT as `type;address`, empty when the client gave none. `status` is an enhanced status code. `reply`
    is what a server said, with its code, and `remote` its name; `reason` is ours when no server said anything. `meaning` and
    `remedy` are sentences for people.
    """

    address: str
    action: Action
    status: str
    original: str = ""
    reply: str = ""
    reason: str = ""
    remote: str = ""
    last_attempt_at: float = 0.0
    retry_until: float = 0.0
    meaning: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All that one notification says. `original` is the message as it was submitted; `full`: its client asked for RET=FULL.

    `to` is the reverse-path of the submission; `host` the name of this installation, `domain` the platform's; `message_id`
    that of the notification, with angle brackets. Every recipient has the same action.
    """

    to: str
    domain: str
    host: str
    message_id: str
    at: float
    arrived_at: float
    recipients: Sequence[ReportedRecipient]
    original: bytes
    original_id: str = ""
    envelope_id: str = ""
    full: bool = False

    @property
    def action(self) -> Action:
        return self.recipients[0].action


def compose_report(report: Report) -> bytes:
    """The message, CRLF only. Raises ValueError when there is no recipient, or recipients of different actions."""
    if len({recipient.action for recipient in report.recipients}) != 1:
        raise ValueError("a notification has recipients, and all of one action")
    returned = _returned(report)
    boundary = _boundary(report, returned)
    text = encode_text(_text(report))
    parts = [
        _part(b"text/plain; charset=utf-8", text.octets, text.encoding.encode(), b"Notification"),
        _part(b"message/delivery-status", _delivery_status(report), b"7bit", b"Delivery report"),
        returned,
    ]
    delimiter = b"--" + boundary
    body = b"".join(delimiter + b"\r\n" + part + b"\r\n" for part in parts)  # that CRLF is the next delimiter's
    return _header(report, boundary) + b"\r\n" + body + delimiter + b"--\r\n"


def status_code(enhanced: str, action: Action, *, expired: bool = False) -> str:
    """The Status of a recipient (RFC 3464 section 2.3.4): what the server said when it fits, else the general one."""
    if expired:
        return "4.4.7"  # RFC 3463 section 3.5: delivery time expired; the code stays that of a persistent transient failure
    if action in (Action.DELIVERED, Action.RELAYED):
        return enhanced if _enhanced.fullmatch(enhanced) and enhanced[0] == "2" else "2.0.0"
    wanted = "4" if action is Action.DELAYED else "5"
    if _enhanced.fullmatch(enhanced) and enhanced[0] == wanted:
        return enhanced
    return f"{wanted}.0.0"


_SUBJECTS = {
    Action.FAILED: "Your message could not be delivered",
    Action.DELAYED: "Your message is delayed and still being tried",
    Action.DELIVERED: "Your message was delivered",
    Action.RELAYED: "Your message was handed on",
}
_OPENINGS = {
    Action.FAILED: "Your message was not delivered to the recipients below, and is not tried any more.",
    Action.DELAYED: "Your message has not reached the recipients below yet. It is tried again by itself: do not send it again.",
    Action.DELIVERED: "Your message was delivered to the recipients below.",
    Action.RELAYED: "Your message was handed to the next server for the recipients below. You are told if it comes back.",
}


def _header(report: Report, boundary: bytes) -> bytes:
    fields = [
        f"Date: {date_text(report.at)}".encode(),
        f"From: Mail Delivery System <{MAILER_DAEMON}@{report.domain}>".encode(),
        f"To: <{report.to}>".encode(),
        f"Subject: {_SUBJECTS[report.action]}".encode(),
        f"Message-ID: {report.message_id}".encode(),
        b"Auto-Submitted: auto-replied",  # RFC 3834 section 5
        b"MIME-Version: 1.0",
        b'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="%b"' % boundary,
    ]
    if report.original_id and not check_message_id(report.original_id):
        fields.insert(5, f"In-Reply-To: {report.original_id}".encode())
        fields.insert(6, fold_unstructured("References", report.original_id))
    block = b"\r\n".join(fields) + b"\r\n"
    check_header_block(block, fields=len(fields), smtputf8=not block.isascii())
    return block


def _text(report: Report) -> str:
    paragraphs = [f"This is the mail system of {report.domain}.", _OPENINGS[report.action]]
    for recipient in report.recipients:
        lines = [f"<{recipient.address}>"]
        lines += [sentence for sentence in (recipient.meaning, recipient.remedy) if sentence]
        if recipient.reply:
            said = f"{recipient.remote} said" if recipient.remote else "The answer was"
            lines.append(f"{said}: {_plain(recipient.reply)}")
        if recipient.retry_until:
            lines.append(f"If nobody takes it, it is given up on {date_text(recipient.retry_until)}.")
        paragraphs.append("\n".join(lines))
    return "\n\n".join(paragraphs) + "\n"


def _delivery_status(report: Report) -> bytes:
    groups = [_message_fields(report), *(_recipient_fields(recipient) for recipient in report.recipients)]
    return b"\r\n".join(b"".join(_field(name, value) for name, value in group) for group in groups)


def _message_fields(report: Report) -> Iterator[tuple[str, str]]:
    if report.envelope_id:
        yield "Original-Envelope-Id", report.envelope_id
    yield "Reporting-MTA", f"dns; {report.host}"
    yield "Arrival-Date", date_text(report.arrived_at)


def _recipient_fields(recipient: ReportedRecipient) -> Iterator[tuple[str, str]]:
    if recipient.original:
        kind, _, address = recipient.original.partition(";")
        yield "Original-Recipient", f"{kind}; {address}"
    yield "Final-Recipient", _typed(recipient.address)
    yield "Action", recipient.action
    yield "Status", recipient.status
    if recipient.remote and recipient.reply:
        yield "Remote-MTA", f"dns; {recipient.remote}"
    if recipient.reply:
        yield "Diagnostic-Code", f"smtp; {recipient.reply[:MOST_DIAGNOSTIC]}"
    elif recipient.reason:
        yield "Diagnostic-Code", f"x-postrider; {recipient.reason[:MOST_DIAGNOSTIC]}"
    if recipient.last_attempt_at:
        yield "Last-Attempt-Date", date_text(recipient.last_attempt_at)
    if recipient.retry_until and recipient.action is Action.DELAYED:
        yield "Will-Retry-Until", date_text(recipient.retry_until)


def _typed(address: str) -> str:
    if address.isascii():
        return f"rfc822; {address}"
    # RFC 6533 section 3: where only ASCII may stand, an address outside of it is written like this.
    return "utf-8; " + "".join(c if c.isascii() and c not in "\\+=" else f"\\x{{{ord(c):02X}}}" for c in address)


def _field(name: str, value: str) -> bytes:
    """A field of a report on one line or folded at its blanks: what a server said must not begin a field of its own."""
    return fold_unstructured(name, _plain(value)) + b"\r\n"


def _plain(text: str) -> str:
    return _not_plain.sub("?", " ".join(text.split()))


def _returned(report: Report) -> bytes:
    """The third part: the whole message only for a failure and by RET=FULL (RFC 3461 section 4.3), else its header.

    It is 7-bit, for a report that the next server refuses for want of 8BITMIME is told to nobody. What has no clean conversion
    comes back as its header.
    """
    end = report.original.find(b"\r\n\r\n")
    header = report.original[: end + 2] if end >= 0 else report.original
    if report.full and report.action is Action.FAILED and len(report.original) <= MOST_RETURNED:
        whole = in_seven_bits(report.original)
        if whole.isascii():
            return _part(b"message/rfc822", whole, b"7bit", b"Undelivered message")
    if len(header) > MOST_HEADER_RETURNED:
        header = header[: header.rfind(b"\r\n", 0, MOST_HEADER_RETURNED) + 2]
    encoded = encode_text(header)
    return _part(b"text/rfc822-headers; charset=utf-8", encoded.octets, encoded.encoding.encode(), b"Message header")


def _part(content_type: bytes, body: bytes, encoding: bytes, description: bytes) -> bytes:
    fields = (b"Content-Description", description), (b"Content-Type", content_type), (b"Content-Transfer-Encoding", encoding)
    return b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n" + body


def _boundary(report: Report, returned: bytes) -> bytes:
    """A boundary that is nowhere in what is returned, which is a stranger's."""
    seed = report.message_id.encode()
    while True:
        boundary = BOUNDARY_MARK + sha256(seed).hexdigest()[:32].encode()
        if boundary not in returned:
            return boundary
        seed = boundary
