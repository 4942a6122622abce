"""What came to port 25, read: a feedback report, a bounce, or the wish of a recipient to leave."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import BinaryIO

from email_core.message.address import Address, AddressError, parse_address
from email_core.returns.arf_report import FeedbackReport, read_feedback
from email_core.returns.bounce_report import BounceReport, Kind, read_bounce
from email_core.returns.bounce_words import plain
from email_core.returns.mime_parts import MAX_BYTES, field, top_of
from email_core.suppression.unsubscribe_token import UnsubscribeToken

_mention = re.compile(r"[^\s<>()\[\]{},;:\"=|@]{1,64}@[^\s<>()\[\]{},;:\"=|@]{1,255}")


@dataclass(frozen=True, slots=True)
class Came:
    """A message as it was read: its header, and the feedback or else the bounce that it is."""

    header: Message
    feedback: FeedbackReport | None
    report: BounceReport | None


def read_came(content: BinaryIO) -> Came:
    """Read the beginning of a message. It takes some milliseconds, and a hostile one makes it longer; never raises."""
    raw = content.read(MAX_BYTES)
    feedback = read_feedback(raw)
    return Came(top_of(raw), feedback, None if feedback else read_bounce(raw))


def is_wish(came: Came) -> bool:
    """Whether a person wants to leave. What a machine answers by itself is nobody's wish.

    Apple Mail marks the mail of its button as an automatic reply; the subject is that of our link, or its own.
    """
    if came.report is None or came.report.kind is Kind.REPORT:
        return False
    return came.report.kind is Kind.UNREADABLE or plain(field(came.header, "Subject")).lower().startswith("unsubscribe")


def leaver(token: UnsubscribeToken, came: Came, keys: Mapping[str, bytes]) -> Address | None:
    """The address that the token was made for, which stands in the subject, or is that of the sender."""
    said = " ".join(plain(field(came.header, name))[:2000] for name in ("Subject", "From", "Reply-To", "Sender"))
    for candidate in _mention.findall(said)[:20]:
        try:
            address = parse_address(candidate.strip("'"))
        except AddressError:
            continue
        if token.is_for(address, keys):
            return address
    return None
