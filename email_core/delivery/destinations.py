"""What a worker knows of destinations: how many runs are at each, and which next hops have not answered lately.

Two bounds keep one bad destination from delaying the mail for all others (both in one worker; another one has its own):

- At most RUNS_PER_DESTINATION runs deliver to a domain at once. A server that takes minutes for each message would have all
  runs of the queue function otherwise. What is one too many is put back on its queue and counts as no try. Domains are what
  is counted, not hosts: many domains at one slow host can have all runs together. A bound on the host would also hold up
  the mail for a large provider that answers at once, and be known only after the look-up.
- A next hop that gave no ready connection FAILURES_UNTIL_SKIPPED times in a row is skipped for SKIPPED_SECONDS: the next host
  or route takes its place at once, and where there is none the recipients are deferred without waiting for a time-out. When
  the time is over, one attempt finds out for all. No answer in the short time that a run had left is no failure. RFC 5321
  section 4.5.4.1 asks for such a list of hosts that cannot be reached; Postfix calls them dead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from email_core.clock import Clock
from email_core.delivery.outcome import Reply, Stage
from email_core.errors import WorkerBusy

RUNS_PER_DESTINATION = 8  # a third of the runs that host.json lets a queue function have: batchSize and newBatchThreshold
FAILURES_UNTIL_SKIPPED = 5  # as many as Postfix's initial concurrency, of which one failed round makes a destination dead
SKIPPED_SECONDS = 60.0  # the first pause of the retry schedule
MOST_REMEMBERED = 1000  # next hops; a hostile zone can name any number of them


@dataclass(frozen=True, slots=True)
class Silence:
    """Why a next hop is skipped: how often in a row it gave no ready connection, and what happened the last time."""

    failures: int
    stage: Stage
    reason: str
    reply: Reply | None
    withheld: bool
    skipped_until: float  # monotonic


class Destinations:
    """Counts runs by domain, and failures in a row by next hop. For one event loop."""

    def __init__(self, clock: Clock, *, most_runs: int = RUNS_PER_DESTINATION) -> None:
        self._clock = clock
        self._most_runs = most_runs
        self._runs: Counter[str] = Counter()
        self._silent: dict[Hashable, Silence] = {}

    @contextmanager
    def run_at(self, domain: str) -> Iterator[None]:
        """One of the runs that a domain may have, as long as the context lasts. Raises WorkerBusy when all are taken."""
        if self._runs[domain] >= self._most_runs:
            raise WorkerBusy(f"{self._most_runs} runs are at {domain} already")
        self._runs[domain] += 1
        try:
            yield
        finally:
            self._runs[domain] -= 1
            if not self._runs[domain]:
                del self._runs[domain]

    def why_skipped(self, hop: Hashable) -> Silence | None:
        """Why a next hop is not to be dialled now; None when it may be.

        Who is told None after the time is over is the one who finds out: the others go on skipping it for as long again.
        """
        silence = self._silent.get(hop)
        if silence is None or silence.failures < FAILURES_UNTIL_SKIPPED:
            return None
        if self._clock.monotonic() < silence.skipped_until:
            return silence
        self._remember(hop, silence.failures, silence.stage, silence.reason, silence.reply, withheld=silence.withheld)
        return None

    def answered(self, hop: Hashable) -> None:
        """A next hop gave a ready connection."""
        self._silent.pop(hop, None)

    def gave_none(
        self, hop: Hashable, stage: Stage, reason: str, reply: Reply | None = None, *, withheld: bool = False
    ) -> None:
        """A next hop gave no ready connection, for that reason at that stage."""
        before = self._silent.pop(hop, None)
        self._remember(hop, before.failures + 1 if before else 1, stage, reason, reply, withheld=withheld)

    def _remember(
        self, hop: Hashable, failures: int, stage: Stage, reason: str, reply: Reply | None, *, withheld: bool
    ) -> None:
        self._silent[hop] = Silence(failures, stage, reason, reply, withheld, self._clock.monotonic() + SKIPPED_SECONDS)
        if len(self._silent) > MOST_REMEMBERED:
            del self._silent[next(iter(self._silent))]
