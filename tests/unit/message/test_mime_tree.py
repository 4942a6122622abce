"""Where the parts of a message stand, against the standard library, and bombs that are refused quickly."""

from __future__ import annotations

import time
from contextlib import suppress
from email import policy
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.parser import BytesParser

import pytest

from email_core.message.mime_tree import MAX_DEPTH, MAX_PART_HEADER, MAX_PARTS, read_parts
from email_core.message.refusal import MessageRefused


def a_tree() -> bytes:
    inner = MIMEMultipart("alternative", boundary="x")
    inner.attach(MIMEText("plain"))
    inner.attach(MIMEText("<p>html</p>", "html"))
    forwarded = MIMEMultipart("mixed", boundary="fw")
    forwarded.attach(MIMEText("forwarded"))
    outer = MIMEMultipart("mixed", boundary="x yy")
    outer.preamble, outer.epilogue = "before\n--x\n", "--x\nbehind"
    for part in (inner, MIMEMessage(forwarded), MIMEText("last\n--x yyy\n")):
        outer.attach(part)
    return outer.as_bytes(policy=policy.SMTP)


def test_parts_are_those_of_the_standard_library() -> None:
    message = a_tree()
    parts = read_parts(message)
    expected = list(BytesParser(policy=policy.SMTP).parsebytes(message).walk())

    assert [part.media_type for part in parts] == [part.get_content_type() for part in expected]
    assert [part.depth for part in parts] == [0, 1, 2, 2, 1, 2, 3, 1]
    for part, other in zip(parts, expected, strict=True):
        if not part.container:
            assert message[part.body_start : part.body_end] == other.get_payload().encode()


@pytest.mark.parametrize(
    ("body", "bodies"),
    [
        (b"--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n", [b"one", b"two"]),
        (b"--b\r\n\r\none\r\n--b \t\r\n\r\ntwo", [b"one", b"two"]),
        (b"preamble\r\n--b\r\n\r\n\r\n--b--", [b""]),
        (b"--b\r\n--b\r\n\r\ntwo\r\n--b--\r\n", [b"", b"two"]),
        (b"--b\r\nX-No: body\r\n--b\r\n\r\ntwo\r\n--b--\r\n", [b"", b"two"]),
        (b"--b\r\n\r\n--bb\r\n--b", [b"--bb"]),
        (b"--b\r\n\r\none\r\n--b--\r\nepilogue\r\n--b\r\n\r\nno part\r\n", [b"one"]),
        (b"nothing", []),
    ],
)
def test_parts_with_odd_delimiters_are_found(body: bytes, bodies: list[bytes]) -> None:
    message = b"Content-Type: multipart/mixed;\r\n boundary=b\r\n\r\n" + body
    root, *parts = read_parts(message)

    assert root.container
    assert [message[part.body_start : part.body_end] for part in parts] == bodies


@pytest.mark.parametrize(
    ("content_type", "container"),
    [
        (b'multipart/mixed; boundary="b"', True),
        (b"MULTIPART/Mixed ; charset=x;BOUNDARY = b", True),
        (b'multipart/mixed; x="; boundary=c"; boundary="\\b"', True),
        (b"multipart/mixed", False),
        (b'multipart/mixed; x="boundary=b"', False),
        (b"text/plain; boundary=b", False),
        (b"nonsense", False),
    ],
)
def test_boundary_is_read_from_the_content_type(content_type: bytes, container: bool) -> None:
    parts = read_parts(b"Content-Type: " + content_type + b"\r\n\r\n--b\r\n\r\none\r\n--b--\r\n")

    assert parts[0].container is container
    assert len(parts) == 1 + container


def nested(depth: int, filler: bytes = b"") -> bytes:
    message = b"text" + filler
    for level in range(depth):
        name = b"%d" % level
        head = b"Content-Type: multipart/mixed; boundary=b%b\r\n\r\n--b%b\r\n" % (name, name)
        message = head + (message if level else b"\r\n" + message) + b"\r\n--b%b--\r\n" % name
    return message


def test_nesting_up_to_the_limit_is_taken_and_beyond_refused() -> None:
    assert len(read_parts(nested(MAX_DEPTH))) == MAX_DEPTH + 1
    with pytest.raises(MessageRefused, match="nested"):
        read_parts(nested(MAX_DEPTH + 1))
    with pytest.raises(MessageRefused, match="nested"):
        read_parts(b"Content-Type: message/rfc822\r\n\r\n" * (MAX_DEPTH + 1) + b"\r\n")


def test_parts_up_to_the_limit_are_taken_and_beyond_refused() -> None:
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"

    assert len(read_parts(head + b"--b\r\n\r\n" * (MAX_PARTS - 1))) == MAX_PARTS
    with pytest.raises(MessageRefused, match="MIME parts"):
        read_parts(head + b"--b\r\n\r\n" * MAX_PARTS)
    with pytest.raises(MessageRefused, match="header of more"):
        read_parts(head + b"--b\r\nX: " + b"x" * MAX_PART_HEADER)


@pytest.mark.parametrize(
    "bomb",
    [
        nested(MAX_DEPTH, b"\r\n--" * 200_000),
        nested(MAX_DEPTH, b"\r\n--b1x" * 200_000),
        nested(MAX_DEPTH, b"\r\n--b49" * 200_000),
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 200_000,
        b"Content-Type: message/rfc822\r\n\r\n" * 20_000,
        b'Content-Type: multipart/mixed; x="' + b"\\" * 60_000 + b"\r\n\r\n--b\r\n",
        b"Content-Type: multipart/mixed" + b"; x=y" * 12_000 + b"\r\n\r\n--b\r\n",
        b"Content-Type: multipart/mixed" + b";" * 60_000 + b"\r\n\r\n--b\r\n",
        b"Content-Type: multipart/mixed" + b'; x="' * 12_000 + b"\r\n\r\n--b\r\n",
    ],
    ids=["dashes", "near", "inner", "parts", "messages", "backslashes", "parameters", "semicolons", "quotes"],
)
def test_bomb_of_a_megabyte_is_read_or_refused_in_no_time(bomb: bytes) -> None:
    started = time.process_time()
    with suppress(MessageRefused):
        read_parts(bomb)
    assert time.process_time() - started < 1.0
