from __future__ import annotations

from smtp_relay.allowance import Allowance
from tests.kit.clock import FakeClock


def test_allowance_ends_at_its_number_and_begins_anew_after_its_time() -> None:
    clock = FakeClock()
    allowance = Allowance(clock, most=2, seconds=60.0)
    assert [allowance.take("ann") for _ in range(3)] == [True, True, False]
    assert allowance.is_used_up("ann")
    assert allowance.take("bob")
    clock.advance(60.0)
    assert not allowance.is_used_up("ann")
    assert allowance.take("ann")


def test_allowance_asked_about_counts_nothing() -> None:
    allowance = Allowance(FakeClock(), most=1, seconds=60.0)
    assert not any(allowance.is_used_up("ann") for _ in range(5))


def test_flood_of_names_takes_no_more_room() -> None:
    allowance = Allowance(FakeClock(), most=1, seconds=60.0, names=10)
    for number in range(1000):
        allowance.take(f"name {number}")
    assert len(allowance._counts) == 10
    assert allowance.is_used_up("name 999")
