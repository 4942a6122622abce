"""What the protocol asks of the two doors: submission by those who log in, and reports from the Internet (port 25).

The protocol knows commands, their order, TLS and how a message is read. A door says who may send what to whom, and takes the
message. There is one door for each connection; it keeps what it needs of the transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from smtp_relay.commands import Path
from smtp_relay.credentials import Submitter
from smtp_relay.replies import Reply


@dataclass(slots=True)
class Visit:
    """One connection. `id` names it in the log; `client` is the client's IP address."""

    id: str
    client: str
    port: str  # submission, tls or inbound
    secure: bool = False
    greeted_as: str = ""  # the name in EHLO
    submitter: Submitter | None = None
    login_failures: int = field(default=0)


class Door(Protocol):
    """What the protocol calls. What a method raises `replies.of_error` makes a reply of: 451 for what it does not know.

    A reply of 400 or more refuses, and the transaction is as it was before.
    """

    needs_login: bool
    max_bytes: int  # octets of a message
    kept_bytes: int  # of them from its beginning on; what is behind is read and forgotten
    max_line: int  # octets of a line without CRLF

    def reset(self) -> None:
        """Forget the transaction."""

    async def mail(self, path: Path) -> Reply:
        """MAIL: the reverse-path, empty for <>, and the parameters that the protocol left (not SIZE, BODY and AUTH)."""

    async def rcpt(self, path: Path) -> Reply:
        """RCPT: the forward-path and all of its parameters."""

    async def message(self, content: BinaryIO, size: int) -> Reply:
        """The message after the final dot, of `size` octets: lines end with CRLF, dots are unstuffed. The file has what is kept
        of it, and is closed by the caller. A reply below 400 promises that the message is kept."""
