"""Which recipients of a message get no mail, and why: asked once, before it is signed.

A retry of a deferred message does not ask again. Its recipients were judged when it was prepared, as a letter that is under way
is not called back, and a lookup would cost every retry a round trip more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from email_core.delivery.outcome import CUSTOMER_LIST, MANAGED_LIST, Disposition, Outcome, Stage, TimelineEvent
from email_core.delivery.rows import SpooledRow
from email_core.domains.sending import SendingDomain
from email_core.message.address import parse_address
from email_core.storage import Tables
from email_core.suppression.address_rows import digest
from email_core.suppression.address_table import look_up
from email_core.suppression.policy import Suppression, suppression


@dataclass(frozen=True, slots=True)
class Suppressed:
    """The open recipients that are suppressed, each with its outcome and its line of the timeline."""

    outcomes: tuple[Outcome, ...] = ()
    events: tuple[TimelineEvent, ...] = ()


async def suppressed(tables: Tables, row: SpooledRow, domain: SendingDomain, *, now: float) -> Suppressed:
    """Look up all open recipients: one point read for each, side by side. Raises StorageUnavailable: then nobody was asked."""
    digests = {address: digest(parse_address(address)) for address in row.ledger.open_addresses}
    rows = await look_up(tables, digests.values())
    sender = row.facts.sender.rpartition("@")[0]
    found = {
        address: why
        for address, hashed in digests.items()
        if (why := suppression(rows[hashed], lists=domain.suppression_lists, sender=sender, message=row.message, now=now))
    }
    return Suppressed(
        tuple(_outcome(address, why, domain) for address, why in found.items()),
        tuple(_event(address, why, domain, digests[address], now) for address, why in found.items()),
    )


def _outcome(address: str, why: Suppression, domain: SendingDomain) -> Outcome:
    lease = why.lease
    if lease is None:
        reason = f"on the suppression list for {_senders(why, domain)}"
        return Outcome(address, Disposition.SUPPRESSED, stage=Stage.ROUTE, rule=CUSTOMER_LIST, reason=reason)
    until = datetime.fromtimestamp(lease.until, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return Outcome(
        address,
        Disposition.SUPPRESSED,
        stage=Stage.ROUTE,
        bounce_class=lease.bounce_class,
        rule=MANAGED_LIST,
        suppress=True,  # as ACS, which counts it as a hard bounce
        reason=f"on the managed suppression list until {until}",
    )


def _event(address: str, why: Suppression, domain: SendingDomain, hashed: str, now: float) -> TimelineEvent:
    facts: dict[str, object] = {"recipient": address}
    if why.lease is None:
        facts |= {"list": CUSTOMER_LIST, "senders": _senders(why, domain), "id": why.address_id}
    else:
        # Whose mail it was that bounced is not for every customer of the installation to know.
        lease = why.lease
        facts |= {"list": MANAGED_LIST, "bounceClass": lease.bounce_class, "since": lease.since, "until": lease.until}
        facts["id"] = hashed
    return TimelineEvent(now, "suppressed", facts)


def _senders(why: Suppression, domain: SendingDomain) -> str:
    """Whose mail the list keeps back."""
    return f"{why.list_name}@{domain.name}" if why.list_name else f"all senders of {domain.name}"
