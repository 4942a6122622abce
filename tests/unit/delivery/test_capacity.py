"""Places for things and their bytes: who gets one, who waits, who is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from email_core.delivery.capacity import MOST_WAITING, SMALL, Capacity
from email_core.errors import WorkerBusy
from tests.kit.virtual_time import run_virtually

MB = 1024 * 1024


def capacity(most: int = 2, most_bytes: int = 10 * MB, patience: float = 2.0) -> Capacity:
    return Capacity("things", most=most, most_bytes=most_bytes, patience=patience)


class Holders:
    """Tasks that want a place, hold it until told, and note when they got it."""

    def __init__(self, places: Capacity) -> None:
        self.places = places
        self.inside: list[str] = []
        self.refused: list[str] = []
        self._leave: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, name: str, size: int = 0) -> None:
        self._leave[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._hold(name, size))
        await settle()

    async def leave(self, name: str) -> None:
        self._leave[name].set()
        await settle()

    async def give_up(self, name: str) -> None:
        self._tasks[name].cancel()
        await settle()

    async def _hold(self, name: str, size: int) -> None:
        try:
            async with self.places.place(size):
                self.inside.append(name)
                await self._leave[name].wait()
                self.inside.remove(name)
        except WorkerBusy:
            self.refused.append(name)


async def settle() -> None:
    """Let every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


def virtually(scenario: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await scenario()

    run_virtually(run())


def test_places_beyond_the_number_are_given_in_the_order_of_coming() -> None:
    async def scenario() -> None:
        holders = Holders(capacity(most=2))
        for name in "abcd":
            await holders.come(name)
        assert holders.inside == ["a", "b"]
        await holders.leave("b")
        assert holders.inside == ["a", "c"]
        await holders.leave("a")
        assert holders.inside == ["c", "d"]

    virtually(scenario)


def test_large_thing_waits_until_the_bytes_are_free() -> None:
    async def scenario() -> None:
        holders = Holders(capacity(most=9))
        await holders.come("a", 6 * MB)
        await holders.come("b", 6 * MB)
        await holders.come("c", 3 * MB)
        assert holders.inside == ["a"], "c came after b, and large ones keep their order"
        await holders.leave("a")
        assert holders.inside == ["b", "c"]
        assert holders.places.bytes_taken == 9 * MB

    virtually(scenario)


def test_small_thing_does_not_wait_behind_a_large_one() -> None:
    async def scenario() -> None:
        holders = Holders(capacity(most=9))
        await holders.come("a", 10 * MB)
        await holders.come("b", 10 * MB)
        await holders.come("small", SMALL)
        assert holders.inside == ["a", "small"]

    virtually(scenario)


def test_thing_larger_than_all_bytes_gets_a_place_when_it_is_alone() -> None:
    async def scenario() -> None:
        holders = Holders(capacity(most=9))
        await holders.come("a", 1 * MB)
        await holders.come("huge", 50 * MB)
        assert holders.inside == ["a"]
        await holders.leave("a")
        assert holders.inside == ["huge"]

    virtually(scenario)

    async def alone() -> None:
        holders = Holders(capacity(most=9))
        await holders.come("huge", 50 * MB)
        assert holders.inside == ["huge"]

    virtually(alone)


def test_thing_that_waited_for_its_patience_is_refused_with_what_is_in_hand() -> None:
    async def scenario() -> None:
        places = capacity(most=1, patience=2.0)
        async with places.place(0):
            began = asyncio.get_running_loop().time()
            with pytest.raises(WorkerBusy, match="1 things of 0 bytes in hand for 2 seconds"):
                async with places.place(0):
                    pass
            assert asyncio.get_running_loop().time() - began == pytest.approx(2.0)
        assert (places.taken, places.waiting) == (0, 0)

    virtually(scenario)


def test_thing_beyond_those_that_may_wait_is_refused_at_once() -> None:
    async def scenario() -> None:
        holders = Holders(capacity(most=1))
        for number in range(1 + MOST_WAITING):
            await holders.come(f"{number}")
        await holders.come("late")
        assert holders.refused == ["late"]
        large = Holders(capacity(most=9))
        for name in ("inside", "waits", "late"):
            await large.come(name, 8 * MB)
        assert (large.inside, large.refused, large.places.waiting) == (["inside"], ["late"], 1)

    virtually(scenario)


@pytest.mark.parametrize("size", [0, 8 * MB])
def test_waiting_thing_that_is_cancelled_leaves_its_turn_to_the_next(size: int) -> None:
    async def scenario() -> None:
        holders = Holders(capacity(most=1, most_bytes=20 * MB))
        for name in "abc":
            await holders.come(name, size)
        await holders.give_up("b")
        await holders.leave("a")
        assert holders.inside == ["c"]
        await holders.leave("c")
        assert (holders.places.taken, holders.places.bytes_taken, holders.places.waiting) == (0, 0, 0)

    virtually(scenario)


def test_place_given_in_the_moment_of_giving_up_goes_to_the_next() -> None:
    async def scenario() -> None:
        holders = Holders(capacity(most=1))
        for name in "abc":
            await holders.come(name)
        holders._leave["a"].set()
        await asyncio.sleep(0)  # a leaves and b is let in, but b has not run yet
        assert holders.places.waiting == 1
        await holders.give_up("b")
        assert holders.inside == ["c"]

    virtually(scenario)


def test_holder_that_leaves_as_a_waiting_thing_gives_up_lets_the_next_one_in() -> None:
    async def scenario() -> None:
        holders = Holders(capacity(most=1))
        for name in "abc":
            await holders.come(name)
        holders._leave["a"].set()
        holders._tasks["b"].cancel()  # a runs first, and finds b in the queue with its turn cancelled
        await settle()
        assert holders._tasks["a"].exception() is None
        assert holders.inside == ["c"]
        await holders.leave("c")
        assert (holders.places.taken, holders.places.waiting) == (0, 0)

    virtually(scenario)


def test_thing_that_gave_up_and_could_not_leave_yet_does_not_count_as_waiting() -> None:
    async def scenario() -> None:
        holders = Holders(capacity(most=9))
        await holders.come("a", 10 * MB)
        await holders.come("b", 10 * MB)
        holders._tasks["b"].cancel()
        assert holders.places.waiting == 0
        with pytest.raises(WorkerBusy, match="for 2 seconds"):  # it waited, and was not refused at once
            async with holders.places.place(10 * MB):
                pass

    virtually(scenario)


def test_place_is_given_back_whatever_is_raised_in_it() -> None:
    async def scenario() -> None:
        places = capacity(most=1)
        async with AsyncExitStack() as stack:
            stack.enter_context(pytest.raises(KeyError))
            await stack.enter_async_context(places.place(1 * MB))
            raise KeyError
        assert (places.taken, places.bytes_taken) == (0, 0)

    virtually(scenario)
