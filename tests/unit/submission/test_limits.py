"""Limits on sending, in virtual time: windows, scopes, refusals, and workers that count together."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from email_core.domains.documents import Limit
from email_core.domains.sending import CommunicationService, SendingDomain
from email_core.errors import LimitReached, LimitTooSmall, StorageUnavailable
from email_core.storage import Tables
from email_core.submission.blocks import POLICIES, clean, scope_partition, window_row
from email_core.submission.limits import SECONDS, Credential, scopes_of
from tests.kit.simulated_storage import FaultMix, Outage
from tests.kit.virtual_time import BEGINNING, run_virtually
from tests.unit.submission.counting import World, admitted, scope

UNITS = ("messages", "recipients")


def virtually(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test in virtual time."""

    def run() -> None:
        run_virtually(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@pytest.mark.parametrize("window", SECONDS)
def test_messages_beyond_the_window_are_refused_and_the_next_window_takes_as_many(window: str) -> None:
    async def run() -> None:
        world = World()
        limited = [scope(("messages", window, 7))]
        assert await admitted(world.workers[0], limited, tries=10) == 7
        await asyncio.sleep(SECONDS[window] - (BEGINNING + asyncio.get_running_loop().time()) % SECONDS[window])
        assert await admitted(world.workers[0], limited, tries=10) == 7

    run_virtually(run())


@virtually
async def test_recipients_are_counted_by_their_number() -> None:
    world = World()
    limited = [scope(("recipients", "hour", 100))]
    assert await admitted(world.workers[0], limited, tries=5, recipients=30) == 3
    assert await admitted(world.workers[0], limited, tries=5, recipients=5) == 2


@virtually
async def test_message_that_one_limit_refuses_counts_in_none_of_the_others() -> None:
    world = World()
    limited = [scope(("messages", "day", 50), ("recipients", "minute", 10)), scope(("messages", "hour", 50), key="domain:d")]
    assert await admitted(world.workers[0], limited, tries=20, recipients=4) == 2
    await asyncio.sleep(60)
    assert await admitted(world.workers[0], limited, tries=48 + 9, recipients=0) == 48


@virtually
async def test_scopes_are_counted_apart() -> None:
    world = World()
    one, other = scope(("messages", "minute", 3), key="key:abc:one"), scope(("messages", "minute", 3), key="key:abc:two")
    assert await admitted(world.workers[0], [one], tries=5) == 3
    assert await admitted(world.workers[0], [other], tries=5) == 3


@virtually
async def test_refusal_says_the_true_end_of_the_window_and_asks_for_no_longer_wait_than_a_minute() -> None:
    world = World()
    limited = [scope(("messages", "minute", 1), ("messages", "hour", 2))]
    await asyncio.sleep(600.2)
    await world.workers[0].count(limited, messages=1, recipients=1)
    with pytest.raises(LimitReached) as refused:
        await world.workers[0].count(limited, messages=1, recipients=1)
    of_minute = refused.value
    assert (of_minute.window, of_minute.opens_at) == ("minute", BEGINNING + 660)
    assert of_minute.retry_after == math.ceil(BEGINNING + 660 - world.clock.now()) == 60
    assert of_minute.rule == "The limit of 1 messages per minute of communication service service:abc"
    await asyncio.sleep(45)
    with pytest.raises(LimitReached) as again:
        await world.workers[0].count(limited, messages=1, recipients=1)
    assert again.value.retry_after == math.ceil(BEGINNING + 660 - world.clock.now()) == 15


@virtually
async def test_refusal_of_several_windows_speaks_of_the_one_that_opens_last() -> None:
    world = World()
    limited = [scope(("messages", "minute", 1), ("messages", "day", 1), ("messages", "hour", 1))]
    await world.workers[0].count(limited, messages=1, recipients=1)
    with pytest.raises(LimitReached) as refused:
        await world.workers[0].count(limited, messages=1, recipients=1)
    assert (refused.value.window, refused.value.retry_after) == ("day", 60)
    assert refused.value.opens_at % 86_400 == 0


@virtually
async def test_client_that_waits_as_it_is_told_is_admitted_in_the_end() -> None:
    world = World()
    limited = [scope(("messages", "hour", 1))]
    await world.workers[0].count(limited, messages=1, recipients=1)
    began = world.clock.now()
    while True:
        try:
            await world.workers[0].count(limited, messages=1, recipients=1)
            break
        except LimitReached as refused:
            await asyncio.sleep(refused.retry_after)
    assert 3600 - 60 < world.clock.now() - began <= 3601


@virtually
async def test_message_that_fits_in_no_window_is_refused_otherwise_and_costs_nothing() -> None:
    world = World()
    with pytest.raises(LimitTooSmall) as refused:
        await world.workers[0].count([scope(("recipients", "minute", 10))], messages=1, recipients=11)
    assert (refused.value.number, refused.value.unit, world.round_trips) == (11, "recipients", 0)


@virtually
async def test_no_limits_cost_no_round_trip() -> None:
    world = World()
    assert await admitted(world.workers[0], [], tries=1000) == 1000
    assert world.round_trips == 0


@virtually
async def test_refused_messages_cost_no_round_trip_once_nothing_is_left() -> None:
    world = World()
    limited = [scope(("messages", "minute", 3))]
    await admitted(world.workers[0], limited, tries=3)
    before = world.round_trips
    assert await admitted(world.workers[0], limited, tries=1000) == 0
    assert world.round_trips == before


@pytest.mark.parametrize(("workers", "most", "allowed"), [(1, 300, 0.1), (1, 1000, 0.05), (2, 1000, 0.1), (4, 4000, 0.1)])
def test_limits_cost_less_than_a_tenth_of_a_round_trip_a_message(workers: int, most: int, allowed: float) -> None:
    async def run() -> None:
        world = World(workers=workers)
        limited = [scope(("messages", "hour", most))]
        counts = await asyncio.gather(*(admitted(worker, limited, tries=most) for worker in world.workers))
        assert sum(counts) == most
        assert world.round_trips < allowed * most

    run_virtually(run())


@virtually
async def test_messages_at_the_same_time_share_round_trips() -> None:
    world = World()
    limited = [scope(("messages", "hour", 1000))]
    await asyncio.gather(*(world.workers[0].count(limited, messages=1, recipients=1) for _ in range(64)))
    assert world.round_trips <= 3
    assert 64 <= world.taken("hour|messages|") <= 200


@virtually
async def test_worker_that_sends_one_message_and_goes_takes_no_more() -> None:
    world = World()
    limited = [scope(("messages", "day", 20))]
    assert sum([await admitted(world.worker(), limited) for _ in range(25)]) == 20


@virtually
async def test_worker_that_sends_now_and_then_takes_no_blocks_ahead() -> None:
    world = World()
    limited = [scope(("messages", "day", 10_000))]
    for _ in range(100):
        await admitted(world.workers[0], limited)
        await asyncio.sleep(120)
    assert world.taken("day|messages|") <= 102


@virtually
async def test_repeated_message_that_is_given_back_does_not_count() -> None:
    world = World()
    limited = [scope(("messages", "minute", 3))]
    for _ in range(10):
        counted = await world.workers[0].count(limited, messages=1, recipients=1)
        counted.give_back()
    assert await admitted(world.workers[0], limited, tries=5) == 3


@virtually
async def test_storage_that_is_away_refuses_what_it_cannot_count_and_admits_what_a_worker_has() -> None:
    world = World(mix=FaultMix(outage=Outage(("tables",), begins=100.0, ends=10_000.0)))
    limited = [scope(("messages", "day", 1000))]
    await asyncio.gather(*(world.workers[0].count(limited, messages=1, recipients=1) for _ in range(10)))
    await admitted(world.workers[0], limited)
    await asyncio.sleep(200)
    in_hand = world.taken("day|messages|") - 11
    assert in_hand > 0
    assert await admitted(world.workers[0], limited, tries=in_hand) == in_hand
    with pytest.raises(StorageUnavailable):
        await world.workers[0].count(limited, messages=1, recipients=1)


@virtually
async def test_limit_that_was_lowered_holds_at_once() -> None:
    world = World()
    assert await admitted(world.workers[0], [scope(("messages", "day", 100))], tries=10) == 10
    left = world.taken("day|messages|") - 10
    assert await admitted(world.workers[0], [scope(("messages", "day", 5))], tries=100) <= left
    assert await admitted(world.worker(), [scope(("messages", "day", 5))], tries=100) == 0


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    workers=st.integers(1, 5),
    most=st.integers(1, 300),
    lost=st.sampled_from([0.0, 0.1, 0.3]),
    failing=st.sampled_from([0.0, 0.1]),
)
def test_workers_never_exceed_a_limit_together_whatever_storage_does(
    seed: int, workers: int, most: int, lost: float, failing: float
) -> None:
    async def run() -> None:
        world = World(workers=workers, mix=FaultMix(lost=lost, failing=failing), seed=seed)
        chance = Random(seed)
        limits = [(unit, window, most * (1 + 2 * index)) for index, window in enumerate(SECONDS) for unit in UNITS]
        counts: dict[tuple[str, int], int] = {}

        async def send(number: int) -> None:
            await asyncio.sleep(chance.uniform(0, 150))
            recipients = chance.randint(1, max(1, min(most, 9)))
            try:
                counted = await world.workers[number % workers].count([scope(*limits)], messages=1, recipients=recipients)
            except (LimitReached, StorageUnavailable):
                return
            for need in counted.needs:
                place = (f"{need.limit.window}|{need.limit.unit}", need.window.start)
                counts[place] = counts.get(place, 0) + need.number

        await asyncio.gather(*(send(number) for number in range(150)))
        mosts = {f"{window}|{unit}": number for unit, window, number in limits}
        assert counts or lost or failing  # an answer that is lost takes its block with it
        assert all(count <= mosts[name] for (name, _), count in counts.items())

    run_virtually(run())


