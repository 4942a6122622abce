"""Raw UTF-8 in a header becomes encoded words and parameters that readers understand, and stays out of where none may stand."""

from __future__ import annotations

import re
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

import pytest

from email_core.message.ascii_header import in_ascii, may_encode_much
from email_core.message.encoded_words import encoded_words
from email_core.message.mime_header import MAX_HEADER, read_header
from email_core.message.refusal import MessageRefused


def encoded(fields: str, *unsent: str) -> bytes:
    """The header after encoding."""
    header = in_ascii(read_header(fields.encode() + b"\r\n"), unsent=unsent)
    return b"".join(field.raw for field in header.fields)


def read(block: bytes) -> EmailMessage:
    message = BytesParser(policy=policy.SMTP).parsebytes(block + b"\r\n")
    assert isinstance(message, EmailMessage)
    return message


TEXTS = [
    "Grüße", "注文の確認" * 20, "😀" * 60, "é", "a" * 400 + " é", "é" * 300, "Grüße  aus   Köln", 'a "b" <c@d.co> ü, (x) \\ ;',
    "e\u0301" * 90, "a=b_c?d é", "100 % für alle",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("name", ["Subject", "SUBJECT", "Comments", "X-Mailer", "Content-Description", "Thread-Topic"])
def test_text_is_read_as_it_was_written(name: str, text: str) -> None:
    block = encoded(f"{name}: {text}\r\n")

    assert block.isascii() and block.startswith(f"{name}: ".encode())
    assert read(block)[name] == text
    assert all(len(line) <= 76 for line in block.split(b"\r\n"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=?utf-8?q?Gr=C3=BC?= ß", "Grü ß"),
        ("ß =?iso-8859-1?Q?=FC?=", "ß ü"),
        ("=?utf-8?q?a?= ü =?utf-8?q?b?=", "a ü b"),
        ("=?utf-8?q?a?= =?utf-8?q?b?= ü", "ab ü"),
        ("ü =?utf-8?q?a?=  =?utf-8?b?w7w=?= b", "ü aü b"),
        ("=?utf-8?q?a?=\r\n\tü", "a ü"),
        ("=?utf-8?q?Grüße?= x", "=?utf-8?q?Grüße?= x"),
        ("Grüße\r\n aus\r\n\tKöln", "Grüße aus Köln"),
        (" \t Grüße \t", "Grüße"),
    ],
)
def test_text_with_encoded_words_and_folds_is_read_as_it_was_meant(value: str, shown: str) -> None:
    block = encoded(f"Subject: {value}\r\n")

    assert block.isascii()
    assert read(block)["Subject"] == shown


def test_encoded_words_of_the_client_stay_as_they_are() -> None:
    assert encoded("Subject: =?x-own?q?a?= ü\r\n") == b"Subject: =?x-own?q?a?= =?utf-8?b?IMO8?=\r\n"


def test_fields_in_ascii_and_those_nobody_sees_stay_octet_for_octet() -> None:
    fields = "Subject:  a\r\n\tb \r\nbcc: jörg@x.co\r\nTo: a@b.co,\r\n  c@d.co\r\n"

    assert encoded(fields, "bcc") == fields.encode()


@pytest.mark.parametrize(
    ("value", "made"),
    [
        ("Jörg <a@b.co>", "{Jörg} <a@b.co>"),
        ('"Müller, Jörg" <a@b.co>', "{Müller, Jörg} <a@b.co>"),
        ('"J\\"ö" <a@b.co>', '{J"ö} <a@b.co>'),
        ("Jörg\t Müller<a@b.co>", "{Jörg Müller} <a@b.co>"),
        ('Jörg "X" Doe <a@b.co>', "{Jörg X Doe} <a@b.co>"),
        ("a@b.co (Jörg)", "a@b.co ({Jörg})"),
        ("a@b.co(x)(Jörg (der \\) zweite))(y)", "a@b.co(x) ({Jörg (der ) zweite)})(y)"),
        ("ö" * 40 + " <a@b.co>", "{" + "ö" * 40 + "} <a@b.co>"),
        ("Jörg (x) Doe <a@b.co>", "{Jörg Doe} (x) <a@b.co>"),
        ("=?utf-8?q?J?= ö <a@b.co>", "=?utf-8?q?J?= { ö} <a@b.co>"),
        ("ö =?utf-8?q?J?= =?utf-8?q?K?= ö <a@b.co>", "{ö } =?utf-8?q?J?= =?utf-8?q?K?= { ö} <a@b.co>"),
        ('"=?utf-8?q?J?= ö" <a@b.co>', "{=?utf-8?q?J?= ö} <a@b.co>"),
        ('a@b.co,c@d.co,"Dóe" <e@f.co>', "a@b.co,c@d.co, {Dóe} <e@f.co>"),
        ('Doe <a@b.co>, ö <c@d.co>, "E, F" <e@f.co>', 'Doe <a@b.co>, {ö} <c@d.co>, "E, F" <e@f.co>'),
        ("Büro: a@b.co, <c@d.co>;", "{Büro} : a@b.co, <c@d.co>;"),
        ("Büro:;, ö <a@b.co>", "{Büro} :;, {ö} <a@b.co>"),
        ("Nachrichten für alle\r\n\t<news.contoso.test>", "{Nachrichten für alle} <news.contoso.test>"),
        ("=?utf-8?q?ö?= <a@b.co>", "{=?utf-8?q?ö?=} <a@b.co>"),
        ("Alle im Büro", "{Alle im Büro}"),
        ("ö <@x.co,@y.co:a@b.co>, c@[IPv6:::1]", "{ö} <@x.co,@y.co:a@b.co>, c@[IPv6:::1]"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["To", "Reply-To", "List-Id", "Disposition-Notification-To"])
def test_names_of_addresses_are_encoded_and_the_addresses_stay(name: str, value: str, made: str) -> None:
    block = encoded(f"{name}: {value}\r\n").decode("ascii")
    room = min(76 - len(name) - 3, 66) if made.startswith("{") else 66
    made = re.sub("{(.*?)}", lambda text: b" ".join(encoded_words(text[1], first=room, rest=66)).decode(), made)

    assert block.replace("\r\n ", " ").removeprefix(f"{name}: ") == f"{made}\r\n"
    assert all(len(line) <= 76 for line in block.split("\r\n"))


def test_list_of_addresses_is_read_as_it_was_written() -> None:
    names = ["Jörg Müller", "", "注文の確認" * 12, "Doe, Jané", "Plain Name", "O'Neil ✓", ""]
    written = [f'"{name}" <u{number}@example.org>' if name else f"u{number}@example.org" for number, name in enumerate(names)]
    block = encoded("To: " + ",\r\n\t".join(written) + "\r\n")

    assert [each.addr_spec for each in read(block)["To"].addresses] == [f"u{number}@example.org" for number in range(7)]
    # Python's parser leaves blanks between the encoded words of a name, which RFC 2047 section 6.2 takes out.
    assert ["".join(each.display_name.split()) for each in read(block)["To"].addresses] == ["".join(n.split()) for n in names]
    assert all(len(line) <= 76 for line in block.split(b"\r\n"))


@pytest.mark.parametrize("name", ["Content-Type: application/pdf; name", "Content-Disposition: attachment; filename"])
@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('"Grüße.pdf"', "Grüße.pdf"),
        ("Grüße.pdf", "Grüße.pdf"),
        ('"Grüße; aus \\"Köln\\".pdf"', 'Grüße; aus "Köln".pdf'),
        ('"' + "注文の確認" * 12 + '.pdf"', "注文の確認" * 12 + ".pdf"),
        ('"Grüße\r\n aus Köln.pdf"; size=3', "Grüße aus Köln.pdf"),
        ("\tü ;;", "ü"),
    ],
)
def test_file_name_is_read_as_it_was_written(name: str, written: str, text: str) -> None:
    field, _, parameter = name.partition("; ")
    block = encoded(f"{name}={written}\r\n")

    assert block.isascii() and f'{parameter}="'.encode() not in block
    assert read(block)[field.partition(":")[0]].params[parameter] == text
    assert all(len(line) <= 78 for line in block.split(b"\r\n"))


def test_parameters_in_ascii_stay_and_a_name_that_is_there_in_both_forms_is_left_in_one() -> None:
    block = encoded('Content-Type: Multipart/Mixed;boundary="a;b"; name="ü"; charset=x; name*=utf-8\'\'%C3%BC\r\n')

    assert block == b"Content-Type: Multipart/Mixed;\r\n boundary=\"a;b\";\r\n charset=x;\r\n name*=utf-8''%C3%BC\r\n"


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("To: jörg@example.org", "The To field has characters outside of ASCII in an address"),
        ("To: Jane <jane@bücher.example>", "outside of ASCII in an address"),
        ("Cc: a@b.co, ö <jörg@example.org>", "The Cc field has characters outside of ASCII in an address"),
        ("To: a@b.co Jörg", "outside of ASCII in an address"),
        ("To: j@örg <a@b.co>", "needs double quotes"),
        ('To: "Jörg <a@b.co>', "a quote that does not end"),
        ("To: a@b.co (Jörg", "a comment that does not end"),
        ("Message-ID: <ö@b.co>", "The Message-ID field has characters outside of ASCII, where none may stand encoded"),
        ("Date: 1 März 2026", "The Date field"),
        ("Received: from ö", "The Received field"),
        ("References: <ö@b.co>", "The References field"),
        ("Content-Transfer-Encoding: ö", "The Content-Transfer-Encoding field"),
        ("Content-Type: text/plain; boundary=ö", "outside of ASCII in boundary"),
        ("Content-Type: text/plain; name*=utf-8''ö", "outside of ASCII in name*"),
        ("Content-Type: tëxt/plain", "two readings"),
        ('Content-Disposition: attachment; filename="ä"; filename="ö"', "two readings"),
        ('Content-Disposition: attachment; filename="a"; FILENAME=ö', "two readings"),
        ("Content-Disposition: attachment; filename=Grüße aus Köln.pdf", "two readings"),
        ("Content-Disposition: attachment (ö); filename=a", "two readings"),
        ("DKIM-Signature: v=1; i=ö@x.co", "where none may stand encoded"),
        ("ARC-Seal: i=1; ö", "where none may stand encoded"),
        ("Authentication-Results: ö", "where none may stand encoded"),
        ("List-Unsubscribe: <https://x.co/ö>", "where none may stand encoded"),
        ("To: a@b.co " + "(" + "x" * 900 + "\r\n " + "x" * 900 + ")" + ", ö <a@b.co>", "can't be folded"),
        ("X" * 990 + ": ö", "can't be folded"),
    ],
    ids=lambda value: value[:40],
)
def test_utf8_where_nothing_encodes_it_is_refused_with_its_field_and_remedy(field: str, text: str) -> None:
    with pytest.raises(MessageRefused) as refused:
        encoded(f"{field}\r\n")

    assert text in refused.value.text
    assert "SMTPUTF8" in refused.value.text or "Leave them out" in refused.value.text
    assert refused.value.text.isascii() and refused.value.text.isprintable() and len(refused.value.text) < 400
    assert (refused.value.code, refused.value.enhanced) == (554, "5.6.0")


def test_header_that_is_too_large_in_encoded_words_is_refused() -> None:
    line = "ö" * 480 + "\r\n "
    with pytest.raises(MessageRefused) as refused:
        encoded("X: " + line * (MAX_HEADER // 970 - 1) + "ö\r\n")

    assert (refused.value.code, refused.value.enhanced) == (552, "5.3.4")
    assert "in encoded words" in refused.value.text


@pytest.mark.parametrize(
    ("header", "much"),
    [("Subject: ö", False), ("X: " + "x" * 9000, False), ("X: " + "ö" * 2000, False), ("X: " + "ö" * 2100, True)],
    ids=["short", "ascii", "little", "much"],
)
@pytest.mark.parametrize("body", ["", "\r\n\r\n" + "ö" * 90_000], ids=["header only", "with a body"])
def test_much_to_encode_is_told_by_the_header_alone(header: str, much: bool, body: str) -> None:
    assert may_encode_much((header + (body or "\r\n")).encode()) is much
