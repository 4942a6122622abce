"""The parts of a MIME message by where they stand, found in one pass over its bytes.

Nothing is decoded and nothing copied. What a part says of itself is read as far as its structure needs; a part that can't be
read is a leaf. A message with more parts or deeper nesting than anybody needs is refused, for such messages are made to keep
scanners busy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from email_core.message.mime_header import MAX_HEADER
from email_core.message.refusal import MALFORMED, MessageRefused

MAX_PARTS = 1000
MAX_DEPTH = 50  # of multiparts and messages inside of each other
MAX_PART_HEADER = MAX_HEADER + 8 * 1024  # octets; what we add to a header that was taken is not refused later
FEW_PARTS = 100  # are read in some three milliseconds

_delimiter = re.compile(rb"\r\n--([^\r\n]{1,210})(?=\r\n|\Z)")  # a boundary has up to 70 characters (RFC 2046 section 5.1.1)
_media_type = re.compile(r"([A-Za-z0-9!#$&^_.+\-]+/[A-Za-z0-9!#$&^_.+\-]+)[ \t]*(?=;|\(|\Z)")
_parameter = re.compile(r';[ \t]*([^ \t=;"]{1,40})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^ \t;"]*))')
_quoted_pair = re.compile(r"\\(.)")


@dataclass(slots=True)
class Part:
    """A part: its fields are in `header_start:header_end`, its body in `body_start:body_end` of the message.

    `media_type` and `encoding` are in lower case; without a Content-Type it is what the container implies, and without a
    Content-Transfer-Encoding empty. A `container` has parts in its body, and comes before them in the list. `sealed`: a
    multipart/signed or multipart/encrypted is around it, whose signature holds for these very bytes (RFC 1847).
    """

    header_start: int
    header_end: int
    body_start: int
    body_end: int
    media_type: str
    encoding: str
    depth: int
    container: bool = False
    sealed: bool = False


@dataclass(slots=True)
class _Open:
    """A container whose end is not found yet; an enclosed message has no boundary of its own."""

    part: Part
    boundary: bytes | None


@dataclass(slots=True)
class _Reader:
    message: bytes
    parts: list[Part] = field(default_factory=list)
    opened: list[_Open] = field(default_factory=list)
    boundaries: dict[bytes, int] = field(default_factory=dict)  # of the opened, the innermost of each

    def begin(self, start: int) -> int:
        """Begin the part whose header is at `start`; where its body, or that of the innermost message in it, begins."""
        while True:
            part, boundary = self._read_part(start)
            self.parts.append(part)
            if len(self.parts) > MAX_PARTS:
                raise MessageRefused(MALFORMED, f"The message has more than {MAX_PARTS} MIME parts. Send fewer, or an archive.")
            if not part.container:
                return part.body_start
            if part.depth >= MAX_DEPTH:
                raise MessageRefused(MALFORMED, f"The message has MIME parts nested more than {MAX_DEPTH} deep. Flatten it.")
            self.opened.append(_Open(part, boundary))
            if boundary is not None:
                self.boundaries[boundary] = len(self.opened) - 1
                return part.body_start
            start = part.body_start

    def level_of(self, name: bytes) -> tuple[int, bool]:
        """Which opened container a delimiter belongs to (-1: none), and whether it closes it."""
        if (level := self.boundaries.get(name)) is not None:
            return level, False
        if name.endswith(b"--") and (level := self.boundaries.get(name[:-2])) is not None:
            return level, True
        return -1, False

    def end(self, level: int, at: int) -> None:
        """What is open above a level ends at an offset."""
        last = self.parts[-1]
        if not last.container:
            last.body_end = min(last.body_end, max(at, last.body_start))
        if level + 1 == len(self.opened):
            return
        for each in self.opened[level + 1 :]:
            each.part.body_end = max(at, each.part.body_start)
        del self.opened[level + 1 :]
        self.boundaries = {each.boundary: n for n, each in enumerate(self.opened) if each.boundary is not None}

    def _read_part(self, start: int) -> tuple[Part, bytes | None]:
        header_end, body_start = self._header_end(start)
        around = self.opened[-1].part if self.opened else None
        fields = _content_fields(self.message[start:header_end])
        digest = around is not None and around.media_type == "multipart/digest"
        media_type, boundary = _content_type(fields.get("content-type", ""), "message/rfc822" if digest else "text/plain")
        encoding = fields.get("content-transfer-encoding", "").lower()
        multipart = media_type.startswith("multipart/") and boundary is not None
        message = media_type in ("message/rfc822", "message/global") and encoding in ("", "7bit", "8bit", "binary")
        sealed = around is not None and (around.sealed or around.media_type in ("multipart/signed", "multipart/encrypted"))
        end, depth, container = len(self.message), len(self.opened), multipart or message
        part = Part(start, header_end, body_start, end, media_type, encoding, depth, container, sealed)
        return part, boundary if multipart else None

    def _header_end(self, start: int) -> tuple[int, int]:
        """Where the fields end, and where the body begins. A delimiter among the fields ends a part that has no body."""
        message = self.message
        if message.startswith(b"\r\n", start):
            return start, start + 2
        end = message.find(b"\r\n\r\n", start, start + MAX_PART_HEADER + 4)
        if end < 0 and len(message) - start > MAX_PART_HEADER:
            raise MessageRefused(MALFORMED, f"A MIME part has a header of more than {MAX_PART_HEADER} octets. Make it shorter.")
        stop = end if end >= 0 else len(message)
        for match in _delimiter.finditer(message, max(start - 2, 0), stop + 2):
            if self.level_of(match[1].rstrip(b" \t"))[0] >= 0:
                # Behind the fields, and before the CRLF that belongs to the delimiter.
                return max(match.start(), start), max(match.start(), start)
        return (end + 2, end + 4) if end >= 0 else (len(message), len(message))


def read_parts(message: bytes) -> list[Part]:
    """All parts of a message in CRLF lines, the message itself first, each before those in it. Raises MessageRefused."""
    reader = _Reader(message)
    position = reader.begin(0)
    if not reader.opened:
        return reader.parts
    for match in _delimiter.finditer(message, max(position - 2, 0)):
        if match.start() < position - 2:
            continue  # a line of the header of a part
        level, closes = reader.level_of(match[1].rstrip(b" \t"))
        if level < 0:
            continue
        reader.end(level, match.start())
        if closes:
            reader.end(level - 1, match.start())
        elif match.end() + 2 <= len(message):
            position = reader.begin(match.end() + 2)
    return reader.parts


def may_have_many_parts(message: bytes) -> bool:
    """Whether reading the parts may take so long that an event loop should not wait for it."""
    return message.count(b"\r\n--") > FEW_PARTS


def _content_fields(block: bytes) -> dict[str, str]:
    """The first Content-Type and Content-Transfer-Encoding, unfolded."""
    fields: dict[str, str] = {}
    for line in block.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ").split(b"\r\n"):
        name, colon, value = line.partition(b":")
        lower = name.lower().decode("latin-1")
        if colon and lower in ("content-type", "content-transfer-encoding"):
            fields.setdefault(lower, value.decode("latin-1").strip(" \t"))
    return fields


def _content_type(value: str, default: str) -> tuple[str, bytes | None]:
    """The media type in lower case, and the boundary when it has one."""
    match = _media_type.match(value)
    if not match:
        return default, None
    for name, quoted, bare in _parameter.findall(value, match.end()):
        if name.lower() == "boundary" and (text := _quoted_pair.sub(r"\1", quoted) or bare):
            return match[1].lower(), text.rstrip(" \t").encode("latin-1")
    return match[1].lower(), None
