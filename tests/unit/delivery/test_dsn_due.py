"""Which notifications an envelope owes: by NOTIFY, by what became of each recipient, under names that never change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from email_core.delivery.dsn_due import (
    DELAYED_AFTER,
    HAND_OVER_DELAY,
    due_notifications,
    may_be_told,
    reported,
    wants,
    when_due,
)
from email_core.delivery.ledger import Entry, Ledger
from email_core.delivery.rows import MessageFacts, SpooledRow
from email_core.message.status import Action, RecipientStatus

AT = 1_790_000_000.0
FACTS = MessageFacts(
    accepted_at=AT, expires_at=AT + 72 * 3600, door="smtp", sender="a@contoso.test", domain="", size=1, request_hash="",
    submitter="a@contoso.test",
)  # fmt: skip
FAILURES = ["Bounced", "FilteredSpam", "Suppressed", "Expired", "Failed"]


def an_entry(status: str = "Bounced", name: str = "jane", **fields: Any) -> Entry:
    return Entry(f"{name}@example.org", status=RecipientStatus(status), **{"at": AT, "tries": 1, **fields})


def a_row(*entries: Entry, facts: MessageFacts = FACTS, name: str = "message") -> SpooledRow:
    return SpooledRow("svc:op", name, "etag", facts, Ledger(entries, attempt=1))


def actions(*entries: Entry, now: float = AT, facts: MessageFacts = FACTS) -> list[str]:
    return [str(each.action) for each in due_notifications(a_row(*entries, facts=facts), now=now)]


@pytest.mark.parametrize("status", FAILURES)
@pytest.mark.parametrize(
    ("notify", "told"),
    [("", True), ("FAILURE", True), ("SUCCESS,FAILURE", True), ("NEVER", False), ("SUCCESS", False), ("DELAY", False)],
)
def test_failure_is_told_by_notify(status: str, notify: str, told: bool) -> None:
    assert actions(an_entry(status, notify=notify)) == (["failed"] if told else [])


@pytest.mark.parametrize("status", ["Delivered", "Quarantined"])
@pytest.mark.parametrize(("notify", "told"), [("", False), ("SUCCESS", True), ("FAILURE,DELAY", False), ("NEVER", False)])
def test_success_is_told_by_notify(status: str, notify: str, told: bool) -> None:
    assert actions(an_entry(status, notify=notify)) == (["relayed"] if told else [])


def test_success_at_the_simulator_is_delivery() -> None:
    simulated = Entry("ok@simulator.postrider.test", status=RecipientStatus.DELIVERED, notify="SUCCESS", at=AT)

    assert actions(simulated) == ["delivered"]


@pytest.mark.parametrize(
    ("notify", "after", "told"),
    [
        ("DELAY", DELAYED_AFTER, True),
        ("DELAY", DELAYED_AFTER - 1, False),
        ("", DELAYED_AFTER, False),
        ("NEVER", DELAYED_AFTER, False),
    ],
)
def test_delay_is_told_by_notify_after_four_hours(notify: str, after: float, told: bool) -> None:
    assert actions(an_entry("Deferred", notify=notify), now=AT + after) == (["delayed"] if told else [])


@pytest.mark.parametrize(
    "facts",
    [replace(FACTS, door="http"), replace(FACTS, door="dsn"), replace(FACTS, submitter="")],
    ids=["http", "dsn", "null"],
)
def test_nobody_but_the_submitter_of_an_smtp_message_is_told(facts: MessageFacts) -> None:
    entry = an_entry(notify="SUCCESS,FAILURE,DELAY")

    assert not may_be_told(facts)
    assert actions(entry, facts=facts) == []
    assert when_due(Ledger((an_entry("Pending"),)), Ledger((entry,)), facts, now=AT) == []


def test_recipients_that_ended_at_one_time_are_one_notification_and_keep_it() -> None:
    first = [an_entry(name="a"), an_entry(name="b")]
    before = due_notifications(a_row(*first, an_entry("Deferred", "c")), now=AT)
    after = due_notifications(a_row(*first, an_entry(name="c", at=AT + 60)), now=AT + 60)

    assert [[entry.address for entry in each.entries] for each in after] == [
        ["a@example.org", "b@example.org"],
        ["c@example.org"],
    ]
    assert before[0].operation_id == after[0].operation_id != after[1].operation_id


def test_success_is_not_told_again_when_one_of_its_recipients_bounces_late() -> None:
    both = [an_entry("Delivered", "a", notify="SUCCESS,FAILURE"), an_entry("Delivered", "b", notify="SUCCESS,FAILURE")]
    before = due_notifications(a_row(*both), now=AT)
    late = due_notifications(a_row(replace(both[0], status=RecipientStatus.BOUNCED, at=AT + 60), both[1]), now=AT + 60)

    assert [str(each.action) for each in late] == ["failed", "relayed"]
    assert late[1].operation_id == before[0].operation_id


def test_notification_has_another_name_for_each_envelope_action_and_message() -> None:
    entry = an_entry()
    rows = [a_row(entry), a_row(entry, name="envelope:001"), replace(a_row(entry), message="svc:other")]
    rows.append(a_row(replace(entry, status=RecipientStatus.DELIVERED, notify="SUCCESS")))

    assert len({due_notifications(row, now=AT)[0].operation_id for row in rows}) == 4


def test_delay_is_one_notification_whoever_is_still_late() -> None:
    both = a_row(an_entry("Deferred", "a", notify="DELAY"), an_entry("Deferred", "b", notify="DELAY"))
    one = a_row(an_entry("Delivered", "a", notify="DELAY"), an_entry("Deferred", "b", notify="DELAY"))
    now = AT + DELAYED_AFTER

    assert due_notifications(both, now=now)[0].operation_id == due_notifications(one, now=now)[0].operation_id


@pytest.mark.parametrize(
    ("before", "after", "notify", "pauses"),
    [
        ("Pending", "Bounced", "", [HAND_OVER_DELAY]),
        ("Deferred", "Expired", "", [HAND_OVER_DELAY]),
        ("Delivered", "Bounced", "", [HAND_OVER_DELAY]),  # a late bounce
        ("Bounced", "Bounced", "", []),
        ("Pending", "Delivered", "", []),
        ("Pending", "Delivered", "SUCCESS", [HAND_OVER_DELAY]),
        ("Pending", "Deferred", "", []),
        ("Pending", "Deferred", "DELAY", [DELAYED_AFTER - 60]),
        ("Deferred", "Deferred", "DELAY", []),
    ],
)
def test_envelope_is_looked_at_when_something_may_be_owed(before: str, after: str, notify: str, pauses: list[float]) -> None:
    old, new = an_entry(before, notify=notify, tries=0), an_entry(after, notify=notify)

    assert when_due(Ledger((old,)), Ledger((new,)), FACTS, now=AT + 60) == pauses


def test_message_that_ends_before_a_delay_is_told_is_not_looked_at_for_it() -> None:
    short = replace(FACTS, expires_at=AT + 3600)
    old, new = an_entry("Pending", notify="DELAY"), an_entry("Deferred", notify="DELAY")

    assert when_due(Ledger((old,)), Ledger((new,)), short, now=AT) == []


def test_recipient_that_no_server_answered_for_has_a_reason_and_no_reply() -> None:
    told = reported(an_entry("Expired", reply="no route to host", enhanced=""), Action.FAILED, FACTS, ("why", "what to do"))

    assert (told.status, told.reply, told.reason, told.meaning, told.remedy) == (
        "4.4.7",
        "",
        "no route to host",
        "why",
        "what to do",
    )


def test_wish_that_was_not_said_is_for_failures() -> None:
    assert [wants(Entry("a@b.test"), event) for event in ("FAILURE", "DELAY", "SUCCESS")] == [True, False, False]
