"""Servers that fail as told: each line of the tables is a fault, and what it must come to."""

from __future__ import annotations

import asyncio

import pytest

from email_core.delivery.outcome import Disposition, Stage
from email_core.delivery.transcript import MAX_EVENTS
from email_core.delivery.verdicts import HANDED_OVER
from tests.kit.couriers import SHORT_TIMEOUTS, attempt, commands, courier, only, story
from tests.kit.server_tls import ServerTls, server_tls
from tests.kit.smtp_receiver import DROP, EARLY, STALL, Script, SmtpReceiver, receivers_on_one_port

__all__ = ["server_tls"]

# What the matrix of stages has not: other words for the same fault. The server's, then where that leaves the recipient.
FAULTS: list[tuple[Script, Disposition, Stage, str, bool]] = [
    ({"greeting": "554 5.7.1 blocked using dnsbl.invalid"}, Disposition.DEFERRED, Stage.BANNER, "block_ip", False),
    ({"greeting": b"-10 hello\r\n"}, Disposition.DEFERRED, Stage.BANNER, "network", False),
    ({"EHLO": b"250-" + b"x" * 40_000 + b"\r\n"}, Disposition.DEFERRED, Stage.EHLO, "network", False),
    ({"MAIL": "552 5.3.4 too big"}, Disposition.FAILED, Stage.MAIL, "too_big", False),
    ({"RCPT": "450 4.7.1 Greylisted, try again in 300 seconds"}, Disposition.DEFERRED, Stage.RCPT, "greylisted", False),
    ({"RCPT": "552 too many recipients"}, Disposition.DEFERRED, Stage.RCPT, "rate_limited", False),
    ({"RCPT": "421 4.7.28 unusual rate of mail"}, Disposition.DEFERRED, Stage.RCPT, "rate_limited", False),
    ({"RCPT": "354 go ahead"}, Disposition.DEFERRED, Stage.RCPT, "protocol", False),
    ({"DATA": "250 ok already"}, Disposition.DEFERRED, Stage.DATA, "protocol", False),
    ({".": "554 5.3.4 message too large"}, Disposition.FAILED, Stage.FINAL_DOT, "too_big", False),
    ({".": "354 still going"}, Disposition.DEFERRED, Stage.FINAL_DOT, "protocol", True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("script", "disposition", "stage", "bounce_class", "indeterminate"),
    FAULTS,
    ids=[" ".join(f"{key}:{str(say)[:30]}" for key, say in script.items()) for script, *_ in FAULTS],
)
async def test_fault_of_the_server_is_an_outcome(
    script: Script, disposition: Disposition, stage: Stage, bounce_class: str, indeterminate: bool
) -> None:
    async with SmtpReceiver(script) as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}", timeouts=SHORT_TIMEOUTS)
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    outcome = only(report)
    assert (outcome.disposition, outcome.stage, outcome.bounce_class) == (disposition, stage, bounce_class)
    assert outcome.indeterminate is indeterminate
    assert outcome.reply is not None or outcome.reason
    assert not report.handed_over


async def test_greylisting_that_names_a_time_is_asked_for() -> None:
    async with SmtpReceiver({"RCPT": "450 4.7.1 Greylisted, try again in 5 minutes"}) as receiver:
        report = await courier(f"capture://127.0.0.1:{receiver.port}").attempt_delivery(attempt())
    assert only(report).retry_after == 310.0


async def test_server_that_knows_no_ehlo_is_greeted_with_helo() -> None:
    async with SmtpReceiver({"EHLO": "502 5.5.1 not implemented"}) as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}")
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is Disposition.DELIVERED
    assert receiver.verbs()[:3] == ["EHLO", "HELO", "MAIL"]
    assert "SIZE=" not in receiver.commands[2]


async def test_connection_lost_at_a_later_recipient_keeps_the_refusal_before_it() -> None:
    script = {"RCPT TO:<gone@example.test>": "550 5.1.1 no such user", "RCPT TO:<bob@example.test>": DROP}
    async with SmtpReceiver(script) as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}")
        report = await sender.attempt_delivery(attempt("gone@example.test", "bob@example.test", "eve@example.test"))
        await sender.close()
    assert [str(each.disposition) for each in report.outcomes] == ["bounced", "deferred", "deferred"]


async def test_refusal_in_the_middle_of_a_large_message_is_its_verdict_and_no_duplicate_can_arise() -> None:
    message = b"Subject: large\r\n\r\n" + (b"z" * 76 + b"\r\n") * 200_000
    async with SmtpReceiver({"body": "552 5.3.4 that is enough"}) as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}")
        report = await sender.attempt_delivery(attempt(message=message))
        await sender.close()
    assert only(report).bounce_class == "too_big"
    assert only(report).stage is Stage.DATA
    assert not only(report).indeterminate


