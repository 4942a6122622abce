import pytest

from email_core.message.headers import (
    HeaderInjection,
    check_attachment_name,
    check_content_id,
    check_content_type,
    check_custom_header,
    check_custom_headers,
    check_display_name,
    check_header_block,
    check_message_id,
    check_subject,
)
from email_core.message.limits import MAX_CUSTOM_HEADERS, MAX_HEADER_VALUE

CONTROLS = [
    "\r",
    "\n",
    "\r\n",
    "\x00",
    "\t",
    "\x0b",
    "\x1b",
    "\x7f",
    "\x80",
    "\x85",
    "\x9f",
    "\u2028",
    "\u2029",
    "\ud800",
    "\udfff",
]


@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
@pytest.mark.parametrize("text", ["{}x", "x{}Bcc: joe@example.org", "x{}"])
def test_control_character_anywhere_is_refused(control: str, text: str) -> None:
    value = text.format(control)
    expected = f"U+{ord(control[0]):04X}"

    assert expected in check_subject(value)
    assert expected in check_display_name(value)
    assert expected in check_attachment_name(value)
    assert expected in check_custom_header("X-Test", value)
    assert "name" in check_custom_header(f"X-{value}", "x")
    assert check_message_id(f"<{value}@example.com>")
    assert check_content_id(value)
    assert check_content_type(f"text/{value}")


@pytest.mark.parametrize("turn", ["\u202a", "\u202e", "\u2066", "\u2069"], ids=ascii)
def test_name_that_turns_the_direction_is_refused(turn: str) -> None:
    assert "U+20" in check_display_name(f"Jane{turn}")
    assert "U+20" in check_attachment_name(f"invoice{turn}gpj.exe")
    assert check_subject(f"{turn}שלום") == ""


@pytest.mark.parametrize("name", ["Jane", "Jörg Müller", 'Doe, "J" <x@y.co>', "\u200fשלום", "👩\u200d💻", "a@b.co", "x" * 256])
def test_display_name_of_ordinary_people_is_accepted(name: str) -> None:
    assert check_display_name(name) == ""


def test_too_long_texts_are_refused() -> None:
    assert "256 characters" in check_display_name("x" * 257)
    assert "998 characters" in check_subject("x" * 999)
    assert "255 octets" in check_attachment_name("é" * 128)
    assert check_attachment_name("é" * 127) == ""
    assert "empty" in check_attachment_name("  ")


@pytest.mark.parametrize(
    "name",
    [
        *("From", "To", "Cc", "Bcc", "Subject", "Date", "Sender", "Reply-To", "Message-ID", "MIME-Version", "Content-Type"),
        *("Content-Transfer-Encoding", "Content-Foo", "DKIM-Signature", "Received", "Return-Path", "ARC-Seal", "ARC-Anything"),
        *("Authentication-Results", "Resent-From", "Resent-To", "x-ms-acsemail-validate-message-id", "Delivered-To"),
    ],
)
@pytest.mark.parametrize("case", [str, str.upper, str.lower, str.swapcase])
def test_reserved_header_is_refused_in_any_case(name: str, case) -> None:
    assert "set by the service" in check_custom_header(case(name), "x")


@pytest.mark.parametrize("name", ["", "X Y", "X:", "X-Ü", " X", "X ", "From ", "X\u00ad", "X" * 77])
def test_header_name_outside_ftext_is_refused(name: str) -> None:
    assert "name" in check_custom_header(name, "x")


CUSTOM = [
    ("X-Campaign", "autumn"),
    ("List-Unsubscribe", "<https://example.com/u?a=1>, <mailto:u@example.com>"),
    ("x-priority", "1 (Highest)"),
    ("X-Greeting", "Grüße " * 400),
    ("X-Long-Word", "a" * 980),
    ("Contents", "x"),
    ("From-Where", "x"),
    ("X" * 76, "x" * 900),
    ("In-Reply-To", "<a@b.co>"),
]


@pytest.mark.parametrize(("name", "value"), CUSTOM, ids=[name[:20] for name, _ in CUSTOM])
def test_custom_header_is_accepted(name: str, value: str) -> None:
    assert check_custom_header(name, value) == ""


