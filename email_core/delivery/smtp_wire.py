"""One TCP connection that speaks SMTP: bytes out, replies in, on the protocol class of aiosmtplib.

aiosmtplib's client class is not used: it parses addresses anew with `email.utils`, which cuts a hostile one short instead
of refusing it, and its DATA is one step, so that nobody could tell whether a connection was lost before or after the final
dot. Its protocol class takes commands and tells of lost connections; smtp_protocol.py adds the reading of replies.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, cast

from aiosmtplib.errors import SMTPException, SMTPResponseException, SMTPServerDisconnected, SMTPTimeoutError
from aiosmtplib.response import SMTPResponse

from email_core.delivery.reply import printable
from email_core.delivery.smtp_protocol import ReplyProtocol

BLOCK = 64 * 1024  # bytes of the body that are handed to the transport at once
NEXT_ADDRESS = 0.25  # seconds until a name's next address is tried as well (Happy Eyeballs); a dead one would take all the time
_KEEPALIVE_IDLE = 60  # seconds; a NAT gateway forgets a silent connection after four minutes, a final dot may take ten


class WireFault(Exception):
    """The connection is of no more use. `reason` is for the timeline; `ours` is the part of it that quotes no server."""

    def __init__(self, reason: str, *, said: str = "", timed_out: bool = False) -> None:
        self.ours = reason
        self.reason = f"{reason}: {printable(' '.join(said.split()))[:200]}" if said else reason
        super().__init__(self.reason)
        self.timed_out = timed_out


class TlsFault(WireFault):
    """The connection could not be encrypted as wanted."""


class RawReply(NamedTuple):
    """A reply as it came: code, and the text of its lines joined by LF."""

    code: int
    text: str


class SmtpWire:
    """A connection. Every method raises WireFault when the connection failed, and it is closed then."""

    def __init__(self, protocol: ReplyProtocol) -> None:
        self._protocol = protocol
        self.dot_sent = False  # whether the final dot of the last body may have reached the server

    @classmethod
    async def connect(
        cls, host: str, port: int, *, timeout: float, tls: ssl.SSLContext | None = None, tls_name: str = ""
    ) -> SmtpWire:
        """Connect, with `tls` from the first byte on. The greeting is not read yet."""
        loop = asyncio.get_running_loop()
        name = tls_name if tls else None
        try:
            async with asyncio.timeout(timeout):
                transport, protocol = await loop.create_connection(
                    ReplyProtocol, host, port, ssl=tls, server_hostname=name, happy_eyeballs_delay=NEXT_ADDRESS
                )
        except TimeoutError:  # ours, and the one of the operating system
            raise WireFault(f"no connection within {timeout:.3g} s", timed_out=True) from None
        except ssl.SSLError as error:
            raise TlsFault(_tls_reason(error)) from error
        except OSError as error:
            raise WireFault(_os_reason(error)) from error
        except ValueError as error:  # a name that no DNS or TLS library takes
            raise WireFault("not a host name") from error
        _keep_alive(transport.get_extra_info("socket"))
        return cls(protocol)

    @property
    def usable(self) -> bool:
        """Whether the connection is open, as far as is known here."""
        return self._protocol.is_connected and not self._protocol.unasked

    @property
    def peer(self) -> str:
        """The IP address of the server; empty once the connection is lost."""
        transport = self._protocol.transport
        name = transport.get_extra_info("peername") if transport is not None else None
        return str(name[0]) if name else ""

    @property
    def tls_session(self) -> tuple[str, str] | None:
        """TLS version and cipher; None when the connection is plain."""
        transport = self._protocol.transport
        session = transport.get_extra_info("ssl_object") if transport is not None else None
        if session is None:
            return None
        cipher = session.cipher()
        return str(session.version()), str(cipher[0]) if cipher else ""

    @property
    def certificate(self) -> Mapping[str, Any]:
        """The server's certificate as ssl.SSLSocket.getpeercert tells it; empty when there is none or nobody verified it."""
        transport = self._protocol.transport
        certificate = transport.get_extra_info("peercert") if transport is not None else None
        return certificate or {}

    async def greeting(self, *, timeout: float) -> RawReply:
        """The server's first reply."""
        with self._faults(timeout):
            return _printable(await self._protocol.read_response(timeout=timeout))

    async def command(self, line: bytes, *, timeout: float) -> RawReply:
        """Send a command line, given without its end, and read the reply. Raises ValueError for a control character."""
        with self._faults(timeout):
            self._refuse_unasked()
            return _printable(await self._protocol.execute_command(line, timeout=timeout))

    async def start_tls(self, context: ssl.SSLContext, name: str, *, timeout: float) -> RawReply | None:
        """Encrypt the connection; the reply when the server refuses, else None. Raises TlsFault when the handshake fails."""
        self._refuse_unasked()
        try:
            with self._faults(timeout):
                await self._start_tls(context, name, timeout)
        except ValueError as error:  # the DNS allows names that no certificate can have
            raise TlsFault("TLS: not a host name") from error
        except WireFault as fault:
            refusal = fault.__cause__
            if isinstance(refusal, SMTPResponseException) and 200 <= refusal.code <= 599:
                return _printable((refusal.code, refusal.message))
            raise TlsFault(fault.ours, timed_out=fault.timed_out) from fault
        self._protocol.forget_unasked()
        return None

    async def body(self, message: bytes, *, block_timeout: Callable[[], float], dot_timeout: Callable[[], float]) -> RawReply:
        """Send a message after 354 and read the reply to its final dot. `dot_sent` tells, after a fault too, how far it came.

        A reply that comes before the dot was sent is returned at once; the connection is closed then, for the server would
        read what is left of the message as commands.
        """
        self.dot_sent = False
        # One turn of the loop: what has come by now came before the message, and can't be the answer to it.
        await asyncio.sleep(0)
        self._refuse_unasked()
        # The reply is awaited from the start: one that came while nobody waited would be dropped.
        reading = asyncio.ensure_future(self._protocol.read_response())
        try:
            with self._faults(None):
                for block, last in _blocks(message):
                    self._protocol.write(block)
                    self.dot_sent = last
                    if not last and await self._drained(reading, block_timeout):
                        break
                seconds = dot_timeout() if self.dot_sent else None
                done, _ = await asyncio.wait({reading}, timeout=seconds)
                if not done:
                    raise WireFault(f"no answer to the final dot within {seconds:.3g} s", timed_out=True)
                reply = _printable(reading.result())
        finally:
            _dismiss(reading)
        if not self.dot_sent:
            self.abort()
        return reply

    def hang_up(self) -> None:
        """Say QUIT and close, without waiting for the answer: what became of the mail is known, and the time is the next one's.

        Safe to call on a connection that is closed already, and after its event loop has ended.
        """
        with contextlib.suppress(SMTPServerDisconnected, RuntimeError):  # closed already
            self._protocol.write(b"QUIT\r\n")
            cast(asyncio.WriteTransport, self._protocol.transport).close()

    def abort(self) -> None:
        """Close at once. Safe to call twice, and after the event loop of the connection has ended."""
        transport = self._protocol.transport
        if transport is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nothing is left to be closed
                cast(asyncio.WriteTransport, transport).abort()

    async def _start_tls(self, context: ssl.SSLContext, name: str, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):  # aiosmtplib gives that much to the reply and as much to the handshake
                await self._protocol.start_tls(context, server_hostname=name, timeout=timeout)
        except TimeoutError as error:
            raise SMTPTimeoutError(str(error)) from error

    def _refuse_unasked(self) -> None:
        if said := self._protocol.unasked:
            self.abort()
            raise WireFault("the server said more than it was asked", said=said.decode("utf-8", "replace"))

    async def _drained(self, reading: asyncio.Task[SMTPResponse], block_timeout: Callable[[], float]) -> bool:
        """Wait until there is room for the next block; True when the server said something instead, or the connection ended."""
        if self._protocol.room.is_set():
            return False
        room = asyncio.ensure_future(self._protocol.room.wait())
        waited: set[asyncio.Task[Any]] = {room, reading}
        try:
            seconds = block_timeout()
            done, _ = await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            room.cancel()
        if not done:
            raise WireFault(f"the server took no more of the message for {seconds:.3g} s", timed_out=True)
        return reading.done()

    @contextlib.contextmanager
    def _faults(self, timeout: float | None) -> Iterator[None]:
        """Turn every way in which a connection fails into WireFault, and close the connection on any way out but a reply."""
        try:
            yield
        except WireFault:
            self.abort()
            raise
        except SMTPTimeoutError as error:
            self.abort()
            raise WireFault(f"no answer within {timeout or 0:.3g} s", timed_out=True) from error
        except SMTPServerDisconnected as error:
            self.abort()
            raise WireFault(_lost_reason(error)) from error
        except SMTPException as error:
            # A refusal of STARTTLS comes as an exception too; anything else of this class is not SMTP.
            self.abort()
            raise WireFault("not an SMTP reply", said=error.message) from error
        except ssl.SSLError as error:
            self.abort()
            raise WireFault(_tls_reason(error)) from error
        except OSError as error:
            self.abort()
            raise WireFault(_os_reason(error)) from error
        except BaseException:
            self.abort()
            raise


