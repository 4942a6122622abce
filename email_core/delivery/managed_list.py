"""What outcomes tell the managed suppression list: a bounce that says that the address is invalid, a message held back.

It is told after the outcome is written, and a failure is only logged: an outcome that is lost is a message sent again, while
an address that is missing from the list bounces at the next message, and is noted then. Each note names its message and
attempt, so one that is written again counts once.

Test recipients never get there: bounce@ has to bounce each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from email_core import maillog
from email_core.delivery.bounce_classes import bounces_believed
from email_core.delivery.ledger import Entry
from email_core.delivery.outcome import MANAGED_LIST
from email_core.delivery.routes import SIMULATOR_DOMAIN
from email_core.delivery.rows import MessageFacts, SpooledRow
from email_core.errors import EntityChanged, StorageRefused, StorageUnavailable
from email_core.message.address import Address, parse_address
from email_core.message.status import RecipientStatus
from email_core.storage import StorageLimit, Tables
from email_core.suppression.address_rows import Lease, digest
from email_core.suppression.address_table import read_row
from email_core.suppression.leases import Bounce, is_held
from email_core.suppression.managed import ManagedList


async def tell_managed_list(tables: Tables, row: SpooledRow, facts: MessageFacts, entries: Iterable[Entry]) -> None:
    """Note what recipients that have just come to their end mean for their addresses. Raises nothing."""
    managed = ManagedList(tables)

    async def tell(entry: Entry) -> None:
        try:
            lease = await _told(managed, row, facts, entry)
        except (StorageUnavailable, StorageRefused, StorageLimit, EntityChanged) as error:
            maillog.fault("managed-list", error=error, message=row.message)
            return
        if lease is not None:
            maillog.managed_list(
                row.message, entry.address, bounce_class=lease.bounce_class, bounces=lease.bounces,
                withheld=lease.withheld, until=lease.until,
            )  # fmt: skip

    await asyncio.gather(*(tell(entry) for entry in entries if _is_news(entry)))


async def is_on_managed_list(tables: Tables, address: Address, *, now: float) -> bool:
    """Whether the list holds mail to an address back. One point read; raises StorageUnavailable."""
    found = await read_row(tables, digest(address))
    return found.lease is not None and is_held(found.lease, now)


def is_simulated(entry: Entry) -> bool:
    """Whether it is a test recipient."""
    return entry.address.rpartition("@")[2] == SIMULATOR_DOMAIN


def subscription_of(facts: MessageFacts) -> str:
    """The subscription whose mail it was."""
    return "".join(facts.domain.split("/")[2:3])  # /subscriptions/{subscription}/...


def bounce_of(row: SpooledRow, facts: MessageFacts, entry: Entry, *, attempt: int) -> Bounce:
    """The bounce of a recipient. `attempt` and the message name it, so that it counts once."""
    return Bounce(
        message=row.message,
        attempt=attempt,
        at=entry.at,
        bounce_class=entry.bounce_class,
        rule=entry.rule,
        reply=entry.reply,
        subscription=subscription_of(facts),
        needed=bounces_believed(entry.rule),
    )


def _is_news(entry: Entry) -> bool:
    if is_simulated(entry):
        return False
    if entry.status is RecipientStatus.SUPPRESSED:
        return entry.rule == MANAGED_LIST
    return entry.hard_bounce and entry.status is RecipientStatus.BOUNCED


async def _told(managed: ManagedList, row: SpooledRow, facts: MessageFacts, entry: Entry) -> Lease | None:
    address = parse_address(entry.address)
    if entry.status is RecipientStatus.SUPPRESSED:
        return await managed.withheld(address, row.message, entry.at)
    return await managed.bounced(address, bounce_of(row, facts, entry, attempt=row.ledger.attempt))
