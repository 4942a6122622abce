"""Where a message ends, what is in it, and what may not be in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtp_relay.dot_stream import DotStream, LineTooLong, StrayOctet


def read(*blocks: bytes) -> tuple[bytes, bool, bytes]:
    stream, content = DotStream(), b""
    for block in blocks:
        content += stream.feed(block)
    return content, stream.ended, stream.rest


@pytest.mark.parametrize(
    ("wire", "content", "rest"),
    [
        (b".\r\n", b"", b""),
        (b"a\r\n.\r\n", b"a\r\n", b""),
        (b"\r\n.\r\n", b"\r\n", b""),
        (b"a\r\n..\r\n.\r\n", b"a\r\n.\r\n", b""),
        (b"..a\r\n...\r\n.b\r\n.\r\n", b".a\r\n..\r\nb\r\n", b""),
        (b"a\r\n.\r\nQUIT\r\n", b"a\r\n", b"QUIT\r\n"),
        (b"a\r\n.\r\n\n\r\0", b"a\r\n", b"\n\r\0"),
        (b"a.\r\n.\r\n", b"a.\r\n", b""),
        (b"a\r\n. \r\n.\r\n", b"a\r\n \r\n", b""),
        (b"x" * 998 + b"\r\n." + b"." + b"y" * 997 + b"\r\n.\r\n", b"x" * 998 + b"\r\n." + b"y" * 997 + b"\r\n", b""),
    ],
    ids=lambda value: None,
)
def test_message_is_read_alike_however_it_is_cut(wire: bytes, content: bytes, rest: bytes) -> None:
    assert read(wire) == (content, True, rest)
    for cut in range(1, min(len(wire), 40)):
        stream = DotStream()
        found = stream.feed(wire[:cut])
        if stream.ended:
            assert (found, stream.rest + wire[cut:]) == (content, rest)
        else:
            found += stream.feed(wire[cut:])
            assert (found, stream.ended, stream.rest) == (content, True, rest)
    if not rest:
        assert read(*(wire[at : at + 1] for at in range(len(wire)))) == (content, True, b"")


@pytest.mark.parametrize(
    "sequence",
    [
        b"\n.\n", b"\n.\r", b"\r.\n", b"\r.\r", b"\n.\r\n", b"\r.\r\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n.\n",
        b"\r\n.\r\r\n",        b"\r\r\n.\r\n", b"\r\r\n.\r\r\n", b"\n\n.\r\n", b"\r\n\n.\r\n", b"\0", b"\n\r.\n\r", b"\r\n.\rx",
    ],
)  # fmt: skip
def test_sequence_that_some_servers_take_for_the_end_is_refused(sequence: bytes) -> None:
    wire = b"Subject: x\r\n\r\ntext" + sequence + b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n"
    with pytest.raises(StrayOctet):
        read(wire)
    stream = DotStream()
    with pytest.raises(StrayOctet):
        for at in range(len(wire)):
            stream.feed(wire[at : at + 1])
    assert not stream.ended


@pytest.mark.parametrize(
    "wire", [b"x" * 999 + b"\r\n", b"a\r\n" + b"x" * 999 + b"\r\nb\r\n", b"x" * 1100, b"." + b"x" * 999 + b"\r\n"]
)
def test_line_of_more_than_998_octets_is_refused(wire: bytes) -> None:
    with pytest.raises(LineTooLong):
        read(wire)


def test_open_line_is_bounded() -> None:
    stream = DotStream()
    with pytest.raises(LineTooLong):
        for _ in range(1200):
            stream.feed(b"x")


def _reference(wire: bytes) -> tuple[bytes, bytes] | None:
    """Content and rest, line by line; None when there is no end or a stray octet before it."""
    content, position = b"", 0
    while (end := wire.find(b"\r\n", position)) >= 0:
        line = wire[position:end]
        position = end + 2
        if line == b".":
            return content, wire[position:]
        if set(line) & {0, 10, 13}:
            return None
        content += line.removeprefix(b".") + b"\r\n"
    return None


@given(
    st.lists(st.sampled_from([b"\r\n", b".", b"\r", b"\n", b"\0", b"a", b"bc", b"\r\n.\r\n"]), max_size=30).map(b"".join),
    st.integers(1, 7),
)
def test_stream_agrees_with_reading_line_by_line(wire: bytes, step: int) -> None:
    stream, content, fed = DotStream(), b"", 0
    refused = False
    try:
        while fed < len(wire) and not stream.ended:
            content += stream.feed(wire[fed : fed + step])
            fed += step
    except StrayOctet:
        refused = True
    expected = _reference(wire)
    if expected is None:
        assert refused or not stream.ended
    else:
        assert (refused, content, stream.rest + wire[fed:]) == (False, *expected)
