"""8-bit bodies become 7-bit, and every program reads the same text as before; what somebody signed stays as it is."""

from __future__ import annotations

from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from email_core.message.seven_bit import MAX_PART_FIELDS, in_seven_bits

FROM = b"From: a@example.com\r\n"
MIME = b"MIME-Version: 1.0\r\n"


def parsed(message: bytes) -> EmailMessage:
    read = BytesParser(policy=policy.SMTP).parsebytes(message)
    assert isinstance(read, EmailMessage)
    return read


def leaves(message: bytes) -> list[tuple[str, str | None, bytes]]:
    return [
        (part.get_content_type(), part.get_content_charset(), part.get_payload(decode=True))
        for part in parsed(message).walk()
        if not part.is_multipart()
    ]


def test_message_without_8_bit_text_is_the_same_object() -> None:
    message = FROM + b"\r\nHello.\r\n"

    assert in_seven_bits(message) is message


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        ("Grüße aus Köln, und zurück geht es morgen um acht \r\nFrom here\r\n.\r\n", "quoted-printable"),
        ("Здравствуйте, как дела у вас сегодня?\r\n" * 3, "base64"),
        ("kein Ende ü", "quoted-printable"),
        ("ü", "base64"),
        ("x" * 900 + "ü " + "y" * 90 + "\r\n", "quoted-printable"),
    ],
    ids=["german", "russian", "no-line-end", "one-letter", "long-line"],
)
def test_text_is_encoded_and_reads_the_same(body: str, encoding: str) -> None:
    fields = FROM + MIME + b"Content-Type: text/plain; charset=utf-8\r\ncontent-transfer-ENCODING:\r\n 8bit\r\nSubject: x\r\n"
    made = in_seven_bits(fields + b"\r\n" + body.encode())

    assert made.isascii()
    assert parsed(made)["Content-Transfer-Encoding"] == encoding
    assert leaves(made) == [("text/plain", "utf-8", body.encode())]
    assert max(map(len, made.split(b"\r\n"))) <= 998


@pytest.mark.parametrize(
    ("body", "charset"), [("Grüße\r\n".encode(), "utf-8"), ("Grüße\r\n".encode("latin-1"), "unknown-8bit")]
)
def test_text_of_a_program_that_knows_no_mime_says_what_it_is(body: bytes, charset: str) -> None:
    made = in_seven_bits(FROM + b"\r\n" + body)

    assert made.startswith(FROM + MIME)
    assert leaves(made) == [("text/plain", charset, body)]


def test_parts_are_encoded_where_they_need_it_and_nothing_else_changes() -> None:
    plain = b"--b\r\nContent-Type: text/plain\r\n\r\nascii \t\r\n"
    message = (
        FROM + MIME + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\npreamble\r\n' + plain
        + b"--b\r\nContent-Type: text/html; charset=latin-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<p>\xfc</p>" + b"\r\n"
        + b"--b\r\nContent-Transfer-Encoding: binary\r\nContent-Type: application/octet-stream\r\n\r\n\xff\xfe\r\nx\r\n\r\n"
        + b"--b\r\nContent-Type: message/rfc822\r\n\r\n"
        + b"Subject: in\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\xc3\xbc\r\n"
        + b"--b--\r\nepilogue\r\n"
    )  # fmt: skip
    made = in_seven_bits(message)

    assert made.isascii()
    assert leaves(made) == leaves(message)
    assert plain in made and b"\r\n\r\npreamble\r\n" in made and made.endswith(b"--b--\r\nepilogue\r\n")
    assert [part.get("Content-Transfer-Encoding") for part in parsed(made).walk()] == [
        None, None, "quoted-printable", "base64", None, "base64",
    ]  # fmt: skip


