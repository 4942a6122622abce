"""What became of a recipient, in one word: the ledger, the operation and the reports all say it with these."""

from __future__ import annotations

from enum import StrEnum


class RecipientStatus(StrEnum):
    """Where a recipient stands. The words of ACS's delivery reports where it has one, and two that are not final yet."""

    PENDING = "Pending"
    DEFERRED = "Deferred"
    DELIVERED = "Delivered"
    BOUNCED = "Bounced"
    SUPPRESSED = "Suppressed"
    FILTERED = "FilteredSpam"
    QUARANTINED = "Quarantined"
    EXPIRED = "Expired"
    FAILED = "Failed"

    @property
    def final(self) -> bool:
        """Whether nothing more will be tried for the recipient."""
        return self not in (RecipientStatus.PENDING, RecipientStatus.DEFERRED)


class Action(StrEnum):
    """What a server did for a recipient (RFC 3464 section 2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"
