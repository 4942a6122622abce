from __future__ import annotations

import pytest

from email_core.delivery.envelope import Attempt, wire_path
from email_core.message.address import parse_address
from tests.kit.couriers import MESSAGE, REVERSE_PATH, attempt


@pytest.mark.parametrize(
    "message",
    [
        b"Subject: x\n\r\n",
        b"Subject: x\r\n\r\n.\n.\r\n",
        b"a\r\n\r\nb\rc\r\n",
        b"a\r\n\r\n\r\r\n",
        b"\n",
        b"\r",
        b"a\r\n.\r\r\n",
    ],
)
def test_message_with_a_bare_line_end_is_never_sent(message: bytes) -> None:
    """SMTP smuggling: what one server takes for the end of a message, another one does not."""
    with pytest.raises(ValueError, match="bare CR or LF"):
        attempt(message=message)


@pytest.mark.parametrize(
    "path", ["ann@x> SIZE=1", "ann@x\r\nDATA", "ann", "ann@x y", "<ann@x>", "ann\x00@x", "a" * 250 + "@x.test"]
)
def test_reverse_path_that_does_not_fit_a_command_is_our_own_fault(path: str) -> None:
    with pytest.raises(ValueError, match="reverse-path"):
        attempt(reverse_path=path)


def test_attempt_for_nobody_is_our_own_fault() -> None:
    with pytest.raises(ValueError, match="at least one recipient"):
        Attempt(MESSAGE, REVERSE_PATH, ())


@pytest.mark.parametrize(
    "address",
    ["a b@x.test", "a\tb@x.test", "a@x.test\n", "a@x.test>", "a<b@x.test", "a\x7f@x.test", "a\x85b@x.test", "a\u2028b@x.test",
     "a@x\u00e4.test", "\ud800@x.test", "a@x.test RCPT", "", "@x.test"],
)  # fmt: skip
def test_address_that_could_be_read_as_something_else_is_no_path(address: str) -> None:
    assert wire_path(address) is None


@pytest.mark.parametrize(
    ("address", "path"), [("a@x.test", b"<a@x.test>"), ("jürgen@x.test", "<jürgen@x.test>".encode()), ("a=b+c@x", b"<a=b+c@x>")]
)
def test_address_becomes_a_path_byte_for_byte(address: str, path: bytes) -> None:
    assert wire_path(address) == path


@pytest.mark.parametrize(
    ("message", "eight_bit", "utf8_header"),
    [
        (b"a: b\r\n\r\nbody\r\n", False, False),
        (b"a: b\r\n\r\nb\xc3\xb6dy\r\n", True, False),
        (b"a: \xc3\xb6\r\n\r\nbody\r\n", True, True),
    ],
)
def test_message_says_which_extensions_it_needs(message: bytes, eight_bit: bool, utf8_header: bool) -> None:
    made = Attempt(message, "", (parse_address("ann@example.test"),))
    assert (made.eight_bit, made.utf8_header) == (eight_bit, utf8_header)
