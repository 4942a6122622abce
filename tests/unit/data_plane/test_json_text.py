"""Long JSON strings in UTF-8, decoded piece by piece."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_core.data_plane import json_text
from email_core.data_plane.json_text import LONG, utf8_of
from email_core.message.compose import compose
from email_core.message.draft import Draft, decode_draft, encode_draft
from email_core.message.limits import MAX_HTML_READ
from tests.unit.data_plane.requests import message, only_fault, parse

PIECE = 40  # octets; small, so that every way of cutting a piece comes up

_plain = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
_escapes = st.sampled_from([
    '\\"', "\\\\", "\\/", "\\n", "\\u0041", "\\u00e9", "\\ud83d\\udca3", "\\uD83D\\uDCA3", "\\\\ud83d", "\\\\\\\\",
])  # fmt: skip
_written = st.lists(st.one_of(_plain.map(lambda text: json.dumps(text, ensure_ascii=False)[1:-1]), _escapes), max_size=40)


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "_PIECE", PIECE)


def decoded(written: str) -> bytes:
    return utf8_of(memoryview(written.encode()))


@given(_written)
def test_string_with_any_characters_and_escapes_is_what_the_standard_library_reads(written: list[str]) -> None:
    text = "".join(written)
    assert decoded(text) == json.loads(f'"{text}"').encode()


@pytest.mark.parametrize("before", range(PIECE + 1))
@pytest.mark.parametrize(
    "written", ["é", "\u20ac", "\U0001f4a3", "\\n", "\\\\", "\\u00e9", "\\ud83d\\udca3", "\\\\ud83d", "\\" * 50]
)
def test_character_at_any_distance_from_a_cut_stays_whole(before: int, written: str) -> None:
    text = "a" * before + written * 3
    assert decoded(text) == json.loads(f'"{text}"').encode()


@pytest.mark.parametrize("wrong", [b"\xff", b"\xc3", b"\x80" * 9, b"\xed\xa0\x80", b"\xf0\x9f\x92"])
@pytest.mark.parametrize("before", [0, PIECE - 2, PIECE - 1, PIECE])
def test_string_that_is_no_utf8_is_refused_wherever_it_is_wrong(wrong: bytes, before: int) -> None:
    with pytest.raises(UnicodeDecodeError):
        utf8_of(memoryview(b"a" * before + wrong + b"a" * PIECE))


def test_empty_string_is_empty() -> None:
    assert utf8_of(memoryview(b"")) == b""


def test_long_body_is_kept_in_utf8_and_composed_as_a_short_one_is() -> None:
    text = "Grüße \U0001f4a3\r\n" * LONG
    draft = parse(message(content={"subject": "Long", "plainText": text, "html": f"<p>{text}</p>"}))
    assert (draft.text, draft.html) == (None, None)
    assert (draft.long_text, draft.long_html) == (text.encode(), f"<p>{text}</p>".encode())
    assert decode_draft(encode_draft(draft)) == draft
    short = parse(message(content={"subject": "Long", "plainText": "Hello", "html": "<p>Hello</p>"}))
    assert (short.text, short.html, short.long_text, short.long_html) == ("Hello", "<p>Hello</p>", b"", b"")
    again = replace(draft, text=text, html=f"<p>{text}</p>", long_text=b"", long_html=b"")
    assert composed(draft) == composed(again)


@pytest.mark.parametrize("length", [MAX_HTML_READ - 10, MAX_HTML_READ - 3, MAX_HTML_READ, MAX_HTML_READ + 10])
@pytest.mark.parametrize("character", ["a", "\U0001f4a3"])
def test_text_of_long_html_ends_where_it_does_for_a_string(length: int, character: str) -> None:
    html = "<p>" + character * (length - 3)
    draft = parse(message(content={"subject": "Long", "html": html}))
    assert draft.long_html == html.encode()
    assert composed(draft) == composed(replace(draft, html=html, long_html=b""))


@pytest.mark.parametrize(("written", "rule"), [(b"a\xff", "not valid UTF-8"), (b"\\u0000", "U+0000"), (b"a\\u0000a", "U+0000")])
def test_long_body_that_no_mail_can_carry_is_refused(written: bytes, rule: str) -> None:
    body = json.dumps(message(content={"subject": "Long", "plainText": "HOLE"})).encode()
    fault = only_fault(body.replace(b"HOLE", b"a" * LONG + written))
    assert fault.target == "content.plainText"
    assert rule in fault.message


def test_long_body_of_another_type_is_refused_as_a_short_one_is() -> None:
    fault = only_fault(message(content={"subject": "Long", "plainText": ["a"] * LONG}))
    assert "must be a string, not an array" in fault.message


def composed(draft: Draft) -> bytes:
    return compose(draft, message_id="<a@b.example>", date=0.0)
