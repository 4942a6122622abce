"""Which items work, which are dropped, which wait: the table of the claim."""

from __future__ import annotations

from dataclasses import replace

import pytest

from email_core.delivery.claim import MOST_PUT_BACKS, Verdict, decide
from email_core.delivery.ledger import Entry, Ledger
from email_core.delivery.rows import MESSAGE_ROW, MessageFacts, SpooledRow
from email_core.delivery.spool import SpoolItem
from email_core.message.status import RecipientStatus

NOW = 1_790_000_000.0
OPEN = Ledger((Entry("a@x.test"),))
DONE = Ledger((Entry("a@x.test", status=RecipientStatus.DELIVERED),), attempt=1)
SECOND = replace(OPEN, attempt=1)
HELD = replace(OPEN, claim_until=NOW + 100, claim_token="other")
RAN_OUT = replace(OPEN, claim_until=NOW - 1, claim_token="other")
PUT_BACK = Verdict.PUT_BACK
NEVER_CLAIMED = replace(OPEN, next_attempt_at=NOW + 3600)
FACTS = MessageFacts(NOW, NOW + 1000, "http", "s@d.test", "/domain", 10, "hash")


def due_in(seconds: float) -> Ledger:
    """A deferred ledger whose next attempt is due after that long."""
    return replace(SECOND, claim_token="settled", next_attempt_at=NOW + seconds)


LATER = due_in(300)


def row_of(ledger: Ledger, *, envelopes: int = 0) -> SpooledRow:
    return SpooledRow("svc:op", MESSAGE_ROW, "etag", replace(FACTS, envelopes=envelopes), ledger)


@pytest.mark.parametrize(
    ("situation", "row", "attempt", "put_backs", "dequeue_count", "verdict", "delay"),
    [
        ("the first item of a new message", row_of(OPEN), 0, 0, 1, Verdict.CLAIM, 0),
        ("an item delivered again after its run died", row_of(RAN_OUT), 0, 0, 2, Verdict.CLAIM, 0),
        ("a second item for a message that another run has", row_of(HELD), 0, 0, 1, Verdict.DROP, 0),
        ("the item of the run that has it, delivered again", row_of(HELD), 0, 0, 2, Verdict.PUT_BACK, 101),
        ("an item that was put back before", row_of(HELD), 0, 1, 1, Verdict.PUT_BACK, 101),
        ("an item of an attempt that is settled", row_of(SECOND), 0, 0, 1, Verdict.DROP, 0),
        ("the same, delivered again", row_of(SECOND), 0, 0, 3, Verdict.DROP, 0),
        ("the item of the next attempt, due", row_of(SECOND), 1, 0, 1, Verdict.CLAIM, 0),
        ("the item of the next attempt, before its predecessor settled", row_of(HELD), 1, 0, 1, Verdict.PUT_BACK, 1),
        ("the same, waiting longer each time", row_of(HELD), 1, 3, 1, Verdict.PUT_BACK, 8),
        ("the same, no longer than a claim can last", row_of(HELD), 1, 11, 1, Verdict.PUT_BACK, 300),
        ("the item of the next attempt, its predecessor late", row_of(RAN_OUT), 1, 0, 1, Verdict.PUT_BACK, 1),
        ("the same, its predecessor dead after all", row_of(RAN_OUT), 1, MOST_PUT_BACKS, 1, Verdict.DROP, 0),
        ("an item of a finished message", row_of(DONE), 1, 0, 1, Verdict.DROP, 0),
        ("an item of a message that was split", row_of(OPEN, envelopes=3), 0, 0, 2, Verdict.DROP, 0),
        ("an item whose row is still being written", None, 0, 0, 1, Verdict.PUT_BACK, 1),
        ("the same after a while", None, 0, 5, 1, Verdict.PUT_BACK, 32),
        ("the same after twenty minutes", None, 0, MOST_PUT_BACKS, 1, Verdict.DROP, 0),
        ("an item that was put back too often", row_of(HELD), 0, MOST_PUT_BACKS, 1, Verdict.POISON, 0),
        ("an item before its attempt is due", row_of(LATER), 1, 0, 1, Verdict.PUT_BACK, 300),
        ("the same, delivered again", row_of(LATER), 1, 0, 2, Verdict.PUT_BACK, 300),
        ("the same, put back too often: its time is waited for first", row_of(LATER), 1, MOST_PUT_BACKS, 1, PUT_BACK, 300),
        ("the same, due in hours: looked at again before", row_of(due_in(6 * 3600)), 1, 0, 1, Verdict.PUT_BACK, 900),
        ("the same, due in a time that no schedule has", row_of(due_in(30 * 3600)), 1, 0, 1, Verdict.CLAIM, 0),
        ("the same, after the longest pause of a schedule", row_of(due_in(1.2 * 86_400)), 1, 0, 1, Verdict.PUT_BACK, 900),
        ("an item whose worker's clock is seconds behind", row_of(due_in(9)), 1, 0, 1, Verdict.CLAIM, 0),
        ("an item that is late", row_of(due_in(-3600)), 1, 0, 1, Verdict.CLAIM, 0),
        ("a first item, accepted by a worker whose clock is ahead", row_of(NEVER_CLAIMED), 0, 0, 1, Verdict.CLAIM, 0),
        ("a stale item of a message that is due later", row_of(LATER), 0, 0, 1, Verdict.DROP, 0),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_decide(
    situation: str, row: SpooledRow | None, attempt: int, put_backs: int, dequeue_count: int, verdict: Verdict, delay: float
) -> None:
    item = SpoolItem("svc:op", MESSAGE_ROW, attempt, put_backs)
    decision = decide(item, row, dequeue_count=dequeue_count, now=NOW, longest_claim=300)
    assert (decision.verdict, decision.delay) == (verdict, delay), situation


@pytest.mark.parametrize("put_backs", [0, 1, MOST_PUT_BACKS])
def test_decide_claim_far_in_the_future_waits_a_claim_at_a_time_and_is_never_poison(put_backs: int) -> None:
    """A clock that was an hour ahead wrote the claim; nothing is wrong with the message."""
    row = row_of(replace(HELD, claim_until=NOW + 3900, next_attempt_at=NOW + 3900))
    item = SpoolItem("svc:op", put_backs=put_backs)
    decision = decide(item, row, dequeue_count=2, now=NOW, longest_claim=300)
    assert (decision.verdict, decision.delay, decision.counted) == (Verdict.PUT_BACK, 301, False)


def test_decide_claim_that_ends_in_a_time_that_no_clock_can_mean_is_poison_in_the_end() -> None:
    row = row_of(replace(HELD, claim_until=NOW + 30 * 3600))
    waiting = decide(SpoolItem("svc:op"), row, dequeue_count=2, now=NOW, longest_claim=300)
    exhausted = decide(SpoolItem("svc:op", put_backs=MOST_PUT_BACKS), row, dequeue_count=1, now=NOW, longest_claim=300)
    assert (waiting.verdict, waiting.counted, exhausted.verdict) == (Verdict.PUT_BACK, True, Verdict.POISON)


def test_decide_item_before_its_time_is_put_back_without_being_counted() -> None:
    early = decide(SpoolItem("svc:op", attempt=1), row_of(LATER), dequeue_count=1, now=NOW, longest_claim=300)
    held = decide(SpoolItem("svc:op"), row_of(HELD), dequeue_count=2, now=NOW, longest_claim=300)
    assert (early.counted, held.counted) == (False, True)
