"""The comparison of the kill run by SMTP: what it must find, told to it by hand, so that a clean run means something."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from email_core.delivery.dsn_due import due_notifications
from email_core.delivery.ledger import Entry, Ledger
from email_core.delivery.rows import MessageFacts, SpooledRow
from email_core.message.status import RecipientStatus
from tests.kit.kill_messages import message
from tests.kit.kill_report import Report
from tests.kit.kill_smtp_report import SmtpComparison, Told

FACTS = MessageFacts(0.0, 1.0, "smtp", "", "", 0, "", submitter="news@contoso.test")
SENT = message(1, 0, several=True)
DELIVERED = tuple(
    Entry(each, status=RecipientStatus.BOUNCED if each.startswith("no") else RecipientStatus.DELIVERED)
    for each in SENT.recipients
)


def row(operation: str, entries: tuple[Entry, ...] = DELIVERED, *, attempt: int = 1, door: str = "smtp") -> SpooledRow:
    """A message in storage; with `attempt` 0 nobody ever worked it."""
    facts = replace(FACTS, door=door)
    return SpooledRow(f"service:{operation}", "message", "etag", facts, Ledger(entries, attempt=attempt))


def open_row(operation: str) -> SpooledRow:
    return row(operation, tuple(Entry(each) for each in SENT.recipients), attempt=0)


@dataclass
class Ended:
    """A run of one message: its rows, how often each operation arrived, and what the client was told."""

    rows: list[SpooledRow]
    arrived: dict[str, int]
    told: Told
    notifications: dict[str, int] = field(default_factory=dict)

    async def compared(self) -> Report:
        report = Report(1, 1, several=True)
        taken = [each for each in SENT.recipients if not each.startswith("no")]
        copies = Counter({f"{name} {each}": count for name, count in self.arrived.items() for each in taken})
        arrivals = Counter({f"{SENT.operation_id} {each}": sum(self.arrived.values()) for each in taken})
        arrivals.update({f"{name} {FACTS.submitter}": count for name, count in self.notifications.items()})
        await SmtpComparison(report, {0: self.told}, +arrivals, +copies).compare(self._stories(), lambda _: None)
        return report

    async def _stories(self) -> AsyncIterator[Sequence[SpooledRow]]:
        for each in self.rows:
            yield [each]


@pytest.mark.parametrize(
    "ended",
    [
        Ended([row("a")], {"a": 1}, Told("a")),
        Ended([row("a"), row("b")], {"a": 1, "b": 1}, Told("a", unknown=1)),
        Ended([row("a"), open_row("b")], {"a": 1}, Told("a", unknown=1)),
    ],
    ids=["once", "stored twice, by a dot without an answer", "stored without an item"],
)
async def test_comparison_of_what_may_be_finds_nothing(ended: Ended) -> None:
    assert (await ended.compared()).offences == []


@pytest.mark.parametrize(
    ("ended", "what"),
    [
        (Ended([], {}, Told("a")), "acknowledged, and no row"),
        (Ended([open_row("a")], {}, Told("a")), "no final outcome, Pending"),
        (Ended([row("a")], {}, Told("a")), "Delivered, and never arrived"),
        (Ended([row("a")], {"a": 2}, Told("a")), "arrived 2 times and is not flagged"),
        (Ended([row("a"), row("b")], {"a": 1, "b": 1}, Told("a")), "2 operations, and the client sent 0"),
        (Ended([row("a"), replace(open_row("b"), ledger=Ledger(DELIVERED))], {"a": 1}, Told("a", 1)), "half accepted"),
        (Ended([row("a"), open_row("b")], {"a": 1, "b": 1}, Told("a", 1)), "half accepted"),
        (Ended([row("a"), row("b", DELIVERED[1:])], {"a": 1, "b": 1}, Told("a", 1)), "the ledgers have other recipients"),
        (Ended([row("a"), row("c", (Entry(FACTS.submitter),), door="dsn")], {"a": 1}, Told("a")), "nobody is owed"),
    ],
    ids=["no row", "no item", "not there", "twice", "unasked", "half ended", "half arrived", "fewer", "notification"],
)  # fmt: skip
async def test_comparison_of_what_must_not_be_names_it(ended: Ended, what: str) -> None:
    report = await ended.compared()

    assert any(what in offence.what for offence in report.offences), report.offences
    assert not report.clean


async def test_notification_that_is_owed_must_be_there_and_arrive() -> None:
    bounced = tuple(replace(each, status=RecipientStatus.BOUNCED, possible_duplicate=True) for each in DELIVERED)
    failed = row("a", bounced)
    [owed] = due_notifications(failed, now=0.0)
    told = row(owed.operation_id, (Entry(FACTS.submitter, status=RecipientStatus.DELIVERED),), door="dsn")

    without = await Ended([failed], {}, Told("a")).compared()
    unsent = await Ended([failed, told], {}, Told("a")).compared()
    sent = await Ended([failed, told], {}, Told("a"), {owed.operation_id: 1}).compared()

    assert "a notification that is owed and was never stored" in [each.what for each in without.lost]
    assert "a notification that is Delivered and arrived 0 times" in [each.what for each in unsent.lost]
    assert not any("notification" in each.what for each in sent.offences)
