"""Relays and the order of routes: who is asked next, how much time each one gets, and what nobody gets to see."""

from __future__ import annotations

import asyncio
import socket

import msgspec
import pytest

from email_core.delivery.outcome import Disposition, Stage
from email_core.delivery.smtp_connection import NO_ENTRY, NO_LOG_IN
from email_core.delivery.smtp_wire import SmtpWire
from email_core.delivery.time_budget import StageTimeouts
from tests.flows.test_smtp_tls import ZONE, smarthost
from tests.kit.couriers import attempt, courier, only, story
from tests.kit.server_tls import ServerTls, server_tls
from tests.kit.smtp_receiver import STALL, Script, SmtpReceiver

__all__ = ["server_tls"]

# In proportion as in production, where a run has 240 s and a banner 300 s: a server that stalls can use up the run.
RUN_SECONDS = 1.2
TIMEOUTS = StageTimeouts(
    dns=0.15, connect=0.15, banner=1.5, ehlo=1.5, tls=0.3, auth=1.5, mail=1.5, rcpt=1.5, data=0.6, block=0.9, final_dot=3
)  # fmt: skip


def plain(receiver: SmtpReceiver) -> str:
    return f"smarthost://127.0.0.1:{receiver.port}?tls=off"


def locked(receiver: SmtpReceiver) -> str:
    """A relay that wants a log-in, on this machine and so without TLS."""
    return smarthost(receiver, "?tls=off", host="127.0.0.1")


@pytest.mark.parametrize("where", ["greeting", "EHLO", "AUTH"])
async def test_smarthost_that_stalls_leaves_time_for_the_next_route(where: str) -> None:
    async with SmtpReceiver({where: STALL}, extensions=["AUTH PLAIN"]) as first, SmtpReceiver() as second:
        sender = courier(f"{locked(first)},{plain(second)}", run_seconds=RUN_SECONDS, timeouts=TIMEOUTS)
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is Disposition.DELIVERED
    assert len(second.messages) == 1


async def test_pooled_connection_that_stalls_leaves_time_for_a_new_one_to_the_same_smarthost() -> None:
    async with SmtpReceiver({"MAIL": ["250 ok", STALL, "250 ok"]}) as first, SmtpReceiver() as second:
        sender = courier(f"{plain(first)},{plain(second)}", run_seconds=RUN_SECONDS, timeouts=TIMEOUTS)
        await sender.attempt_delivery(attempt())
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is Disposition.DELIVERED
    assert (len(first.messages), second.connections) == (2, 0)


async def test_last_mx_host_that_stalls_leaves_time_for_the_smarthost() -> None:
    async with SmtpReceiver({"greeting": STALL}) as host, SmtpReceiver() as relay:
        routes = f"mx,{plain(relay)}"
        sender = courier(routes, zone=ZONE, mx_port=host.port, run_seconds=RUN_SECONDS, timeouts=TIMEOUTS)
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is Disposition.DELIVERED
    assert len(relay.messages) == 1


async def test_smarthost_name_with_a_dead_address_is_reached_by_the_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # A full backlog drops every SYN, as a dead machine does.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as dead:
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(dead.getsockname())
        async with SmtpReceiver(host="127.0.0.2", port=dead.getsockname()[1]) as alive:
            both = [
                (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, alive.port))
                for host in ("127.0.0.1", "127.0.0.2")
            ]

            async def addresses(*_: object, **__: object) -> list[object]:
                return list(both)

            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", addresses)
            wire = await SmtpWire.connect("relay.example.test", alive.port, timeout=5)
            assert wire.peer == "127.0.0.2"
            wire.abort()
        for filler in fillers:
            filler.close()


@pytest.mark.parametrize(
    ("script", "stage", "reason", "words"),
    [
        ({"AUTH": "535 5.7.8 bob-the-account is unpaid"}, Stage.AUTH, NO_LOG_IN, "bob-the-account is unpaid"),
        ({"AUTH": "454 4.7.0 bob-the-account is busy"}, Stage.AUTH, NO_LOG_IN, "bob-the-account is busy"),
        ({"AUTH": b"bob-the-account? never heard of\r\n"}, Stage.AUTH, "not an SMTP reply", "bob-the-account?"),
        ({"greeting": "554 5.7.1 bob-the-account is closed"}, Stage.BANNER, NO_ENTRY, "bob-the-account is closed"),
        ({"EHLO": "421 4.7.0 bob-the-account owes us"}, Stage.EHLO, NO_ENTRY, "bob-the-account owes us"),
    ],
)
async def test_words_of_a_relay_about_our_account_are_for_the_log_only(
    script: Script, stage: Stage, reason: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with SmtpReceiver(script, extensions=["AUTH PLAIN"]) as receiver:
        sender = courier(locked(receiver))
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    outcome = only(report)
    assert (outcome.disposition, outcome.stage) == (Disposition.DEFERRED, stage)
    assert (outcome.reply, outcome.reason) == (None, reason)
    assert "bob-the-account" not in repr(report)
    assert words in caplog.text


async def test_relay_that_repeats_the_password_does_not_put_it_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    script: Script = {"AUTH": "535 5.7.8 pa:ss@word is wrong"}
    async with SmtpReceiver(script, extensions=["AUTH PLAIN"]) as receiver:
        sender = courier(locked(receiver))
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).stage is Stage.AUTH
    assert "*** is wrong" in caplog.text
    assert "pa:ss@word" not in caplog.text + repr(report)


