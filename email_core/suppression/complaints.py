"""Complaints on the managed list: a recipient told their mailbox provider that our mail is unwanted. Pure.

A complaint is worth more than a bounce: a person said so, and more mail to them harms everybody who sends from here. So it
holds for ninety days from the last one, whatever steps the leases of bounces have. It is no verdict for ever, for people press
that button by mistake; whoever administers the installation can take the address off before.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from email_core.suppression.address_rows import Lease
from email_core.suppression.leases import COMPLAINT, COMPLAINT_LEASE


@dataclass(frozen=True, slots=True)
class Complaint:
    """A complaint. `message` is `service:operation`, `at` in seconds since the epoch, `feedback` the word of the report."""

    message: str
    at: float
    feedback: str
    reporter: str = ""
    subscription: str = ""

    @property
    def mark(self) -> str:
        """Names the complaint, so that it counts once however often it is noted."""
        return f"{self.message}#{self.feedback}"


def complained(lease: Lease | None, complaint: Complaint) -> Lease | None:
    """The lease after a complaint; None when it has been noted already."""
    if lease is not None and lease.last_bounce == complaint.mark:
        return None
    latest = Lease(
        bounce_class=COMPLAINT,
        rule=COMPLAINT,
        reply=f"{complaint.feedback} report by {complaint.reporter or 'a mailbox provider'}",
        source=complaint.message,
        subscription=complaint.subscription,
        first_seen=lease.first_seen if lease else complaint.at,
        last_seen=complaint.at,
        bounces=lease.bounces if lease else 0,
        since=complaint.at,
        until=complaint.at + COMPLAINT_LEASE,
        last_bounce=complaint.mark,
    )
    if lease is None:
        return latest
    return msgspec.structs.replace(latest, withheld=lease.withheld, last_send=lease.last_send)
