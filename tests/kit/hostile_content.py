"""Requests made to be expensive or to confuse, most of them as large as a request may be: what is sent, where, and the answer.

The door answers every one of them within a second of work and a bound of memory, and what it accepts is prepared and delivered
within a bound of memory as well.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.kit.pipeline import DOMAIN

LARGEST = 10 * 1024 * 1024  # bytes; POSTRIDER_MAX_REQUEST_BYTES
_ROOM = 1024  # bytes for the rest of the message beside the hostile part
_HOLE = b'"HOLE"'

Body = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Hostile:
    """A request: its content in words, the part of the message that holds it, the request itself, and the door's answer."""

    content: str
    where: str
    request: Body
    answer: int

    @property
    def name(self) -> str:
        return f"{self.content}, {self.where}"


def request_with(value: Body = bytes, **fields: Any) -> bytes:
    """A valid request with these fields, in which the JSON text of `value` stands in the place of "HOLE"."""
    message: dict[str, Any] = {
        "senderAddress": f"news@{DOMAIN}",
        "recipients": {"to": [{"address": "ann@fabrikam.test"}]},
        "content": {"subject": "Hostile", "plainText": "Hello."},
    }
    before, hole, after = json.dumps(message | fields).encode().partition(_HOLE)
    return before + value() + after if hole else before