def test_custom_header_that_can_not_be_sent_is_refused() -> None:
    assert "empty" in check_custom_header("X-Test", "")
    assert "empty" in check_custom_header("X-Test", "   ")
    assert "can't be folded" in check_custom_header("X-Test", "a" * 999)
    assert "can't be folded" in check_custom_header("X-Test", "a" + " " * 999 + "b")
    assert f"longer than {MAX_HEADER_VALUE}" in check_custom_header("X-Test", "a " * MAX_HEADER_VALUE)
    assert f"longer than {MAX_HEADER_VALUE}" in check_custom_header("X-Test", "é" * (MAX_HEADER_VALUE // 2))


def test_custom_headers_report_every_fault() -> None:
    faults = check_custom_headers([("X-A", "1"), ("x-a", "2"), ("From", "x"), ("X-B", "a\nb"), ("X-C", "fine")])

    assert [name for name, _ in faults] == ["x-a", "From", "X-B"]
    assert "given twice" in faults[0][1]


def test_custom_headers_beyond_number_or_size_are_refused() -> None:
    assert check_custom_headers([(f"X-{number}", "x") for number in range(MAX_CUSTOM_HEADERS)]) == []
    assert check_custom_headers([(f"X-{number}", "x") for number in range(MAX_CUSTOM_HEADERS + 1)])[0][0] == ""
    assert check_custom_headers([(f"X-{number}", "x " * 4000) for number in range(9)])[0][0] == ""


@pytest.mark.parametrize(
    "message_id", ["<guid@example.com>", "<a.b=c@mail.example.com>", "<1@a.b>", "<x+y/z@xn--exmple-cua.com>"]
)
def test_message_id_with_a_domain_is_accepted(message_id: str) -> None:
    assert check_message_id(message_id) == ""


@pytest.mark.parametrize(
    "message_id",
    [
        *("", "guid@example.com", "<guid>", "<guid.example.com>", "<guid@example>", "<@example.com>", "<guid@>"),
        *("<a@b@example.com>", "<a b@example.com>", "<a@example.com> <b@example.com>", "<a@example.com", "a@example.com>"),
        *("<.a@example.com>", "<a..b@example.com>", "<ä@example.com>", "<a@exämple.com>", '<"a"@example.com>', "<a@[1.2.3.4]>"),
        *("<a@example.com>\n", "<a@-example.com>", "<" + "a" * 240 + "@example.com>"),
    ],
)
def test_message_id_of_another_form_is_refused(message_id: str) -> None:
    assert check_message_id(message_id)


def test_content_id_and_type_rules() -> None:
    assert check_content_id("logo") == check_content_id("logo.png@example.com") == ""
    for wrong in ("", "<logo>", "my logo", "lögo", "a" * 201):
        assert check_content_id(wrong)
    assert check_content_type("application/vnd.ms-word.document.macroEnabled.12") == ""
    for wrong in (
        "",
        "pdf",
        "text/",
        "/plain",
        "text/plain; charset=utf-8",
        "text /plain",
        "message/rfc822",
        "MULTIPART/mixed",
    ):
        assert check_content_type(wrong)


GOOD = b"From: a@b.co\r\nSubject: x\r\n y\r\nX-Empty:\r\n"


def test_header_block_in_order_passes() -> None:
    check_header_block(GOOD)
    check_header_block(b"X-A: 1\r\nX-A: 2\r\nReceived: x\r\nReceived: y\r\n")
    check_header_block(b"X: " + b"a" * 995 + b"\r\n")
    check_header_block("From: jörg@b.co\r\n".encode(), smtputf8=True)


BAD_BLOCKS = [
    *(b"", b"\r\n", b"From: a@b.co", b"From: a@b.co\n", b"From: a@b.co\r", GOOD + b"\r\n", GOOD + b"\r\nbody\r\n"),
    *(
        GOOD.replace(b"x\r\n", b"x\n"),
        GOOD.replace(b"x", b"x\ry"),
        GOOD.replace(b"x", b"x\ny"),
        GOOD.replace(b"x", b"x\r\r\ny"),
    ),
    *(b"X: a\tb\r\n", b"X: a\x00b\r\n", b"X: a\x7fb\r\n", b"X: a\r\n\tb\r\n", "X: é\r\n".encode(), b"X: \xff\r\n"),
    *(b" X: a\r\n", b"X: a\r\n \r\n", b"X: a\r\n  \r\n b\r\n", b"X: a\r\nno field\r\n", b"X : a\r\n", b": a\r\n", b"X:a\r\n"),
    *(b"X: " + b"a" * 996 + b"\r\n", b"X: a\r\n " + b"a" * 998 + b"\r\n"),
    *(
        b"From: a@b.co\r\nX: y\r\nfrom: c@d.co\r\n",
        b"Subject: a\r\nSUBJECT: b\r\n",
        b"Message-ID: <a@b.c>\r\nMessage-Id: <a@b.c>\r\n",
    ),
    *(
        b"Content-Type: a/b\r\nContent-Type: a/b\r\n",
        b"MIME-Version: 1.0\r\nMIME-Version: 1.0\r\n",
        b"To: a@b.co\r\nTo: a@b.co\r\n",
    ),
]


@pytest.mark.parametrize("block", BAD_BLOCKS, ids=lambda block: ascii(block)[:40])
def test_header_block_that_could_be_misread_is_stopped(block: bytes) -> None:
    with pytest.raises(HeaderInjection):
        check_header_block(block)


def test_header_block_with_a_field_too_many_is_stopped() -> None:
    check_header_block(GOOD, fields=3)
    with pytest.raises(HeaderInjection, match="4 fields, not 3"):
        check_header_block(GOOD.replace(b"x", b"x\r\nX-Smuggled: y"), fields=3)


@pytest.mark.parametrize("octets", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc2\x85", b"\xe2\x80\xa8", b"\x00", b"\t"])
def test_header_block_with_smtputf8_still_refuses_controls_and_broken_utf8(octets: bytes) -> None:
    with pytest.raises(HeaderInjection):
        check_header_block(b"From: j" + octets + b"@b.co\r\n", smtputf8=True)
