"""CPU: what an accepted and what a delivered message costs our processes, and on which step it is spent.

Beside it what the same message costs Postfix with OpenDKIM, all of their processes together, and what Azurite uses meanwhile,
which an installation on Azure does not pay for. Only processes are counted: not the client, not the sink.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median

from bench.cpu import milliseconds
from bench.figures import OURS, Bench, Contender, ContenderFailed, Figure, Group
from bench.mail_world import Load, Postrider, Sink, postrider, programs
from bench.postfix_relay import POSTFIX, missing_postfix_relay, postfix_relay
from bench.sampling import missing_py_spy, sampled, steps_of, table

MEANWHILE = "Azurite meanwhile"
_ACCEPTED, _DELIVERED = 600, 300  # messages in each round


@contextmanager
def _open(bench: Bench) -> Iterator[Sequence[Figure]]:
    with ExitStack() as stack:
        start = stack.enter_context(programs(bench))
        load = Load(start("load_http"), bench.scratch)
        sink = Sink(start("smtp_sink"), bench.scratch)
        relay = _Relay(stack, bench, sink)
        figures = []
        if bench.wanted("cpu.accept"):
            installation = stack.enter_context(postrider(bench, load, sink=None))
            figures.append(_accept(bench, installation, relay))
        if bench.wanted("cpu.deliver"):
            installation = stack.enter_context(postrider(bench, load, sink=sink))
            figures.append(_deliver(bench, installation, sink, relay))
        yield figures


class _Ours:
    """The CPU of an installation: `work` is a round of so many messages, `forget` what follows it."""

    def __init__(self, bench: Bench, installation: Postrider, messages: int, work: Callable[[], object]) -> None:
        self._bench = bench
        self._installation = installation
        self._messages = messages
        self._work = work
        self._host: list[float] = []
        self._azurite: list[float] = []

    def measure(self) -> float:
        """Milliseconds of the functions host for one message."""
        processes = [self._installation.host], [self._installation.azurite]
        host, azurite = milliseconds(processes, self._work, self._messages)
        self._installation.stored.forget()
        self._host.append(host)
        self._azurite.append(azurite)
        return host

    def azurite(self) -> float:
        """The same of Azurite, in the round before."""
        if not self._azurite:
            raise ContenderFailed("nothing was measured")
        return self._azurite[-1]

    def profile(self) -> list[tuple[str, str]]:
        """A further round under py-spy: what each step takes of the median of the rounds."""
        if missing := missing_py_spy(self._bench.root):
            return [("profile", missing)]
        try:
            stacks = sampled(self._bench.root, self._bench.scratch, self._installation.host, self._work)
        except ContenderFailed as error:
            return [("profile", str(error))]
        self._installation.stored.forget()
        return table(steps_of(stacks, self._bench.root), median(self._host))


class _Relay:
    """Postfix with OpenDKIM, started when the first figure that has it is measured."""

    def __init__(self, stack: ExitStack, bench: Bench, sink: Sink) -> None:
        self.missing = missing_postfix_relay()
        self._relay = None if self.missing else stack.enter_context(postfix_relay(bench, sink))
        self._sink = sink
        self._opendkim: dict[bool, list[float]] = {}

    def contender(self, messages: int, *, hold: bool) -> Contender:
        """With `hold`, messages are signed and kept and not sent on, which is the share of accepting them."""
        relay = self._relay
        if relay is None:
            return Contender(POSTFIX, missing=self.missing)

        def work() -> None:
            arrived = self._sink.arrived
            relay.send(messages, hold=hold)
            if not hold:
                self._sink.last_of(arrived + messages)

        def measure() -> float:
            postfix, opendkim = milliseconds([[each] for each in relay.processes], work, messages)
            self._opendkim.setdefault(hold, []).append(opendkim)
            return postfix + opendkim

        return Contender(POSTFIX, measure)

    def share_of_opendkim(self, *, hold: bool) -> list[tuple[str, str]]:
        """What of it is the signer's, if it was measured."""
        measured = self._opendkim.get(hold)
        return [(f"{POSTFIX}: OpenDKIM of that", f"{median(measured):.3f} ms")] if measured else []


def _accept(bench: Bench, installation: Postrider, relay: _Relay) -> Figure:
    ours = _Ours(bench, installation, _ACCEPTED, lambda: installation.send(_ACCEPTED))
    what = "CPU to accept a message of 2 KB; Postfix signs it and keeps it on hold"
    return _figure("cpu.accept", what, ours, relay, _ACCEPTED, hold=True)


def _deliver(bench: Bench, installation: Postrider, sink: Sink, relay: _Relay) -> Figure:
    def work() -> None:
        arrived = sink.arrived
        installation.send(_DELIVERED)
        sink.last_of(arrived + _DELIVERED)
        installation.wait_until_settled()

    ours = _Ours(bench, installation, _DELIVERED, work)
    what = "CPU to accept, sign, deliver and settle a message of 2 KB"
    return _figure("cpu.deliver", what, ours, relay, _DELIVERED, hold=False)


def _figure(name: str, what: str, ours: _Ours, relay: _Relay, messages: int, *, hold: bool) -> Figure:
    peer = relay.contender(messages, hold=hold)
    contenders = [Contender(OURS, ours.measure), Contender(MEANWHILE, ours.azurite), peer]

    def details() -> list[tuple[str, str]]:
        return [*ours.profile(), *relay.share_of_opendkim(hold=hold)]

    return Figure(name, what, "ms", contenders, better="less", details=details)


GROUP = Group(
    "cpu",
    "CPU for each message",
    "Azurite (npm), py-spy (pip), Postfix and OpenDKIM (apt, as root); Linux",
    ["cpu.accept", "cpu.deliver"],
    _open,
)
