"""Leases of the managed list: when one begins, grows and ends. Pure.

The steps are those of ACS. A bounce that says that the address is invalid begins a lease of 24 hours. Mail to the address is
held back meanwhile, and each message that is held back makes the lease end later, by the next step. When it has ended, the next
message is a real attempt; bounces it again, the first step begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from email_core.suppression.address_rows import Lease

HOUR = 3600.0
DAY = 24 * HOUR
STEPS = (24 * HOUR, 48 * HOUR, 96 * HOUR, 7 * DAY, 14 * DAY)  # ACS Email, managed suppression list
COMPLAINT = "complaint"  # the bounce class of a lease that a complaint began
COMPLAINT_LEASE = 90 * DAY
MEMORY = 30 * DAY  # how long a bounce counts towards those that a rule wants before it believes them
REPLY_LENGTH = 300  # characters
CLOCK_TOLERANCE = HOUR  # by which the clocks of two workers may differ


@dataclass(frozen=True, slots=True)
class Bounce:
    """A bounce that says that the address takes no mail. `at` is in seconds since the epoch.

    `needed`: how many such bounces the rule wants, of so many messages, before it believes them.
    """

    message: str  # `service:operation`
    attempt: int
    at: float
    bounce_class: str
    rule: str = ""
    reply: str = ""
    subscription: str = ""
    needed: int = 1

    @property
    def mark(self) -> str:
        """Names the bounce, so that it counts once however often it is noted."""
        return f"{self.message}#{self.attempt}"


def is_held(lease: Lease | None, now: float) -> bool:
    """Whether mail to the address is held back. A lease that ends later than any can was written by a clock that was ahead."""
    if lease is None:
        return False
    longest = COMPLAINT_LEASE if lease.bounce_class == COMPLAINT else STEPS[-1]
    return now < lease.until <= now + longest + CLOCK_TOLERANCE


def bounced(lease: Lease | None, bounce: Bounce) -> Lease | None:
    """The lease after a bounce; None when that bounce has been noted already."""
    if lease is not None and lease.last_bounce == bounce.mark:
        return None
    if lease is not None and bounce.at - max(lease.last_seen, lease.until) > MEMORY:
        lease = None
    latest = Lease(
        bounce_class=bounce.bounce_class,
        rule=bounce.rule,
        reply=bounce.reply[:REPLY_LENGTH],
        source=bounce.message,
        subscription=bounce.subscription,
        first_seen=lease.first_seen if lease else bounce.at,
        last_seen=bounce.at,
        bounces=lease.bounces + 1 if lease else 1,
        last_bounce=bounce.mark,
    )
    if lease is not None and is_held(lease, bounce.at):
        # It was on its way when the lease began, and is no new send.
        return msgspec.structs.replace(lease, last_seen=bounce.at, bounces=latest.bounces, last_bounce=bounce.mark)
    if latest.bounces < bounce.needed:
        return latest
    return msgspec.structs.replace(latest, since=bounce.at, until=bounce.at + STEPS[0])


def withheld(lease: Lease, message: str, now: float) -> Lease | None:
    """The lease after a message was held back: it lasts for the next step from now. None when this message did that already."""
    if lease.last_send == message:
        return None
    step = min(lease.step + 1, len(STEPS) - 1)
    return msgspec.structs.replace(
        lease,
        step=step,
        until=max(lease.until, now + STEPS[step]),
        last_seen=now,
        withheld=lease.withheld + 1,
        last_send=message,
    )