async def test_connection_lost_in_the_middle_of_a_large_message_leaves_no_doubt() -> None:
    message = b"Subject: large\r\n\r\n" + (b"z" * 76 + b"\r\n") * 200_000
    async with SmtpReceiver({"body": DROP}) as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}")
        report = await sender.attempt_delivery(attempt(message=message))
        await sender.close()
    assert only(report).disposition is Disposition.DEFERRED
    assert only(report).stage is Stage.DATA
    assert not only(report).indeterminate


async def test_reader_that_stops_in_the_middle_of_a_large_message_leaves_no_doubt() -> None:
    message = b"Subject: large\r\n\r\n" + (b"z" * 76 + b"\r\n") * 200_000
    async with SmtpReceiver({"body": STALL}) as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}", timeouts=SHORT_TIMEOUTS)
        report = await sender.attempt_delivery(attempt(message=message))
        await sender.close()
    assert only(report).stage is Stage.DATA
    assert only(report).disposition is Disposition.DEFERRED
    assert not only(report).indeterminate


async def test_impatient_attempt_with_a_stalling_server_is_handed_over() -> None:
    for script in ({"greeting": STALL}, {"EHLO": STALL}, {"RCPT": STALL}, {"DATA": STALL}):
        async with SmtpReceiver(script) as receiver:
            sender = courier(f"capture://127.0.0.1:{receiver.port}", impatience_seconds=0.1)
            report = await sender.attempt_delivery(attempt(impatient=True))
            await asyncio.wait_for(receiver.ended.wait(), 5)  # the connection does not stay open
        assert report.handed_over, script
        assert only(report).disposition is Disposition.DEFERRED
        assert only(report).reason == HANDED_OVER
        assert receiver.messages == []
        assert [facts["why"] for facts in story(report, "gave-up")] == ["handed over to a patient attempt"]


async def test_impatient_attempt_waits_for_the_final_dot_all_the_same() -> None:
    async with SmtpReceiver({".": STALL}) as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}", timeouts=SHORT_TIMEOUTS, impatience_seconds=0.1)
        report = await sender.attempt_delivery(attempt(impatient=True))
    assert not report.handed_over
    assert only(report).indeterminate


async def test_impatient_attempt_of_which_somebody_may_have_the_message_is_no_hand_over() -> None:
    """Handing over would forget the doubt, for an attempt that is handed over does not count."""
    zone = {"a.test": {"MX": [(10, "mx.a.test")]}, "b.test": {"MX": [(10, "mx.b.test")]}}
    hosts = {"mx.a.test": {"A": ["127.0.0.1"]}, "mx.b.test": {"A": ["127.0.0.2"]}}
    async with receivers_on_one_port({".": DROP}, {"MAIL": STALL}) as (first, _):
        sender = courier(zone={**zone, **hosts}, mx_port=first.port, impatience_seconds=1.0)
        report = await sender.attempt_delivery(attempt("ann@a.test", "bob@b.test", impatient=True))
        await sender.close()
    assert not report.handed_over
    assert [outcome.indeterminate for outcome in report.outcomes] == [True, False]


async def test_patient_attempt_whose_time_is_up_before_the_message_is_deferred_and_counts() -> None:
    async with SmtpReceiver({"MAIL": STALL}) as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}", run_seconds=0.2)
        report = await sender.attempt_delivery(attempt())
    assert not report.handed_over
    assert only(report).disposition is Disposition.DEFERRED
    assert receiver.messages == []


async def test_impatient_attempt_that_is_refused_at_once_is_no_hand_over() -> None:
    async with SmtpReceiver({"RCPT": "451 4.3.0 later"}) as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}")
        report = await sender.attempt_delivery(attempt(impatient=True))
        await sender.close()
    assert not report.handed_over
    assert only(report).disposition is Disposition.DEFERRED


@pytest.mark.parametrize(
    "script",
    [
        {"RCPT": "450 4.2.0 greylisted"},
        {"RCPT": "421 4.7.0 closing"},
        {"MAIL": "421 4.7.28 unusual rate of mail"},
        {"DATA": "451 4.7.1 try again in 5 minutes"},
    ],
    ids=str,
)
async def test_mx_host_that_tells_the_policy_of_its_receiver_is_not_followed_by_another(script: Script) -> None:
    async with receivers_on_one_port(script, {}) as (first, second):
        sender = courier(zone=two_hosts(), mx_port=first.port)
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is Disposition.DEFERRED
    assert only(report).mx_host == "first.example.test"
    assert second.connections == 0


