"""The parts of a message that a stranger sent to one of our reverse-paths, read with bounded work. Pure.

The header of each part is read by the standard library; the splitting is done here, for its parser of whole messages has no
limit on parts and depth. No archive is opened and nothing is decompressed: a part that is neither text nor a report stays the
bytes that it came as.
"""

from __future__ import annotations

import binascii
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser

MAX_BYTES = 1024 * 1024  # what is looked at of a message; a report with the whole of a large message has its facts before it
MAX_PARTS = 50
MAX_DEPTH = 10
MAX_TEXT = 64 * 1024  # bytes of a part that are decoded

_MAX_HEADER = 64 * 1024  # bytes
_MAX_FIELDS = 1000
_MAX_FIELD = 4000  # characters; the standard library takes quadratic time for parameters
_HEADERS_ONLY = frozenset({"text/rfc822-headers", "message/rfc822-headers", "message/global-headers"})  # RFC 6522, RFC 6533
_MESSAGES = frozenset({"message/rfc822", "message/global"})
# Codecs of Python that are no charsets of mail (punycode, idna) can take quadratic time.
_charset = re.compile(
    r"(?:us-)?ascii|utf-?(?:8|16(?:-?[lb]e)?)|latin-?1|iso-?8859-\d{1,2}|(?:windows-|cp)12\d\d|cp\d{3}|koi8-[ru]|gb2312|gbk"
    r"|gb18030|big5|shift[_-]jis|euc-(?:jp|kr)|iso-2022-(?:jp|kr)|ks_c_5601-1987|macintosh|tis-620"
)
_field_name = re.compile(rb"[!-9;-~]{1,100}[ \t]*:")
_tag = re.compile(r"<(?:br|/p|/div|/tr|/h\d|/li)\b[^<>]{0,200}>", re.IGNORECASE)
_any_tag = re.compile(r"<(?:!--|/?[a-zA-Z])[^<>]{0,2000}>")
_endless_number = re.compile(r"&#[xX]?[0-9a-fA-F]{20,}")
_UNSEEN = ("style", "script", "head")


@dataclass(frozen=True, slots=True)
class Part:
    """A part. `header` is its own, `content_type` in lower case, `body` the bytes as they came, with LF as line end.

    `depth` is 0 for the message itself. `enclosed` counts the messages around it: what stands in a returned message is told
    from what stands in the report.
    """

    header: Message
    content_type: str
    body: bytes
    depth: int = 0
    enclosed: int = 0

    @property
    def is_text(self) -> bool:
        return self.content_type in ("text/plain", "text/html") and not self.is_attachment

    @property
    def is_attachment(self) -> bool:
        return field(self.header, "Content-Disposition").lower().startswith("attachment")

    @property
    def is_headers(self) -> bool:
        """Whether it is the header of a returned message without its body."""
        return self.content_type in _HEADERS_ONLY

    @property
    def is_message(self) -> bool:
        """Whether it is a whole message."""
        return self.content_type in _MESSAGES

    def text(self) -> str:
        """The text of the part, decoded as far as `MAX_TEXT` and without HTML; never raises."""
        encoding = field(self.header, "Content-Transfer-Encoding").lower()
        content = _decoded(self.body, encoding)[:MAX_TEXT]
        charset = _parameter(self.header, "charset").lower()
        name = charset if _charset.fullmatch(charset) else "utf-8"
        try:
            text = content.decode(name, "replace")
        except (LookupError, ValueError):
            text = content.decode("utf-8", "replace")
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
        return without_tags(text) if self.content_type == "text/html" else text


def parts_of(raw: bytes) -> list[Part]:
    """The parts of a message, outer before inner: at most `MAX_PARTS`, and `MAX_DEPTH` deep. Never raises."""
    content = raw[:MAX_BYTES].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    parts: list[Part] = []
    # A list of what is left instead of recursion, so that depth is a number and not a stack.
    left: list[tuple[bytes, int, int, str]] = [(content, 0, 0, "text/plain")]
    while left and len(parts) < MAX_PARTS:
        block, depth, enclosed, default = left.pop()
        part = _read(block, depth, enclosed, default)
        parts.append(part)
        if depth < MAX_DEPTH:
            left += reversed(list(_inner(part, MAX_PARTS - len(parts))))
    return parts


def top_of(raw: bytes) -> Message:
    """The header of a message, without a look at its parts. Never raises."""
    return _read(raw[:_MAX_HEADER].replace(b"\r\n", b"\n").replace(b"\r", b"\n"), 0, 0, "text/plain").header


def read_header(text: str) -> Message:
    """A header, or a block of a report that is written as one, with bounded fields."""
    return HeaderParser().parsestr(_bounded(text[:_MAX_HEADER]))


def field(header: Message, name: str) -> str:
    """A field of a header, unfolded; empty when it is not there."""
    value = header.get(name)
    return "" if value is None else " ".join(str(value).split())


