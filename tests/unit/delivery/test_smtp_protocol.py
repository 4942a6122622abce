from __future__ import annotations

import asyncio
import itertools

import pytest
from aiosmtplib.errors import SMTPResponseException
from hypothesis import given
from hypothesis import strategies as st

from email_core.delivery.smtp_protocol import MAX_LINE, MAX_REPLY, ReplyProtocol


class Open(asyncio.Transport):
    """A transport that takes everything and goes nowhere."""

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass


def connected() -> ReplyProtocol:
    """A protocol whose server is about to speak."""
    protocol = ReplyProtocol()
    protocol.connection_made(Open())
    return protocol


async def read(*packets: bytes) -> tuple[int, str]:
    """The reply that comes in these packets."""
    protocol = connected()
    for packet in packets:
        protocol.data_received(packet)
    code, text = await protocol.read_response(timeout=5)
    assert protocol.unasked == b""
    return code, text


@given(cuts=st.sets(st.integers(1, 60), max_size=12))
def test_reply_is_the_same_however_it_is_cut_into_packets(cuts: set[int]) -> None:
    whole = b"250-receiver.invalid\r\n250-SIZE 20000000\n250 8BITMIME\t\r\n"
    edges = [0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]
    packets = [whole[start:end] for start, end in itertools.pairwise(edges)]
    assert asyncio.run(read(*packets)) == (250, "receiver.invalid\nSIZE 20000000\n8BITMIME")


@pytest.mark.parametrize(
    "said",
    [
        b"-10 hello\r\n", b"+25 hello\r\n", b" 25 hello\r\n", b"2_5 hello\r\n", b"100 hello\r\n", b"600 hello\r\n",
        b"2500 x\r\n", b"\r\n", b"25\r\n", b"\xff\xfe\r\n", b"250-yes\r\nno\r\n", b"250-" + b"x" * MAX_LINE,
        b"x" * (MAX_LINE + 1), (b"250-" + b"x" * 500 + b"\r\n") * (MAX_REPLY // 506 + 1),
    ],
    ids=lambda said: repr(said[:20]),
)  # fmt: skip
async def test_bytes_that_are_no_reply_are_an_error(said: bytes) -> None:
    with pytest.raises(SMTPResponseException) as raised:
        await read(said)
    assert raised.value.code == -1


async def test_reply_of_500_full_lines_is_read_whole() -> None:
    lines = [b"250-" + b"x" * 506 + b"\r\n"] * 499
    code, text = await read(*lines, b"250 and that was all\r\n")
    assert (code, text.count("\n"), text.endswith("and that was all")) == (250, 499, True)


async def test_reply_in_the_packet_of_the_one_before_was_not_asked_for() -> None:
    protocol = connected()
    protocol.data_received(b"250 ok\r\n250 and more\r\n")
    await protocol.read_response(timeout=5)
    assert protocol.unasked == b"250 and more\r\n"


async def test_reply_between_two_commands_was_not_asked_for() -> None:
    protocol = connected()
    protocol.data_received(b"250 ok\r\n")
    protocol.data_received(b"250 before anybody")  # the first one waits to be picked up
    await protocol.read_response(timeout=5)
    protocol.data_received(b" asked\r\n" + b"x" * 1000)
    assert protocol.unasked.startswith(b"250 before anybody asked\r\n")
    assert len(protocol.unasked) <= 200
    protocol.forget_unasked()
    assert protocol.unasked == b""
