"""Hours of faults in virtual time: every accepted recipient gets one final status, and nobody the same mail twice unmarked.

A run that fails is repeated by its id, for its seed decides everything that is random in it. The simulation is itself put to
the test: a pipeline that was broken on purpose must be found out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from email_core.delivery import claim
from email_core.delivery.claim import Decision, Verdict
from email_core.delivery.ledger import Ledger, claimed
from email_core.delivery.settle import Settler
from email_core.delivery.sweep import Sweeper
from tests.kit.simulated_storage import FaultMix, Outage, SimulatedTables
from tests.kit.simulation import simulate
from tests.kit.virtual_time import Stalled, run_virtually

SEEDS = range(1, 11)
MESSAGES = 60
OUTAGE = {"begins": 1200.0, "ends": 1800.0}  # in the middle of the 40 minutes in which messages arrive
EVERYTHING = FaultMix(failing=0.03, lost=0.03, slow=0.03, dying=0.03, vanishing=0.03)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A mix of faults, and which of them must have struck for the run to say anything."""

    name: str
    mix: FaultMix
    strikes: tuple[str, ...]


SCENARIOS = (
    Scenario("failing", FaultMix(failing=0.15), ("failed",)),
    Scenario("lost-answers", FaultMix(lost=0.15), ("lost answer",)),
    Scenario("slow", FaultMix(slow=0.2), ("slow",)),
    Scenario("dying", FaultMix(dying=0.05, failing=0.05), ("died", "failed")),
    Scenario("tables-away", FaultMix(outage=Outage(("tables",), **OUTAGE)), ("away",)),
    Scenario("queues-away", FaultMix(outage=Outage(("queues",), **OUTAGE)), ("away",)),
    Scenario("tables-and-queues-away", FaultMix(outage=Outage(("tables", "queues"), **OUTAGE)), ("away",)),
    Scenario("vanishing", FaultMix(vanishing=0.3), ("vanished",)),
    Scenario("vanishing-and-dying", FaultMix(vanishing=0.2, dying=0.05), ("vanished", "died")),
    Scenario("everything", EVERYTHING, ("failed", "lost answer", "slow", "died", "vanished")),
)


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"seed{seed}")
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_pipeline_under_faults_gives_every_recipient_one_outcome(scenario: Scenario, seed: int) -> None:
    findings = simulate(scenario.mix, seed=seed, messages=MESSAGES)

    assert findings.broken == {}
    assert findings.counts["recipients"] > MESSAGES / 2
    assert [fault for fault in scenario.strikes if not findings.counts[fault]] == []


def test_pipeline_without_faults_sends_every_delivered_recipient_once() -> None:
    findings = simulate(FaultMix(), seed=1, messages=MESSAGES)

    assert findings.broken == {}
    assert findings.counts["duplicates"] == findings.counts["poisoned"] == findings.counts["overdue"] == 0
    assert findings.counts["sends"] >= findings.counts["Delivered"] > MESSAGES / 2


def test_sweeper_makes_up_for_every_retry_item_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    settle_without_retry_items(monkeypatch)
    findings = simulate(FaultMix(), seed=1, messages=MESSAGES)

    assert findings.broken == {}
    assert findings.counts["overdue"] > MESSAGES / 10


def test_simulation_of_the_same_seed_tells_the_same_story() -> None:
    first, second, other = (simulate(EVERYTHING, seed=seed, messages=MESSAGES) for seed in (1, 1, 2))

    assert first == second
    assert first != other


def test_virtual_time_of_tasks_that_wait_for_nothing_raises_stalled() -> None:
    with pytest.raises(Stalled):
        run_virtually(asyncio.Event().wait())


@dataclass(frozen=True, slots=True)
class Breakage:
    """A pipeline that is wrong in one place, faults that bring it out, and the promise that it breaks."""

    name: str
    apply: Callable[[pytest.MonkeyPatch], None]
    mix: FaultMix
    broken: str


def never_sweep(patch: pytest.MonkeyPatch) -> None:
    async def nothing(*arguments: Any, **options: Any) -> None:
        return None

    patch.setattr(Sweeper, "sweep", nothing)


def drop_held_items(patch: pytest.MonkeyPatch) -> None:
    """An item whose claim is held is dropped, even when it was delivered before and stands for itself. The sweeper would
    make up for it."""
    never_sweep(patch)
    decide = claim.decide

    def without_put_back(*arguments: Any, **options: Any) -> Decision:
        decision = decide(*arguments, **options)
        held = decision.verdict is Verdict.PUT_BACK and "still holds" in decision.why
        return Decision(Verdict.DROP, decision.why) if held else decision

    patch.setattr(claim, "decide", without_put_back)


def forget_retry_items(patch: pytest.MonkeyPatch) -> None:
    never_sweep(patch)
    settle_without_retry_items(patch)


def settle_without_retry_items(patch: pytest.MonkeyPatch) -> None:
    async def nothing(*arguments: Any, **options: Any) -> None:
        return None

    patch.setattr(Settler, "_enqueue_retry", nothing)


def forget_takeovers(patch: pytest.MonkeyPatch) -> None:
    """A claim that ran out is taken over as if it had never been held."""
    patch.setattr(claim, "claimed", lambda ledger, **options: claimed(replace(ledger, claim_until=0.0), **options))


def send_to_everybody(patch: pytest.MonkeyPatch) -> None:
    """A retry goes to those who have the message, too."""
    patch.setattr(Ledger, "open_addresses", property(lambda ledger: tuple(entry.address for entry in ledger.entries)))


def ignore_etags(patch: pytest.MonkeyPatch) -> None:
    """Whoever merges last wins, so that two runs may both have a claim and both settle."""
    merge = SimulatedTables.merge

    async def unconditional(tables: SimulatedTables, *arguments: Any, etag: str) -> str:
        return await merge(tables, *arguments, etag="*")

    patch.setattr(SimulatedTables, "merge", unconditional)


def never_work(patch: pytest.MonkeyPatch) -> None:
    """Every item is put back for an hour, for ever."""
    patch.setattr(claim, "decide", lambda *arguments, **options: Decision(Verdict.PUT_BACK, "not now", 3600.0))


def fail_in_settle(patch: pytest.MonkeyPatch) -> None:
    async def fail(*arguments: Any, **options: Any) -> None:
        raise KeyError("a bug")

    patch.setattr(Settler, "settle", fail)


BREAKAGES = (
    Breakage("held-items-dropped", drop_held_items, FaultMix(failing=0.15), "lost"),
    Breakage("retry-items-forgotten", forget_retry_items, FaultMix(), "lost"),
    Breakage("takeovers-forgotten", forget_takeovers, FaultMix(dying=0.1), "unmarked"),
    Breakage("sent-to-everybody", send_to_everybody, FaultMix(), "sent_again"),
    Breakage("etags-ignored", ignore_etags, FaultMix(slow=0.2, lost=0.15), "rewritten"),
    Breakage("items-never-worked", never_work, FaultMix(), "undrained"),
    Breakage("sweeper-asleep", never_sweep, FaultMix(vanishing=0.3), "lost"),
    Breakage("bug-in-settle", fail_in_settle, FaultMix(), "unforeseen"),
)


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.name)
def test_simulation_of_a_broken_pipeline_finds_the_broken_promise(breakage: Breakage, monkeypatch: pytest.MonkeyPatch) -> None:
    breakage.apply(monkeypatch)

    assert any(breakage.broken in simulate(breakage.mix, seed=seed, messages=MESSAGES).broken for seed in SEEDS)
