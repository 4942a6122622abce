"""What a kill run by SMTP came to: what clients were told, compared with the ledgers in storage and the counts of the receiver.

A client that repeats a message makes another operation of it. So each operation is compared by itself, as those by HTTP are,
and then the operations of a message with what its client saw: exactly one was acknowledged, and there may be one more for each
time that nobody told it what became of the final dot. Such a one is whole or nothing: its recipients have all come to their
end, or it was never worked, and then nobody has it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace

from email_core.delivery.dsn_due import DSN_DOOR, due_notifications
from email_core.delivery.rows import SpooledRow
from email_core.message.status import RecipientStatus
from tests.kit.kill_messages import number_of, wanted_status
from tests.kit.kill_report import Comparison, Offence, Report, story_of


@dataclass(slots=True)
class Told:
    """What a client knows of a message: the operation it was acknowledged as, and how many final dots had no clear answer."""

    accepted_as: str = ""
    unknown: int = 0


class SmtpComparison:
    """Compares the operations in storage one after the other, and fills a report."""

    def __init__(self, report: Report, told: dict[int, Told], arrivals: Counter[str], copies: Counter[str]) -> None:
        """`arrivals` are counted by Message-ID, `copies` by operation."""
        self._report = report
        self._told = told
        self._arrivals = arrivals
        self._copies = copies
        self._sent = {each.number: each for each in report.sent(range(report.messages))}
        self._operations: dict[int, set[str]] = {number: set() for number in self._sent}
        self._owed: set[str] = set()  # notifications
        self._notified: set[str] = set()
        self._suppressed: set[int] = set()
        self._idle = 0

    async def compare(self, stories: AsyncIterator[Sequence[SpooledRow]], tell: Callable[[str], None]) -> None:
        """All operations, and then all messages."""
        by_operation = Comparison(self._report, stories, self._copies, repeated=True)
        async for rows in stories:
            if rows[-1].facts.door == DSN_DOOR:
                self._compare_notification(rows)
            else:
                self._compare_operation(by_operation, rows)
        tell("Comparing what the clients were told")
        for number in self._sent:
            self._compare_message(number)
        for missing in self._owed - self._notified:
            self._report.lost.append(Offence(missing, "-", "a notification that is owed and was never stored"))
        for more in self._notified - self._owed:
            self._report.wrong.append(Offence(more, "-", "a notification that nobody is owed"))
        self._report.arrivals = self._arrivals.total()
        self._report.more |= {
            "final dots whose answer never came": sum(told.unknown for told in self._told.values()),
            "messages that were stored twice by that": sum(len(each) > 1 for each in self._operations.values()),
            "rows that were never acknowledged and never worked": self._idle,
            "notifications to the sender": len(self._notified),
        }

    def _compare_operation(self, by_operation: Comparison, rows: Sequence[SpooledRow]) -> None:
        whole = rows[-1]
        number = number_of(whole.ledger.entries[0].address)
        sent = replace(self._sent[number], operation_id=whole.operation_id)
        if was_claimed(whole) or whole.operation_id == self._told[number].accepted_as:
            self._operations[number].add(whole.operation_id)
            by_operation.compare_message(sent, rows)
            if any(entry.status is RecipientStatus.SUPPRESSED for row in rows for entry in row.ledger.entries):
                self._suppressed.add(number)
            for row in rows:
                self._owed |= {each.operation_id for each in due_notifications(row, now=time.time())}
            return
        self._idle += 1
        touched = [entry for entry in whole.ledger.entries if entry.status is not RecipientStatus.PENDING]
        if touched or len(rows) > 1 or any(self._copies[f"{whole.operation_id} {each}"] for each in sent.recipients):
            self._report.wrong.append(Offence(whole.operation_id, "-", "half accepted", story_of(rows)))

    def _compare_notification(self, rows: Sequence[SpooledRow]) -> None:
        whole = rows[-1]
        self._notified.add(whole.operation_id)
        [entry] = whole.ledger.entries
        arrived = self._arrivals[f"{whole.operation_id} {entry.address}"]
        if entry.status is not RecipientStatus.DELIVERED or not arrived:
            what = f"a notification that is {entry.status} and arrived {arrived} times"
            self._report.lost.append(Offence(whole.operation_id, entry.address, what, story_of(rows)))
        elif arrived > 1 and not entry.possible_duplicate:
            what = f"a notification that arrived {arrived} times and is not flagged"
            self._report.unflagged.append(Offence(whole.operation_id, entry.address, what, story_of(rows)))

    def _compare_message(self, number: int) -> None:
        sent, told, operations = self._sent[number], self._told[number], self._operations[number]

        def offence(what: str, recipient: str = "-") -> Offence:
            return Offence(told.accepted_as or sent.operation_id, recipient, what)

        if told.accepted_as not in operations:
            self._report.lost += [offence("acknowledged, and no row", each) for each in sent.recipients]
        if len(operations - {told.accepted_as}) > told.unknown:
            unasked = f"{len(operations)} operations, and the client sent {told.unknown} final dots without an answer"
            self._report.wrong.append(offence(unasked))
        if number in self._suppressed and len(operations) < 2:
            self._report.wrong.append(offence("suppressed, and nothing had bounced before"))
        for each in sent.recipients:
            arrived = self._arrivals[f"{sent.operation_id} {each}"]
            by_operations = sum(self._copies[f"{operation} {each}"] for operation in operations)
            if not arrived and wanted_status(each) == "Delivered":
                self._report.lost.append(offence("acknowledged, and nothing arrived with its Message-ID", each))
            if arrived != by_operations:
                what = f"arrived {arrived} times by Message-ID, {by_operations} times by operation"
                self._report.wrong.append(offence(what, each))


def was_claimed(whole: SpooledRow) -> bool:
    """Whether a run has ever had a message. One without an item, because its server died before that, is nobody's."""
    return bool(whole.ledger.claim_token) or whole.ledger.attempt > 0
