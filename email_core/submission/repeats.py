"""Messages that a client sends again because it never read our 250: the same transaction gets the same operation.

RFC 5321 section 4.5.3.2.6 and RFC 1047 tell of the gap: a client that loses the connection between its final dot and our
answer has to send the message again, and its recipients get it twice. What comes again is the same to the octet, so its id is
made of it.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterable

_TRANSACTIONS = uuid.UUID("5f0c5a39-5d0e-4a25-9c1b-1d7d9a6a2f10")  # namespace
_SPAN = 3600.0  # seconds, as for sends by HTTP without an Operation-Id
_HEADER_END = re.compile(rb"\r\n\r\n")
_MESSAGE_ID = re.compile(rb"(?:^|\r\n)message-id[ \t]*:", re.IGNORECASE)
_DATE = re.compile(rb"(?:^|\r\n)date[ \t]*:", re.IGNORECASE)


def transaction_id(service_key: str, user: str, envelope: Iterable[str], content: bytes, *, now: float) -> str:
    """The id of a transaction: the same for the same one within an hour, by the clock.

    `envelope` is all that the client said of sender, recipients and options, `now` in seconds since the epoch. Only a message
    with a Date and a Message-ID of its own can be told from another one that says the same: for one that lacks either, an
    alarm of a device without a clock perhaps, the id is a new one each time.
    """
    found = _HEADER_END.search(content)
    header = content[: found.end() if found else len(content)]
    if not (_MESSAGE_ID.search(header) and _DATE.search(header)):
        return str(uuid.uuid4())
    digest = hashlib.sha256(content).hexdigest()
    return str(uuid.uuid5(_TRANSACTIONS, "\n".join((service_key, user, *envelope, digest, str(int(now // _SPAN))))))
