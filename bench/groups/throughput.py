"""Throughput: requests accepted and messages delivered a second, beside what Azurite has time for, and beside other servers.

The client is a process of its own with 16 connections that are kept. Each message has 2 KB of text and one recipient. All that
is compared runs on this machine at once, so a machine with few cores is shared by client, server, storage and sink.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from bench.figures import OURS, Bench, Contender, Figure, Group
from bench.mail_world import CONNECTIONS, Ceiling, Load, Postrider, Sink, postrider, programs
from bench.postfix_relay import POSTFIX, PostfixRelay, missing_postfix_relay, postfix_relay
from bench.ses_servers import MOTO, SES_V2_LOCAL, missing_moto, missing_ses_v2_local, moto, ses_v2_local

ACCEPTED, DELIVERED = 600, 300  # messages in each round
CEILING = "Azurite's ceiling"


@contextmanager
def _open(bench: Bench) -> Iterator[Sequence[Figure]]:
    with ExitStack() as stack:
        start = stack.enter_context(programs(bench))
        load = Load(start("load_http"), bench.scratch)
        ceiling = Ceiling(start("storage_ceiling"), bench.scratch)
        sink = Sink(start("smtp_sink"), bench.scratch)
        figures = []
        if bench.wanted("throughput.accept"):
            installation = stack.enter_context(postrider(bench, load, sink=None))
            figures.append(accept_figure(installation, ceiling, ACCEPTED, _stand_ins(stack, bench, load)))
        if bench.wanted("throughput.deliver"):
            installation = stack.enter_context(postrider(bench, load, sink=sink))
            figures.append(deliver_figure(installation, ceiling, sink, DELIVERED, [_relay(stack, bench, sink)]))
        yield figures


def accept_figure(installation: Postrider, ceiling: Ceiling, requests: int, peers: Sequence[Contender]) -> Figure:
    """Of an installation that works no queue, with so many requests in each round."""

    def ours() -> float:
        return installation.send(requests).rate

    def storage() -> float:
        rate = ceiling.rate(installation.stored, "accept", requests)
        installation.stored.forget()
        return rate

    return Figure(
        "throughput.accept",
        f"requests of 2 KB accepted over HTTP, {CONNECTIONS} connections",
        "requests/s",
        [Contender(OURS, ours), Contender(CEILING, storage), *peers],
    )


def _stand_ins(stack: ExitStack, bench: Bench, load: Load) -> list[Contender]:
    found = []
    for name, missing, run in (
        (MOTO, missing_moto(bench.root), moto),
        (SES_V2_LOCAL, missing_ses_v2_local(bench.root), ses_v2_local),
    ):
        if missing:
            found.append(Contender(name, missing=missing))
            continue
        send = stack.enter_context(run(bench, load))
        found.append(Contender(name, lambda send=send: send(ACCEPTED)))  # type: ignore[misc]
    return found


def deliver_figure(installation: Postrider, ceiling: Ceiling, sink: Sink, messages: int, peers: Sequence[Contender]) -> Figure:
    """Of an installation that delivers to the sink, with so many messages in each round."""

    def ours() -> float:
        arrived = sink.arrived
        began = installation.send(messages).began
        rate = messages / (sink.last_of(arrived + messages) - began)
        installation.wait_until_settled()
        return rate

    def storage() -> float:
        rate = ceiling.rate(installation.stored, "deliver", messages)
        installation.stored.forget()
        return rate

    return Figure(
        "throughput.deliver",
        "messages of 2 KB accepted, signed and delivered, until the sink has the last",
        "messages/s",
        [Contender(OURS, ours), Contender(CEILING, storage), *peers],
    )


def _relay(stack: ExitStack, bench: Bench, sink: Sink) -> Contender:
    if missing := missing_postfix_relay():
        return Contender(POSTFIX, missing=missing)
    relay: PostfixRelay = stack.enter_context(postfix_relay(bench, sink))

    def measure() -> float:
        arrived = sink.arrived
        began = relay.send(DELIVERED).began
        return DELIVERED / (sink.last_of(arrived + DELIVERED) - began)

    return Contender(POSTFIX, measure)


GROUP = Group(
    "throughput",
    "messages a second",
    "Azurite and aws-ses-v2-local (npm), moto (pip), Postfix and OpenDKIM (apt, as root)",
    ["throughput.accept", "throughput.deliver"],
    _open,
)
