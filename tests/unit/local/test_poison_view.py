"""Kept items as people read them: names that are short and clear, and a reason as good as it can be known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from email_core.delivery.claim import MOST_PUT_BACKS
from email_core.delivery.kept_items import STORY_EVENTS, KeptItem, StateThen, state_of
from email_core.delivery.ledger import Entry, Ledger
from email_core.delivery.outcome import TimelineEvent
from email_core.delivery.rows import MessageFacts, SpooledRow
from email_core.delivery.spool import SpoolItem
from local.poison_view import event_text, list_lines, name_of, short_ids, why

AT = 1_790_000_000.0
ITEM = SpoolItem("svc:0f8fad5b-d9cb-469f-a165-70867728950e")
KEPT = KeptItem("aaaaaaaa-1111", "submissions", ITEM.encode(), 1, AT, StateThen(status="Running", open=1))


def kept(**changes: object) -> KeptItem:
    return replace(KEPT, **changes)  # type: ignore[arg-type]


def fault(error: str, where: str) -> TimelineEvent:
    return TimelineEvent(AT, "fault", {"error": error, "where": where, "try": 8})


def test_short_ids_are_as_long_as_they_must_be_and_eight_at_the_least() -> None:
    ids = ("aaaaaaaa-1111", "aaaaaaaa-1222", "bbbbbbbb-1111", "short", "shortest")
    shorts = short_ids([kept(id=each) for each in ids])
    assert list(shorts.values()) == ["aaaaaaaa-11", "aaaaaaaa-12", "bbbbbbbb", "short", "shortest"]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (kept(text="not json"), "no item of ours"),
        (
            kept(state=StateThen(story=(fault("KeyError", ""), fault("TypeError", "email_core/x.py:3")))),
            "TypeError at email_core",
        ),
        (kept(text=replace(ITEM, put_backs=MOST_PUT_BACKS).encode()), "put back 12 times"),
        (kept(state=None), "was not there"),
        (kept(state=StateThen(claim_until=AT - 5)), "the worker died"),
        (kept(), "look for `fault`"),
    ],
)
def test_why_is_the_best_reason_that_is_known(item: KeptItem, said: str) -> None:
    assert said in why(item)


def test_list_of_an_envelope_names_its_number() -> None:
    item = kept(text=SpoolItem("svc:op", "envelope:007").encode())
    assert name_of(item) == "svc:op envelope 7"
    assert "svc:op envelope 7" in list(list_lines([item]))[1]


def test_event_text_masks_addresses_and_moves_no_cursor() -> None:
    event = TimelineEvent(
        AT, "smtp", {"command": "RCPT TO:<ann@x.test>", "reply": "550 \x1b[2J<ann@x.test> no", "seconds": 0.5}
    )
    assert event_text(event) == "smtp command=RCPT TO:<a***@x.test> reply=550 ?[2J<a***@x.test> no seconds=0.5"


def test_state_keeps_the_end_of_a_story_within_what_a_property_may_hold() -> None:
    facts = MessageFacts(AT, AT + 1000, "http", "s@d.test", "/domain", 10, "hash")
    long = [TimelineEvent(AT + number, "mx", {"hosts": ["host" * 5000]}) for number in range(20)]
    short = [TimelineEvent(AT + number, "smtp", {}) for number in range(20)]
    row = SpooledRow("svc:op", "message", "etag", facts, Ledger((Entry("a@x.test"),)), timeline=tuple(long))
    assert [event.at for event in state_of(row).story] == [AT + 18, AT + 19]
    assert len(state_of(replace(row, timeline=tuple(short))).story) == STORY_EVENTS
