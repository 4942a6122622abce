"""The header of a message that came by SMTP, split into fields by strict rules.

Mail programs mend what is malformed each in its own way, and a message that two of them read differently can show its reader
another sender than the one that was checked here. So nothing is mended: what has two readings is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from email_core.message.headers import SINGLETONS
from email_core.message.limits import MAX_LINE
from email_core.message.refusal import BAD_CHARACTER, MALFORMED, TOO_LARGE, MessageRefused
from email_core.message.text_body import has_long_line

# Octets. Sendmail's default is 32 KB and Postfix cuts at 100 KB; what the JSON door takes in custom headers is as much.
MAX_HEADER = 64 * 1024
MAX_FIELDS = 1000  # the longest way through lists and filters leaves a hundred or two

_SINGLETONS = frozenset(name.decode() for name in SINGLETONS) - {"bcc"}  # which nobody gets to see

_field_start = re.compile(rb"([!-9;-~]+):")  # ftext, RFC 5322 section 2.2; a blank before the colon is obsolete syntax
_fold = re.compile(rb"[ \t]+[^ \t]")
_feedback_id = re.compile(rb"(?:\A|\r\n)feedback-id:", re.IGNORECASE)
_control = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_control_character = re.compile("[\x80-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Field:
    """A field: its name in lower case, and `raw` as it stands, folds and last CRLF included."""

    name: str
    raw: bytes

    @property
    def value(self) -> str:
        """The value, unfolded, without the blanks around it; the header was seen to be UTF-8."""
        unfolded = self.raw.partition(b":")[2].replace(b"\r\n", b"")
        return unfolded.decode().strip(" \t")


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of a message in their order, and where its body begins."""

    fields: tuple[Field, ...]
    body_start: int

    def all(self, name: str) -> list[Field]:
        """The fields of a name, in lower case."""
        return [field for field in self.fields if field.name == name]

    def value(self, name: str) -> str | None:
        """The value of the first field of a name; None when there is none."""
        return next((field.value for field in self.fields if field.name == name), None)


def check_lines(message: bytes) -> None:
    """Refuse what is no text in lines: a NUL, a CR or LF of its own, a line of more than 998 octets. Raises MessageRefused."""
    line_ends = message.count(b"\r\n")
    if message.count(b"\n") != line_ends or message.count(b"\r") != line_ends:
        # What ends a line for one server only can end a message for it (SMTP smuggling).
        text = "The message has a bare CR or LF. End every line with CRLF (RFC 5321 section 2.3.8)."
        raise MessageRefused(BAD_CHARACTER, text)
    if b"\x00" in message:
        raise MessageRefused(BAD_CHARACTER, "The message has a NUL. Send binary content in base64 (RFC 2045 section 6.8).")
    if has_long_line(message):
        raise MessageRefused(
            MALFORMED,
            f"The message has a line of more than {MAX_LINE} octets (RFC 5322 section 2.1.1). "
            "Fold header fields, and send long lines of text as quoted-printable or base64.",
        )


def read_header(message: bytes) -> Header:
    """The header of a message whose lines are checked; it may hold UTF-8 (RFC 6532). Raises MessageRefused."""
    end = _header_end(message)
    block = message[:end]
    if found := _control.search(block):
        raise _malformed(f"The header has a control character (0x{found[0][0]:02X}). Remove it, or send it in an encoded word.")
    fields = tuple(_fields(block))
    if not block.isascii():
        _check_utf8(fields)
    seen: set[str] = set()
    for field in fields:
        if field.name in seen and field.name in _SINGLETONS:
            raise _malformed(f"The header has more than one {display_name(field.name)} field. Send one (RFC 5322 section 3.6).")
        seen.add(field.name)
    return Header(fields, min(end + 2, len(message)))


def with_feedback_id(message: bytes, value: str) -> bytes:
    """A message with the field Feedback-ID on top, unless its sender gave one, whose statistics are then the sender's own."""
    end = message.find(b"\r\n\r\n")
    if _feedback_id.search(message, 0, end + 2 if end >= 0 else len(message)):
        return message
    return b"Feedback-ID: %b\r\n%b" % (value.encode(), message)


def display_name(name: str) -> str:
    """A known field's name as one writes it: `message-id` is Message-ID."""
    words = {"id": "ID", "mime": "MIME"}
    return "-".join(words.get(word, word.capitalize()) for word in name.split("-"))


def _header_end(message: bytes) -> int:
    """Where the last field's CRLF ends."""
    if message.startswith(b"\r\n"):
        return 0
    end = message.find(b"\r\n\r\n", 0, MAX_HEADER + 4)
    if end >= 0:
        return end + 2
    if len(message) > MAX_HEADER:
        raise MessageRefused(TOO_LARGE, f"The header is larger than {MAX_HEADER} octets. Leave out fields that nobody needs.")
    if not message.endswith(b"\r\n"):
        raise _malformed("The header ends in the middle of a line. End it with CRLF and an empty line.")
    return len(message)


def _check_utf8(fields: Iterable[Field]) -> None:
    for field in fields:
        try:
            text = field.raw.decode()
        except UnicodeDecodeError:
            name = display_name(field.name[:60])
            raise _malformed(
                f"The {name} field has octets that are neither ASCII nor UTF-8: Latin-1, perhaps. "
                "Encode its text (RFC 2047), or send UTF-8."
            ) from None
        if _control_character.search(text):
            raise _malformed("The header has a control character in UTF-8. Remove it.")


def _fields(block: bytes) -> Iterator[Field]:
    lines: list[bytes] = []
    name = ""
    count = 0
    for line in block.split(b"\r\n")[:-1]:
        if len(line) > MAX_LINE:
            raise _malformed(f"The header has a line of more than {MAX_LINE} octets. Fold it (RFC 5322 section 2.1.1).")
        if start := _field_start.match(line):
            if lines:
                yield Field(name, b"\r\n".join(lines) + b"\r\n")
            name, lines = start[1].decode().lower(), [line]
            count += 1
            if count > MAX_FIELDS:
                raise MessageRefused(TOO_LARGE, f"The header has more than {MAX_FIELDS} fields. Leave out those nobody needs.")
        elif lines and _fold.match(line):
            lines.append(line)
        else:
            raise _malformed(
                "The header has a line that is neither a field (a name, a colon, a value) nor the continuation of one. "
                "End the header with an empty line."
            )
    if lines:
        yield Field(name, b"\r\n".join(lines) + b"\r\n")


def _malformed(text: str) -> MessageRefused:
    return MessageRefused(MALFORMED, text)
