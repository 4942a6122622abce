"""Authentication-Results (RFC 8601): what we found out about a message that was submitted, and the removal of forged ones.

Only what was looked at is reported. SPF is not: a submitter proves who it is by its password, and `spf=none` would say that the
domain publishes no policy (section 2.7.2). Nor is the user name: `smtp.auth` would hand every recipient half of a login.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LINE_LENGTH = 78  # RFC 5322 section 2.1.1, without the CRLF
LONGEST_READ = 4096  # octets of a field that are looked at for its authserv-id; it comes first

_NAME = b"Authentication-Results"
_token = re.compile(r"[!#$%&'*+.0-9A-Z^_`a-z{|}~-]+")  # RFC 2045 section 5.1, what a value may be unless it is quoted
_own_field = re.compile(rb"authentication-results[ \t]*:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MethodResult:
    """The result of one method: `dkim`, `pass`, and properties such as ("header.d", "example.com"). ASCII only."""

    method: str
    result: str
    properties: tuple[tuple[str, str], ...] = ()
    reason: str = ""


def authentication_results(authserv_id: str, results: Sequence[MethodResult]) -> str:
    """The value of the field, folded, without its name and its last CRLF; ARC-Authentication-Results takes the same one."""
    lines = [authserv_id]
    column = len(_NAME) + 2 + len(authserv_id)
    for result in results:
        lines[-1] += ";"
        column = LINE_LENGTH  # each method begins a line
        for word in _words(result):
            if column + 1 + len(word) > LINE_LENGTH:
                lines.append(f" {word}")
                column = len(lines[-1])
            else:
                lines[-1] += f" {word}"
                column += 1 + len(word)
    if not results:
        lines[-1] += "; none"  # section 2.2, no-result
    return "\r\n".join(lines)


def authentication_results_field(value: str) -> bytes:
    """The whole field with its CRLF."""
    return b"%b: %b\r\n" % (_NAME, value.encode("ascii"))


def without_results_of(authserv_id: str, message: bytes) -> tuple[bytes, int]:
    """The message without the Authentication-Results that claim to be ours (RFC 8601 section 5), and how many there were.

    A field whose authserv-id can't be read is taken out as well, for a reader might take it for ours. Lines end with CRLF.
    """
    end = message.find(b"\r\n\r\n")
    header, rest = (message[: end + 2], message[end + 2 :]) if end >= 0 else (message, b"")
    if not _own_field.search(header):
        return message, 0
    kept, dropped = [], 0
    for field in _fields(header):
        start = _own_field.match(field)
        if start and _claims(field[start.end() : start.end() + LONGEST_READ], authserv_id):
            dropped += 1
        else:
            kept.append(field)
    return (b"".join(kept) + rest, dropped) if dropped else (message, 0)


def _words(result: MethodResult) -> Iterable[str]:
    yield f"{result.method}={result.result}"
    if result.reason:
        yield f"reason={_value(result.reason)}"
    for name, value in result.properties:
        yield f"{name}={_value(value)}"


def _value(text: str) -> str:
    if _token.fullmatch(text):
        return text
    plain = "".join(character if " " <= character <= "~" else "?" for character in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _fields(header: bytes) -> list[bytes]:
    """The fields of a header, each with its folds and its CRLF."""
    fields: list[bytes] = []
    lines: list[bytes] = []
    for line in header.split(b"\r\n")[:-1]:
        if lines and line[:1] not in (b" ", b"\t"):
            fields.append(b"".join(lines))
            lines = []
        lines.append(line + b"\r\n")
    return [*fields, b"".join(lines)]


def _claims(value: bytes, authserv_id: str) -> bool:
    """Whether the value begins with our authserv-id, or with none that can be read."""
    position = _after_comments(value)
    if value[position : position + 1] == b'"':
        end = value.find(b'"', position + 1)
        found = value[position + 1 : end].replace(b"\\", b"") if end > 0 else b""
    else:
        end = position
        while end < len(value) and value[end] not in b' \t\r\n;("':
            end += 1
        found = value[position:end]
    name = found.decode("ascii", "replace").lower().rstrip(".")
    return not name or name == authserv_id.lower()


def _after_comments(value: bytes) -> int:
    """Where blanks and comments (RFC 5322 section 3.2.2) at the beginning end; they nest, and a backslash quotes."""
    position, depth = 0, 0
    while position < len(value):
        octet = value[position : position + 1]
        if octet == b"\\" and depth:
            position += 1
        elif octet == b"(":
            depth += 1
        elif octet == b")" and depth:
            depth -= 1
        elif not depth and octet not in (b" ", b"\t", b"\r", b"\n"):
            break
        position += 1
    return position
