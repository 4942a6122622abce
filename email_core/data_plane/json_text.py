"""A long JSON string as UTF-8, without ever being a Python string.

One character outside of Latin-1 makes a Python string take two or four bytes for each of its characters, so that a request of
10 MB would take up to 40 MB for its text alone. Here it is decoded piece by piece, each cut where no character ends up in
two pieces.
"""

from __future__ import annotations

import re
from io import BytesIO

import msgspec

LONG = 64 * 1024  # octets of JSON; a shorter string costs little, whatever is in it

_PIECE = 64 * 1024  # octets
_LONGEST_ESCAPE = 12  # octets: a surrogate pair, both halves escaped
_first_half = re.compile(rb"\\u[dD][89abAB]")  # of a surrogate pair
_text = msgspec.json.Decoder(str)


def utf8_of(string: memoryview) -> bytes:
    """The text of a JSON string, given without its quotes, in UTF-8.

    Its syntax is checked already. Raises UnicodeDecodeError for what is no UTF-8.
    """
    decoded = BytesIO()
    decoded.seek(len(string))  # JSON is never shorter than what it stands for; growing would leave holes in memory
    decoded.write(b" ")
    decoded.seek(0)
    start = 0
    while start < len(string):
        piece = bytes(string[start : start + _PIECE])
        if start + len(piece) < len(string):
            piece = piece[: _end_of_last_whole_character(piece)]
        text = _text.decode(b'"%b"' % piece)
        decoded.write(text.encode() if b"\\" in piece else piece)
        start += len(piece)
    decoded.truncate()
    return decoded.getvalue()


def _end_of_last_whole_character(piece: bytes) -> int:
    """Where to cut a piece that begins with a whole character, so that it ends with one: there or up to 15 octets before."""
    end = len(piece)
    for back in range(1, 5):
        if piece[-back] >= 0xC0:  # the first octet of several
            end -= back
        if piece[-back] < 0x80 or piece[-back] >= 0xC0:
            break
    escape = _last_escape(piece, end)
    if escape < 0:
        return end
    before = _last_escape(piece, escape)
    is_second_half = before == escape - _LONGEST_ESCAPE // 2 and _first_half.match(piece, before)
    return before if is_second_half else escape


def _last_escape(piece: bytes, end: int) -> int:
    """Where the last escape begins of those that begin in the last octets before `end`; -1 when none does."""
    backslash = piece.rfind(b"\\", max(end - _LONGEST_ESCAPE, 0), end)
    if backslash < 0:
        return -1
    run = piece[: backslash + 1]
    # In a run of backslashes each second one is escaped by the one before.
    return backslash if (len(run) - len(run.rstrip(b"\\"))) % 2 else backslash - 1
