"""The transfer encoding of a text part: as it is when it can be, else quoted-printable or base64, whichever is shorter."""

from __future__ import annotations

import re
from binascii import b2a_base64, b2a_qp
from typing import NamedTuple

from email_core.message.base64_body import wrapped
from email_core.message.limits import MAX_LINE

BOUNDARY_MARK = b"=_"  # begins every boundary; quoted-printable and base64 can't produce it (RFC 2045 section 6.7)

_SAFE_IN_7BIT = bytes(range(0x20, 0x7F)) + b"\t\r\n"
_LITERAL_IN_QUOTED_PRINTABLE = _SAFE_IN_7BIT.replace(b"=", b"")
_one_too_long = re.compile(rb"(?<![^\n])([^\n]{74})(=20|=09)(?=\r\n)")
_mbox_from = re.compile(rb"(?<![^\n])From ")


class TextBody(NamedTuple):
    """The encoded text, lines ending with CRLF, and the name of its encoding."""

    encoding: str
    octets: bytes


def encode_text(text: str | bytes) -> TextBody:
    """The text, which may be in UTF-8 already, its line ends made CRLF and one put at its end, encoded for transport."""
    octets = text.encode() if isinstance(text, str) else text
    if b"\r" in octets:
        octets = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if octets and octets[-1:] != b"\n":
        octets += b"\n"
    octets = octets.replace(b"\n", b"\r\n")
    if _may_stand_as_it_is(octets):
        return TextBody("7bit", octets)
    if shorter_in_quoted_printable(octets):
        return TextBody("quoted-printable", quoted_printable(octets))
    return TextBody("base64", wrapped(b2a_base64(octets, newline=False)) + b"\r\n")


def _may_stand_as_it_is(octets: bytes) -> bool:
    # These looks at the whole text are most of the time that composing a message takes, so each is of the quickest kind: one
    # octet is found much faster than two, and a literal faster than the expression `_mbox_from`.
    if octets.translate(None, _SAFE_IN_7BIT) or (BOUNDARY_MARK[-1:] in octets and BOUNDARY_MARK in octets):
        return False
    if octets.startswith(b"From ") or b"\nFrom " in octets:
        return False
    return not has_long_line(octets)


def has_long_line(octets: bytes) -> bool:
    """Whether a line is longer than 998 octets, its CRLF not counted. A list of the lines would take twenty times the text."""
    start, longest = 0, MAX_LINE + len(b"\r\n")
    while len(octets) - start > longest:
        start = octets.rfind(b"\n", start, start + longest) + 1
        if not start:
            return True
    return False


def shorter_in_quoted_printable(octets: bytes) -> bool:
    """Whether quoted-printable makes less of these octets than base64."""
    to_quote = len(octets.translate(None, _LITERAL_IN_QUOTED_PRINTABLE))
    # Lengths with their line ends: 75 octets and "=" to a line here, 76 there.
    return (len(octets) + 2 * to_quote) * 78 // 75 <= len(octets) * 4 // 3 * 78 // 76


def quoted_printable(octets: bytes) -> bytes:
    """Text whose lines end with CRLF in quoted-printable (RFC 2045 section 6.7); the CRLFs stay line ends."""
    # Told that this is text, binascii keeps CRLF and quotes blanks at line ends. It leaves three things to us: a line
    # whose quoted blank makes it one octet too long; "From " at the start of a line, which mail stores change to
    # ">From ", breaking the signature; and a dot alone behind a soft line break, which only SMTP may see as an end.
    quoted = b2a_qp(octets, istext=True)
    if b"=20\r\n" in quoted or b"=09\r\n" in quoted:
        quoted = _one_too_long.sub(rb"\1=\r\n\2", quoted)
    if b"From " in quoted:
        quoted = _mbox_from.sub(b"=46rom =\r\n", quoted)
    return quoted.replace(b"=\r\n.\r\n", b"=\r\n=2E\r\n")
