"""Reading a message after DATA, with a bound on its size, its time and its pace."""

from __future__ import annotations

import asyncio
from typing import BinaryIO

from smtp_relay import replies
from smtp_relay.door import Door
from smtp_relay.dot_stream import DotStream, LineTooLong, StrayOctet
from smtp_relay.options import TimeLimits
from smtp_relay.replies import Reply
from smtp_relay.wire import LineReader


class Broken(Exception):
    """The message can't be read to its end, and the connection has to be closed after this reply.

    `linger`: what the client still sends should be read, so that it comes to see the reply. `why` is for the log.
    """

    def __init__(self, reply: Reply, why: str, *, linger: bool = False) -> None:
        super().__init__(why)
        self.reply = reply
        self.why = why
        self.linger = linger


class Unwritten(Exception):
    """The message was read to its end, and the disk did not take it: `why`. The connection is as good as before."""

    def __init__(self, why: OSError) -> None:
        super().__init__(str(why))
        self.why = why


async def read_message(lines: LineReader, content: BinaryIO, limits: TimeLimits, door: Door) -> int:
    """Read to the final dot into a file, and give back what came behind it; the size in octets.

    What is larger than the door takes is read to twice of that and left out: a client reads no reply before it has sent all.
    Raises Broken and Unwritten.
    """
    loop = asyncio.get_running_loop()
    stream, size, received, began = DotStream(door.max_line), 0, 0, loop.time()
    most, kept = door.max_bytes, min(door.max_bytes, door.kept_bytes)
    failure: OSError | None = None
    while not stream.ended:
        elapsed = loop.time() - began
        if elapsed > limits.data_grace and received / elapsed < limits.least_rate:
            raise Broken(replies.TOO_SLOW, f"{received} octets in {elapsed:.0f} s")
        try:
            async with asyncio.timeout(min(limits.block, limits.data - elapsed)):
                block = await lines.block()
            octets = stream.feed(block)
        except TimeoutError:
            raise Broken(replies.TIMED_OUT, f"no end after {received} octets and {loop.time() - began:.0f} s") from None
        except StrayOctet:
            raise Broken(replies.STRAY_OCTET, "a stray CR, LF or NUL", linger=True) from None
        except LineTooLong:
            raise Broken(replies.DATA_LINE_TOO_LONG, "a line that is too long", linger=True) from None
        received += len(block)
        size += len(octets)
        if size > 2 * most:
            raise Broken(replies.too_large(most), f"{size} octets and no end", linger=True)
        room = kept - (size - len(octets))
        if room > 0 and size <= most and failure is None:
            try:
                content.write(octets[:room])
            except OSError as error:
                failure = error
    lines.put_back(stream.rest)
    if failure is not None:
        raise Unwritten(failure)
    return size
