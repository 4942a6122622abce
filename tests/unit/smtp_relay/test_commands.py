"""Command lines, read strictly."""

from __future__ import annotations

import pytest

from smtp_relay.commands import SyntaxRefused, parse_line, parse_path, parse_size


@pytest.mark.parametrize(
    ("line", "parsed"),
    [
        (b"NOOP\r\n", ("NOOP", "")),
        (b"mail FROM:<a@b.test>\r\n", ("MAIL", "FROM:<a@b.test>")),
        (b"EHLO  client.test \r\n", ("EHLO", "client.test")),
        ("RCPT TO:<jürgen@b.test>\r\n".encode(), ("RCPT", "TO:<jürgen@b.test>")),
        (b"\r\n", ("", "")),
    ],
)
def test_line_is_a_verb_and_an_argument(line: bytes, parsed: tuple[str, str]) -> None:
    assert parse_line(line) == parsed


@pytest.mark.parametrize(
    "line", [b"NOOP\n", b"NOOP", b"NO\0OP\r\n", b"NOOP\rQUIT\r\n", b"NOOP \xff\r\n", b"NOOP \x7f\r\n", "ＭＡＩＬ\r\n".encode()]
)
def test_line_with_stray_octets_is_refused(line: bytes) -> None:
    with pytest.raises(SyntaxRefused):
        parse_line(line)


@pytest.mark.parametrize(
    ("argument", "address", "parameters"),
    [
        ("FROM:<a@b.test>", "a@b.test", {}),
        ("from: <a@b.test>", "a@b.test", {}),
        ("FROM:<>", "", {}),
        ("FROM:<a@b.test> SIZE=10 BODY=8BITMIME smtputf8", "a@b.test", {"SIZE": "10", "BODY": "8BITMIME", "SMTPUTF8": ""}),
        ("FROM:<a@b.test> AUTH=<> ENVID=x+3Dy", "a@b.test", {"AUTH": "<>", "ENVID": "x+3Dy"}),
        ('FROM:<"a>b"@c.test>', '"a>b"@c.test', {}),
    ],
)
def test_path_is_what_stands_in_the_brackets(argument: str, address: str, parameters: dict[str, str]) -> None:
    path = parse_path("FROM:", argument)
    assert (path.address, dict(path.parameters)) == (address, parameters)


@pytest.mark.parametrize(
    "argument",
    [
        "", "TO:<a@b.test>", "FROM:a@b.test", "FROM:<a@b.test", "FROM:<a@b.test>SIZE=1", "FROM:<a@b.test> SIZE=",
        "FROM:<a@b.test> SIZE=1 size=2", "FROM:<a@b.test> =1", "FROM:<a@b.test> A=b=c", "FROM:<a<b>@c.test>",
        "FROM:<a@b.test> <c>",
    ],
)  # fmt: skip
def test_path_that_can_be_read_in_two_ways_is_refused(argument: str) -> None:
    with pytest.raises(SyntaxRefused):
        parse_path("FROM:", argument)


@pytest.mark.parametrize("value", ["", "-1", "1.5", "0x10", "٣", "9" * 21])
def test_size_that_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(SyntaxRefused):
        parse_size(value)


def test_size_is_octets() -> None:
    assert parse_size("31457280") == 31_457_280
