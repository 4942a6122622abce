"""Any content at the parts that a message is made of: base64, text encodings, the guard of the header block, HTML."""

from __future__ import annotations

import base64
from email import policy
from email.parser import BytesParser

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from email_core.message.base64_body import Base64Error, rewrap
from email_core.message.headers import HeaderInjection, check_header_block
from email_core.message.html_text import text_from_html
from email_core.message.text_body import encode_text
from tests.kit.draft_strategies import body_texts


@given(body_texts)
@settings(max_examples=300, deadline=None)
@example("ü" + "x" * 69 + " \n" + "From \n" * 3)
def test_encoded_text_keeps_to_the_lines_of_its_encoding(text: str) -> None:
    encoding, octets = encode_text(text)

    lines = octets.split(b"\r\n")
    assert max(map(len, lines)) <= (998 if encoding == "7bit" else 76)
    assert not any(line.startswith(b"From ") for line in lines)
    assert b"=_" not in octets


BLOCK_PIECES = [b"X: y", b"\r\n", b"\r", b"\n", b" ", b"\t", b":", b"From: a", b"\xff", b""]


@given(st.binary(max_size=200) | st.lists(st.sampled_from(BLOCK_PIECES), max_size=12).map(b"".join))
@settings(max_examples=400, deadline=None)
def test_header_block_that_passes_is_read_as_the_same_fields(block: bytes) -> None:
    try:
        check_header_block(block)
    except HeaderInjection:
        return

    parsed = BytesParser(policy=policy.compat32).parsebytes(block + b"\r\nbody")
    assert parsed.get_payload() == "body"
    assert not parsed.defects
    assert len(parsed.keys()) == sum(1 for line in block.split(b"\r\n") if line and not line.startswith(b" "))


@given(st.binary(max_size=300), st.sampled_from([b"", b"\n", b"\r\n"]), st.integers(1, 80))
@settings(max_examples=200, deadline=None)
def test_rewrap_keeps_any_content(content: bytes, line_end: bytes, width: int) -> None:
    encoded = base64.b64encode(content)
    body, size = rewrap(line_end.join(encoded[start : start + width] for start in range(0, len(encoded), width)))

    assert (base64.b64decode(body), size) == (content, len(content))


@given(st.text(st.sampled_from("AQg=+/-_ \r\n\té"), max_size=20).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_rewrap_agrees_with_the_strict_decoder(encoded: bytes) -> None:
    assume(b"\r" not in encoded.replace(b"\r\n", b""))
    try:
        body, size = rewrap(encoded)
    except Base64Error:
        body, size = b"", -1
    unwrapped = encoded.replace(b"\r\n", b"").replace(b"\n", b"")
    try:
        strict = base64.b64decode(unwrapped, validate=True)
        canonical = base64.b64encode(strict) == unwrapped
    except ValueError:
        canonical = False

    assert (size >= 0) == canonical
    assert not canonical or (len(strict) == size and body.replace(b"\r\n", b"") == unwrapped)


# fmt: off
TAGS = [
    "<", ">", "</", "<a href='", "'", '"', "&", "&#x", "<ol>", "<li>", "</ol>", "<pre>", "\n", "x", "<!--", "-->", "é", "<br>",
    "<blockquote>", "</blockquote>", "<dl><dd>", "<h1>", "<img alt=x>", "</pre>", "<style>", "</style>", "\xa0", "\x85",
    "\u2028",
]
# fmt: on


@given(st.lists(st.sampled_from(TAGS), max_size=30).map("".join) | st.text())
@settings(max_examples=300, deadline=None)
def test_text_from_any_html_is_text(source: str) -> None:
    text = text_from_html(source)

    assert text == "" or (text.endswith("\n") and text.strip())
    assert "\n\n\n" not in text