@pytest.mark.parametrize("body", ["Gr\u00fc\u00dfe\r\n", "JVBERi0xLjcK\r\n"], ids=["8-bit body", "ascii body"])
def test_file_names_in_raw_utf8_are_encoded_and_read_the_same(body: str) -> None:
    part = (
        'Content-Disposition: attachment; filename="Übersicht März.pdf"\r\n'
        'Content-Type: application/pdf;\r\n\tname="Übersicht März.pdf"\r\nContent-Description: Die Übersicht\r\n'
    )
    message = (
        f'From: a@example.com\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nx\r\n'
        f"--b\r\n{part}\r\n{body}--b\r\nContent-Type: multipart/related; boundary=c; x=ü\r\n\r\n"
        f"--c\r\n{part}\r\n{body}--c--\r\n--b--\r\n"
    ).encode()
    made = in_seven_bits(message)

    assert made.isascii()
    assert leaves(made) == leaves(message)
    found = [each for each in parsed(made).walk() if each.get_filename()]
    assert [each.get_filename() for each in found] == ["Übersicht März.pdf"] * 2
    assert [each["Content-Type"].params["name"] for each in found] == ["Übersicht März.pdf"] * 2
    assert [each["Content-Description"] for each in found] == ["Die Übersicht"] * 2


@pytest.mark.parametrize(
    "message",
    [
        b"DKIM-Signature: v=1; d=x.co\r\n" + FROM + b"\r\n\xc3\xbc\r\n",
        FROM + b"arc-message-signature: i=1\r\n\r\n\xc3\xbc\r\n",
        FROM + "Subject: ü\r\n\r\nü\r\n".encode(),
        FROM + b'Content-Type: multipart/signed; boundary="b"\r\n\r\n--b\r\n\r\n\xc3\xbc\r\n--b--\r\n',
        FROM + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n\xc3\xbc\r\n--b\r\n\r\nx\r\n--b--\r\n',
        FROM + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nX: \xfc\r\n\r\nx\r\n--b--\r\n',
        FROM + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-ID: <\xc3\xbc@x>\r\n\r\nx\r\n--b--\r\n',
        FROM + b'Content-Type: multipart/signed; boundary="b"\r\n\r\n--b\r\nX: \xc3\xbc\r\n\r\nx\r\n--b--\r\n',
        FROM + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
        + (b"--b\r\nX: " + b"\xc3\xbc" * 450 + b"\r\n\r\nx\r\n") * (MAX_PART_FIELDS // 900 + 1) + b"--b--\r\n",
        FROM + b"Content-Transfer-Encoding: base64\r\n\r\n\xc3\xbc\r\n",
        FROM + b"Content-Type: multipart/mixed\r\n\r\n\xc3\xbc\r\n",
        FROM + b"Content-Type: message/partial\r\n\r\n\xc3\xbc\r\n",
    ],
    ids=[
         "dkim", "arc", "utf8-header", "signed", "preamble", "latin-1-in-a-part", "id-of-a-part",
         "part-header-that-is-signed", "much-in-headers-of-parts", "mislabelled", "no-boundary", "partial",
    ],
)  # fmt: skip
def test_message_that_has_no_clean_conversion_is_left_as_it_is(message: bytes) -> None:
    assert in_seven_bits(message) == message


lines = st.lists(st.text(st.sampled_from("aü€ =\t.-_F💌"), max_size=90).map(lambda line: f"{line}\r\n"), max_size=5).map(
    "".join
)


@given(st.lists(st.tuples(st.sampled_from(["text/plain", "text/html", "image/png"]), lines), min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_message_of_any_parts_reads_the_same(parts: list[tuple[str, str]]) -> None:
    message = FROM + MIME + b"Content-Type: multipart/mixed; boundary=bo\r\n\r\n"
    for media_type, text in parts:
        message += f"--bo\r\nContent-Type: {media_type}; charset=utf-8\r\n\r\n{text}\r\n".encode()
    message += b"--bo--\r\n"
    made = in_seven_bits(message)

    assert made.isascii()
    assert leaves(made) == leaves(message)
