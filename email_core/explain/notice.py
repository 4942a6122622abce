"""What a delivery status notification says to people of each recipient: the same words as an explanation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from email_core.delivery.rows import SpooledRow
from email_core.explain.story import explain_message


def notice_words(message: SpooledRow, envelopes: Sequence[SpooledRow], now: float) -> Mapping[str, tuple[str, str]]:
    """Cause and remedy for each recipient, by its address; `now` is in seconds since the epoch.

    `envelopes` are those that the notification is about, and empty when the message was not split.
    """
    told = explain_message(message, envelopes, now=now)
    return {recipient.address: (recipient.meaning, recipient.what_to_do) for recipient in told.recipients}