def _dismiss(reading: asyncio.Task[SMTPResponse]) -> None:
    """Nobody waits for the reply any more; asyncio must not complain that nobody asked how it ended."""
    if not reading.done():
        reading.cancel()
    elif not reading.cancelled():
        reading.exception()


def _printable(reply: tuple[int, str]) -> RawReply:
    code, text = reply
    # The one way in for what a server says: bytes that are no UTF-8 come as lone surrogates, which nothing can encode.
    return RawReply(code, printable(text))


def _blocks(message: bytes) -> Iterator[tuple[bytes, bool]]:
    """The message in blocks, dot-stuffed (RFC 5321 section 4.5.2), the last one with the final dot; and which is the last."""
    if not message.endswith(b"\r\n"):
        message += b"\r\n"
    # `replace` gives back the same object, uncopied, when there is no such line.
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    end = max(len(stuffed) - BLOCK, 0)
    for start in range(0, end, BLOCK):
        yield stuffed[start : min(start + BLOCK, end)], False
    yield stuffed[end:] + b".\r\n", True


def _keep_alive(connection: socket.socket | None) -> None:
    if connection is None:
        return
    with contextlib.suppress(OSError):  # a connection without it works too
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_IDLE)


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: the certificate does not verify: {error.verify_message}"
    return f"TLS: {(error.reason or str(error)).replace('_', ' ').lower()}"[:200]


def _os_reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno and error.errno > 0 else (str(error) or type(error).__name__)[:200]


def _lost_reason(error: SMTPServerDisconnected) -> str:
    cause = error.__cause__
    return f"connection lost: {_os_reason(cause)}" if isinstance(cause, OSError) and cause.errno else "connection lost"
