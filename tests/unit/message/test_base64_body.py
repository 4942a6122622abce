import base64

import pytest

from email_core.message.base64_body import Base64Error, rewrap

LINES = [
    b"",
    b"a",
    b"ab",
    b"abc",
    b"x" * 57,
    b"x" * 58,
    b"x" * 114,
    b"x" * 57 * 1024,
    b"x" * (57 * 1024 + 1),
    bytes(range(256)) * 700,
]


@pytest.mark.parametrize("content", LINES, ids=len)
def test_rewrap_any_length_keeps_the_content_in_lines_of_76(content: bytes) -> None:
    body, size = rewrap(base64.b64encode(content))

    assert base64.b64decode(body, validate=False) == content
    assert size == len(content)
    assert body == base64.encodebytes(content).rstrip(b"\n").replace(b"\n", b"\r\n")


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("width", [1, 3, 64, 76, 1000])
def test_rewrap_text_with_line_breaks_gives_the_same_as_without(line_end: bytes, width: int) -> None:
    encoded = base64.b64encode(b"Gr\xc3\xbc\xc3\x9fe" * 100)
    broken = line_end.join(encoded[start : start + width] for start in range(0, len(encoded), width)) + line_end

    assert rewrap(broken) == rewrap(encoded)


def test_rewrap_takes_a_memoryview() -> None:
    assert rewrap(memoryview(b"eHh4eA==")) == (b"eHh4eA==", 4)


REFUSED = [
    (b"eHh4eA=!", "at character 8"),
    (b"!Hh4eA==", "at character 1:"),
    (b"eHh4 eA==", "at character 5"),
    (b"eHh4\teA==", "at character 5"),
    (b"eHh4\x00eA==", "at character 5"),
    (b"eHh4-_A=", "at character 5"),  # the alphabet for URLs, RFC 4648 section 5
    (b"eHh4\xc3\xa9A==", "at character 5"),
    (b"eHh4\reA==", "carriage return without a line feed at character 5"),
    (b"eHh4eA==\r", "carriage return without a line feed at character 9"),
    (b"eHh4\rA\nA==", "carriage return without a line feed at character 5"),
    (b"eHh4eA", "inside a group of four at character 6"),
    (b"eHh4eA=", "inside a group of four at character 7"),
    (b"eHh4e", "inside a group of four"),
    (b"=", "inside a group of four"),
    (b"====", "wrong place at character 1"),
    (b"eHh4e===", "wrong place at character 6"),
    (b"eHh4eA====", "wrong place at character 7"),
    (b"eHh4eA==eHh4", "wrong place at character 7"),
    (b"eA==\r\neA==", "wrong place at character 3"),
    (b"e=A=", "wrong place at character 2"),
    (b"eHh4eB==", "non-zero bits under its padding at character 6"),
    (b"eHh4eHh=", "non-zero bits under its padding at character 7"),
    (b"eHh4\r\neHh=", "non-zero bits under its padding at character 9"),
]


@pytest.mark.parametrize(("encoded", "reason"), REFUSED)
def test_rewrap_what_is_not_base64_says_where(encoded: bytes, reason: str) -> None:
    with pytest.raises(Base64Error) as refusal:
        rewrap(encoded)

    assert reason in refusal.value.reason


PIECE = 76 * 1024  # octets that are looked at in one go


@pytest.mark.parametrize("length", [PIECE - 4, PIECE, PIECE + 4, 2 * PIECE, 3 * PIECE + 40])
def test_rewrap_around_the_end_of_a_piece_gives_the_same_as_the_standard_library(length: int) -> None:
    content = bytes(range(256)) * (length // 256 + 1)
    encoded = base64.b64encode(content)[:length]
    lines = [encoded[start : start + 76] for start in range(0, length, 76)]

    assert rewrap(encoded) == (b"\r\n".join(lines), length // 4 * 3)
    assert rewrap(b"\r\n".join(lines)) == rewrap(encoded)
    for width in (74, 75, 77):
        assert rewrap(b"\n".join(encoded[start : start + width] for start in range(0, length, width))) == rewrap(encoded)


@pytest.mark.parametrize(
    ("before", "end", "reason"),
    [
        (PIECE, b"eHh4eA=!", f"not base64 at character {PIECE + 8}"),
        (PIECE - 1, b"\r\nAAAA", f"inside a group of four at character {PIECE + 5}"),
        (PIECE - 1, b"\rAAAA", f"carriage return without a line feed at character {PIECE}"),
        (PIECE, b"\rAAAA", f"carriage return without a line feed at character {PIECE + 1}"),
        (PIECE - 2, b"==AAAA", f"wrong place at character {PIECE - 1}"),
        (PIECE - 2, b"==\r\n=", f"wrong place at character {PIECE - 1}"),
        (PIECE - 3, b"B==\r\n", f"non-zero bits under its padding at character {PIECE - 2}"),
        (PIECE - 3, b"B" + b"\n" * PIECE + b"==", f"non-zero bits under its padding at character {PIECE - 2}"),
        (PIECE - 3, b"B\r\n==\r\n", f"non-zero bits under its padding at character {PIECE - 2}"),
    ],
)
def test_rewrap_fault_around_the_end_of_a_piece_is_found_where_it_is(before: int, end: bytes, reason: str) -> None:
    with pytest.raises(Base64Error) as refusal:
        rewrap(b"A" * before + end)

    assert reason in refusal.value.reason


def test_rewrap_padding_in_two_pieces_is_padding() -> None:
    assert rewrap(b"A" * (PIECE - 1) + b"=")[1] == PIECE // 4 * 3 - 1
    assert rewrap(b"A" * (PIECE - 2) + b"=\r\n=\r\n")[1] == PIECE // 4 * 3 - 2
