"""How far this machine's clock is from that of an NTP server: SNTP version 4 as a client (RFC 4330)."""

from __future__ import annotations

import asyncio
import struct

from email_core.clock import Clock

PORT = 123
_PACKET = struct.Struct("!BBbb11I")  # RFC 4330 section 4: 48 bytes; four timestamps of two words each at the end
_CLIENT = 0x23  # no leap warning, version 4, mode 3
_SERVER_MODE = 4
_ERA_1970 = 2_208_988_800  # seconds from 1900, where NTP begins, to 1970
_ERA = 2**32  # seconds; section 3: a time without the highest bit is of the era that begins in 2036


class NoTime(Exception):
    """The server gave no time that can be used; the text says why."""


def request(now: float) -> bytes:
    """A question that carries our time, by which the answer to it is known."""
    return _PACKET.pack(_CLIENT, *([0] * 12), *_words(now))


def offset(answer: bytes, asked: bytes, sent: float, received: float) -> float:
    """Seconds that our clock is ahead of the server's. Raises NoTime for what is no answer to that question.

    `sent` and `received` are readings of our clock, seconds since 1970. The way there and back are taken as equally long
    (section 5).
    """
    if len(answer) < _PACKET.size:
        raise NoTime("its answer is too short")
    fields = _PACKET.unpack(answer[: _PACKET.size])
    leap, mode, stratum = fields[0] >> 6, fields[0] & 7, fields[1]
    if mode != _SERVER_MODE or fields[9:11] != _PACKET.unpack(asked)[13:15]:
        raise NoTime("its answer is not to our question")
    if stratum == 0:
        code = struct.pack("!I", fields[6]).decode("ascii", "replace").strip("\0")
        raise NoTime(f"it does not want to be asked ({code})")  # section 8: the kiss of death
    if stratum > 15 or leap == 3 or not any(fields[13:15]):
        raise NoTime("its own clock is not set")
    came, went = _seconds(*fields[11:13]), _seconds(*fields[13:15])
    return ((sent - came) + (received - went)) / 2


async def clock_offset(address: str, port: int, clock: Clock, *, seconds: float) -> float:
    """Seconds that our clock is ahead of that server's. Raises NoTime, and TimeoutError after that many seconds."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[tuple[bytes, float]] = loop.create_future()

    class Datagrams(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            if not answered.done():
                answered.set_result((data, clock.now()))

        def error_received(self, exc: Exception) -> None:
            if not answered.done():
                answered.set_exception(NoTime(f"nobody listens there: {exc}"))

    try:
        transport, _ = await loop.create_datagram_endpoint(Datagrams, remote_addr=(address, port))
    except OSError as error:
        raise NoTime(f"it cannot be reached: {error.strerror or error}") from error
    try:
        sent = clock.now()
        asked = request(sent)
        transport.sendto(asked)
        async with asyncio.timeout(seconds):
            answer, received = await answered
    finally:
        transport.close()
    return offset(answer, asked, sent, received)


def split_time_server(text: str) -> tuple[str, int]:
    """Host and port of HOST[:PORT], an IPv6 address with a port in brackets. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        host, port = text, str(PORT)
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError(text)
    return host.strip("[]"), int(port)


def _words(at: float) -> tuple[int, int]:
    whole = int(at)
    return (whole + _ERA_1970) % _ERA, int((at - whole) * _ERA)


def _seconds(whole: int, fraction: int) -> float:
    era = 0 if whole & 0x80000000 else _ERA
    return whole + era - _ERA_1970 + fraction / _ERA
