"""A message with 8-bit bodies as one that any server takes: text as quoted-printable or base64, other content as base64.

It is done before signing, as RFC 6376 section 5.3 advises: who converts on the way breaks the signature. What somebody else
has signed stays as it is, and so does what has no clean conversion; such a message needs servers that offer 8BITMIME.
"""

from __future__ import annotations

import re
from binascii import b2a_base64

from email_core.message.base64_body import wrapped
from email_core.message.mime_tree import Part, read_parts
from email_core.message.text_body import quoted_printable, shorter_in_quoted_printable

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
    pieces: list[bytes | memoryview] = []
    view = memoryview(message)
    at = 0
    for part in parts:
        body = message[part.body_start : part.body_end] if not part.container else b""
        if body.isascii():
            continue
        if part.sealed or part.encoding not in _IN_THE_CLEAR or part.media_type.startswith(("message/", "multipart/")):
            return message
        encoding, encoded = _encoded(part, body)
        pieces += [view[at : part.header_start], _fields(message, part, encoding, root=part is root, body=body), encoded]
        at = part.body_end
    converted = b"".join([*pieces, view[at:]])
    # Left over is what no part has: text before, between and behind them, and headers of parts.
    return converted if converted.isascii() else message


def _encoded(part: Part, body: bytes) -> tuple[bytes, bytes]:
    if part.media_type.startswith("text/") and shorter_in_quoted_printable(body):
        return b"quoted-printable", quoted_printable(body)
    encoded = wrapped(b2a_base64(body, newline=False))
    return b"base64", encoded + b"\r\n" if body.endswith(b"\r\n") else encoded


def _fields(message: bytes, part: Part, encoding: bytes, *, root: bool, body: bytes) -> bytes:
    """The fields of a part and the empty line, with the encoding; a message that is not MIME becomes it."""
    fields = _encoding_field.sub(b"", message[part.header_start : part.header_end])
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
