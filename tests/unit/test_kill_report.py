"""The comparison of the kill run: what it must find, told to it by hand, so that a run without offences means something."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from email_core.delivery.ledger import Entry, Ledger
from email_core.delivery.rows import MessageFacts, SpooledRow
from email_core.message.status import RecipientStatus
from tests.kit.kill_messages import Message
from tests.kit.kill_report import Comparison, Report

FACTS = MessageFacts(0.0, 1.0, "http", "", "", 0, "")


def sent(recipient: str) -> Message:
    """The only message of a report."""
    return Message(0, "operation", (recipient,))


class OneMessage(Report):
    """A report about one message to one recipient."""

    recipient = "r0@a.test"

    def sent(self, numbers: Any) -> Any:
        return [sent(self.recipient) for _ in numbers]


async def one_row(entry: Entry | None) -> AsyncIterator[Sequence[SpooledRow]]:
    """The story of the message, or none."""
    if entry:
        yield [SpooledRow("service:operation", "message", "etag", FACTS, Ledger((entry,)))]


async def compared(entry: Entry | None, arrivals: dict[str, int], recipient: str = "r0@a.test") -> Report:
    report = OneMessage(1, 1)
    report.recipient = recipient
    counted = Counter({name if " " in name else f"operation {name}": count for name, count in arrivals.items()})
    await Comparison(report, one_row(entry), counted).compare(print)
    return report


DELIVERED = Entry("r0@a.test", status=RecipientStatus.DELIVERED)
FLAGGED = replace(DELIVERED, possible_duplicate=True)
EXPIRED = replace(DELIVERED, status=RecipientStatus.EXPIRED)
UNKNOWN = "1 arrivals of messages or recipients that were never sent"
BOUNCED = Entry("no0@a.test", status=RecipientStatus.BOUNCED)


@pytest.mark.parametrize(
    ("entry", "arrivals"),
    [
        (DELIVERED, {"r0@a.test": 1}),
        (FLAGGED, {"r0@a.test": 1}),
        (FLAGGED, {"r0@a.test": 3}),
        (BOUNCED, {}),
    ],
    ids=["arrived once", "flagged in vain", "flagged duplicate", "refused"],
)
async def test_comparison_of_what_may_be_finds_nothing(entry: Entry, arrivals: dict[str, int]) -> None:
    report = await compared(entry, arrivals, entry.address)

    assert report.offences == []
    assert report.duplicates == (max(arrivals.values(), default=0) > 1)


@pytest.mark.parametrize(
    ("entry", "arrivals", "kind", "what"),
    [
        (None, {}, "lost", "accepted, and no row"),
        (replace(DELIVERED, status=RecipientStatus.DEFERRED), {}, "lost", "no final outcome, Deferred"),
        (DELIVERED, {}, "lost", "Delivered, and never arrived"),
        (DELIVERED, {"r0@a.test": 2}, "unflagged", "arrived 2 times and is not flagged"),
        (EXPIRED, {"r0@a.test": 1}, "unflagged", "arrived, is Expired and is not flagged"),
        (replace(FLAGGED, status=RecipientStatus.FAILED), {}, "wrong", "Failed, arrived 0 times"),
        (DELIVERED, {"r0@a.test": 1, "other r0@a.test": 1}, "wrong", UNKNOWN),
        (BOUNCED, {"r0@a.test": 0}, "wrong", "the ledgers have other recipients"),
    ],
    ids=["no row", "not final", "not there", "twice", "told otherwise", "given up", "unknown", "other recipients"],
)  # fmt: skip
async def test_comparison_of_what_must_not_be_names_it(
    entry: Entry | None, arrivals: dict[str, int], kind: str, what: str
) -> None:
    report = await compared(entry, arrivals)

    assert what in [offence.what for offence in getattr(report, kind)]
    assert not report.clean
    assert what in str(report)
