from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_core.delivery import tls_policy
from email_core.delivery.routes import TlsMode
from email_core.delivery.smtp_wire import BLOCK, SmtpWire, TlsFault, WireFault, _blocks
from tests.kit.server_tls import ServerTls, server_tls
from tests.kit.smtp_receiver import DRIBBLE, STALL, Script, SmtpReceiver

__all__ = ["server_tls"]


def unstuffed(wire: bytes) -> bytes:
    """What a receiver makes of it, line by line (RFC 5321 section 4.5.2)."""
    assert wire.endswith(b"\r\n.\r\n")
    taken = []
    for line in wire.removesuffix(b".\r\n").split(b"\r\n"):
        assert line != b"."
        taken.append(line.removeprefix(b"."))
    return b"\r\n".join(taken)


@given(st.lists(st.sampled_from([b".", b"..", b"", b"x", b".x", b"x.", b"\xff."]), max_size=40).map(b"\r\n".join))
def test_dots_are_stuffed_so_that_every_line_comes_back(text: bytes) -> None:
    message = b"Subject: x\r\n\r\n" + text + b"\r\n"
    assert unstuffed(b"".join(block for block, _ in _blocks(message))) == message


def test_message_without_an_end_of_line_gets_one() -> None:
    assert b"".join(block for block, _ in _blocks(b"x")) == b"x\r\n.\r\n"


@pytest.mark.parametrize("size", [BLOCK - 3, BLOCK - 2, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
def test_only_the_last_block_has_the_final_dot(size: int) -> None:
    blocks = list(_blocks(b"x" * size + b"\r\n"))
    assert [last for _, last in blocks] == [False] * (len(blocks) - 1) + [True]
    assert b"".join(block for block, _ in blocks) == b"x" * size + b"\r\n.\r\n"
    assert all(len(block) <= BLOCK + 3 for block, _ in blocks)


def test_stuffing_ten_megabytes_of_dots_is_linear() -> None:
    message = b".\r\n" * 3_500_000
    started = time.process_time()
    assert sum(len(block) for block, _ in _blocks(message)) == len(message) + 3_500_000 + 3
    assert time.process_time() - started < 2.0


async def test_command_with_a_line_end_inside_never_reaches_the_server() -> None:
    async with SmtpReceiver() as receiver:
        wire = await SmtpWire.connect("127.0.0.1", receiver.port, timeout=5)
        await wire.greeting(timeout=5)
        with pytest.raises(ValueError, match="control character"):
            await wire.command(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>", timeout=5)
        await asyncio.wait_for(receiver.ended.wait(), 5)
    assert receiver.commands == []


async def test_wire_that_was_hung_up_can_be_hung_up_again() -> None:
    async with SmtpReceiver() as receiver:
        wire = await SmtpWire.connect("127.0.0.1", receiver.port, timeout=5)
        await wire.greeting(timeout=5)
        wire.hang_up()
        wire.hang_up()
        wire.abort()
        with pytest.raises(WireFault):
            await wire.command(b"NOOP", timeout=5)


@pytest.mark.parametrize("host", ["a" * 70 + ".test", "a..test", "nowhere.invalid"])
async def test_name_that_leads_nowhere_is_a_fault_of_the_connection(host: str) -> None:
    with pytest.raises(WireFault):
        await SmtpWire.connect(host, 25, timeout=5)


async def test_reply_to_starttls_and_handshake_have_one_time_out_together(server_tls: ServerTls) -> None:
    # The reply takes a second, and the handshake would take for ever: the second and a half ends in the handshake.
    script: Script = {"STARTTLS": DRIBBLE, "handshake": STALL}
    async with SmtpReceiver(script, tls=server_tls.server("mx.example.test")) as receiver:
        wire = await SmtpWire.connect("127.0.0.1", receiver.port, timeout=5)
        await wire.greeting(timeout=5)
        async with asyncio.timeout(2.4):  # a time-out for each of them would be two and a half
            with pytest.raises(TlsFault, match=r"no answer within 1\.5 s"):
                await wire.start_tls(tls_policy.context_for(TlsMode.OPPORTUNISTIC), "mx.example.test", timeout=1.5)
