"""A message with 8-bit bodies as one that any server takes: text as quoted-printable or base64, other content as base64.

Raw UTF-8 in the header of a part, such as a file name, is encoded as in that of the message. It is done before signing, as
RFC 6376 section 5.3 advises: who converts on the way breaks the signature. What somebody else has signed stays as it is, and so
does what has no clean conversion; such a message needs servers that offer 8BITMIME.
"""

from __future__ import annotations

import re
from binascii import b2a_base64

from email_core.message.ascii_header import in_ascii
from email_core.message.base64_body import wrapped
from email_core.message.mime_header import read_header
from email_core.message.mime_tree import Part, read_parts
from email_core.message.refusal import MessageRefused
from email_core.message.text_body import quoted_printable, shorter_in_quoted_printable

MAX_PART_FIELDS = 8 * 1024  # octets of all parts' headers that are encoded, in some ten milliseconds
_IN_THE_CLEAR = ("", "7bit", "8bit", "binary")
# Signatures over the body. ARC-Seal covers header fields only, but comes with a set of all three.
_foreign_signature = re.compile(
    rb"(?:\A|\r\n)(?:DKIM-Signature|DomainKey-Signature|ARC-Message-Signature)[ \t]*:", re.IGNORECASE
)
_encoding_field = re.compile(rb"(?:\A|(?<=\r\n))Content-Transfer-Encoding:[^\r]*(?:\r\n[ \t][^\r]*)*\r\n", re.IGNORECASE)


def in_seven_bits(message: bytes) -> bytes:
    """The message without 8-bit octets when it can be, else as it came. Its lines end with CRLF."""
    if message.isascii():
        return message
    parts = read_parts(message)
    root = parts[0]
    header = message[: root.header_end]
    if not header.isascii() or _foreign_signature.search(header):
        return message
    foreign = [part for part in parts if not message[part.header_start : part.header_end].isascii()]
    if any(part.sealed for part in foreign) or sum(part.header_end - part.header_start for part in foreign) > MAX_PART_FIELDS:
        return message
    pieces: list[bytes | memoryview] = []
    view = memoryview(message)
    at = 0
    for part in parts:
        came = message[part.header_start : part.header_end]
        fields = came if came.isascii() else _in_ascii(came)
        body = message[part.body_start : part.body_end] if not part.container else b""
        if body.isascii():
            if fields is not came:
                pieces += [view[at : part.header_start], fields]
                at = part.header_end
            continue
        if part.sealed or part.encoding not in _IN_THE_CLEAR or part.media_type.startswith(("message/", "multipart/")):
            return message
        encoding, encoded = _encoded(part, body)
        pieces += [view[at : part.header_start], _fields(fields, encoding, root=part is root, body=body), encoded]
        at = part.body_end
    converted = b"".join([*pieces, view[at:]])
    # Left over is what no part has: text before, between and behind them, and what no encoding exists for.
    return converted if converted.isascii() else message


def _in_ascii(fields: bytes) -> bytes:
    """The fields of a part without raw UTF-8, or as they came when it stands where nothing encodes it."""
    try:
        return b"".join(field.raw for field in in_ascii(read_header(fields)).fields)
    except MessageRefused:
        return fields


def _encoded(part: Part, body: bytes) -> tuple[bytes, bytes]:
    if part.media_type.startswith("text/") and shorter_in_quoted_printable(body):
        return b"quoted-printable", quoted_printable(body)
    encoded = wrapped(b2a_base64(body, newline=False))
    return b"base64", encoded + b"\r\n" if body.endswith(b"\r\n") else encoded


def _fields(fields: bytes, encoding: bytes, *, root: bool, body: bytes) -> bytes:
    """The fields of a part and the empty line, with the encoding; a message that is not MIME becomes it."""
    fields = _encoding_field.sub(b"", fields)
    names = {line.partition(b":")[0].lower() for line in fields.split(b"\r\n")}
    if root and b"mime-version" not in names:
        fields += b"MIME-Version: 1.0\r\n"
        if b"content-type" not in names:
            fields += b"Content-Type: text/plain; charset=" + _charset(body) + b"\r\n"
    return fields + b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n"


def _charset(body: bytes) -> bytes:
    try:
        body.decode()
    except UnicodeDecodeError:
        return b"unknown-8bit"  # RFC 1428 section 3
    return b"utf-8"
