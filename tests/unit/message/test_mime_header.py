"""The strict reader of the header: ordinary ones are read as they stand, whatever has two readings is refused."""

from __future__ import annotations

import pytest

from email_core.message.headers import SINGLETONS
from email_core.message.mime_header import MAX_FIELDS, MAX_HEADER, check_lines, display_name, read_header
from email_core.message.refusal import MessageRefused


def test_header_is_split_and_kept_as_it_stands() -> None:
    block = b"From: a@b.co\r\nSUBJECT:one\r\n\ttwo\r\n  three\r\nX-Empty:\r\nX-Time: 10:20\r\n"
    header = read_header(block + b"\r\nX: not a field\r\n")

    assert [field.name for field in header.fields] == ["from", "subject", "x-empty", "x-time"]
    assert b"".join(field.raw for field in header.fields) == block
    assert header.value("subject") == "one\ttwo  three"
    assert header.value("x-empty") == ""
    assert header.value("x-time") == "10:20"
    assert header.value("to") is None
    assert header.body_start == len(block) + 2


@pytest.mark.parametrize(
    ("message", "fields", "body"),
    [
        (b"A: b\r\n", 1, b""),
        (b"A: b\r\n\r\n", 1, b""),
        (b"\r\nA: b\r\n", 0, b"A: b\r\n"),
        (b"A: b\r\n\r\n\r\nc", 1, b"\r\nc"),
    ],
)
def test_header_ends_at_the_first_empty_line(message: bytes, fields: int, body: bytes) -> None:
    header = read_header(message)

    assert len(header.fields) == fields
    assert message[header.body_start :] == body


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (b"From a@b.co Sun Nov 22 10:00:00 2026\r\nFrom: a@b.co\r\n\r\n", "neither a field"),
        (b" From: a@b.co\r\n\r\n", "neither a field"),
        (b"From : a@b.co\r\n\r\n", "neither a field"),
        (b"From\r\n\r\n", "neither a field"),
        (b"A: b\r\nhello\r\n\r\n", "neither a field"),
        (b"A: b\r\n \r\n c\r\n\r\n", "neither a field"),
        (b"A: b\r\n\t\t\r\n\r\n", "neither a field"),
        (b": b\r\n\r\n", "neither a field"),
        (b"\xc3\xa9: b\r\n\r\n", "neither a field"),
        (b"A: b", "middle of a line"),
        (b"A: \x00\r\n\r\n", "control character (0x00)"),
        (b"A: \x0b\r\n\r\n", "control character (0x0B)"),
        (b"A: \x1b[2J\r\n\r\n", "control character (0x1B)"),
        (b"A: \x7f\r\n\r\n", "control character (0x7F)"),
        (b"A: " + b"x" * 996 + b"\r\n\r\n", "more than 998 octets"),
        (b"A: b\r\n " + b"x" * 998 + b"\r\n\r\n", "more than 998 octets"),
        (b"A: b\r\n" * (MAX_FIELDS + 1) + b"\r\n", "more than 1000 fields"),
        ((b"A: " + b"x" * 990 + b"\r\n") * 70 + b"\r\n", f"larger than {MAX_HEADER}"),
        (b"A: b\r\n" * 11_000, f"larger than {MAX_HEADER}"),
        (b"A: b\r\n" * 100_000 + b"\r\n", f"larger than {MAX_HEADER}"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_header_with_two_readings_is_refused(message: bytes, text: str) -> None:
    with pytest.raises(MessageRefused) as refused:
        read_header(message)

    assert text in refused.value.text
    assert refused.value.text.isascii()
    assert refused.value.code in (552, 554)


@pytest.mark.parametrize("name", sorted(name.decode() for name in SINGLETONS - {b"bcc"}))
def test_field_that_may_stand_once_is_refused_twice(name: str) -> None:
    message = f"{name}: a\r\nX: y\r\n{name.upper()}: a\r\n\r\n".encode()

    with pytest.raises(MessageRefused) as refused:
        read_header(message)

    assert display_name(name) in refused.value.text


@pytest.mark.parametrize("name", ["received", "dkim-signature", "x-mailer", "comments"])
def test_field_that_may_stand_often_is_taken_twice(name: str) -> None:
    assert len(read_header(f"{name}: a\r\n{name}: a\r\n\r\n".encode()).all(name)) == 2


def test_utf8_in_the_header_is_read() -> None:
    assert read_header("Subject: Grüße\r\n\r\n".encode()).value("subject") == "Grüße"


def test_header_in_latin_1_is_refused_with_its_field_and_remedy() -> None:
    with pytest.raises(MessageRefused) as refused:
        read_header("From: a@b.co\r\nSubject: Lieber\r\n Grüße\r\nX: y\r\n\r\n".encode("latin-1"))

    assert refused.value.text == (
        "The Subject field has octets that are neither ASCII nor UTF-8: Latin-1, perhaps. "
        "Encode its text (RFC 2047), or send UTF-8."
    )
    assert (refused.value.code, refused.value.enhanced) == (554, "5.6.0")


@pytest.mark.parametrize(
    "octets", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9"]
)
def test_header_that_is_no_plain_utf8_is_refused(octets: bytes) -> None:
    with pytest.raises(MessageRefused):
        read_header(b"Subject: a" + octets + b"b\r\n\r\n")


# The sequences of the seven smuggling tests, and cousins: nothing of them is taken.
@pytest.mark.parametrize(
    "sequence",
    [
        b"\n.\n", b"\n.\r", b"\r.\n", b"\r.\r", b"\n.\r\n", b"\r.\r\n", b"\r\n\x00.\r\n", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n",
        b"\n", b"\r", b"\n\r", b"\r\r\n", b"\r\n\n", b"\x00",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "place", [b"A: b%bc\r\n\r\nx\r\n", b"A: b\r\n\r\nx%by\r\n", b"A: b\r\n\r\nx%b"], ids=["header", "body", "end"]
)
def test_message_with_a_line_end_of_its_own_is_refused(sequence: bytes, place: bytes) -> None:
    with pytest.raises(MessageRefused) as refused:
        check_lines(place.replace(b"%b", sequence))

    assert (refused.value.code, refused.value.enhanced) == (554, "5.6.11")


def test_line_of_998_octets_is_the_longest() -> None:
    check_lines(b"A: b\r\n\r\n" + b"x" * 998 + b"\r\n" + b"y" * 998 + b"\r\n")
    for line in (b"x" * 999 + b"\r\n", b"a\r\n" + b"x" * 5000 + b"\r\nb\r\n", b"x" * 2000):
        with pytest.raises(MessageRefused, match="998"):
            check_lines(b"A: b\r\n\r\n" + line)
