"""Base64 as a message carries it: validated and re-wrapped without building the bytes that it stands for.

A request already holds its attachments in base64, and a message needs them in base64: only the line breaks differ.
Everything here is linear whatever the text holds, and made of C loops: 10 MB take about 10 ms on a small machine, a
tenth of what decoding and encoding again would, and no second copy of the text is made on the way to its lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BytesIO
from struct import Struct

from email_core.message.limits import MAX_BODY_LINE

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_LINES_AT_ONCE = 1024
_AT_ONCE = MAX_BODY_LINE * _LINES_AT_ONCE
# One call slices a thousand lines; a Python loop over the slices takes four times as long.
_slice_lines = Struct(f"{MAX_BODY_LINE}s" * _LINES_AT_ONCE).unpack_from
_bare_cr = re.compile(rb"\r(?!\n)")
# The last character before "==" carries two bits of data, before "=" four; the others must be zero.
_LAST_BEFORE_PADDING = {1: _ALPHABET[::4], 2: _ALPHABET[::16]}


class Base64Error(ValueError):
    """Not base64. `reason` says what is wrong and, where one is to blame, at which character, counted from 1."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def rewrap(encoded: bytes | memoryview) -> tuple[bytes, int]:
    """The same base64 in lines of 76 octets joined by CRLF (RFC 2045 section 6.8), and the size it decodes to.

    Lines that end with CRLF or LF are accepted, as .NET and Java encoders write them; blanks, other alphabets, missing
    or misplaced padding and non-zero bits under the padding (RFC 4648 section 3.5) are not. Raises Base64Error.
    """
    text = memoryview(encoded)
    lines = _Lines(len(text))
    padding, padding_from = 0, -1
    for start in range(0, len(text), _AT_ONCE):
        piece = bytes(text[start : start + _AT_ONCE])
        _refuse_foreign(piece, start, text)
        data = piece.translate(None, b"\r\n") if b"\n" in piece or b"\r" in piece else piece
        if b"=" in piece or padding:
            if padding_from < 0:
                padding_from = start + piece.index(b"=")
            padding += data.count(b"=")
            if padding > 2 or data.lstrip(_ALPHABET if padding_from >= start else b"").strip(b"="):
                raise Base64Error(
                    f'has "=" in the wrong place at character {padding_from + 1}: padding is one or two at the end'
                )
        lines.add(data)
    if lines.length % 4:
        raise Base64Error(f"ends inside a group of four at character {len(text)}: it is cut off, or its padding is missing")
    if padding:
        _refuse_bits_under_padding(text[:padding_from], padding)
    return lines.joined(), lines.length // 4 * 3 - padding


def wrapped(encoded: bytes) -> bytes:
    """Valid base64 without line breaks, cut into lines of 76 octets joined by CRLF; no CRLF at the end."""
    lines = _Lines(len(encoded))
    lines.add(encoded)
    return lines.joined()


class _Lines:
    """Cuts what is added to it into lines: `most` octets of base64 and no more.

    BytesIO gives its octets back without a copy, unlike a list that is joined; and when it has its full size from the start,
    it leaves no holes in memory as it grows.
    """

    def __init__(self, most: int) -> None:
        self._written = BytesIO()
        if most:
            self._written.seek(most + 2 * (most // MAX_BODY_LINE))
            self._written.write(b" ")
            self._written.seek(0)
        self._rest = b""
        self.length = 0  # of what was added

    def add(self, encoded: bytes) -> None:
        """Add octets that have no line breaks."""
        self.length += len(encoded)
        if self._rest:
            encoded = self._rest + encoded
        whole = len(encoded) - len(encoded) % _AT_ONCE
        for start in range(0, whole, _AT_ONCE):
            self._write(_slice_lines(encoded, start))
        self._rest = encoded[whole:]

    def joined(self) -> bytes:
        """All lines, joined by CRLF."""
        rest = self._rest
        if rest:
            self._write([rest[start : start + MAX_BODY_LINE] for start in range(0, len(rest), MAX_BODY_LINE)])
            self._rest = b""
        self._written.truncate()
        return self._written.getvalue()

    def _write(self, lines: Sequence[bytes]) -> None:
        if self._written.tell():
            self._written.write(b"\r\n")
        self._written.write(b"\r\n".join(lines))


def _refuse_foreign(piece: bytes, start: int, text: memoryview) -> None:
    if foreign := piece.translate(None, _ALPHABET + b"=\r\n"):
        at = start + piece.index(foreign[:1]) + 1
        raise Base64Error(f"is not base64 at character {at}: use the alphabet of RFC 4648 section 4")
    if b"\r" in piece:
        following = bytes(text[start + len(piece) : start + len(piece) + 1])
        if bare := _bare_cr.search(piece + following if following == b"\n" else piece):
            raise Base64Error(f"has a carriage return without a line feed at character {start + bare.start() + 1}: remove it")


def _refuse_bits_under_padding(before: memoryview, padding: int) -> None:
    end = len(before)
    while not (last := bytes(before[max(end - _AT_ONCE, 0) : end]).rstrip(b"\r\n")):
        end -= _AT_ONCE
    if last[-1] not in _LAST_BEFORE_PADDING[padding]:
        at = max(end - _AT_ONCE, 0) + len(last)
        raise Base64Error(f"has non-zero bits under its padding at character {at} (RFC 4648 section 3.5): encode it again")