@virtually
async def test_rows_of_windows_that_ended_two_days_ago_are_deleted_and_no_others() -> None:
    world = World()
    tables = cast(Tables, world.tables)
    await tables.insert(POLICIES, {"PartitionKey": "something-else", "RowKey": "1", "ends": 1.0})
    limited = [scope(*((unit, window, 10) for unit in UNITS for window in SECONDS))]
    await world.workers[0].count(limited, messages=1, recipients=1)
    assert await clean(tables, BEGINNING + 2 * 86_400) == 0
    assert await clean(tables, BEGINNING + 2 * 86_400 + 61) == 2
    assert await clean(tables, BEGINNING + 2 * 86_400 + 3601) == 2
    assert {name.partition("|")[0] for _, _, name in world.tables.rows} == {"1", "day"}
    assert await clean(tables, BEGINNING + 4 * 86_400) == 2
    assert [place for _, place, _ in world.tables.rows] == ["something-else"]


@virtually
async def test_rows_of_windows_are_deleted_a_hundred_at_a_time() -> None:
    world = World()
    tables = cast(Tables, world.tables)
    for number in range(1_440):
        for key in ("service:a", "service:b"):
            keys = {"PartitionKey": scope_partition(key), "RowKey": window_row("minute", "messages", number)}
            await tables.insert(POLICIES, {**keys, "ends": 1.0})
    before = world.round_trips
    assert await clean(tables, BEGINNING) == 2_880
    assert world.round_trips - before == 31
    assert not world.tables.rows


