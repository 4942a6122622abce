"""From the bytes that a client sent after DATA to the message that is signed: checked, and mended where that is safe.

The body is left byte for byte, and of the header all that is not named here: signatures of others go on to hold where they
can. Removed are Bcc, Return-Path and what is meant for us; added are Date and Message-ID when they are missing, and one
Received field; raw UTF-8 in texts is encoded. Like many providers we leave the client's address out of Received, for it is
nobody's business where a user sits (RFC 5321 section 7.6); RFC 6409 asks for no more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from email_core.message.address import Address
from email_core.message.ascii_header import in_ascii
from email_core.message.dates import date_text
from email_core.message.headers import check_message_id
from email_core.message.limits import MAX_MESSAGE_ID
from email_core.message.mailbox import MailboxError, read_mailbox
from email_core.message.mime_draft import MimeDraft
from email_core.message.mime_header import Field, Header, check_lines, display_name, read_header
from email_core.message.mime_tree import read_parts
from email_core.message.refusal import LOOP, MALFORMED, NOT_ALLOWED, MessageRefused
from email_core.message.switches import (
    SWITCHES,
    TIME_TO_LIVE,
    TRACKING_DISABLED,
    VALIDATE_MESSAGE_ID,
    SwitchError,
    is_switch,
    read_switch,
    read_time_to_live,
)

# RFC 5321 section 6.3 has 100 as the least to count as a loop; Postfix takes 50, Sendmail 25. A message that begins its way
# here and has been through 50 servers is one that comes back to us.
MAX_RECEIVED = 50

_REMOVED = frozenset(("bcc", "resent-bcc", "return-path"))
# Who is shown, or taken, as the one who sent it.
_SENDERS = ("sender", "resent-from", "resent-sender")
_SIGNATURES = ("dkim-signature", "domainkey-signature", "arc-message-signature")  # over the header as it came
# RFC 5322 section 3.6.4, without comments and blanks. Hosts without a dot and address literals stand in many scripts' ids.
_message_id = re.compile(r"<[!-;=?-~]+@[!-;=?-~]+>")


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a message came. `envelope_from` is the address of MAIL, `host_name` ours; `now` is in seconds since the epoch.

    `smtputf8`: the client said SMTPUTF8 with MAIL. `operation_id` names the message in our Received and Message-ID.
    """

    envelope_from: Address
    operation_id: str
    host_name: str
    now: float
    smtputf8: bool = False


def read_message(raw: bytes, arrival: Arrival) -> MimeDraft:
    """The draft of a message. Raises MessageRefused; whether its senders may send is for the caller to ask."""
    check_lines(raw)
    came = read_header(raw)
    _one_mailbox(came, "from")  # what is wrong with it is told in its own words
    header = _encoded(came, smtputf8=arrival.smtputf8)
    sender = _one_mailbox(header, "from")
    _check_senders(header, {sender.mailbox, arrival.envelope_from.mailbox})
    if len(header.all("received")) > MAX_RECEIVED:
        raise MessageRefused(LOOP, f"The message has more than {MAX_RECEIVED} Received fields, so it goes round in a circle.")
    switches = _switches(header)
    message_id = _kept_message_id(header, validate=switches.validate_message_id)
    block = _block(header, arrival, sender, message_id)
    # One copy: the slice would be another.
    message = b"".join((block, b"\r\n", memoryview(raw)[header.body_start :]))
    read_parts(message)  # as it is read again when it is prepared
    return MimeDraft(
        message=message,
        sender=sender,
        message_id=message_id or _own_message_id(arrival, sender),
        tracking_disabled=switches.tracking_disabled,
        time_to_live=switches.time_to_live,
    )


def _encoded(header: Header, *, smtputf8: bool) -> Header:
    """The header in ASCII when it can be; UTF-8 that no encoding exists for is taken from who said SMTPUTF8.

    RFC 6531 section 3.2 lets a submission server do so for the next hop, and before signing is the last moment for it.
    """
    unsent = {field.name for field in header.fields if field.name in _REMOVED or is_switch(field.name)}
    if smtputf8:
        unsent.add("message-id")  # another one takes the place of one in UTF-8
    if all(field.raw.isascii() or field.name in unsent for field in header.fields):
        return header
    if any(header.all(name) for name in _SIGNATURES):
        if smtputf8:
            return header
        raise MessageRefused(
            MALFORMED,
            "The header has characters outside of ASCII, and a signature (DKIM, ARC) that would break if they were encoded. "
            "Encode them (RFC 2047) before signing, or say SMTPUTF8 with MAIL (RFC 6531).",
        )
    try:
        return in_ascii(header, unsent=unsent)
    except MessageRefused:
        if smtputf8:
            return header
        raise


