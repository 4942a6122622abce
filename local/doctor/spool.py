"""What waits in the queues, what could not be worked, and messages that nobody works."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from email_core.errors import EntityMissing
from email_core.settings import LONGEST_CLAIM
from local.doctor.check import Check, Finding, counted, notice, ok, shown_time
from local.doctor.subject import Subject

if TYPE_CHECKING:
    from email_core.storage import StoredEntity

SCAN_SECONDS = 10.0  # for the rows of a table; a large table is cut there, and the line says so
UNCLAIMED_SECONDS = 600.0  # an accepted message is claimed within seconds, so that one is not on its way any more
_MANY_SUBMISSIONS = 1000  # some minutes of work of one instance
_GROUP = "Queues and messages"
_START = "is the functions host running and its log without faults? (./postrider up; in Azure, the Function App's log stream)"


async def submissions(subject: Subject) -> Finding:
    from email_core.delivery.spool import SUBMISSIONS

    depth = await subject.storage().queues.depth(SUBMISSIONS)
    found = f"{counted(depth, 'item')} in queue {SUBMISSIONS}"
    if depth < _MANY_SUBMISSIONS:
        return ok("submissions", found)
    return notice("submissions", found, f"more is accepted than prepared: {_START} If so, let it scale out")


async def deliveries(subject: Subject) -> Finding:
    from email_core.delivery.spool import DELIVERIES

    depth = await subject.storage().queues.depth(DELIVERIES)
    return ok("deliveries", f"{counted(depth, 'item')} in queue {DELIVERIES}, with those that wait for their next attempt")


async def poison(subject: Subject) -> Finding:
    """Items that the host gave up: on their way to the table, and in it."""
    from email_core.delivery.kept_items import POISON
    from email_core.delivery.spool import DELIVERIES, SUBMISSIONS

    name = "poison"
    waiting = sum(await asyncio.gather(*(_depth(subject, f"{queue}-poison") for queue in (SUBMISSIONS, DELIVERIES))))
    rows, cut = await _scan(subject, POISON, "", ("keptAt",))
    if not rows and waiting:
        return notice(name, f"{counted(waiting, 'item')} in the poison queues, not kept yet", _START)
    if not rows:
        return ok(name, "nothing was given up")
    oldest = subject.clock.now() - min(float(row.values.get("keptAt", 0.0)) for row in rows)
    found = f"{_number(rows, cut, 'item')} kept in table {POISON}, the oldest for {shown_time(oldest)}"
    found += f"; {waiting} more in the poison queues" if waiting else ""
    return notice(
        name, found, "see why with `./postrider poison list`, and have them worked again with `./postrider poison replay`"
    )


async def unclaimed(subject: Subject) -> Finding:
    """Messages that were stored and never taken up. Their senders may not have been told that they were accepted."""
    from email_core.delivery.rows import MESSAGE_ROW
    from email_core.delivery.spool import MESSAGES, SUBMISSIONS

    name, now = "never taken up", subject.clock.now()
    rows, cut = await _scan(
        subject,
        MESSAGES,
        f"RowKey eq '{MESSAGE_ROW}' and attempt eq 0 and claimToken eq '' and status eq 'Running'"
        f" and acceptedAt lt {now - UNCLAIMED_SECONDS:.3f}",
        ("PartitionKey", "acceptedAt"),
    )
    if not rows:
        return ok(name, f"no message{_cut(cut)}")
    oldest = min(rows, key=lambda row: float(row.values.get("acceptedAt", 0.0)))
    age = now - float(oldest.values.get("acceptedAt", 0.0))
    operation = str(oldest.values.get("PartitionKey", "")).rpartition(":")[2]
    found = f"{_number(rows, cut, 'message')}, the oldest for {shown_time(age)} (operation {operation})"
    depth = await subject.storage().queues.depth(SUBMISSIONS)
    if depth:
        return notice(name, f"{found}; {counted(depth, 'item')} in queue {SUBMISSIONS}", f"they may wait there: {_START}")
    return notice(
        name,
        found,
        "they are left alone, for whoever sent them may never have got a 202 and sent them again. A client that repeats its "
        "request with the same Operation-Id has them sent",
    )


async def overdue(subject: Subject) -> Finding:
    """Messages and envelopes that were taken up, are not final, and whose next attempt is later than a claim can last."""
    from email_core.delivery.rows import MESSAGE_ROW
    from email_core.delivery.spool import MESSAGES

    name, now = "overdue", subject.clock.now()
    rows, cut = await _scan(
        subject,
        MESSAGES,
        f"nextAttemptAt gt 0.0 and nextAttemptAt lt {now - LONGEST_CLAIM:.3f}"
        f" and (claimToken ne '' or RowKey ne '{MESSAGE_ROW}')",
        ("nextAttemptAt",),
    )
    if not rows:
        return ok(name, f"no message{_cut(cut)}")
    late = now - min(float(row.values.get("nextAttemptAt", 0.0)) for row in rows)
    found = f"{_number(rows, cut, 'row')} whose next attempt should have been, the longest {shown_time(late)} ago"
    return notice(
        name,
        found,
        f"the sweeper, which looks at each message every 80 minutes, puts them back, or their queue is behind: {_START}",
    )


async def _depth(subject: Subject, queue: str) -> int:
    try:
        return await subject.storage().queues.depth(queue)
    except EntityMissing:
        return 0  # the host makes it with its first item


async def _scan(subject: Subject, table: str, filter: str, select: tuple[str, ...]) -> tuple[list[StoredEntity], bool]:
    """The rows that were found in time, and whether there may be more."""
    rows: list[StoredEntity] = []
    try:
        async with asyncio.timeout(SCAN_SECONDS):
            async for row in subject.storage().tables.query(table, filter, select=select):
                rows.append(row)  # not a comprehension: what was found before the time is over counts
    except TimeoutError:
        return rows, True
    return rows, False


def _number(rows: list[StoredEntity], cut: bool, noun: str) -> str:
    return counted(len(rows), noun) + (f" or more (looked for {SCAN_SECONDS:g} s)" if cut else "")


def _cut(cut: bool) -> str:
    return f" among those seen in {SCAN_SECONDS:g} s" if cut else ""


CHECKS = (
    Check(_GROUP, "submissions", submissions, of_storage=True),
    Check(_GROUP, "deliveries", deliveries, of_storage=True),
    Check(_GROUP, "poison", poison, of_storage=True, seconds=SCAN_SECONDS + 5.0),
    Check(_GROUP, "never taken up", unclaimed, of_storage=True, seconds=SCAN_SECONDS + 5.0),
    Check(_GROUP, "overdue", overdue, of_storage=True, seconds=SCAN_SECONDS + 5.0),
)
