"""Attempts against a real SMTP server (aiosmtpd) on loopback: what arrives, and what the report says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from email_core.delivery.outcome import Disposition, Stage
from email_core.message.address import Address
from email_core.settings import SettingsError
from tests.kit.couriers import MESSAGE, REVERSE_PATH, attempt, commands, courier, only, story
from tests.kit.receiver import Receiver, receiver
from tests.kit.smtp_receiver import SmtpReceiver

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def sink() -> AsyncIterator[Receiver]:
    async with receiver() as running:
        yield running


async def test_capture_one_recipient_is_delivered_byte_for_byte(sink: Receiver) -> None:
    sender = courier(f"capture://127.0.0.1:{sink.port}")
    report = await sender.attempt_delivery(attempt("Ann@example.test"))
    await sender.close()
    [received] = sink.received
    assert received.content == MESSAGE
    assert received.reverse_path == REVERSE_PATH
    assert received.recipients == ("Ann@example.test",)
    outcome = only(report)
    assert (outcome.recipient, outcome.disposition, outcome.stage) == (
        "Ann@example.test",
        Disposition.DELIVERED,
        Stage.FINAL_DOT,
    )
    assert str(outcome.reply) == "250 2.0.0 taken"
    assert not report.handed_over


async def test_mx_domain_with_two_hosts_is_delivered_to_the_preferred_one(sink: Receiver) -> None:
    zone = {
        "example.test": {"MX": [(20, "second.example.test"), (10, "first.example.test")]},
        "first.example.test": {"A": ["127.0.0.1"]},
        "second.example.test": {"A": ["127.0.0.9"]},
    }
    sender = courier(zone=zone, mx_port=sink.port)
    report = await sender.attempt_delivery(attempt())
    await sender.close()
    assert only(report).disposition is Disposition.DELIVERED
    assert only(report).mx_host == "first.example.test"
    assert len(sink.received) == 1
    assert [event.kind for event in report.timeline[:3]] == ["route", "mx", "connect"]
    assert story(report, "mx")[0]["hosts"] == ["10 first.example.test 127.0.0.1", "20 second.example.test 127.0.0.9"]


async def test_mx_domain_without_mx_is_delivered_to_its_own_address(sink: Receiver) -> None:
    sender = courier(zone={"example.test": {"A": ["127.0.0.1"]}}, mx_port=sink.port)
    report = await sender.attempt_delivery(attempt())
    await sender.close()
    assert only(report).disposition is Disposition.DELIVERED
    assert story(report, "mx")[0]["implicit"] is True


async def test_recipients_a_third_each_taken_deferred_and_refused_get_their_own_outcome(sink: Receiver) -> None:
    sink.replies = {"busy@example.test": ["450 4.2.1 busy"], "gone@example.test": ["550 5.1.1 no such user"]}
    sender = courier(f"capture://127.0.0.1:{sink.port}")
    report = await sender.attempt_delivery(attempt("ann@example.test", "busy@example.test", "gone@example.test"))
    await sender.close()
    assert [(each.recipient, str(each.disposition)) for each in report.outcomes] == [
        ("ann@example.test", "delivered"),
        ("busy@example.test", "deferred"),
        ("gone@example.test", "bounced"),
    ]
    assert report.outcomes[2].suppress
    assert sink.received[0].recipients == ("ann@example.test",)


async def test_recipients_all_refused_nothing_is_sent_and_the_connection_is_used_again(sink: Receiver) -> None:
    sink.replies = {"gone@example.test": ["550 5.1.1 no such user"]}
    sender = courier(f"capture://127.0.0.1:{sink.port}")
    first = await sender.attempt_delivery(attempt("gone@example.test"))
    second = await sender.attempt_delivery(attempt("ann@example.test"))
    await sender.close()
    assert commands(first)[-2:] == ["RCPT", "RSET"]
    assert story(second, "connect") == []
    assert only(second).disposition is Disposition.DELIVERED
    assert len(sink.received) == 1


async def test_recipient_with_utf8_local_part_goes_with_smtputf8(sink: Receiver) -> None:
    sender = courier(f"capture://127.0.0.1:{sink.port}")
    report = await sender.attempt_delivery(attempt("jürgen@example.test"))
    await sender.close()
    assert only(report).disposition is Disposition.DELIVERED
    assert sink.received[0].recipients == ("jürgen@example.test",)
    assert str(story(report, "smtp")[2]["command"]).endswith(" SMTPUTF8")


async def test_simulator_recipients_never_leave_whatever_the_route(sink: Receiver) -> None:
    sender = courier(f"capture://127.0.0.1:{sink.port}")
    report = await sender.attempt_delivery(attempt("bounce@simulator.postrider.test", "delivered+1@simulator.postrider.test"))
    await sender.close()
    assert [str(each.disposition) for each in report.outcomes] == ["bounced", "delivered"]
    assert report.outcomes[0].suppress
    assert sink.received == []
    assert sink.asked == []


async def test_commands_hold_exactly_what_was_asked_for() -> None:
    async with SmtpReceiver() as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}")
        await sender.attempt_delivery(attempt("Ann+Tag@example.test", "bob@example.test"))
        await sender.close()
    assert receiver.commands[:5] == [
        "EHLO mail.contoso.test",
        f"MAIL FROM:<{REVERSE_PATH}> SIZE={len(MESSAGE)}",
        "RCPT TO:<Ann+Tag@example.test>",
        "RCPT TO:<bob@example.test>",
        "DATA",
    ]
    assert receiver.wire == [MESSAGE.replace(b"\r\n.", b"\r\n..") + b".\r\n"]


async def test_address_with_an_smtp_command_inside_is_refused_at_the_wire() -> None:
    hostile = Address("ann", "example.test\r\nRCPT TO:<eve@example.test>")
    bracket = Address("ann@example.test> <eve", "example.test")
    async with SmtpReceiver() as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}")
        genuine = attempt("bob@example.test")
        mixed = type(genuine)(genuine.message, genuine.reverse_path, (hostile, bracket, *genuine.recipients))
        report = await sender.attempt_delivery(mixed)
        await sender.close()
    assert [str(each.disposition) for each in report.outcomes] == ["bounced", "bounced", "delivered"]
    assert [command for command in receiver.commands if command.startswith("RCPT")] == ["RCPT TO:<bob@example.test>"]


async def test_null_reverse_path_goes_as_an_empty_path() -> None:
    async with SmtpReceiver() as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}")
        await sender.attempt_delivery(attempt(reverse_path=""))
        await sender.close()
    assert receiver.commands[1].startswith("MAIL FROM:<> ")


async def test_message_of_five_megabytes_arrives_whole() -> None:
    message = b"Subject: large\r\n\r\n" + b"." + b"x" * 70 + b"\r\n" + (b"y" * 76 + b"\r\n") * 65_000 + b".\r\n"
    async with SmtpReceiver() as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}")
        report = await sender.attempt_delivery(attempt(message=message))
        await sender.close()
    assert only(report).disposition is Disposition.DELIVERED
    assert receiver.messages == [message]


async def test_eight_bit_message_is_announced_and_refused_where_it_would_not_survive() -> None:
    message = "Subject: x\r\n\r\nGrüße\r\n".encode()
    async with SmtpReceiver() as takes, SmtpReceiver(extensions=()) as does_not:
        first, second = (courier(f"capture://127.0.0.1:{each.port}") for each in (takes, does_not))
        taken = await first.attempt_delivery(attempt(message=message))
        refused = await second.attempt_delivery(attempt(message=message))
        await first.close()
        await second.close()
    assert takes.commands[1].endswith("BODY=8BITMIME")
    assert only(taken).disposition is Disposition.DELIVERED
    assert only(refused).disposition is Disposition.FAILED
    assert only(refused).reply is not None and only(refused).reply.enhanced == "5.6.3"
    assert "MAIL" not in does_not.verbs()


@pytest.mark.parametrize("message", [MESSAGE, "Subject: Grüße\r\n\r\nx\r\n".encode()], ids=["address", "header"])
async def test_utf8_where_the_server_cannot_take_it_is_refused_never_downgraded(message: bytes) -> None:
    async with SmtpReceiver(extensions=("8BITMIME",)) as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}")
        report = await sender.attempt_delivery(attempt("jürgen@example.test", "bob@example.test", message=message))
        await sender.close()
    outcomes = {each.recipient: each for each in report.outcomes}
    refused = outcomes["jürgen@example.test"]
    assert refused.reply is not None and refused.reply.enhanced == "5.6.7"
    assert refused.disposition is Disposition.FAILED
    # Who can be reached without SMTPUTF8 still is, unless the header itself needs it.
    expected = Disposition.DELIVERED if message is MESSAGE else Disposition.FAILED
    assert outcomes["bob@example.test"].disposition is expected


async def test_message_larger_than_the_server_takes_is_refused_without_being_sent() -> None:
    async with SmtpReceiver(extensions=("SIZE 50",)) as receiver:
        sender = courier(f"capture://127.0.0.1:{receiver.port}")
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).bounce_class == "too_big"
    assert only(report).disposition is Disposition.FAILED
    assert "MAIL" not in receiver.verbs()


def test_courier_costs_a_cold_start_no_smtp_and_no_dns_library() -> None:
    code = "import sys, email_core.delivery.attempt; print({'aiosmtplib', 'dns'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert said.stdout == "set()\n"


@pytest.mark.parametrize("name", ["two words", "mail.contoso.test\r\nQUIT", "mail_x.test", "-x", "é.test"])
def test_ehlo_name_that_is_no_host_name_stops_the_start(name: str) -> None:
    with pytest.raises(SettingsError, match="POSTRIDER_EHLO_NAME"):
        courier(ehlo_name=name)


async def test_smarthost_named_by_its_host_tells_the_address_that_answered() -> None:
    async with SmtpReceiver() as receiver:
        sender = courier(f"smarthost://localhost:{receiver.port}")
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    [facts] = story(report, "connect")
    assert (facts["host"], facts["address"]) == ("localhost", "127.0.0.1")
