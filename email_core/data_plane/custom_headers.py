"""The `headers` of a send request: the caller's own header fields, and the switches of ACS that hide among them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec
from msgspec import Raw

from email_core.data_plane import refusals
from email_core.data_plane.json_fields import FieldReader
from email_core.message.headers import check_custom_header, check_message_id
from email_core.message.limits import (
    MAX_CUSTOM_HEADERS,
    MAX_CUSTOM_HEADERS_BYTES,
    MAX_HEADER_NAME,
    MAX_HEADER_VALUE,
)
from email_core.message.switches import (
    IGNORE_DUPLICATE_CONTENT_ID,
    SUPPRESS_INVALID_ATTACHMENT,
    SWITCHES,
    TIME_TO_LIVE,
    VALIDATE_MESSAGE_ID,
    SwitchError,
    read_switch,
    read_time_to_live,
)

# JSON may take six octets for one that counts (\u0041). What is beyond is refused without a look inside.
_MAX_JSON_BYTES = 8 * MAX_CUSTOM_HEADERS_BYTES

# What to use in place of the reserved fields that have a property of their own.
_INSTEAD = {
    "from": "senderAddress and senderDisplayName",
    "sender": "senderAddress",
    "to": "recipients.to",
    "cc": "recipients.cc",
    "bcc": "recipients.bcc",
    "reply-to": "replyTo",
    "subject": "content.subject",
    "content-type": "content.plainText, content.html and attachments",
    "content-id": "contentId of the attachment",
}

_IMPORTANCE = ("x-priority", "x-msmail-priority")
_importance = re.compile(r"[1-5](?: \((?:highest|high|normal|low|lowest)\))?|high|normal|low", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CustomHeaders:
    """What `headers` asks for. `message_id` has its angle brackets, and is empty when the service is to make one.

    `time_to_live` is in seconds, 0 when the request does not say.
    """

    fields: tuple[tuple[str, str], ...] = ()
    message_id: str = ""
    ignore_duplicate_content_id: bool = False
    suppress_invalid_attachment: bool = False
    time_to_live: float = 0.0


class _Name:
    """A name as a dictionary key that equals no other, so that msgspec keeps members of the same name apart."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


_members = msgspec.json.Decoder(dict[_Name, Raw], dec_hook=lambda _, text: _Name(text))


def read_headers(reader: FieldReader, raw: Raw) -> CustomHeaders:
    """The header fields and switches of a request; what is wrong with them goes to `reader`."""
    named = _named_values(reader, raw)
    switches = {name: _read_switch(reader, name, named) for name in SWITCHES}
    message_id = _read_message_id(reader, named, switches[VALIDATE_MESSAGE_ID])
    time_to_live = _read_time_to_live(reader, named)
    fields = []
    for lower, (name, value) in named.items():
        if lower in ("message-id", TIME_TO_LIVE, *SWITCHES):
            continue
        if rule := _what_is_wrong(lower, name, value):
            reader.add(refusals.bad_property(_target(name), rule))
        else:
            fields.append((name, value))
    return CustomHeaders(
        tuple(fields),
        message_id,
        switches[IGNORE_DUPLICATE_CONTENT_ID],
        switches[SUPPRESS_INVALID_ATTACHMENT],
        time_to_live,
    )


def _named_values(reader: FieldReader, raw: Raw) -> dict[str, tuple[str, str]]:
    """Name in lower case -> name and value, each name once: a field that two mail systems read differently helps a forger."""
    if len(memoryview(raw)) > _MAX_JSON_BYTES:
        reader.add(refusals.bad_property("headers", f"It is larger than {_MAX_JSON_BYTES} bytes of JSON."))
        return {}
    members = reader.members(raw, "headers", _members) or {}
    if len(members) > MAX_CUSTOM_HEADERS:
        rule = f"It has {len(members)} members; at most {MAX_CUSTOM_HEADERS} are allowed."
        reader.add(refusals.bad_property("headers", rule))
        return {}
    named: dict[str, tuple[str, str]] = {}
    size = 0
    for member, raw_value in members.items():
        name, lower = member.text, member.text.lower()
        value = reader.text(raw_value, _target(name), most=MAX_HEADER_VALUE)
        if lower in named:
            reader.add(refusals.bad_property(_target(name), "It is there twice, and case does not matter: give it once."))
        elif value is not None:
            named[lower] = (name, value)
            size += len(name) + len(value.encode())
    if size > MAX_CUSTOM_HEADERS_BYTES:
        rule = f"Names and values have more than {MAX_CUSTOM_HEADERS_BYTES} bytes together."
        reader.add(refusals.bad_property("headers", rule))
    return named


def _target(name: str) -> str:
    return f"headers['{refusals.visible(name, MAX_HEADER_NAME)}']"


def _read_switch(reader: FieldReader, switch: str, named: dict[str, tuple[str, str]]) -> bool:
    name, value = named.get(switch, (switch, "false"))
    try:
        return read_switch(value)
    except SwitchError as error:
        reader.add(refusals.bad_property(_target(name), error.rule))
        return False


def _read_time_to_live(reader: FieldReader, named: dict[str, tuple[str, str]]) -> float:
    name, value = named.get(TIME_TO_LIVE, (TIME_TO_LIVE, ""))
    try:
        return read_time_to_live(value)
    except SwitchError as error:
        reader.add(refusals.bad_property(_target(name), error.rule))
        return 0.0


def _read_message_id(reader: FieldReader, named: dict[str, tuple[str, str]], validate: bool) -> str:
    """The caller's Message-ID when it is valid. ACS replaces one that is not, unless it is told to refuse it."""
    name, value = named.get("message-id", ("", ""))
    if not name:
        return ""
    reason = check_message_id(value)
    if reason and validate:
        reader.add(refusals.bad_property(_target(name), f"It {reason}."))
    return "" if reason else value


def _what_is_wrong(lower: str, name: str, value: str) -> str:
    if lower.startswith("x-postrider-"):
        return f"It is no header that is known; the only one is {TIME_TO_LIVE}."
    if lower.startswith("x-ms-acsemail-"):
        return f"It is no switch that is known; these are: {', '.join(SWITCHES)}."
    if lower in _INSTEAD:
        return f"It is set by the service: use {_INSTEAD[lower]}."
    if lower in _IMPORTANCE and not _importance.fullmatch(value):
        return "It must be 1 (highest) to 5 (lowest), or High, Normal or Low."
    reason = check_custom_header(name, value)
    return f"It {reason}." if reason else ""
