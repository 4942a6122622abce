"""What one attempt has to deliver: signed bytes, a reverse-path and the recipients that are still open.

Checked here once more, because what stands on the wire is what counts: a line break or a bare dot that slipped through an
earlier door must not become an SMTP command.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from email_core.message.address import Address
from email_core.message.dsn_options import NO_OPTIONS, MessageOptions, RecipientOptions
from email_core.message.limits import MAX_ADDRESS

# What may stand between < and > (RFC 5321 section 4.1.2, RFC 6531 section 3.3): no space, no control character, no bracket.
_path = re.compile(r"[^\x00-\x20<>\x7f-\x9f\s]+@[A-Za-z0-9.-]+")


LEAST_SECONDS = 2.0  # less is not enough for a conversation; then another attempt has to do it


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt for one envelope.

    `message` is signed, CRLF only, and goes out byte for byte. `reverse_path` is an address, or empty for the null path.
    `number` is how many tries came to a verdict before this one; one that was handed over does not count. `impatient`: give
    up before DATA after a few seconds. `seconds`: the most that this attempt may take, for a claim that began earlier ends
    earlier; 0 leaves it at POSTRIDER_RUN_SECONDS, and with less than LEAST_SECONDS nothing is begun. `options` and
    `recipient_options`, by forward-path, are what goes on to a server that offers DSN (RFC 3461).

    Raises ValueError when the bytes or the reverse-path cannot go out as they are: that is our own fault, not the mail's.
    """

    message: bytes
    reverse_path: str
    recipients: tuple[Address, ...]
    number: int = 0
    impatient: bool = False
    seconds: float = 0.0
    options: MessageOptions = NO_OPTIONS
    recipient_options: Mapping[str, RecipientOptions] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.recipients:
            raise ValueError("an attempt needs at least one recipient")
        if self.reverse_path and wire_path(self.reverse_path) is None:
            raise ValueError("the reverse-path is no address that fits an SMTP command")
        line_ends = self.message.count(b"\r\n")
        if self.message.count(b"\n") != line_ends or self.message.count(b"\r") != line_ends:
            # What counts as a line end to one server only lets a message end early there (SMTP smuggling).
            raise ValueError("the message has a bare CR or LF")

    @property
    def eight_bit(self) -> bool:
        """Whether the message needs BODY=8BITMIME (RFC 6152)."""
        return not self.message.isascii()

    @property
    def utf8_header(self) -> bool:
        """Whether the header holds characters outside of ASCII, which only travel with SMTPUTF8 (RFC 6532)."""
        return self.eight_bit and not self.message[: self.message.find(b"\r\n\r\n")].isascii()


def wire_path(address: str) -> bytes | None:
    """An address in angle brackets as it goes into MAIL and RCPT, UTF-8 where it must be; None when it cannot go there."""
    if not _path.fullmatch(address):
        return None
    try:
        encoded = address.encode()
    except UnicodeEncodeError:  # a lone surrogate is no character
        return None
    return b"<" + encoded + b">" if len(encoded) <= MAX_ADDRESS else None