def test_scopes_are_those_that_have_limits() -> None:
    limits = (Limit("messages", "minute", 1),)
    service = CommunicationService("/s", "abc", "mail", "mail.test", (), ())
    domain = SendingDomain("/d", "contoso.test", False, True, "", {}, ())
    limited_service = CommunicationService("/s", "abc", "mail", "mail.test", (), (), limits=limits)
    limited_domain = SendingDomain("/D" * 600, "contoso.test", False, True, "", {}, (), limits=limits)
    assert scopes_of(service, domain) == []
    found = scopes_of(limited_service, limited_domain, "Web", limits)
    assert [each.text for each in found] == ["domain contoso.test", "communication service mail", "access key Web"]
    assert [each.key for each in found][1:] == ["service:abc", "key:abc:web"]
    assert len(found[0].key) < 50


def test_scope_of_an_smtp_user_is_named_as_one_and_is_not_that_of_a_key() -> None:
    service, domain = CommunicationService("/s", "abc", "", "", (), ()), SendingDomain("/d", "", False, True, "", {}, ())
    kinds = (Credential.SMTP_USERNAME, Credential.ACCESS_KEY)
    user, key = (scopes_of(service, domain, "res/1", (Limit("messages", "minute", 1),), kind=kind)[0] for kind in kinds)
    assert (user.text, key.text) == ("SMTP username res/1", "access key res/1")
    assert user.key != key.key and "/" not in user.key
