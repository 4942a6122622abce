"""How many runs a destination may have, and which next hops are skipped."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from email_core.delivery.destinations import (
    FAILURES_UNTIL_SKIPPED,
    MOST_REMEMBERED,
    RUNS_PER_DESTINATION,
    SKIPPED_SECONDS,
    Destinations,
)
from email_core.delivery.outcome import Reply, Stage
from email_core.errors import WorkerBusy
from tests.kit.clock import FakeClock

REFUSED = "Connection refused"


def fail(destinations: Destinations, times: int = FAILURES_UNTIL_SKIPPED, hop: str = "relay") -> None:
    for _ in range(times):
        destinations.gave_none(hop, Stage.CONNECT, REFUSED)


def test_runs_of_a_queue_function_are_three_times_those_of_a_destination() -> None:
    host = json.loads((Path(__file__).parents[3] / "host.json").read_text())
    queues = host["extensions"]["queues"]
    assert queues["batchSize"] + queues["newBatchThreshold"] == 3 * RUNS_PER_DESTINATION


def test_run_beyond_those_of_a_domain_is_refused_and_other_domains_are_not() -> None:
    destinations = Destinations(FakeClock(), most_runs=2)
    with ExitStack() as runs:
        for domain in ("slow.test", "slow.test", "good.test"):
            runs.enter_context(destinations.run_at(domain))
        with pytest.raises(WorkerBusy, match=r"2 runs are at slow\.test already"), destinations.run_at("slow.test"):
            pass
    with destinations.run_at("slow.test"):
        pass


def test_next_hop_is_skipped_after_so_many_failures_in_a_row() -> None:
    destinations = Destinations(FakeClock())
    fail(destinations, FAILURES_UNTIL_SKIPPED - 1)
    assert destinations.why_skipped("relay") is None
    destinations.gave_none("relay", Stage.BANNER, "refused", Reply(554, "5.7.1", "go away"), withheld=True)
    silence = destinations.why_skipped("relay")
    assert silence is not None
    assert (silence.failures, silence.stage, silence.reason) == (FAILURES_UNTIL_SKIPPED, Stage.BANNER, "refused")
    assert (silence.reply, silence.withheld) == (Reply(554, "5.7.1", "go away"), True)
    assert destinations.why_skipped("another") is None


def test_next_hop_that_answers_in_between_is_not_skipped() -> None:
    destinations = Destinations(FakeClock())
    fail(destinations, FAILURES_UNTIL_SKIPPED - 1)
    destinations.answered("relay")
    fail(destinations, FAILURES_UNTIL_SKIPPED - 1)
    assert destinations.why_skipped("relay") is None


def test_next_hop_whose_time_is_over_is_tried_by_one_and_skipped_by_the_others() -> None:
    clock = FakeClock()
    destinations = Destinations(clock)
    fail(destinations)
    clock.advance(SKIPPED_SECONDS)
    assert destinations.why_skipped("relay") is None
    assert destinations.why_skipped("relay") is not None
    destinations.answered("relay")
    assert destinations.why_skipped("relay") is None


def test_next_hop_that_fails_again_is_skipped_as_long_again() -> None:
    clock = FakeClock()
    destinations = Destinations(clock)
    fail(destinations)
    clock.advance(SKIPPED_SECONDS)
    assert destinations.why_skipped("relay") is None
    clock.advance(10.0)
    fail(destinations, 1)
    clock.advance(SKIPPED_SECONDS - 0.1)
    silence = destinations.why_skipped("relay")
    assert silence is not None
    assert silence.failures == FAILURES_UNTIL_SKIPPED + 1


def test_next_hops_are_remembered_up_to_a_number_the_last_ones_failing() -> None:
    destinations = Destinations(FakeClock())
    fail(destinations, hop="first")
    for number in range(MOST_REMEMBERED):
        fail(destinations, hop=f"host{number}")
    assert destinations.why_skipped("first") is None
    assert destinations.why_skipped(f"host{MOST_REMEMBERED - 1}") is not None