@dataclass(frozen=True, slots=True)
class _Switches:
    validate_message_id: bool
    tracking_disabled: bool
    time_to_live: float


def _one_mailbox(header: Header, name: str) -> Address:
    found = header.all(name)
    if not found:
        raise MessageRefused(MALFORMED, f"The message has no {display_name(name)} field. Add one (RFC 5322 section 3.6).")
    return _mailbox(found[0])


def _mailbox(field: Field) -> Address:
    try:
        return read_mailbox(field.value)
    except MailboxError as error:
        text = _ascii(f"The {display_name(field.name)} field {error.reason}.")
        raise MessageRefused(MALFORMED, text) from error


def _check_senders(header: Header, senders: set[str]) -> None:
    """Other fields that name a sender may name the one of From or of MAIL, and nobody else."""
    for field in header.fields:
        if field.name in _SENDERS and _mailbox(field).mailbox not in senders:
            raise MessageRefused(
                NOT_ALLOWED,
                f"The {display_name(field.name)} field names neither the sender of From nor that of MAIL FROM. "
                "Leave it out, or name one of them.",
            )


def _switches(header: Header) -> _Switches:
    values: dict[str, bool] = {}
    time_to_live = 0.0
    for field in header.fields:
        if not is_switch(field.name):
            continue
        try:
            if field.name in values or field.name not in (*SWITCHES, TRACKING_DISABLED, TIME_TO_LIVE):
                raise SwitchError("It is there twice, or is no switch that is known: leave it out.")
            if field.name == TIME_TO_LIVE:
                time_to_live = read_time_to_live(field.value)
                values[field.name] = True
            else:
                values[field.name] = read_switch(field.value)
        except SwitchError as error:
            raise MessageRefused(MALFORMED, f"A field {field.name[:60]} is not right: {error.rule}") from error
    return _Switches(values.get(VALIDATE_MESSAGE_ID, False), values.get(TRACKING_DISABLED, False), time_to_live)


def _kept_message_id(header: Header, *, validate: bool) -> str:
    """The client's Message-ID when it is one; the switch asks for what ACS calls valid, and for a refusal."""
    value = header.value("message-id")
    if value is None:
        return ""
    if validate and (fault := check_message_id(value)):
        raise MessageRefused(MALFORMED, f"The Message-ID field {fault}.")
    return value if len(value) <= MAX_MESSAGE_ID and _message_id.fullmatch(value) else ""


def _own_message_id(arrival: Arrival, sender: Address) -> str:
    return f"<{arrival.operation_id}@{sender.domain}>"


def _block(header: Header, arrival: Arrival, sender: Address, message_id: str) -> bytes:
    """The header that is signed: ours on top, as every server adds its trace there."""
    protocol = "UTF8SMTPSA" if arrival.smtputf8 else "ESMTPSA"  # RFC 3848 and RFC 6531 section 4.3
    when = date_text(arrival.now)
    ours = [f"Received: by {arrival.host_name} (Postrider) with {protocol} id {arrival.operation_id};\r\n {when}\r\n".encode()]
    if not header.all("date"):
        ours.append(f"Date: {when}\r\n".encode())
    dropped = set(_REMOVED)
    if not message_id:
        ours.append(f"Message-ID: {_own_message_id(arrival, sender)}\r\n".encode())
        dropped.add("message-id")
    if not any(header.all(name) for name in ("to", "cc", *_SIGNATURES)):
        # As `compose` does: receivers count a message without any destination field as malformed. A signature of somebody
        # else may well say that there is none.
        ours.append(b"To: undisclosed-recipients:;\r\n")
    kept = (field.raw for field in header.fields if field.name not in dropped and not is_switch(field.name))
    return b"".join((*ours, *kept))


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()
