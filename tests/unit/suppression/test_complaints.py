from __future__ import annotations

from email_core.suppression.complaints import Complaint, complained
from email_core.suppression.leases import COMPLAINT, COMPLAINT_LEASE, DAY, HOUR, Bounce, bounced, is_held, withheld

NOW = 1_800_000_000.0
ABUSE = Complaint("service:one", NOW, "abuse", "provider.test", "sub-1")


def test_complaint_holds_for_ninety_days_and_says_who_complained() -> None:
    lease = complained(None, ABUSE)
    assert lease is not None
    assert (lease.bounce_class, lease.reply, lease.bounces) == (COMPLAINT, "abuse report by provider.test", 0)
    assert is_held(lease, NOW + 90 * DAY - 1)
    assert not is_held(lease, NOW + 90 * DAY)


def test_complaint_that_is_told_again_changes_nothing() -> None:
    assert complained(complained(None, ABUSE), ABUSE) is None


def test_complaint_about_another_message_counts_anew() -> None:
    later = Complaint("service:two", NOW + 10 * DAY, "abuse")
    lease = complained(complained(None, ABUSE), later)
    assert lease is not None
    assert (lease.until, lease.first_seen) == (later.at + COMPLAINT_LEASE, NOW)


def test_message_that_is_held_back_makes_a_complaint_no_shorter() -> None:
    lease = complained(None, ABUSE)
    assert lease is not None
    after = withheld(lease, "service:two", NOW + HOUR)
    assert after is not None
    assert (after.until, after.bounce_class) == (NOW + COMPLAINT_LEASE, COMPLAINT)


def test_bounce_that_was_on_its_way_leaves_the_complaint() -> None:
    after = bounced(complained(None, ABUSE), Bounce("service:two", 0, NOW + HOUR, "invalid_recipient"))
    assert after is not None
    assert (after.bounce_class, after.until, after.bounces) == (COMPLAINT, NOW + COMPLAINT_LEASE, 1)


def test_complaint_takes_the_place_of_a_bounce_and_keeps_what_was_counted() -> None:
    lease = bounced(None, Bounce("service:zero", 0, NOW - HOUR, "invalid_recipient"))
    after = complained(lease, ABUSE)
    assert after is not None
    assert (after.bounce_class, after.bounces, after.first_seen, after.since) == (COMPLAINT, 1, NOW - HOUR, NOW)