def _filled(piece: bytes, before: bytes = b'"', after: bytes = b'"') -> bytes:
    """The piece between the two, so many times that the request will just be below the largest; a JSON string by default."""
    return before + piece * ((LARGEST - _ROOM - len(before) - len(after)) // len(piece)) + after


def _string(piece: str, end: str = "") -> bytes:
    """A JSON string of nothing but that text, and something at its end."""
    first, last = (json.dumps(text, ensure_ascii=False)[1:-1].encode() for text in (piece, end))
    return _filled(first, after=last + b'"')


def _base64(piece: str) -> bytes:
    octets = piece.encode()
    return b'"' + base64.b64encode(octets * ((LARGEST * 3 // 4 - _ROOM) // len(octets))) + b'"'


def _as_text(value: Body) -> Body:
    return partial(request_with, value, content={"subject": "Hostile", "plainText": "HOLE"})


def _as_html(value: Body) -> Body:
    return partial(request_with, value, content={"subject": "Hostile", "html": "HOLE"})


def _as_attachment(value: Body) -> Body:
    return partial(request_with, value, attachments=[{**_FILE, "contentInBase64": "HOLE"}])


def _as_field(name: str, value: Body) -> Body:
    return partial(request_with, value, **{name: "HOLE"})


_FILE = {"name": "a.txt", "contentType": "text/plain", "contentInBase64": ""}

_CONTENTS = {
    "10 MB of ordinary text": "The quick brown fox jumps over the lazy dog, and then it does so again.\n",
    "10 MB of spaces": " ",
    "10 MB of tabs": "\t",
    "10 MB of empty lines": "\n",
    "10 MB of CRLF": "\r\n",
    "10 MB of carriage returns": "\r",
    "one line of 10 MB": "a",
    "10 MB of dots alone on a line": ".\n",
    "10 MB of lines that begin with From": "From \n",
    "10 MB of lines that end with a space": "a \n",
    "10 MB of equals signs": "=",
    "10 MB of control characters": "\x01",
    "10 MB of combining characters": "\u0301",
    "10 MB of astral characters": "\U0001f4a3",
    "10 MB of line separators": "\u2028",
}
_HTML = {
    "10 MB of nested div": "<div>",
    "10 MB of nested lists": "<ul><li>",
    "10 MB of tags that never end": "<a ",
    "10 MB of open brackets": "<",
    "10 MB of comments that never end": "<!--",
    "10 MB of entities": "&#38;",
    "10 MB of links": '<a href="https://example.test/a">a</a>',
}
# Below 128 KB it is laid out, above that only freed of its tags.
_SMALLER_HTML = {
    "100,000 nested div": "<div>" * 100_000,
    "128 KB of nested div": "<div>" * 26_000,
    "128 KB of nested lists": "<ul><li>" * 16_000,
}


def _bodies() -> list[Hostile]:
    """Each content as text, as HTML and as a file."""
    rows = []
    for content, piece in _CONTENTS.items():
        string = partial(_string, piece)
        rows.append(Hostile(content, "as text", _as_text(string), 202))
        rows.append(Hostile(content, "as HTML", _as_html(string), 202))
        rows.append(Hostile(content, "as attachment", _as_attachment(partial(_base64, piece)), 202))
    rows += [Hostile(content, "as HTML", _as_html(partial(_string, piece)), 202) for content, piece in _HTML.items()]
    rows += [Hostile(content, "as HTML", _as_html(json.dumps(html).encode), 202) for content, html in _SMALLER_HTML.items()]
    return rows


def _bad_at_the_end() -> bytes:
    return _filled(b"AAAA", after=b'AAA*"')


_ENCODED = (
    Hostile("10 MB of letters and one astral character", "as text", _as_text(lambda: _string("a", "\U0001f4a3")), 202),
    Hostile("10 MB of letters and one astral character", "as HTML", _as_html(lambda: _string("a", "\U0001f4a3")), 202),
    Hostile("10 MB of escaped astral characters", "as text", _as_text(lambda: _filled(b"\\ud83d\\udca3")), 202),
    Hostile("10 MB of escaped letters", "as HTML", _as_html(lambda: _filled(b"\\u0061")), 202),
    Hostile("10 MB of escaped backslashes", "as text", _as_text(lambda: _filled(b"\\\\")), 202),
    Hostile("10 MB of half surrogate pairs", "as text", _as_text(lambda: _filled(b"\\ud800")), 400),
    Hostile("10 MB of NUL", "as text", _as_text(lambda: _filled(b"\\u0000")), 400),
    Hostile("10 MB and a NUL at the end", "as HTML", _as_html(lambda: _filled(b"a", after=b'\\u0000"')), 400),
    Hostile("10 MB and an octet that is no UTF-8", "as text", _as_text(lambda: _filled(b"a", after=b'\xff"')), 400),
    Hostile("base64 with one bad character at the end", "as attachment", _as_attachment(_bad_at_the_end), 400),
    Hostile("base64 with every character escaped", "as attachment", _as_attachment(lambda: _filled(b"\\u0041" * 4)), 202),
    Hostile("base64 with a line break after each group", "as attachment", _as_attachment(lambda: _filled(b"AAAA\\r\\n")), 202),
    Hostile("base64 of nothing but padding", "as attachment", _as_attachment(lambda: _filled(b"=")), 400),
)  # fmt: skip


def _nested(opening: bytes, closing: bytes) -> bytes:
    return opening * 100_000 + b"1" + closing * 100_000


def _in_front(fields: bytes) -> bytes:
    """A valid request that begins with these fields."""
    return b"{" + fields + request_with()[1:]


def _list_of(entries: Sequence[object]) -> Body:
    return lambda: json.dumps(entries).encode()


def _people(count: int, name: str = "") -> Body:
    people = ({"address": f"user{number}@fabrikam.test", "displayName": name} for number in range(count))
    return lambda: json.dumps({"to": list(people)}).encode()


def _many_keys() -> bytes:
    return _in_front(b"".join(b'"%06x":1,' % number for number in range(950_000)))


def _two_bodies() -> bytes:
    return _in_front(_filled(b"a", b'"content":{"plainText":"', b'"},'))


def _many_headers() -> bytes:
    return json.dumps({f"X-{number}": "a" for number in range(100_000)}).encode()


_LONG_NAME = "n" * (LARGEST // 50 - 100)
_FILE_OF_40_KB = {**_FILE, "contentInBase64": "AAAA" * 10_400}


_REQUESTS = (
    Hostile("arrays nested 100,000 deep", "the request", partial(_nested, b"[", b"]"), 400),
    Hostile("objects nested 100,000 deep", "an unknown field", _as_field("x", partial(_nested, b'{"a":', b"}")), 400),
    Hostile("1,000,000 small keys", "unknown fields", _many_keys, 202),
    Hostile("800,000 times the same key", "the request", lambda: b"{" + b'"content":1,' * 800_000 + b'"content":1}', 400),
    Hostile("10 MB and a second body, which counts", "duplicate keys", _two_bodies, 202),
    Hostile("a number of 100,000 digits", "an unknown field", _as_field("x", lambda: b"9" * 100_000), 202),
    Hostile("a number of 100,000 digits", "as text", _as_text(lambda: b"9" * 100_000), 400),
    Hostile("a number of 10 MB", "an unknown field", _as_field("x", lambda: _filled(b"9", b"", b"")), 202),
    Hostile("10 MB of blanks", "the request", lambda: b" " * (LARGEST - _ROOM), 400),
    Hostile("10 MB of blanks", "before the first field", lambda: _in_front(b" " * (LARGEST - _ROOM)), 202),
    Hostile("100,000 headers", "headers", _as_field("headers", _many_headers), 400),
    Hostile("a value of 10 MB", "headers", _as_field("headers", lambda: _filled(b"a", b'{"X-A":"', b'"}')), 400),
    Hostile("a name of 10 MB", "headers", _as_field("headers", lambda: _filled(b"X", b'{"', b'":"a"}')), 400),
    Hostile("50 with names of 10 MB together", "recipients", _as_field("recipients", _people(50, _LONG_NAME)), 400),
    Hostile("100,000 of them", "recipients", _as_field("recipients", _people(100_000)), 400),
    Hostile("an address of 10 MB", "senderAddress", _as_field("senderAddress", lambda: _filled(b"a", after=b'@a.test"')), 400),
    Hostile("10 MB", "the subject", partial(request_with, lambda: _filled(b"a"), content={"subject": "HOLE"}), 400),
    Hostile("10,000 of them", "attachments", _as_field("attachments", _list_of([_FILE] * 10_000)), 400),
    Hostile("250 of 10 MB together", "attachments", _as_field("attachments", _list_of([_FILE_OF_40_KB] * 250)), 202),
    Hostile("a file name of 10 MB", "attachments", _as_field("attachments", lambda: _filled(b"a", b'[{"name":"', b'"}]')), 400),
)  # fmt: skip

HOSTILE: tuple[Hostile, ...] = (*_bodies(), *_ENCODED, *_REQUESTS)
