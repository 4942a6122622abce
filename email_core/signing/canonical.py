"""Relaxed canonicalisation of header fields and bodies (RFC 6376 section 3.4), linear in the size whatever they hold.

Input has CRLF line breaks only; `signing.dkim` refuses anything else before it comes here.
"""

from __future__ import annotations

import re

# What the relaxed body algorithm would change: a blank before another blank or before a line break, or any tab. One
# search for both costs half of two, and bodies of attachments (base64) hold neither.
_blank_before_blank = re.compile(rb" [ \r]")

# Very long runs of blanks in one pass. Shorter ones are shortened by replacing: on many of them, as in a text that is indented,
# a regular expression takes five times as long and ten times the memory of the text. `[ \t]+\r\n` would be quadratic on a
# run that no line break follows.
_very_long_run = re.compile(rb" {511} +")
_RUNS = (b" " * 64, b" " * 16, b" " * 4, b"  ")
_TAB_AS_SPACE = bytes.maketrans(b"\t", b" ")
_field_name = re.compile(rb"[!-9;-~]+")  # ftext, RFC 5322 section 2.2


class NotAHeader(ValueError):
    """A line of a header block is no field; the text says which, and quotes nothing of it."""


def canonical_fields(header: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of a header block in their order: lower-case name, and the canonical `name:value` with its CRLF.

    `header` ends with the CRLF of its last field. Raises NotAHeader.
    """
    unfolded = header.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    fields = []
    for number, line in enumerate(_without_extra_blanks(unfolded).split(b"\r\n")[:-1], 1):
        name, colon, value = line.partition(b":")
        name = name.rstrip(b" ").lower()
        if not colon or not _field_name.fullmatch(name):
            raise NotAHeader(f"field {number} of the header has no valid name and colon")
        fields.append((name, b"%b:%b\r\n" % (name, value.lstrip(b" "))))
    return fields


def canonical_body(body: bytes) -> bytes:
    """The body as it is hashed. An empty one stays empty; any other ends with one CRLF (RFC 6376 section 3.4.4).

    A last line without CRLF counts as if it had one, since the end of DATA gives it one (RFC 5321 section 4.1.1.4).
    """
    if not body.endswith(b"\r\n"):
        body += b"\r\n"
    if b"\t" in body or _blank_before_blank.search(body):
        body = _without_extra_blanks(body)
    if body.endswith(b"\r\n\r\n"):
        # Every CR stands before an LF, so this strips whole empty lines only.
        body = body[: len(body.rstrip(b"\r\n")) + 2]
    return b"" if body == b"\r\n" else body


def _without_extra_blanks(text: bytes) -> bytes:
    """Each run of blanks as one space, and none before a line break."""
    if b"\t" in text:
        text = text.translate(_TAB_AS_SPACE)  # the same time however many there are, unlike `replace`
    if b" " * 512 in text:  # found at once, while the expression looks at every blank of a text
        text = _very_long_run.sub(b" ", text)
    for run in _RUNS:
        while run in text:
            text = text.replace(run, b" ")
    return text.replace(b" \r\n", b"\r\n")
