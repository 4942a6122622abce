"""The body of `POST /emails:send`: EmailMessage of ACS as a Draft, or a refusal that names everything that is wrong.

One schema serves all api-versions. Unknown fields are ignored, null is the same as absent, and what the schema of ACS
calls required but its clients leave empty is taken the way that its service takes it: `recipients.to` may be empty when
there is a cc or bcc. Recipients that appear twice are kept here, for the headers; delivery is to each `Address.mailbox` once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from email_core.data_plane import refusals
from email_core.data_plane.attachments import read_attachments
from email_core.data_plane.custom_headers import read_headers
from email_core.data_plane.json_fields import ABSENT, FieldReader, read_document
from email_core.message.address import Address, AddressError, parse_address
from email_core.message.draft import Draft
from email_core.message.headers import check_display_name, check_subject
from email_core.message.limits import MAX_ADDRESS, MAX_DISPLAY_NAME_CHARACTERS, MAX_SUBJECT_CHARACTERS

MAX_REPLY_TO = 50  # ACS publishes no number; as many as recipients


class _EmailMessage(msgspec.Struct, rename="camel"):
    sender_address: Raw = ABSENT
    sender_display_name: Raw = ABSENT
    content: Raw = ABSENT
    recipients: Raw = ABSENT
    reply_to: Raw = ABSENT
    headers: Raw = ABSENT
    attachments: Raw = ABSENT
    user_engagement_tracking_disabled: Raw = ABSENT


class _EmailContent(msgspec.Struct, rename="camel"):
    subject: Raw = ABSENT
    plain_text: Raw = ABSENT
    html: Raw = ABSENT


class _EmailRecipients(msgspec.Struct):
    to: Raw = ABSENT
    cc: Raw = ABSENT
    bcc: Raw = ABSENT


class _EmailAddress(msgspec.Struct, rename="camel"):
    address: Raw = ABSENT
    display_name: Raw = ABSENT


_message = msgspec.json.Decoder(_EmailMessage)
_content = msgspec.json.Decoder(_EmailContent)
_recipients = msgspec.json.Decoder(_EmailRecipients)
_address = msgspec.json.Decoder(_EmailAddress)


class _Content(NamedTuple):
    subject: str
    text: str | bytes | None
    html: str | bytes | None


class _Recipients(NamedTuple):
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()


def parse_send_request(body: bytes, *, max_recipients: int) -> Draft:
    """The draft that a request asks for. `max_recipients` counts to, cc and bcc together, duplicates included.

    Raises RequestRefused (400) with a fault for each bad field, or one for a body that is no JSON object. The size of the
    body is for the caller to limit; work and memory are linear in it, whatever it holds.
    """
    try:
        return _parse(body, max_recipients)
    except RecursionError:
        raise refusals.malformed_body("The body is nested too deeply.") from None


def _parse(body: bytes, max_recipients: int) -> Draft:
    message = read_document(body, _message)
    reader = FieldReader()
    sender = _read_sender(reader, message)
    content = _read_content(reader, message.content)
    recipients = _read_recipients(reader, message.recipients, max_recipients)
    reply_to = _read_reply_to(reader, message.reply_to)
    headers = read_headers(reader, message.headers)
    attachments = read_attachments(reader, message.attachments, headers)
    tracking_disabled = reader.boolean(message.user_engagement_tracking_disabled, "userEngagementTrackingDisabled")
    if reader.faults or sender is None or content is None:
        raise refusals.faulty_request(reader.faults)
    return Draft(
        sender=sender, subject=content.subject, **_bodies(content),
        to=recipients.to, cc=recipients.cc, bcc=recipients.bcc, reply_to=reply_to,
        headers=headers.fields, message_id=headers.message_id, attachments=attachments,
        tracking_disabled=tracking_disabled or False, time_to_live=headers.time_to_live,
    )  # fmt: skip


def _read_sender(reader: FieldReader, message: _EmailMessage) -> Address | None:
    """The sender. `senderDisplayName` is of one preview version only and is taken in all."""
    display_name = _read_display_name(reader, message.sender_display_name, "senderDisplayName")
    text = reader.text(message.sender_address, "senderAddress", most=MAX_ADDRESS, required=True)
    return None if text is None else _parsed(reader, text, display_name, "senderAddress")


def _read_content(reader: FieldReader, raw: Raw) -> _Content | None:
    content = reader.members(raw, "content", _content, required=True)
    if content is None:
        return None
    subject = reader.text(content.subject, "content.subject", most=MAX_SUBJECT_CHARACTERS, required=True)
    if subject is not None and (reason := check_subject(subject)):
        reader.add(refusals.bad_property("content.subject", f"It {reason}."))
    faults_before = len(reader.faults)
    text = _read_body_text(reader, content.plain_text, "content.plainText")
    html = _read_body_text(reader, content.html, "content.html")
    if not text and not html and len(reader.faults) == faults_before:
        reader.add(refusals.bad_property("content", "It has neither plainText nor html: give one of them, or both."))
    return None if subject is None else _Content(subject, text or None, html or None)


def _read_body_text(reader: FieldReader, raw: Raw, target: str) -> str | bytes | None:
    text = reader.long_text(raw, target)
    if text is not None and (b"\0" in text if isinstance(text, bytes) else "\0" in text):
        reader.add(refusals.bad_property(target, "It has the character U+0000, which no mail can carry (RFC 5322): remove it."))
    return text


def _bodies(content: _Content) -> dict[str, Any]:
    """The fields of a draft for its text and its HTML."""
    bodies = {"text": content.text, "html": content.html}
    return {f"long_{name}" if isinstance(body, bytes) else name: body for name, body in bodies.items() if body}


def _read_recipients(reader: FieldReader, raw: Raw, most: int) -> _Recipients:
    fields = reader.members(raw, "recipients", _recipients, required=True)
    if fields is None:
        return _Recipients()
    faults_before = len(reader.faults)
    lists = [
        reader.elements(elements, f"recipients.{name}", most)
        for name, elements in (("to", fields.to), ("cc", fields.cc), ("bcc", fields.bcc))
    ]
    count = sum(map(len, lists))
    if count > most:
        at_least = "at least " if any(len(elements) > most for elements in lists) else ""
        rule = f"It has {at_least}{count} members in to, cc and bcc together; at most {most} are allowed."
        reader.add(refusals.bad_property("recipients", f"{rule} Send several messages."))
        return _Recipients()
    if count == 0 and len(reader.faults) == faults_before:
        reader.add(refusals.bad_property("recipients", "It is empty: give at least one address in to, cc or bcc."))
    to, cc, bcc = lists
    return _Recipients(
        _read_addresses(reader, to, "recipients.to"),
        _read_addresses(reader, cc, "recipients.cc"),
        _read_addresses(reader, bcc, "recipients.bcc"),
    )


def _read_reply_to(reader: FieldReader, raw: Raw) -> tuple[Address, ...]:
    elements = reader.elements(raw, "replyTo", MAX_REPLY_TO)
    if len(elements) > MAX_REPLY_TO:
        reader.add(refusals.bad_property("replyTo", f"It has more than {MAX_REPLY_TO} members."))
        return ()
    return _read_addresses(reader, elements, "replyTo")


def _read_addresses(reader: FieldReader, elements: list[Raw], target: str) -> tuple[Address, ...]:
    read = (_read_address(reader, element, f"{target}[{number}]") for number, element in enumerate(elements))
    return tuple(address for address in read if address is not None)


def _read_address(reader: FieldReader, raw: Raw, target: str) -> Address | None:
    element = reader.members(raw, target, _address, required=True)
    if element is None:
        return None
    display_name = _read_display_name(reader, element.display_name, f"{target}.displayName")
    text = reader.text(element.address, f"{target}.address", most=MAX_ADDRESS, required=True)
    return None if text is None else _parsed(reader, text, display_name, f"{target}.address")


def _read_display_name(reader: FieldReader, raw: Raw, target: str) -> str:
    name = reader.text(raw, target, most=MAX_DISPLAY_NAME_CHARACTERS) or ""
    if reason := check_display_name(name):
        reader.add(refusals.bad_property(target, f"It {reason}."))
    return name


def _parsed(reader: FieldReader, text: str, display_name: str, target: str) -> Address | None:
    try:
        return parse_address(text, display_name)
    except AddressError as error:
        reader.add(refusals.invalid_email_address(target, f"The address {error.reason}."))
        return None
