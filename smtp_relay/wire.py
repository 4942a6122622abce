"""What a client sends, read as lines or as blocks, with a bound on what is held."""

from __future__ import annotations

import asyncio
from asyncio import sslproto

BLOCK = 64 * 1024
_MOST_DISCARDED = 256 * 1024  # of one line that is too long


# asyncio makes a buffer of this size for each connection with TLS and fills it with zeros, so that all of it is memory in use:
# with its 256 KB, a thousand idle strangers hold a quarter of a gigabyte. It has no public switch; a test sees that this works.
sslproto.SSLProtocol.max_size = BLOCK


class LineTooLong(Exception):
    """A line was too long, and was left out; the next one can be read."""


class LineReader:
    """Reads from a stream. Every method raises EOFError when the client has sent its last octet."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._held = bytearray()

    async def line(self, most: int) -> bytes:
        """The next line with its LF. Raises LineTooLong for one of more than `most` octets."""
        searched = 0
        while (end := self._held.find(b"\n", searched)) < 0:
            searched = len(self._held)
            if searched > most:
                await self._discard_line()
                raise LineTooLong
            self._held += await self._read()
        line = bytes(self._held[: end + 1])
        del self._held[: end + 1]
        if len(line) > most:
            raise LineTooLong
        return line

    @property
    def has_line(self) -> bool:
        """Whether the next line has come already."""
        return b"\n" in self._held

    async def block(self) -> bytes:
        """The next octets, as many as there are."""
        if self._held:
            held = bytes(self._held)
            self._held.clear()
            return held
        return await self._read()

    def put_back(self, octets: bytes) -> None:
        """Have these read next."""
        self._held[:0] = octets

    def drop(self) -> None:
        """Forget all that came until now and was not read."""
        self._held.clear()
        self._reader._buffer.clear()  # type: ignore[attr-defined]  # the stream has no public way to do it; aiosmtpd does so too

    async def _discard_line(self) -> None:
        discarded = len(self._held)
        while (end := self._held.find(b"\n")) < 0:
            self._held.clear()
            if discarded > _MOST_DISCARDED:
                raise EOFError("a line without an end")
            self._held += await self._read()
            discarded += len(self._held)
        del self._held[: end + 1]

    async def _read(self) -> bytes:
        octets = await self._reader.read(BLOCK)
        if not octets:
            raise EOFError
        return octets