async def test_welcome_of_a_relay_is_not_shown_either() -> None:
    async with SmtpReceiver({"AUTH": "235 2.7.0 welcome bob-the-account"}, extensions=["AUTH PLAIN"]) as receiver:
        sender = courier(locked(receiver))
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is Disposition.DELIVERED
    assert "bob-the-account" not in repr(report)
    assert any(str(facts["reply"]).startswith("235 2.7.0 ") for facts in story(report, "smtp"))


@pytest.mark.parametrize("reply", ["535 5.7.8 no", "554 5.7.1 blocked using dnsbl.invalid", "421 4.7.0 rate limit exceeded"])
async def test_reply_of_a_relay_that_is_not_shown_decides_all_the_same(reply: str) -> None:
    async with SmtpReceiver({"AUTH": reply}, extensions=["AUTH PLAIN"]) as receiver:
        sender = courier(locked(receiver))
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    expected = {"535": "relay_denied", "554": "block_ip", "421": "rate_limited"}
    assert only(report).bounce_class == expected[reply[:3]]


async def test_relay_without_an_account_of_ours_is_quoted() -> None:
    async with SmtpReceiver({"greeting": "554 5.7.1 no mail from there"}) as receiver:
        report = await courier(plain(receiver)).attempt_delivery(attempt())
    assert str(only(report).reply) == "554 5.7.1 no mail from there"


@pytest.mark.parametrize(
    "script",
    [
        {"EHLO": b"250-x\r\n250 AUTH \xff\xfe FOO\r\n"},
        {"greeting": b"220 \xff\xfe\r\n", "EHLO": b"250 \xff\r\n"},
        {"greeting": b"\xff\xfe\r\n"},
        {"greeting": b"554 \xff\xed\xa0\x80\r\n"},
        {"AUTH": b"535 \xff\r\n"},
        {"RCPT": b"550 5.1.1 \xff\x1b[31m\r\n"},
        {".": b"250 \xff\r\n"},
    ],
)
async def test_bytes_that_are_no_text_never_leave_the_wire(script: Script) -> None:
    for kind in (plain, locked):
        async with SmtpReceiver(script, extensions=["AUTH PLAIN"]) as receiver:
            sender = courier(kind(receiver))
            report = await sender.attempt_delivery(attempt())
            await sender.close()
        outcome = only(report)
        kept = msgspec.json.encode([outcome.reason, outcome.reply, [event.facts for event in report.timeline]])
        assert msgspec.json.decode(kept)
        assert (outcome.reason + (outcome.reply.text if outcome.reply else "")).isprintable()


async def test_attempt_with_less_time_than_a_conversation_takes_is_not_begun() -> None:
    for seconds in (1.9, 0.001, -5.0):
        async with SmtpReceiver() as receiver:
            sender = courier(plain(receiver))
            report = await sender.attempt_delivery(attempt("ann@example.test", "ok@simulator.postrider.test", seconds=seconds))
        assert {outcome.disposition for outcome in report.outcomes} == {Disposition.DEFERRED}
        assert not report.handed_over
        assert receiver.connections == 0


async def test_attempt_ends_with_the_seconds_that_it_was_given() -> None:
    async with SmtpReceiver({"MAIL": STALL}) as receiver:
        sender = courier(plain(receiver))
        report = await asyncio.wait_for(sender.attempt_delivery(attempt(seconds=2.0)), 5)  # half of them are the final dot's
    assert only(report).disposition is Disposition.DEFERRED
    assert only(report).reason == "the time of the run was used up"


async def test_smarthosts_in_order_fail_over_until_one_can_be_used(
    server_tls: ServerTls, monkeypatch: pytest.MonkeyPatch
) -> None:
    server_tls.trust(monkeypatch)
    async with (
        SmtpReceiver({"greeting": "421 4.3.2 busy"}) as busy,
        SmtpReceiver({"AUTH": "535 5.7.8 no"}, tls=server_tls.server("localhost"), extensions=["AUTH PLAIN"]) as locked,
        SmtpReceiver() as last,
    ):
        routes = f"smarthost://localhost:{busy.port}, {smarthost(locked)}, smarthost://localhost:{last.port}"
        sender = courier(routes)
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is Disposition.DELIVERED
    assert len(last.messages) == 1
    assert [facts["route"] for facts in story(report, "route")] == [
        f"smarthost://localhost:{each.port}" for each in (busy, locked, last)
    ]


async def test_smarthost_that_refuses_the_recipient_is_not_followed_by_the_next_route() -> None:
    async with SmtpReceiver({"RCPT": "550 5.1.1 no such user"}) as first, SmtpReceiver() as second:
        sender = courier(f"smarthost://localhost:{first.port},smarthost://localhost:{second.port}")
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is Disposition.BOUNCED
    assert second.connections == 0


async def test_mx_route_that_cannot_be_used_is_followed_by_a_smarthost() -> None:
    async with SmtpReceiver() as relay:
        sender = courier(f"mx,smarthost://localhost:{relay.port}", zone=ZONE, mx_port=1)
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is Disposition.DELIVERED
    assert len(relay.messages) == 1


async def test_routes_that_all_fail_leave_the_recipient_deferred_with_the_last_reason() -> None:
    async with SmtpReceiver({"greeting": "421 4.3.2 first"}) as first, SmtpReceiver({"greeting": "421 4.3.2 second"}) as second:
        sender = courier(f"smarthost://localhost:{first.port},smarthost://localhost:{second.port}")
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is Disposition.DEFERRED
    assert str(only(report).reply) == "421 4.3.2 second"
