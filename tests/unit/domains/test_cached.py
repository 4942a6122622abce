"""Values that are kept for a while: who reads them, who waits, and what an outage of storage does to them."""

from __future__ import annotations

import asyncio
import logging

import pytest

from email_core.domains.cached import OUTAGE_SECONDS, STALE_SECONDS, Cached
from email_core.errors import ConfigurationMissing, StorageUnavailable
from tests.kit.clock import FakeClock

LIFETIME = 30.0
AWAY = StorageUnavailable("tables.query: 503 ServerBusy")


class Source:
    """What is read: an answer or an error. While `gate` is closed, a read hangs."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.reads = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self) -> object:
        self.reads += 1
        await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def cached(source: Source, clock: FakeClock) -> Cached[object]:
    return Cached(source.read, clock, LIFETIME)


async def settled() -> None:
    """Let every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def waiting(cache: Cached[object], readers: int) -> list[asyncio.Task[object]]:
    """Readers that hang in one and the same read."""
    tasks = [asyncio.create_task(cache.get()) for _ in range(readers)]
    await settled()
    return tasks


async def test_cached_value_is_read_again_when_its_lifetime_is_over() -> None:
    clock, source = FakeClock(), Source("first")
    cache = cached(source, clock)
    assert await cache.get() == "first"
    source.answer = "second"
    clock.advance(LIFETIME - 1)
    assert await cache.get() == "first"
    clock.advance(1)
    assert await cache.get() == "second"
    assert source.reads == 2


async def test_cached_nothing_is_a_value_too() -> None:
    source = Source(None)
    cache = cached(source, FakeClock())
    assert [await cache.get() for _ in range(3)] == [None] * 3
    assert source.reads == 1


async def test_readers_that_meet_share_one_read() -> None:
    source = Source("value")
    source.gate.clear()
    tasks = await waiting(cached(source, FakeClock()), 24)
    source.gate.set()
    assert await asyncio.gather(*tasks) == ["value"] * 24
    assert source.reads == 1


async def test_readers_that_meet_share_one_failure() -> None:
    """One after the other, the last of 24 would wait for 24 time-outs."""
    source = Source(AWAY)
    source.gate.clear()
    tasks = await waiting(cached(source, FakeClock()), 24)
    source.gate.set()
    assert await asyncio.gather(*tasks, return_exceptions=True) == [AWAY] * 24
    assert source.reads == 1


async def test_reader_that_gives_up_takes_nothing_from_the_others() -> None:
    source = Source("value")
    source.gate.clear()
    first, *others = await waiting(cached(source, FakeClock()), 3)
    first.cancel()
    await settled()
    assert first.cancelled()
    source.gate.set()
    assert await asyncio.gather(*others) == ["value"] * 2
    assert source.reads == 1


async def test_read_after_a_failure_is_tried_anew() -> None:
    source = Source(AWAY)
    cache = cached(source, FakeClock())
    with pytest.raises(StorageUnavailable):
        await cache.get()
    source.answer = "value"
    assert await cache.get() == "value"


async def test_refresh_that_fails_leaves_the_old_value_for_ten_minutes_and_logs_it(caplog: pytest.LogCaptureFixture) -> None:
    clock, source = FakeClock(), Source("old")
    cache = cached(source, clock)
    await cache.get()
    source.answer = AWAY
    clock.advance(LIFETIME)
    with caplog.at_level(logging.ERROR, "postrider"):
        assert await cache.get() == "old"
    assert "fault where=directory" in caplog.text
    clock.advance(STALE_SECONDS - 1)
    assert await cache.get() == "old"
    clock.advance(1)
    with pytest.raises(StorageUnavailable):
        await cache.get()


async def test_old_value_is_given_at_once_while_a_failing_refresh_hangs() -> None:
    clock, source = FakeClock(), Source("old")
    cache = cached(source, clock)
    await cache.get()
    source.answer = AWAY
    clock.advance(LIFETIME)
    await cache.get()
    source.gate.clear()
    async with asyncio.timeout(1):
        assert [await cache.get() for _ in range(3)] == ["old"] * 3
    await settled()
    assert source.reads == 3  # the first, the one that failed, and one that hangs
    source.answer = "new"
    source.gate.set()
    await settled()
    assert await cache.get() == "new"


async def test_old_value_is_not_given_once_an_outage_is_over() -> None:
    """A refresh failed, nobody asked for minutes, and a key was revoked meanwhile: the first reader must not find it good."""
    clock, source = FakeClock(), Source("old")
    cache = cached(source, clock)
    await cache.get()
    source.answer = AWAY
    clock.advance(LIFETIME)
    assert await cache.get() == "old"
    source.answer = "new"
    clock.advance(OUTAGE_SECONDS)
    assert await cache.get() == "new"


async def test_refresh_that_hangs_for_the_first_time_is_waited_for() -> None:
    """Else a key that was revoked would be good for one reader more than its lifetime."""
    clock, source = FakeClock(), Source("old")
    cache = cached(source, clock)
    await cache.get()
    source.answer = "new"
    source.gate.clear()
    clock.advance(LIFETIME)
    [reader] = await waiting(cache, 1)
    assert not reader.done()
    source.gate.set()
    assert await reader == "new"


async def test_refresh_that_finds_an_unusable_value_raises_in_spite_of_the_old_one() -> None:
    clock, source = FakeClock(), Source("old")
    cache = cached(source, clock)
    await cache.get()
    source.answer = ConfigurationMissing("a key is gone")
    clock.advance(LIFETIME)
    with pytest.raises(ConfigurationMissing):
        await cache.get()


async def test_failure_that_nobody_waits_for_any_more_is_not_complained_about() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    source = Source(AWAY)
    source.gate.clear()
    cache = cached(source, FakeClock())
    [reader] = await waiting(cache, 1)
    reader.cancel()
    await settled()
    source.gate.set()
    await settled()
    del cache, source, reader
    await settled()
    assert complaints == []
