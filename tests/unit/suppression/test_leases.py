"""Leases of the managed list, by table: what bounces and messages that are held back make of one."""

from __future__ import annotations

import msgspec
import pytest

from email_core.suppression.address_rows import Lease
from email_core.suppression.leases import DAY, HOUR, MEMORY, STEPS, Bounce, bounced, is_held, withheld

NOW = 1_790_000_000.0


def bounce(number: int = 1, *, at: float = NOW, attempt: int = 0, needed: int = 1, **changes: str) -> Bounce:
    facts = {"bounce_class": "invalid_recipient", "rule": "no-such-user", "reply": "550 5.1.1 no such user", **changes}
    return Bounce(message=f"service:{number}", attempt=attempt, at=at, needed=needed, subscription="sub", **facts)


def begun(at: float = NOW) -> Lease:
    lease = bounced(None, bounce(at=at))
    assert lease is not None
    return lease


def test_bounced_first_time_begins_a_lease_of_24_hours_with_all_facts() -> None:
    lease = begun()
    assert (lease.since, lease.until, lease.step) == (NOW, NOW + 24 * HOUR, 0)
    assert (lease.first_seen, lease.last_seen, lease.bounces, lease.withheld) == (NOW, NOW, 1, 0)
    assert (lease.bounce_class, lease.rule, lease.reply) == ("invalid_recipient", "no-such-user", "550 5.1.1 no such user")
    assert (lease.source, lease.subscription) == ("service:1", "sub")


@pytest.mark.parametrize(("after", "held"), [(0.0, True), (24 * HOUR - 1, True), (24 * HOUR, False), (30 * DAY, False)])
def test_is_held_until_the_lease_ends(after: float, held: bool) -> None:
    assert is_held(begun(), NOW + after) is held
    assert not is_held(None, NOW + after)


def test_withheld_each_message_leads_to_the_next_step_of_acs_and_the_last_one_is_renewed() -> None:
    lease, now, spans = begun(), NOW, []
    for number in range(2, 8):
        now += HOUR
        longer = withheld(lease, f"service:{number}", now)
        assert longer is not None
        lease = longer
        spans.append(lease.until - now)
    assert spans == [48 * HOUR, 96 * HOUR, 7 * DAY, 14 * DAY, 14 * DAY, 14 * DAY]
    assert (lease.step, lease.withheld, lease.bounces) == (len(STEPS) - 1, 6, 1)
    assert (lease.since, lease.last_seen) == (NOW, now)


def test_withheld_message_that_is_prepared_again_changes_nothing_more() -> None:
    longer = withheld(begun(), "service:2", NOW + HOUR)
    assert longer is not None
    assert withheld(longer, "service:2", NOW + 2 * HOUR) is None


def test_withheld_by_a_clock_that_is_behind_never_shortens_a_lease() -> None:
    lease = begun()
    longer = withheld(lease, "service:2", NOW - 40 * DAY)
    assert longer is not None
    assert longer.until >= lease.until


@pytest.mark.parametrize(("ahead", "held"), [(0.0, True), (HOUR, True), (15 * DAY, False), (400 * DAY, False)])
def test_lease_of_a_clock_that_was_ahead_holds_nothing_back_and_is_begun_anew(ahead: float, held: bool) -> None:
    lease = msgspec.structs.replace(begun(NOW + ahead), until=NOW + ahead + STEPS[-1])
    assert is_held(lease, NOW) is held
    again = bounced(lease, bounce(2))
    assert again is not None
    assert again.until == (lease.until if held else NOW + 24 * HOUR)


def test_bounced_again_after_the_lease_restarts_with_the_first_step() -> None:
    longer = withheld(begun(), "service:2", NOW + HOUR)
    assert longer is not None
    later = longer.until + HOUR
    again = bounced(longer, bounce(3, at=later, reply="550 5.1.1 still no such user"))
    assert again is not None
    assert (again.since, again.until, again.step) == (later, later + 24 * HOUR, 0)
    assert (again.first_seen, again.bounces, again.withheld, again.source) == (NOW, 2, 0, "service:3")


def test_bounced_within_the_lease_by_what_was_on_its_way_leaves_it_as_it_is() -> None:
    lease = begun()
    after = bounced(lease, bounce(2, at=NOW + 60))
    assert after is not None
    assert (after.until, after.step, after.source) == (lease.until, 0, "service:1")
    assert (after.bounces, after.last_seen) == (2, NOW + 60)


def test_bounced_noted_twice_counts_once() -> None:
    lease = begun()
    assert bounced(lease, bounce(1, at=NOW + 5)) is None
    assert bounced(lease, bounce(1, at=NOW + 5, attempt=1)) is not None


@pytest.mark.parametrize(
    ("gap", "held"), [(60.0, True), (MEMORY, True), (MEMORY + 1, False)], ids=["soon", "just in time", "forgotten"]
)
def test_bounced_by_a_rule_that_wants_two_is_believed_at_the_second_one(gap: float, held: bool) -> None:
    first = bounced(None, bounce(1, needed=2))
    assert first is not None
    assert (first.until, is_held(first, NOW)) == (0.0, False)
    second = bounced(first, bounce(2, at=NOW + gap, needed=2))
    assert second is not None
    assert is_held(second, NOW + gap) is held
    assert second.bounces == (2 if held else 1)


def test_bounced_keeps_no_more_of_a_reply_than_it_shows() -> None:
    lease = bounced(None, bounce(reply="x" * 5000))
    assert lease is not None
    assert len(lease.reply) == 300
