"""Round trips: how many requests to storage a message of one recipient costs, counted where they are made."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.azurite import azurite
from bench.figures import OURS, AtMost, Bench, Contender, Figure, Group
from tests.kit.pipeline import build_pipeline, draft_to
from tests.kit.receiver import receiver

_ACCEPT, _AFTER = "trips.accept", "trips.prepare-to-settle"


@contextmanager
def _open(bench: Bench) -> Iterator[Sequence[Figure]]:
    counted: dict[str, Counter[str]] = {}
    logging.disable(logging.INFO)  # the mail log of the message that is sent
    try:
        with azurite(bench.root, bench.scratch) as connection_string:
            figures = {
                _ACCEPT: ("requests to storage until a message of one recipient is accepted", 2),
                # The goal is four and, for each recipient, one lookup of the suppression lists.
                _AFTER: ("requests from prepare to settle, one of them the lookup of suppression lists", 5),
            }
            yield [
                Figure(
                    name,
                    what,
                    "requests",
                    [Contender(OURS, lambda name=name: _count(connection_string, counted, name))],  # type: ignore[misc]
                    better="less",
                    goals=[AtMost(goal, "")],
                    details=lambda name=name: [(each, str(times)) for each, times in counted[name].items()],  # type: ignore[misc]
                    rounds=1,  # it is counted, not timed
                )
                for name, (what, goal) in figures.items()
            ]
    finally:
        logging.disable(logging.NOTSET)


def _count(connection_string: str, counted: dict[str, Counter[str]], name: str) -> float:
    counted.update(asyncio.run(_one_message(connection_string)))
    return counted[name].total()


async def _one_message(connection_string: str) -> dict[str, Counter[str]]:
    """The requests of one message, in a worker that has sent others before and so knows its domain."""
    async with receiver() as sink:
        pipeline = await build_pipeline(connection_string, routes=f"capture://127.0.0.1:{sink.port}")
        try:
            await pipeline.accept(draft_to("ann@fabrikam.test"))
            await pipeline.drain()
            trips = pipeline.storage.round_trips
            trips.clear()
            await pipeline.accept(draft_to("ann@fabrikam.test"))
            accepted = Counter(trips)
            trips.clear()
            await pipeline.drain()
            return {_ACCEPT: accepted, _AFTER: Counter(trips)}
        finally:
            await pipeline.close()


GROUP = Group("trips", "round trips to storage for each message", "Azurite (npm)", [_ACCEPT, _AFTER], _open)
