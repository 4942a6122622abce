"""Memory of the SMTP server: when idle, with 200 connections, and with one message of 30 MB, the largest that it takes.

Each round has a fresh process, because memory that was needed once is not always given back to the system.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from bench.cpu import wait_until_quiet
from bench.figures import OURS, AtMost, Bench, Contender, ContenderFailed, Figure, Group
from bench.mail_world import programs
from bench.process_memory import forget_peak, memory
from bench.smtp_load import SmtpLoad
from bench.smtp_servers import Installation, Taker, installation, relay

CONNECTIONS = 200
BEGUN = 32 * 1024  # octets of a message that came on each connection
LARGEST = 30 * 1024 * 1024
_MEGABYTE = 1024 * 1024
_WARM_UP = 20  # messages: what a process makes once


@dataclass(frozen=True, slots=True)
class Peak:
    """Bytes of a process before some work, and at most since."""

    idle: int
    most: int


@contextmanager
def _open(bench: Bench) -> Iterator[Sequence[Figure]]:
    with programs(bench) as start, installation(bench) as on:
        yield figures(bench, SmtpLoad(start("load_smtp"), bench.scratch), on)


def figures(
    bench: Bench, load: SmtpLoad, on: Installation, *, connections: int = CONNECTIONS, largest: int = LARGEST
) -> list[Figure]:
    """All of them, with so many connections and such a message."""
    idle = Figure(
        "smtp-memory.idle", "memory of a relay that has taken a few messages", "MB",
        [Contender(OURS, lambda: peak_of(bench, load, on, _nothing).idle / _MEGABYTE)], better="less",
    )  # fmt: skip
    logged_in = f"peak with {connections} connections that have logged in, eight at a time, and are idle"
    in_data = f"peak with {connections} connections, on each a message of which 32 KB have come"
    return [
        idle,
        _of_connections(bench, load, on, connections, "connections", logged_in, 0),
        _of_connections(bench, load, on, connections, "in-data", in_data, BEGUN),
        _of_message(bench, load, on, largest),
    ]


def _of_connections(
    bench: Bench, load: SmtpLoad, on: Installation, connections: int, name: str, what: str, begun: int
) -> Figure:  # fmt: skip
    held: list[float] = []

    def work(taker: Taker) -> None:
        with load.connected(taker.door, connections):
            if begun:
                load.begin(taker.door, begun)
            wait_until_quiet(taker.processes)
            held.append(memory(taker.processes[0], "VmRSS"))

    def measure() -> float:
        peak = peak_of(bench, load, on, work)
        held[-1] = (held[-1] - peak.idle) / connections / 1024
        return peak.most / _MEGABYTE

    def details() -> list[tuple[str, str]]:
        return [("held above idle by each connection, once all are there", f"{median(held):.0f} KB")]

    return Figure(f"smtp-memory.{name}", what, "MB", [Contender(OURS, measure)], better="less", details=details)


def _of_message(bench: Bench, load: SmtpLoad, on: Installation, size: int) -> Figure:
    def measure() -> float:
        peak = peak_of(bench, load, on, lambda taker: _send(load, taker, 1, size))
        return (peak.most - peak.idle) / size

    return Figure(
        "smtp-memory.30MB", "peak above idle for one message of 30 MB", "times the message", [Contender(OURS, measure)],
        better="less", goals=[AtMost(4.0, "times the message")],
    )  # fmt: skip


def peak_of(bench: Bench, load: SmtpLoad, on: Installation, work: Callable[[Taker], None]) -> Peak:
    """What a fresh relay needs for some work. Raises ContenderFailed."""
    with relay(bench, on) as taker:
        (process,) = taker.processes
        _send(load, taker, _WARM_UP, 10 * 1024)
        wait_until_quiet([process])
        forget_peak(process)
        idle = memory(process, "VmRSS")
        work(taker)
        return Peak(idle, memory(process, "VmHWM"))


def _nothing(taker: Taker) -> None:
    """The relay is left alone."""


def _send(load: SmtpLoad, taker: Taker, messages: int, size: int) -> None:
    taker.forget()
    with load.connected(taker.door, 1):
        load.send(taker.door, messages, size)
    if (kept := taker.taken()) != messages:
        raise ContenderFailed(f"{messages} messages were accepted, and {kept} of them are there")


GROUP = Group(
    "smtp-memory",
    "memory of the SMTP server",
    "Azurite (npm); Linux",
    [f"smtp-memory.{name}" for name in ("idle", "connections", "in-data", "30MB")],
    _open,
)