def without_tags(text: str) -> str:
    """The text of an HTML page, good enough to be searched."""
    for name in _UNSEEN:
        text = _without_element(text, name)
    # html.unescape raises ValueError for a number of more than 4300 digits.
    return html.unescape(_endless_number.sub(" ", _any_tag.sub(" ", _tag.sub("\n", text))))


def _without_element(text: str, name: str) -> str:
    lower, kept, position = text.lower(), [], 0
    if len(lower) != len(text):  # a letter whose lower case is longer: the places would not be the same
        return text
    while (start := lower.find(f"<{name}", position)) >= 0:
        end = lower.find(f"</{name}", start)
        if end < 0:
            break
        kept.append(text[position:start])
        position = end
    return " ".join((*kept, text[position:]))


def _read(block: bytes, depth: int, enclosed: int, default: str) -> Part:
    if block.startswith((b"From ", b">From ")):  # the line that an mbox puts before a message
        block = block.partition(b"\n")[2]
    header, body = _divided(block)
    message = read_header(header.decode("utf-8", "replace"))
    if "content-type" not in message:
        return Part(message, default, body, depth, enclosed)
    return Part(message, _content_type(message) or default, body, depth, enclosed)


def _divided(block: bytes) -> tuple[bytes, bytes]:
    if block.startswith(b"\n"):
        return b"", block[1:]
    if not _field_name.match(block):
        return b"", block  # no header at all
    header, _, body = block.partition(b"\n\n")
    return header[:_MAX_HEADER], body


def _inner(part: Part, most: int) -> Iterator[tuple[bytes, int, int, str]]:
    if part.content_type.startswith("multipart/"):
        default = "message/rfc822" if part.content_type == "multipart/digest" else "text/plain"
        for block in _split(part.body, _parameter(part.header, "boundary"), most):
            yield block, part.depth + 1, part.enclosed, default
    elif part.is_message or part.is_headers:
        # RFC 2046 section 5.2.1 allows no encoding of a message; some gateways use one all the same.
        encoding = field(part.header, "Content-Transfer-Encoding").lower()
        block = _decoded(part.body, encoding).replace(b"\r\n", b"\n") if encoding in _ENCODINGS else part.body
        yield block.lstrip(b"\n"), part.depth + 1, part.enclosed + 1, "text/plain"


def _split(body: bytes, boundary: str, most: int) -> list[bytes]:
    """The parts of a multipart body, at most so many; a body that was cut off ends its last part."""
    if not boundary:
        return [b"\n" + body] if body.strip() else []
    line = re.compile(rb"^--" + re.escape(boundary.encode("utf-8", "replace")) + rb"(--)?[ \t]*$", re.MULTILINE)
    blocks: list[bytes] = []
    start = -1
    for found in line.finditer(body):
        if start >= 0:
            blocks.append(body[start : max(found.start() - 1, start)])
        start = min(found.end() + 1, len(body))
        if found[1] or len(blocks) >= most:
            start = -1
            break
    if start >= 0:
        blocks.append(body[start:])
    if not blocks and body.strip():
        blocks = [b"\n" + body]  # the boundary that was promised is nowhere
    return [block for block in blocks if block.strip()][:most]


_ENCODINGS = frozenset({"base64", "quoted-printable"})


def _decoded(body: bytes, encoding: str) -> bytes:
    if encoding == "base64":
        encoded = re.sub(rb"[^A-Za-z0-9+/]", b"", body[: 2 * MAX_TEXT])
        try:
            return binascii.a2b_base64(encoded[: len(encoded) // 4 * 4] + _padded(encoded[len(encoded) // 4 * 4 :]))
        except binascii.Error:
            return body[:MAX_TEXT]
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body[: 3 * MAX_TEXT])
    return body


def _padded(rest: bytes) -> bytes:
    return rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b""


def _content_type(message: Message) -> str:
    text = field(message, "Content-Type").partition(";")[0].strip().lower()
    return text if re.fullmatch(r"[a-z0-9.+_-]+/[a-z0-9.+_-]+", text) else ""


def _parameter(message: Message, name: str) -> str:
    """A parameter of Content-Type, without its quotes. Raises nothing: what the standard library can't read is not there."""
    try:
        value = message.get_param(name)
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""
    if isinstance(value, tuple):  # RFC 2231
        value = value[2]
    return str(value).strip()[:200] if value else ""


def _bounded(text: str) -> str:
    """A header whose fields are of bounded number and length, each on one line."""
    fields: list[str] = []
    for line in text.split("\n"):
        if line[:1] in (" ", "\t") and fields:
            if len(fields[-1]) < _MAX_FIELD:
                fields[-1] += "\n" + line[: _MAX_FIELD - len(fields[-1])]
        elif len(fields) >= _MAX_FIELDS:
            break
        else:
            fields.append(line[:_MAX_FIELD])
    return "\n".join(fields)
