"""SMTP: messages of 10 KB that our relay accepts a second, and what each costs it, over 1, 10 and 50 connections.

Beside it the round trips of those messages to Azurite and nothing else, Postfix's smtpd under the same load, and aiosmtpd,
which our relay is made of, taking messages and storing none. Connections start TLS and log in before the clock starts, and are
kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median

from bench.cpu import milliseconds
from bench.figures import OURS, Bench, Contender, ContenderFailed, Figure, Group
from bench.mail_world import WARM_UP, Ceiling, programs
from bench.sampling import SMTP_STEPS, missing_py_spy, sampled, steps_of, table
from bench.smtp_load import SmtpLoad
from bench.smtp_servers import POSTFIX, Installation, Taker, bare_aiosmtpd, installation, postfix, relay
from tests.kit.postfix import missing_reason

CEILING, MEANWHILE = "Azurite's ceiling", "Azurite meanwhile"
CONNECTIONS = (1, 10, 50)
_MESSAGES = {1: 200, 10: 500, 50: 500}  # in each round
_PROFILED = 10  # the connections of the figure that is looked into


@dataclass(frozen=True, slots=True)
class Field:
    """All that is compared. `peers` are those that are there, `missing` says of the others why they are not."""

    load: SmtpLoad
    ceiling: Ceiling
    on: Installation
    ours: Taker
    peers: Sequence[Taker]
    missing: Sequence[Contender]


@contextmanager
def _open(bench: Bench) -> Iterator[Sequence[Figure]]:
    with ExitStack() as stack:
        start = stack.enter_context(programs(bench))
        load, ceiling = SmtpLoad(start("load_smtp"), bench.scratch), Ceiling(start("storage_ceiling"), bench.scratch)
        field = stack.enter_context(opened(bench, load, ceiling))
        figures = []
        for connections in CONNECTIONS:
            if bench.wanted(f"smtp.accept-{connections}"):
                figures.append(accept_figure(field, connections, _MESSAGES[connections]))
        for connections in CONNECTIONS:
            if bench.wanted(f"smtp.cpu-{connections}"):
                figures.append(cpu_figure(bench, field, connections, _MESSAGES[connections]))
        yield figures


@contextmanager
def opened(bench: Bench, load: SmtpLoad, ceiling: Ceiling) -> Iterator[Field]:
    """All servers, each of which has taken a few messages. Raises ContenderFailed."""
    with ExitStack() as stack:
        on = stack.enter_context(installation(bench))
        ours = stack.enter_context(relay(bench, on))
        peers, missing = [], []
        if reason := missing_reason():
            missing.append(Contender(POSTFIX, missing=reason))
        else:
            peers.append(stack.enter_context(postfix()))
        peers.append(stack.enter_context(bare_aiosmtpd(bench)))
        for taker in (ours, *peers):
            with load.connected(taker.door, _PROFILED):
                load.send(taker.door, WARM_UP)
        yield Field(load, ceiling, on, ours, peers, missing)


def accept_figure(field: Field, connections: int, messages: int) -> Figure:
    """Messages a second, with so many messages in each round."""

    def storage() -> float:
        return field.ceiling.rate(field.on.stored, "accept", messages, connections)

    def contender(taker: Taker) -> Contender:
        return Contender(taker.name, lambda: taken(field.load, taker, connections, messages))

    return Figure(
        f"smtp.accept-{connections}",
        f"messages of 10 KB accepted over SMTP, {_connections(connections)}",
        "messages/s",
        [contender(field.ours), Contender(CEILING, storage), *map(contender, field.peers), *field.missing],
    )


def cpu_figure(bench: Bench, field: Field, connections: int, messages: int) -> Figure:
    """Milliseconds of CPU for each message, with so many messages in each round."""
    ours: list[float] = []
    azurite: list[float] = []

    def measure() -> float:
        groups = field.ours.processes, [field.on.azurite.process_id]
        spent, meanwhile = cpu_of(field.load, field.ours, connections, messages, groups)
        ours.append(spent)
        azurite.append(meanwhile)
        return spent

    def storage() -> float:
        if not azurite:
            raise ContenderFailed("nothing was measured")
        return azurite[-1]

    def contender(taker: Taker) -> Contender:
        return Contender(taker.name, lambda: cpu_of(field.load, taker, connections, messages, [taker.processes])[0])

    def details() -> list[tuple[str, str]]:
        return _profile(bench, field, connections, messages, median(ours)) if connections == _PROFILED else []

    return Figure(
        f"smtp.cpu-{connections}",
        f"CPU to accept a message of 10 KB over SMTP, {_connections(connections)}",
        "ms",
        [Contender(OURS, measure), Contender(MEANWHILE, storage), *map(contender, field.peers), *field.missing],
        better="less",
        details=details,
    )


def taken(load: SmtpLoad, taker: Taker, connections: int, messages: int) -> float:
    """Messages a second that a server takes, and has. Raises ContenderFailed."""
    rates: list[float] = []
    _round(load, taker, connections, messages, lambda: rates.append(load.send(taker.door, messages).rate))
    return rates[0]


def cpu_of(
    load: SmtpLoad, taker: Taker, connections: int, messages: int, groups: Sequence[Sequence[int]]
) -> list[float]:  # fmt: skip
    """Milliseconds for each message, of each group of processes. Raises ContenderFailed."""
    spent: list[float] = []

    def work() -> None:
        spent.extend(milliseconds(groups, lambda: load.send(taker.door, messages), messages))

    _round(load, taker, connections, messages, work)
    return spent


def _round(load: SmtpLoad, taker: Taker, connections: int, messages: int, work: Callable[[], object]) -> None:
    taker.forget()
    with load.connected(taker.door, connections):
        work()
    if (kept := taker.taken()) != messages:
        raise ContenderFailed(f"{messages} messages were accepted, and {kept} of them are there")


def _profile(bench: Bench, field: Field, connections: int, messages: int, milliseconds: float) -> list[tuple[str, str]]:
    """A further round under py-spy: what each step takes of the median of the rounds."""
    if missing := missing_py_spy(bench.root):
        return [("profile", missing)]
    taker = field.ours
    taker.forget()
    try:
        with field.load.connected(taker.door, connections):
            (process,) = taker.processes
            stacks = sampled(bench.root, bench.scratch, process, lambda: field.load.send(taker.door, messages))
    except ContenderFailed as error:
        return [("profile", str(error))]
    return table(steps_of(stacks, bench.root, SMTP_STEPS), milliseconds)


def _connections(number: int) -> str:
    return "1 connection" if number == 1 else f"{number} connections"


GROUP = Group(
    "smtp",
    "mail taken by SMTP",
    "Azurite (npm), py-spy (pip), Postfix (apt, as root); Linux",
    [f"smtp.{what}-{connections}" for what in ("accept", "cpu") for connections in CONNECTIONS],
    _open,
)
