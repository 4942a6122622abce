"""The octets of a message as they come after DATA: where they end, without stuffed dots, and nothing but CRLF between lines.

Only CRLF.CRLF ends a message (RFC 5321 section 4.1.1.4). A CR or LF alone, or a NUL, is how one server is made to see an end
where another one sees none (SMTP smuggling), so a message with any of them is not taken at all: what comes after it could
be commands or text, and the connection has to be closed.
"""

from __future__ import annotations

MAX_LINE = 998  # octets without CRLF, RFC 5322 section 2.1.1

_END = b"\r\n.\r\n"


class StrayOctet(Exception):
    """A CR or LF alone, or a NUL, stands in the message."""


class LineTooLong(Exception):
    """A line of the message is longer than it may be."""


class DotStream:
    """Fed with blocks as they come; `ended` once the final dot has come, and `rest` is then what came behind it.

    `most_line`: octets of a line without CRLF.
    """

    def __init__(self, most_line: int = MAX_LINE) -> None:
        self._most_line = most_line
        self.ended = False
        self.rest = b""
        self._open_line = b""  # always from the beginning of a line on

    def feed(self, block: bytes) -> bytes:
        """The next octets of the message. Raises StrayOctet or LineTooLong as soon as one can be seen."""
        octets = self._open_line + block
        if octets.startswith(_END[2:]):
            self._end(octets, 0)
            return b""
        end = octets.find(_END)
        if end >= 0:
            self._end(octets, end + 2)
            lines = octets[: end + 2]
        else:
            whole = octets.rfind(b"\r\n") + 2 if b"\r\n" in octets else 0
            lines, self._open_line = octets[:whole], octets[whole:]
        _check_lines(lines, self._most_line)
        _check_open_line(self._open_line, self._most_line)
        return lines.removeprefix(b".").replace(b"\r\n.", b"\r\n")

    def _end(self, octets: bytes, dot: int) -> None:
        self.ended, self.rest, self._open_line = True, octets[dot + 3 :], b""


def _check_lines(lines: bytes, most: int) -> None:
    ends = lines.count(b"\r\n")
    if ends != lines.count(b"\r") or ends != lines.count(b"\n") or b"\0" in lines:
        raise StrayOctet
    # A stuffed dot does not count (RFC 5321 section 4.5.3.1.6).
    if lines and max(map(len, lines.removeprefix(b".").replace(b"\r\n.", b"\r\n").split(b"\r\n"))) > most:
        raise LineTooLong


def _check_open_line(line: bytes, most: int) -> None:
    if b"\n" in line or b"\r" in line[:-1] or b"\0" in line:
        raise StrayOctet
    if len(line.removeprefix(b".").removesuffix(b"\r")) > most:
        raise LineTooLong
