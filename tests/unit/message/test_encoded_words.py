from email.header import decode_header, make_header

import pytest

from email_core.message.encoded_words import (
    address_field,
    ascii_file_name,
    encoded_words,
    fold_unstructured,
    parameter,
    structured_field,
)
from tests.kit.drafts import an_address


def decoded(field: bytes) -> str:
    unfolded = field.decode("ascii").replace("\r\n", "")
    return str(make_header(decode_header(unfolded.partition(": ")[2])))


TEXTS = [
    "Grüße",
    "注文の確認" * 20,
    "😀" * 30,
    "a" * 200 + "é",
    "é" * 200,
    "e\u0301" * 100,
    "=?utf-8?q?x?=",
    "a_b=c?d é",
    "é  two  blanks ",
]


@pytest.mark.parametrize("text", TEXTS)
def test_encoded_words_decode_to_the_text_and_each_alone_is_valid(text: str) -> None:
    words = encoded_words(text, first=40)

    assert all(len(word) <= 75 for word in words) and len(words[0]) <= 40
    # Each word by itself decodes, which it could not if one ended inside a character.
    assert "".join(str(make_header(decode_header(word.decode()))) for word in words) == text


def test_encoded_words_choose_the_shorter_encoding() -> None:
    assert encoded_words("Grüße aus dem herbstlichen Köln")[0].startswith(b"=?utf-8?q?Gr=C3=BC")
    assert encoded_words("注文の確認")[0].startswith(b"=?utf-8?b?")


def test_encoded_word_has_room_for_one_character_even_when_there_is_none() -> None:
    assert encoded_words("😀😀", first=1, rest=1) == [b"=?utf-8?b?8J+YgA==?="] * 2


@pytest.mark.parametrize(
    "text", [*TEXTS, "plain", " blank first", "blank last ", "a" * 998, "a " * 400, "a" + " " * 990 + "b", ""]
)
def test_subject_is_read_back_exactly(text: str) -> None:
    field = fold_unstructured("Subject", text, literal=True)

    assert decoded(field) == text
    assert all(len(line) <= 998 for line in field.split(b"\r\n"))


def test_ascii_text_is_folded_at_blanks_before_column_78() -> None:
    value = "lorem ipsum  dolor " * 20 + "end"

    lines = fold_unstructured("X-Test", value).split(b"\r\n")

    assert all(len(line) <= 78 for line in lines)
    assert all(line.startswith(b" ") and line.strip() for line in lines[1:])
    assert b"".join(lines) == b"X-Test: " + value.encode()


def test_custom_header_keeps_an_encoded_word_that_the_caller_wrote() -> None:
    assert fold_unstructured("X-Test", "=?utf-8?q?x?=") == b"X-Test: =?utf-8?q?x?="


def test_custom_header_with_one_long_word_stays_on_the_first_line() -> None:
    assert fold_unstructured("X-Test", "a" * 200) == b"X-Test: " + b"a" * 200


def test_address_field_quotes_encodes_and_folds() -> None:
    addresses = [
        an_address("a@example.org"),
        an_address("b@example.org", "Jane Doe"),
        an_address("c@example.org", 'Doe, "Jane" \\ x'),
        an_address("d@example.org", "Jörg"),
        an_address("jörg@exämple.org"),
    ]

    assert address_field("To", addresses).decode() == (
        'To: a@example.org, Jane Doe <b@example.org>, "Doe, \\"Jane\\" \\\\ x"\r\n'
        " <c@example.org>, =?utf-8?b?SsO2cmc=?= <d@example.org>,\r\n"
        " jörg@xn--exmple-cua.org"
    )


def test_address_field_with_long_names_keeps_lines_within_76() -> None:
    field = address_field("Reply-To", [an_address(f"u{number}@example.org", "Müller " * 36) for number in range(3)])

    assert all(len(line) <= 76 for line in field.split(b"\r\n"))


def test_parameter_of_plain_ascii_is_quoted() -> None:
    assert parameter("filename", "report 1.pdf") == [b'filename="report 1.pdf"']


@pytest.mark.parametrize("name", ["ü.pdf", 'a"b.pdf', "a\\b.pdf", "=?utf-8?q?x?=.pdf", " a.pdf", "a  b.pdf"])
def test_parameter_of_other_text_is_extended(name: str) -> None:
    (piece,) = parameter("filename", name)

    assert piece.startswith(b"filename*=utf-8''")
    assert b'"' not in piece and b" " not in piece


def test_parameter_of_long_text_is_continued_between_characters() -> None:
    pieces = parameter("filename", "注文の確認" * 16)

    assert [piece.split(b"=")[0] for piece in pieces[:3]] == [b"filename*0*", b"filename*1*", b"filename*2*"]
    for piece in pieces:
        assert len(piece) < 76
        assert piece.split(b"=", 1)[1].removeprefix(b"utf-8''").count(b"%") % 3 == 0


def test_ascii_file_name_resembles_the_name_and_keeps_the_extension() -> None:
    assert ascii_file_name("Übersicht ½.pdf") == "Ubersicht 1_2.pdf"
    assert ascii_file_name("注文.xlsx") == "__.xlsx"
    assert ascii_file_name('a"b\\c.pdf') == "a_b_c.pdf"
    assert ascii_file_name("x" * 200 + ".docx") == "x" * 55 + ".docx"
    assert ascii_file_name("x" * 200) == "x" * 60
    assert ascii_file_name("\u0301") == "_"


def test_structured_field_has_one_parameter_on_each_line() -> None:
    assert structured_field("Content-Type", "a/b", [b"c=d", b"e=f"]) == b"Content-Type: a/b;\r\n c=d;\r\n e=f"
