"""Servers that fail as told: each line of the tables is a fault, and what it must come to."""

from __future__ import annotations

import asyncio

import pytest

from email_core.delivery.outcome import Disposition, Stage
from email_core.delivery.transcript import MAX_EVENTS
from email_core.delivery.verdicts import HANDED_OVER
from tests.kit.couriers import SHORT_TIMEOUTS, attempt, commands, courier, only, story
from tests.kit.smtp_receiver import DROP, STALL, Script, SmtpReceiver, receivers_on_one_port

# What the server does, where that leaves the recipient, and whether the receiver may have the message.
FAULTS: list[tuple[Script, Disposition, Stage, str, bool]] = [
    ({"greeting": "421 4.3.2 busy"}, Disposition.DEFERRED, Stage.BANNER, "network", False),
    ({"greeting": "554 5.7.1 blocked using dnsbl.invalid"}, Disposition.DEFERRED, Stage.BANNER, "block_ip", False),
    ({"greeting": DROP}, Disposition.DEFERRED, Stage.BANNER, "network", False),
    ({"greeting": STALL}, Disposition.DEFERRED, Stage.BANNER, "network", False),
    ({"greeting": b"SSH-2.0-OpenSSH_9.2\r\n"}, Disposition.DEFERRED, Stage.BANNER, "network", False),
    ({"greeting": b"-10 hello\r\n"}, Disposition.DEFERRED, Stage.BANNER, "network", False),
    ({"EHLO": "421 4.3.2 busy"}, Disposition.DEFERRED, Stage.EHLO, "network", False),
    ({"EHLO": DROP}, Disposition.DEFERRED, Stage.EHLO, "network", False),
    ({"EHLO": "550 5.7.1 go away"}, Disposition.DEFERRED, Stage.EHLO, "policy_content", False),
    ({"EHLO": b"250-" + b"x" * 40_000 + b"\r\n"}, Disposition.DEFERRED, Stage.EHLO, "network", False),
    ({"MAIL": "451 4.3.0 later"}, Disposition.DEFERRED, Stage.MAIL, "network", False),
    ({"MAIL": "550 5.1.8 sender domain does not exist"}, Disposition.FAILED, Stage.MAIL, "sender_rejected", False),
    ({"MAIL": "552 5.3.4 too big"}, Disposition.FAILED, Stage.MAIL, "too_big", False),
    ({"MAIL": DROP}, Disposition.DEFERRED, Stage.MAIL, "network", False),
    ({"RCPT": "450 4.7.1 Greylisted, try again in 300 seconds"}, Disposition.DEFERRED, Stage.RCPT, "greylisted", False),
    ({"RCPT": "550 5.1.1 no such user"}, Disposition.BOUNCED, Stage.RCPT, "invalid_recipient", False),
    ({"RCPT": "552 too many recipients"}, Disposition.DEFERRED, Stage.RCPT, "rate_limited", False),
    ({"RCPT": "421 4.7.28 unusual rate of mail"}, Disposition.DEFERRED, Stage.RCPT, "rate_limited", False),
    ({"RCPT": DROP}, Disposition.DEFERRED, Stage.RCPT, "network", False),
    ({"RCPT": STALL}, Disposition.DEFERRED, Stage.RCPT, "network", False),
    ({"DATA": "451 4.3.0 later"}, Disposition.DEFERRED, Stage.DATA, "network", False),
    ({"DATA": "554 5.5.1 no valid recipients"}, Disposition.FAILED, Stage.DATA, "protocol", False),
    ({"DATA": "250 ok already"}, Disposition.DEFERRED, Stage.DATA, "protocol", False),
    ({"DATA": DROP}, Disposition.DEFERRED, Stage.DATA, "network", False),
    ({".": "452 4.3.1 no space"}, Disposition.DEFERRED, Stage.FINAL_DOT, "network", False),
    ({".": "550 5.7.1 this looks like spam"}, Disposition.FILTERED, Stage.FINAL_DOT, "policy_content", False),
    ({".": "554 5.3.4 message too large"}, Disposition.FAILED, Stage.FINAL_DOT, "too_big", False),
    ({".": DROP}, Disposition.DEFERRED, Stage.FINAL_DOT, "network", True),
    ({".": STALL}, Disposition.DEFERRED, Stage.FINAL_DOT, "network", True),
    ({".": b"nonsense\r\n"}, Disposition.DEFERRED, Stage.FINAL_DOT, "network", True),
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


async def test_port_without_a_listener_defers_with_the_reason() -> None:
    async with SmtpReceiver() as receiver:
        port = receiver.port
    report = await courier(f"capture://127.0.0.1:{port}").attempt_delivery(attempt())
    assert only(report).disposition is Disposition.DEFERRED
    assert only(report).stage is Stage.CONNECT
    assert only(report).reason == "Connection refused"


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


async def test_server_that_closes_with_421_at_rcpt_defers_those_it_had_taken() -> None:
    async with SmtpReceiver({"RCPT TO:<bob@example.test>": "421 4.7.0 closing"}) as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}")
        report = await sender.attempt_delivery(attempt("ann@example.test", "bob@example.test", "eve@example.test"))
        await sender.close()
    assert [str(each.disposition) for each in report.outcomes] == ["deferred"] * 3
    assert receiver.messages == []
    assert {str(each.reply) for each in report.outcomes} == {"421 4.7.0 closing"}


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


async def test_reply_that_came_before_its_command_is_not_taken_for_the_answer() -> None:
    """Two replies at once: the second would count for the final dot, a refusal would pass as delivered."""
    script: Script = {"DATA": b"354 go ahead\r\n250 2.0.0 taken\r\n", ".": "550 5.7.1 refused"}
    async with SmtpReceiver(script) as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}")
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is not Disposition.DELIVERED
    assert receiver.messages == []


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


async def test_mx_host_that_defers_before_rcpt_is_followed_by_the_next_one() -> None:
    for script in (
        {"greeting": "421 4.3.2 busy"},
        {"greeting": "554 no"},
        {"EHLO": DROP},
        {"MAIL": "451 later"},
        {"DATA": DROP},
    ):
        async with receivers_on_one_port(script, {}) as (first, second):
            sender = courier(zone=two_hosts(), mx_port=first.port)
            report = await sender.attempt_delivery(attempt())
            await sender.close()
        assert only(report).disposition is Disposition.DELIVERED, script
        assert only(report).mx_host == "second.example.test"
        assert len(second.messages) == 1


async def test_mx_host_that_refuses_or_defers_a_recipient_is_final_for_this_attempt() -> None:
    for reply in ("550 5.1.1 no such user", "450 4.2.0 greylisted", "421 4.7.0 closing"):
        async with receivers_on_one_port({"RCPT": reply}, {}) as (first, second):
            sender = courier(zone=two_hosts(), mx_port=first.port)
            report = await sender.attempt_delivery(attempt())
            await sender.close()
        assert only(report).mx_host == "first.example.test", reply
        assert second.connections == 0


async def test_mx_host_that_may_have_the_message_is_not_followed_by_another() -> None:
    async with receivers_on_one_port({".": DROP}, {}) as (first, second):
        sender = courier(zone=two_hosts(), mx_port=first.port)
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).indeterminate
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
