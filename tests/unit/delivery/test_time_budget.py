from __future__ import annotations

import pytest

from email_core.delivery.outcome import Stage
from email_core.delivery.time_budget import FINAL_DOT_RESERVE, OutOfTime, StageTimeouts, TimeBudget
from tests.kit.clock import FakeClock


def budget(clock: FakeClock, *, run_seconds: float = 240.0, patience: float | None = None, **timeouts: float) -> TimeBudget:
    return TimeBudget(clock, StageTimeouts(**timeouts), run_seconds=run_seconds, patience=patience)


def test_stage_has_its_own_time_while_there_is_plenty() -> None:
    clock = FakeClock()
    assert budget(clock).before_data(Stage.DATA)[:2] == (120.0, False)
    assert budget(clock).before_data(Stage.CONNECT)[:2] == (30.0, False)


def test_stage_has_no_more_than_leaves_a_minute_for_the_final_dot() -> None:
    clock = FakeClock()
    time_left = budget(clock)
    assert time_left.before_data(Stage.RCPT)[:2] == (240.0 - FINAL_DOT_RESERVE, True)
    clock.advance(170)
    assert time_left.before_data(Stage.MAIL)[:2] == (10.0, True)
    assert time_left.block() == 10.0
    assert time_left.final_dot() == 70.0


def test_run_that_used_its_time_gives_up_before_the_message_and_not_after() -> None:
    clock = FakeClock()
    time_left = budget(clock)
    clock.advance(180)
    with pytest.raises(OutOfTime) as out:
        time_left.before_data(Stage.RCPT)
    assert (out.value.stage, out.value.impatient) == (Stage.RCPT, False)
    with pytest.raises(OutOfTime):
        time_left.block()
    assert time_left.final_dot() == FINAL_DOT_RESERVE


def test_patience_ends_before_data_only() -> None:
    clock = FakeClock()
    time_left = budget(clock, patience=4.0)
    assert time_left.before_data(Stage.DATA)[:2] == (4.0, True)
    clock.advance(4)
    with pytest.raises(OutOfTime) as out:
        time_left.before_data(Stage.DATA)
    assert out.value.impatient
    assert time_left.out_of_time(Stage.DATA).impatient
    assert time_left.block() == 176.0
    assert time_left.final_dot() == 236.0


def test_answer_to_the_final_dot_is_never_waited_for_longer_than_ten_minutes() -> None:
    assert budget(FakeClock(), run_seconds=3000).final_dot() == 600.0


def test_host_that_has_others_after_it_gets_half_of_the_time() -> None:
    clock = FakeClock()
    time_left = budget(clock, patience=4.0)
    time_left.begin_host(others_left=True)
    assert time_left.before_data(Stage.BANNER)[:2] == (2.0, False)
    clock.advance(1.5)
    assert time_left.before_data(Stage.EHLO)[:2] == (0.5, False)
    assert time_left.before_data(Stage.MAIL)[:2] == (2.5, True)  # who takes commands is no longer a host that stalls
    time_left.begin_host(others_left=False)
    assert time_left.before_data(Stage.BANNER)[:2] == (2.5, True)


def test_host_whose_share_is_used_up_times_out_itself() -> None:
    clock = FakeClock()
    time_left = budget(clock, patience=4.0)
    time_left.begin_host(others_left=True)
    clock.advance(3)
    seconds, last, cut = time_left.before_data(Stage.EHLO)
    assert 0 < seconds < 0.1
    assert not last
    assert cut


def test_pooled_connection_gets_a_share() -> None:
    assert budget(FakeClock(), patience=4.0).before_data(Stage.MAIL, share=0.5)[:2] == (2.0, False)


def test_pooled_connection_gets_a_share_of_the_time_of_its_host() -> None:
    time_left = budget(FakeClock(), patience=4.0)
    time_left.begin_host(others_left=True)
    assert time_left.before_data(Stage.MAIL, share=0.5)[:2] == (1.0, False)


def test_lookup_before_another_route_gets_half_of_the_time() -> None:
    time_left = budget(FakeClock(), patience=4.0)
    time_left.begin_host(others_left=True)
    assert time_left.before_data(Stage.DNS)[:2] == (2.0, False)


def test_allowance_tells_whether_the_stage_got_all_of_its_own_time() -> None:
    clock = FakeClock()
    time_left = budget(clock)
    assert not time_left.before_data(Stage.STARTTLS).cut
    time_left.begin_host(others_left=True)
    assert not time_left.before_data(Stage.STARTTLS).cut
    clock.advance(130)
    assert time_left.before_data(Stage.STARTTLS).cut
    assert budget(clock, patience=4.0).before_data(Stage.STARTTLS).cut


def test_short_run_keeps_half_of_it_for_the_final_dot() -> None:
    assert budget(FakeClock(), run_seconds=10).before_data(Stage.RCPT)[:2] == (5.0, True)


def test_every_stage_of_a_conversation_has_a_time() -> None:
    time_left = budget(FakeClock())
    for stage in Stage:
        if stage not in (Stage.ROUTE, Stage.FINAL_DOT):
            assert time_left.before_data(stage).seconds > 0
