"""How long a run may wait for what: the time-outs of RFC 5321, cut so that a run fits the host's limit.

A run has three ends. Before DATA an impatient run gives up after a few seconds. Until the final dot a run must leave
enough time for the answer to it, because giving up there is the one thing that can make a duplicate (RFC 1047). And the run
itself must end before its claim does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from email_core.clock import Clock
from email_core.delivery.outcome import Stage

FINAL_DOT_RESERVE = 60.0  # seconds kept for the answer to the final dot


@dataclass(frozen=True, slots=True)
class StageTimeouts:
    """Seconds to wait at each stage (RFC 5321 section 4.5.3.2); `connect`, `tls` and `auth` as Postfix has them."""

    dns: float = 30.0
    connect: float = 30.0
    banner: float = 300.0
    ehlo: float = 300.0
    tls: float = 60.0
    auth: float = 300.0
    mail: float = 300.0
    rcpt: float = 300.0
    data: float = 120.0
    block: float = 180.0  # for each block of the body to leave
    final_dot: float = 600.0
    reset: float = 5.0  # RSET and QUIT, when the outcome is known already


class OutOfTime(Exception):
    """The time of the run is used up, before anybody could have taken the message. `impatient`: only the patience is."""

    def __init__(self, stage: Stage, *, impatient: bool) -> None:
        super().__init__(f"out of time at {stage}")
        self.stage = stage
        self.impatient = impatient


class Allowance(NamedTuple):
    """How many seconds to wait. `last`: after them the time of the whole run is used up. `cut`: fewer than the stage's own."""

    seconds: float
    last: bool
    cut: bool = False


class TimeBudget:
    """The time of one run. All stages up to the final dot draw on it."""

    def __init__(self, clock: Clock, timeouts: StageTimeouts, *, run_seconds: float, patience: float | None) -> None:
        """`patience` is in seconds and ends with DATA; None: a patient run."""
        self._clock = clock
        self._timeouts = timeouts
        now = clock.monotonic()
        self._run_end = now + run_seconds
        self._body_end = now + run_seconds - min(FINAL_DOT_RESERVE, run_seconds / 2)
        self._patience_end = now + patience if patience is not None else None
        self._host_end = self._run_end

    def begin_host(self, *, others_left: bool) -> None:
        """Another host is tried, or looked up. While others are left, it gets half of what is left until it takes commands.

        Otherwise a first host that stalls would keep the second one from ever being reached, be it one of the same
        receiver or the relay of the next route.
        """
        now, end = self._clock.monotonic(), self._before_data()
        self._host_end = (now + end) / 2 if others_left else end

    def before_data(self, stage: Stage, *, share: float = 1.0) -> Allowance:
        """What a stage up to the reply to DATA may take, at most that share of this host's time. Raises OutOfTime."""
        now = self._clock.monotonic()
        end = self._before_data()
        left = end - now
        if left <= 0:
            raise OutOfTime(stage, impatient=end == self._patience_end)
        own = _limit(self._timeouts, stage)
        limit = min(own, left * share)
        if stage in _UNTIL_READY or share < 1.0:
            # Never less than a moment: a share that is used up ends in this host's time-out, not in the run's.
            limit = min(limit, max((self._host_end - now) * share, 0.01))
        return Allowance(min(limit, left), limit >= left, limit < own)

    def out_of_time(self, stage: Stage) -> OutOfTime:
        """The exception for an allowance that was the last one and ran out."""
        return OutOfTime(stage, impatient=self._before_data() == self._patience_end)

    def block(self) -> float:
        """Seconds that a block of the body may take to leave; patience ended with DATA. Raises OutOfTime."""
        left = self._body_end - self._clock.monotonic()
        if left <= 0:
            raise OutOfTime(Stage.DATA, impatient=False)
        return min(self._timeouts.block, left)

    def final_dot(self) -> float:
        """Seconds to wait for the answer to the final dot."""
        return min(self._timeouts.final_dot, max(self._run_end - self._clock.monotonic(), 1.0))

    def reset(self) -> float:
        """Seconds to wait for the answer to RSET and QUIT."""
        return self._timeouts.reset

    def _before_data(self) -> float:
        return self._body_end if self._patience_end is None else min(self._patience_end, self._body_end)


_UNTIL_READY = frozenset({Stage.DNS, Stage.CONNECT, Stage.BANNER, Stage.EHLO, Stage.STARTTLS, Stage.AUTH})


def _limit(timeouts: StageTimeouts, stage: Stage) -> float:
    limits = {
        Stage.DNS: timeouts.dns,
        Stage.CONNECT: timeouts.connect,
        Stage.BANNER: timeouts.banner,
        Stage.EHLO: timeouts.ehlo,
        Stage.STARTTLS: timeouts.tls,
        Stage.AUTH: timeouts.auth,
        Stage.MAIL: timeouts.mail,
        Stage.RCPT: timeouts.rcpt,
        Stage.DATA: timeouts.data,
    }
    return limits[stage]
