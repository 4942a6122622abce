from __future__ import annotations

import asyncio

import pytest

from email_core.clock import SystemClock
from email_core.delivery.connection_pool import ConnectionPool
from email_core.delivery.destinations import Destinations
from email_core.delivery.dialler import Dialler
from email_core.delivery.outcome import Disposition
from email_core.delivery.routes import TlsMode
from email_core.delivery.run import Run
from email_core.delivery.smtp_connection import Connection, NextHop, open_connection
from email_core.delivery.time_budget import TimeBudget
from email_core.delivery.transcript import Transcript
from email_core.settings import Secret
from tests.kit.clock import FakeClock
from tests.kit.couriers import PATIENT_TIMEOUTS, attempt, courier, only, story
from tests.kit.smtp_receiver import DROP, Script, SmtpReceiver


async def connection_to(receiver: SmtpReceiver, *, user: str = "") -> Connection:
    clock = SystemClock()
    budget = TimeBudget(clock, PATIENT_TIMEOUTS, run_seconds=60, patience=None)
    hop = NextHop("localhost", "127.0.0.1", receiver.port, TlsMode.OFF)
    connection = await open_connection(hop, Run(clock, budget, Transcript(clock), "mail.contoso.test"), broken_tls=False)
    if user:
        connection.hop = NextHop("localhost", "127.0.0.1", receiver.port, TlsMode.OFF, user, Secret("x"))
    return connection


async def test_pool_gives_back_what_was_put_once() -> None:
    async with SmtpReceiver() as receiver:
        pool = ConnectionPool(FakeClock())
        connection = await connection_to(receiver)
        pool.put(connection)
        assert pool.take(connection.hop) is connection
        assert pool.take(connection.hop) is None
        connection.wire.abort()


async def test_pool_keeps_users_of_one_host_apart() -> None:
    async with SmtpReceiver() as receiver:
        pool = ConnectionPool(FakeClock())
        ann, bob = await connection_to(receiver, user="ann"), await connection_to(receiver, user="bob")
        pool.put(ann)
        assert pool.take(bob.hop) is None
        assert pool.take(ann.hop) is ann
        ann.wire.abort()
        bob.wire.abort()


async def test_connection_idle_for_too_long_is_not_given_out_and_hears_quit() -> None:
    async with SmtpReceiver() as receiver:
        clock = FakeClock()
        pool = ConnectionPool(clock, idle_seconds=60)
        connection = await connection_to(receiver)
        pool.put(connection)
        clock.advance(61)
        assert pool.take(connection.hop) is None
        await asyncio.wait_for(receiver.ended.wait(), 5)
    assert receiver.verbs()[-1] == "QUIT"


async def test_connection_that_nobody_takes_is_closed_by_itself() -> None:
    async with SmtpReceiver() as receiver:
        pool = ConnectionPool(SystemClock(), idle_seconds=0.02)
        pool.put(await connection_to(receiver))
        await asyncio.wait_for(receiver.ended.wait(), 5)
    assert len(pool) == 0
    assert receiver.verbs()[-1] == "QUIT"


async def test_connection_that_has_done_its_share_is_not_kept() -> None:
    async with SmtpReceiver() as receiver:
        pool = ConnectionPool(FakeClock(), messages_per_connection=2)
        connection = await connection_to(receiver)
        connection.messages = 2
        pool.put(connection)
        await asyncio.wait_for(receiver.ended.wait(), 5)
    assert len(pool) == 0


async def test_pool_is_bounded_for_a_hop_and_in_all() -> None:
    async with SmtpReceiver() as one, SmtpReceiver() as other:
        clock = FakeClock()
        pool = ConnectionPool(clock, idle_per_hop=2, idle_total=3)
        for receiver in (one, one, one, other, other):
            clock.advance(1)
            pool.put(await connection_to(receiver))
        assert len(pool) == 3
        pool.close()
        assert len(pool) == 0


def test_pool_survives_the_end_of_an_event_loop() -> None:
    pool = ConnectionPool(SystemClock())

    async def put_one() -> NextHop:
        async with SmtpReceiver() as receiver:
            connection = await connection_to(receiver)
            pool.put(connection)
            return connection.hop

    async def take_one(hop: NextHop) -> None:
        assert pool.take(hop) is None

    hop = asyncio.run(put_one())
    asyncio.run(take_one(hop))
    asyncio.run(put_one())
    pool.close()
    assert len(pool) == 0


async def test_messages_to_one_host_go_over_one_connection() -> None:
    async with SmtpReceiver() as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}")
        reports = [await sender.attempt_delivery(attempt()) for _ in range(3)]
        await sender.close()
    assert receiver.connections == 1
    assert len(receiver.messages) == 3
    assert [facts["messages"] for report in reports for facts in story(report, "reuse")] == [1, 2]


async def test_messages_at_the_same_time_never_share_a_connection() -> None:
    async with SmtpReceiver() as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}")
        for _ in range(2):
            reports = await asyncio.gather(*(sender.attempt_delivery(attempt(f"r{n}@example.test")) for n in range(20)))
            assert {only(report).disposition for report in reports} == {Disposition.DELIVERED}
        await sender.close()
    assert len(receiver.messages) == 40
    assert 20 <= receiver.connections < 40  # the second round took what the first had left


@pytest.mark.parametrize(
    "fault",
    [DROP, "421 4.4.2 idle for too long", "451 4.7.0 enough messages", b"garbage\r\n"],
    ids=["drop", "421", "451", "garbage"],
)
async def test_pooled_connection_that_fails_at_mail_is_replaced_without_a_failure(fault: str | bytes) -> None:
    script: Script = {"MAIL": ["250 ok", fault, "250 ok"]}
    async with SmtpReceiver(script) as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}")
        await sender.attempt_delivery(attempt())
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is Disposition.DELIVERED
    assert receiver.connections == 2
    assert len(receiver.messages) == 2


async def test_connection_closed_by_the_server_while_idle_is_replaced() -> None:
    async with SmtpReceiver({".": "250 taken"}) as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}")
        await sender.attempt_delivery(attempt())
        for conversation in list(receiver.conversations):
            conversation.cancel()
        await asyncio.wait_for(receiver.ended.wait(), 5)
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is Disposition.DELIVERED
    assert receiver.connections == 2


async def test_connection_whose_reset_fails_is_not_kept() -> None:
    async with SmtpReceiver({"RCPT": "550 5.1.1 no", "RSET": DROP}) as receiver:
        dialler = Dialler(SystemClock(), Destinations(SystemClock()))
        sender = courier(f"capture://127.0.0.1:{receiver.port}")
        sender._dialler = dialler
        report = await sender.attempt_delivery(attempt())
        assert len(dialler.pool) == 0
        await sender.close()
    assert only(report).disposition is Disposition.BOUNCED