async def test_mx_host_that_tells_the_policy_of_its_receiver_is_followed_by_the_next_route() -> None:
    async with SmtpReceiver({"RCPT": "421 4.7.28 unusual rate of mail"}) as host, SmtpReceiver() as relay:
        sender = courier(f"mx,smarthost://127.0.0.1:{relay.port}?tls=off", zone=two_hosts(), mx_port=host.port)
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is Disposition.DELIVERED
    assert host.connections == 1


async def test_reply_between_two_commands_is_noticed_before_the_next_one() -> None:
    """Of two messages on one connection, the second must not take an answer for its own that nobody asked for."""
    async with SmtpReceiver({".": EARLY}) as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}")
        reports = [await sender.attempt_delivery(attempt()) for _ in range(2)]
        await sender.close()
    assert [only(report).disposition for report in reports] == [Disposition.DELIVERED] * 2
    assert receiver.connections == 2


async def test_mx_that_speaks_before_starttls_is_out_of_step_and_that_says_nothing_of_its_tls(server_tls: ServerTls) -> None:
    early = b"250-mx\r\n250 STARTTLS\r\n220 go ahead\r\n"
    async with SmtpReceiver({"EHLO": [early, "250-mx\n250 STARTTLS"]}, tls=server_tls.server("mx.example.test")) as receiver:
        sender = courier(zone=one_host(), mx_port=receiver.port)
        first = await sender.attempt_delivery(attempt())
        second = await sender.attempt_delivery(attempt())
        await sender.close()
    assert (only(first).disposition, only(first).stage) == (Disposition.DEFERRED, Stage.STARTTLS)
    assert only(first).reason == "the server said more than it was asked: 220 go ahead"
    assert only(second).disposition is Disposition.DELIVERED
    assert receiver.verbs()[:3] == ["EHLO", "EHLO", "STARTTLS"]
    assert story(first, "plain") + story(second, "plain") == []


async def test_yes_in_the_middle_of_a_large_message_is_no_delivery() -> None:
    message = b"Subject: large\r\n\r\n" + (b"z" * 76 + b"\r\n") * 200_000
    async with receivers_on_one_port({"body": "250 2.0.0 taken"}, {}) as (first, second):
        sender = courier(zone=two_hosts(), mx_port=first.port)
        report = await sender.attempt_delivery(attempt(message=message))
        await sender.close()
    assert (only(report).disposition, only(report).indeterminate) == (Disposition.DEFERRED, True)
    assert second.connections == 0


async def test_mx_host_that_stalls_leaves_time_for_the_next_one() -> None:
    async with receivers_on_one_port({"greeting": STALL}, {}) as (first, _):
        sender = courier(zone=two_hosts(), mx_port=first.port, impatience_seconds=0.6)
        report = await sender.attempt_delivery(attempt(impatient=True))
        await sender.close()
    assert only(report).disposition is Disposition.DELIVERED
    assert only(report).mx_host == "second.example.test"


async def test_mx_hosts_are_not_talked_to_beyond_two_conversations() -> None:
    zone = {
        "example.test": {"MX": [(number, f"mx{number}.example.test") for number in (1, 2, 3)]},
        **{f"mx{number}.example.test": {"A": [f"127.0.0.{number}"]} for number in (1, 2, 3)},
    }
    deferring: Script = {"MAIL": "451 later"}
    async with receivers_on_one_port(deferring, deferring, {}) as (first, second, third):
        sender = courier(zone=zone, mx_port=first.port)
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is Disposition.DEFERRED
    assert [each.connections for each in (first, second, third)] == [1, 1, 0]


async def test_timeline_of_an_endless_story_is_cut() -> None:
    recipients = [f"r{number}@example.test" for number in range(MAX_EVENTS)]
    async with SmtpReceiver() as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}")
        report = await sender.attempt_delivery(attempt(*recipients))
        await sender.close()
    assert len(report.outcomes) == MAX_EVENTS
    assert len(report.timeline) == MAX_EVENTS + 1
    assert report.timeline[-1].kind == "cut"
    assert commands(report)[0] == "(greeting)"


def two_hosts() -> dict[str, dict[str, list[object]]]:
    return {
        "example.test": {"MX": [(10, "first.example.test"), (20, "second.example.test")]},
        "first.example.test": {"A": ["127.0.0.1"]},
        "second.example.test": {"A": ["127.0.0.2"]},
    }


def one_host() -> dict[str, dict[str, list[object]]]:
    return {"example.test": {"MX": [(10, "mx.example.test")]}, "mx.example.test": {"A": ["127.0.0.1"]}}
