"""The ledger: one final status for each recipient, whatever happens in between."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from email_core.delivery.ledger import (
    POISONED,
    TIMELINE_EVENTS,
    Entry,
    Ledger,
    claimed,
    ended,
    reopened,
    settled,
    trimmed,
)
from email_core.delivery.outcome import AttemptReport, Disposition, Outcome, Reply, TimelineEvent
from email_core.message.status import RecipientStatus
from email_core.settings import RETRY_PAUSES

NOW = 1_790_000_000.0
HOUR = 3600.0


def ledger_of(*addresses: str) -> Ledger:
    return Ledger(tuple(Entry(address) for address in addresses))


def settle(
    ledger: Ledger, *outcomes: Outcome, now: float = NOW, handed_over: bool = False, expires_at: float = NOW + 72 * HOUR
):
    return settled(
        ledger,
        AttemptReport(outcomes, (), handed_over=handed_over),
        now=now,
        accepted_at=NOW,
        expires_at=expires_at,
        pauses=RETRY_PAUSES,
        random=lambda: 0.5,
    )


@pytest.mark.parametrize(
    ("disposition", "status"),
    [
        (Disposition.DELIVERED, RecipientStatus.DELIVERED),
        (Disposition.BOUNCED, RecipientStatus.BOUNCED),
        (Disposition.FILTERED, RecipientStatus.FILTERED),
        (Disposition.QUARANTINED, RecipientStatus.QUARANTINED),
        (Disposition.SUPPRESSED, RecipientStatus.SUPPRESSED),
        (Disposition.FAILED, RecipientStatus.FAILED),
    ],
)
def test_settled_final_disposition_ends_the_recipient(disposition: Disposition, status: RecipientStatus) -> None:
    settlement = settle(ledger_of("a@x.test"), Outcome("a@x.test", disposition, Reply(550, "5.1.1", "no such user")))
    entry = settlement.ledger.entries[0]
    tries = 0 if disposition is Disposition.SUPPRESSED else 1  # nobody was asked
    assert (entry.status, entry.tries, entry.reply) == (status, tries, "550 5.1.1 no such user")
    assert settlement.retry_at is None
    assert settlement.ledger.finished


def test_settled_third_each_retries_only_the_deferred() -> None:
    settlement = settle(
        ledger_of("ok@x.test", "later@x.test", "no@x.test"),
        Outcome("ok@x.test", Disposition.DELIVERED),
        Outcome("later@x.test", Disposition.DEFERRED),
        Outcome("no@x.test", Disposition.BOUNCED, suppress=True),
    )
    assert settlement.ledger.open_addresses == ("later@x.test",)
    assert settlement.retry_at == pytest.approx(NOW + 60)
    assert settlement.ledger.attempt == 1
    assert [entry.hard_bounce for entry in settlement.ledger.entries] == [False, False, True]


def test_settled_outcome_for_a_final_recipient_changes_nothing() -> None:
    first = settle(ledger_of("a@x.test", "b@x.test"), Outcome("a@x.test", Disposition.DELIVERED)).ledger
    second = settle(first, Outcome("a@x.test", Disposition.BOUNCED), Outcome("b@x.test", Disposition.DELIVERED)).ledger
    assert [entry.status for entry in second.entries] == ["Delivered", "Delivered"]


def test_settled_recipient_without_outcome_is_deferred() -> None:
    settlement = settle(ledger_of("a@x.test"))
    assert settlement.ledger.entries[0].status is RecipientStatus.DEFERRED
    assert settlement.retry_at is not None


def test_settled_handed_over_counts_as_no_try_and_is_due_at_once() -> None:
    settlement = settle(ledger_of("a@x.test"), Outcome("a@x.test", Disposition.DEFERRED), handed_over=True)
    assert settlement.retry_at == NOW
    assert settlement.ledger.entries[0].tries == 0
    assert settlement.ledger.attempt == 1


def test_settled_handed_over_keeps_what_was_final_before() -> None:
    settlement = settle(
        ledger_of("a@x.test", "b@x.test"),
        Outcome("a@x.test", Disposition.DELIVERED),
        Outcome("b@x.test", Disposition.DEFERRED),
        handed_over=True,
    )
    assert settlement.ledger.open_addresses == ("b@x.test",)


def test_settled_past_the_time_to_live_expires_with_the_last_reply() -> None:
    late = NOW + 73 * HOUR
    outcome = Outcome("a@x.test", Disposition.DEFERRED, Reply(451, "4.3.0", "try later"))
    entry = settle(ledger_of("a@x.test"), outcome, now=late).ledger.entries[0]
    assert (entry.status, entry.reply) == (RecipientStatus.EXPIRED, "451 4.3.0 try later")


def test_settled_indeterminate_marks_a_possible_duplicate_that_stays() -> None:
    first = settle(ledger_of("a@x.test"), Outcome("a@x.test", Disposition.DEFERRED, indeterminate=True)).ledger
    second = settle(first, Outcome("a@x.test", Disposition.DELIVERED)).ledger
    assert second.entries[0].possible_duplicate


def test_settled_clears_the_claim_and_keeps_its_token() -> None:
    ledger = claimed(ledger_of("a@x.test"), token="t1", until=NOW + 300)
    after = settle(ledger, Outcome("a@x.test", Disposition.DELIVERED)).ledger
    assert (after.claim_until, after.claim_token) == (0.0, "t1")


def test_claimed_first_time_is_no_possible_duplicate() -> None:
    ledger = claimed(ledger_of("a@x.test"), token="t", until=NOW + 300)
    assert not ledger.entries[0].possible_duplicate


def test_claimed_over_a_dead_run_marks_open_recipients_only() -> None:
    done = settle(ledger_of("a@x.test", "b@x.test"), Outcome("a@x.test", Disposition.DELIVERED)).ledger
    died = claimed(done, token="first", until=NOW + 300)
    taken_over = claimed(died, token="second", until=NOW + 900)
    assert [entry.possible_duplicate for entry in taken_over.entries] == [False, True]


def test_ended_fails_what_is_open_and_keeps_what_is_final() -> None:
    done = settle(ledger_of("a@x.test", "b@x.test"), Outcome("a@x.test", Disposition.DELIVERED)).ledger
    after = ended(done, now=NOW, reason="our own fault")
    assert [entry.status for entry in after.entries] == ["Delivered", "Failed"]
    assert after.attempt == done.attempt + 1


def test_ended_after_a_run_that_died_doubts_who_was_open() -> None:
    done = settle(ledger_of("a@x.test", "b@x.test"), Outcome("a@x.test", Disposition.DELIVERED)).ledger
    after = ended(claimed(done, token="died", until=NOW + 300), now=NOW + 400, reason="our own fault")
    assert [(entry.status, entry.possible_duplicate) for entry in after.entries] == [("Delivered", False), ("Failed", True)]
    assert (after.claim_until, after.next_attempt_at) == (0.0, 0.0)


def test_reopened_opens_what_was_ended_and_nothing_else() -> None:
    refused = Outcome("b@x.test", Disposition.FAILED, Reply(554, "5.7.1", "no"), rule="some-rule")
    first = settle(ledger_of("a@x.test", "b@x.test", "c@x.test"), Outcome("a@x.test", Disposition.DELIVERED), refused).ledger
    after = ended(first, now=NOW, reason="our own fault")
    opened = reopened(after, now=NOW + 50, token="replay")
    assert [(entry.status, entry.tries, entry.rule) for entry in opened.entries] == [
        ("Delivered", 1, ""),
        ("Failed", 1, "some-rule"),
        ("Deferred", 1, ""),
    ]
    assert opened.entries[2].reply == ""
    assert opened.attempt == after.attempt + 1
    assert (opened.claim_token, opened.claim_until, opened.next_attempt_at) == ("replay", 0.0, NOW + 50)


def test_reopened_recipient_that_was_never_tried_is_pending_and_keeps_its_doubt() -> None:
    died = claimed(ledger_of("a@x.test"), token="died", until=NOW - 10)
    [entry] = reopened(ended(died, now=NOW, reason="our own fault"), now=NOW, token="replay").entries
    assert (entry.status, entry.possible_duplicate, entry.rule) == ("Pending", True, "")
    assert POISONED not in (entry.rule, entry.reply)


def test_trimmed_long_timeline_keeps_beginning_and_end() -> None:
    events = [TimelineEvent(float(n), "connect", {}) for n in range(5000)]
    kept = trimmed(events)
    assert len(kept) == TIMELINE_EVENTS
    assert (kept[0].at, kept[-1].at) == (0.0, 4999.0)


_dispositions = st.sampled_from(list(Disposition))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 4), _dispositions), max_size=5), min_size=1, max_size=40))
def test_settled_any_story_ends_each_recipient_once(story: list[list[tuple[int, Disposition]]]) -> None:
    """Whatever the attempts yield, a final status never changes and the schedule ends within the time to live."""
    ledger, now, finals = ledger_of(*(f"r{n}@x.test" for n in range(5))), NOW, {}
    for outcomes in story:
        settlement = settle(ledger, *(Outcome(f"r{n}@x.test", disposition) for n, disposition in outcomes), now=now)
        ledger = settlement.ledger
        for entry in ledger.entries:
            assert finals.setdefault(entry.address, entry.status) == entry.status or not finals[entry.address].final
            finals[entry.address] = entry.status
        if settlement.retry_at is None:
            assert ledger.finished
            return
        assert now < settlement.retry_at <= NOW + 72 * HOUR
        now = settlement.retry_at
