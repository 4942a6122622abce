"""Notifications as others read them: the parser of the standard library, and flufl.bounce."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from email.message import EmailMessage, Message
from typing import Any, cast

import pytest
from flufl.bounce import scan_message
from hypothesis import given
from hypothesis import strategies as st

from email_core.delivery.dsn import (
    MOST_HEADER_RETURNED,
    MOST_RETURNED,
    Report,
    ReportedRecipient,
    compose_report,
    status_code,
)
from email_core.message.status import Action

ORIGINAL = (
    b"From: news@contoso.test\r\nTo: jane@example.org\r\nSubject: Invoice\r\nMessage-ID: <1@contoso.test>\r\n\r\nThe body.\r\n"
)
JANE = ReportedRecipient(
    address="jane@example.org",
    action=Action.FAILED,
    status="5.1.1",
    original="rfc822;Jane+x@example.org",
    reply="550 5.1.1 No such user",
    remote="mx.example.org",
    last_attempt_at=1_795_310_383.0,
    meaning="There is no mailbox for jane@example.org.",
    remedy="Check the spelling of the address.",
)
REPORT = Report(
    to="news@contoso.test",
    domain="postrider.test",
    host="mx.postrider.test",
    message_id="<7c9e@postrider.test>",
    at=1_795_310_400.0,
    arrived_at=1_795_310_380.0,
    recipients=(JANE,),
    original=ORIGINAL,
    original_id="<1@contoso.test>",
    envelope_id="QQ 314159",
)


def parsed(report: Report) -> EmailMessage:
    return email.message_from_bytes(compose_report(report), policy=email.policy.default)


def part_of(message: EmailMessage, number: int) -> EmailMessage:
    return cast("EmailMessage", cast("list[Any]", message.get_payload())[number])


def status_of(message: EmailMessage) -> list[Message]:
    """The groups of fields of the delivery-status part."""
    return cast("list[Message]", part_of(message, 1).get_payload())


def test_report_of_a_failure_is_read_by_the_standard_parser() -> None:
    message = parsed(REPORT)

    assert message.defects == []
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert message["auto-submitted"] == "auto-replied"
    assert message["from"] == "Mail Delivery System <mailer-daemon@postrider.test>"
    assert message["to"] == "news@contoso.test"
    assert message["in-reply-to"] == "<1@contoso.test>"
    assert [part.get_content_type() for part in cast("list[Any]", message.get_payload())] == [
        "text/plain", "message/delivery-status", "text/rfc822-headers",
    ]  # fmt: skip


def test_report_of_a_failure_has_the_fields_of_rfc_3464() -> None:
    about_message, about_jane = status_of(parsed(REPORT))

    assert dict(about_message.items()) == {
        "Original-Envelope-Id": "QQ 314159",
        "Reporting-MTA": "dns; mx.postrider.test",
        "Arrival-Date": "Sun, 22 Nov 2026 01:19:40 +0000",
    }
    assert dict(about_jane.items()) == {
        "Original-Recipient": "rfc822; Jane+x@example.org",
        "Final-Recipient": "rfc822; jane@example.org",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mx.example.org",
        "Diagnostic-Code": "smtp; 550 5.1.1 No such user",
        "Last-Attempt-Date": "Sun, 22 Nov 2026 01:19:43 +0000",
    }


def test_report_of_a_failure_says_cause_and_remedy_in_words() -> None:
    text = part_of(parsed(REPORT), 0).get_content()

    assert "There is no mailbox for jane@example.org." in text
    assert "Check the spelling of the address." in text
    assert "mx.example.org said: 550 5.1.1 No such user" in text


def test_report_of_a_failure_is_read_by_flufl_bounce() -> None:
    john = replace(JANE, address="john@example.net", original="")

    found = scan_message(email.message_from_bytes(compose_report(replace(REPORT, recipients=(JANE, john)))))

    assert sorted(found) == [b"Jane+x@example.org", b"john@example.net"]


def test_report_of_a_delay_is_a_temporary_failure_for_flufl_bounce() -> None:
    from flufl.bounce import all_failures

    delayed = replace(JANE, action=Action.DELAYED, status="4.2.1", original="", retry_until=1_795_400_000.0)
    temporary, permanent = all_failures(email.message_from_bytes(compose_report(replace(REPORT, recipients=(delayed,)))))

    assert (set(temporary), set(permanent)) == ({b"jane@example.org"}, set())


def test_report_of_a_delay_says_until_when_it_is_tried() -> None:
    delayed = replace(JANE, action=Action.DELAYED, status="4.2.1", retry_until=1_795_400_000.0)
    message = parsed(replace(REPORT, recipients=(delayed,)))

    assert status_of(message)[1]["Will-Retry-Until"] == "Mon, 23 Nov 2026 02:13:20 +0000"
    assert "Mon, 23 Nov 2026 02:13:20 +0000" in part_of(message, 0).get_content()


@pytest.mark.parametrize("action", [Action.DELIVERED, Action.RELAYED])
def test_report_of_a_success_is_no_bounce_for_flufl_bounce(action: Action) -> None:
    arrived = replace(JANE, action=action, status="2.0.0", reply="250 OK")

    assert not scan_message(email.message_from_bytes(compose_report(replace(REPORT, recipients=(arrived,)))))


def test_report_by_ret_full_returns_the_message() -> None:
    returned = part_of(parsed(replace(REPORT, full=True)), 2)

    assert returned.get_content_type() == "message/rfc822"
    assert ORIGINAL in compose_report(replace(REPORT, full=True))
    assert cast("list[Any]", returned.get_payload())[0].get_content().splitlines() == ["The body."]


@pytest.mark.parametrize("action", [Action.DELAYED, Action.DELIVERED, Action.RELAYED])
def test_report_that_is_no_failure_returns_the_header_even_by_ret_full(action: Action) -> None:
    returned = compose_report(replace(REPORT, full=True, recipients=(replace(JANE, action=action),)))

    assert b"Subject: Invoice" in returned
    assert b"The body." not in returned


def test_report_of_a_message_that_is_too_large_returns_its_header() -> None:
    returned = compose_report(replace(REPORT, full=True, original=ORIGINAL + b"x" * MOST_RETURNED))

    assert b"Subject: Invoice" in returned
    assert len(returned) < 10_000


def test_report_of_a_message_with_an_endless_header_stays_small() -> None:
    endless = b"".join(b"X-%d: %b\r\n" % (number, b"y" * 70) for number in range(100_000)) + b"\r\nbody\r\n"

    assert len(compose_report(replace(REPORT, original=endless))) < MOST_HEADER_RETURNED + 10_000


def test_report_returns_a_header_of_eight_bits_in_seven() -> None:
    original = "Subject: Grüße\r\n\r\nx\r\n".encode()
    composed = compose_report(replace(REPORT, original=original))

    assert composed.isascii()
    assert part_of(email.message_from_bytes(composed, policy=email.policy.default), 2).get_content().splitlines() == [
        "Subject: Grüße"
    ]


def test_report_returns_a_message_of_eight_bits_in_seven() -> None:
    original = "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGrüße\r\n".encode()
    composed = compose_report(replace(REPORT, original=original, full=True))
    returned = part_of(email.message_from_bytes(composed, policy=email.policy.default), 2)

    assert composed.isascii()
    assert cast("list[Any]", returned.get_payload())[0].get_content().splitlines() == ["Grüße"]


def test_report_of_eight_bits_that_others_signed_returns_the_header_by_ret_full() -> None:
    original = "DKIM-Signature: v=1\r\nSubject: x\r\n\r\nGrüße\r\n".encode()
    composed = compose_report(replace(REPORT, original=original, full=True))

    assert composed.isascii()
    assert b"DKIM-Signature: v=1\r\nSubject: x\r\n" in composed and b"rfc822-headers" in composed


def test_report_about_an_address_outside_of_ascii_has_the_form_of_rfc_6533() -> None:
    message = compose_report(replace(REPORT, recipients=(replace(JANE, address="grüße@example.org", original=""),)))

    assert b"Final-Recipient: utf-8; gr\\x{FC}\\x{DF}e@example.org\r\n" in message


def test_report_with_a_boundary_in_the_message_takes_another_one() -> None:
    first = parsed(replace(REPORT, full=True)).get_boundary()
    hostile = ORIGINAL + f"--{first}\r\nContent-Type: text/plain\r\n\r\nforged\r\n--{first}--\r\n".encode()
    message = parsed(replace(REPORT, full=True, original=hostile))

    assert message.get_boundary() != first
    assert len(cast("list[Any]", message.get_payload())) == 3


def test_report_of_no_recipient_is_refused() -> None:
    with pytest.raises(ValueError, match="has recipients"):
        compose_report(replace(REPORT, recipients=()))


def test_report_of_two_actions_is_refused() -> None:
    with pytest.raises(ValueError, match="one action"):
        compose_report(replace(REPORT, recipients=(JANE, replace(JANE, action=Action.DELAYED))))


@given(
    reply=st.text(max_size=800), envelope_id=st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=100)
)
def test_report_of_whatever_a_server_said_keeps_its_form(reply: str, envelope_id: str) -> None:
    composed = compose_report(replace(REPORT, recipients=(replace(JANE, reply=reply),), envelope_id=envelope_id))
    groups = status_of(email.message_from_bytes(composed, policy=email.policy.default))

    assert composed.count(b"\r\n") == composed.count(b"\n") == composed.count(b"\r")
    assert len(groups) == 2
    assert groups[1]["Action"] == "failed"
    assert max(map(len, composed.split(b"\r\n"))) <= 998


@pytest.mark.parametrize(
    ("enhanced", "action", "expired", "status"),
    [
        ("5.1.1", Action.FAILED, False, "5.1.1"),
        ("4.2.2", Action.FAILED, False, "5.0.0"),
        ("", Action.FAILED, False, "5.0.0"),
        ("4.2.2", Action.FAILED, True, "4.4.7"),
        ("4.2.2", Action.DELAYED, False, "4.2.2"),
        ("5.1.1", Action.DELAYED, False, "4.0.0"),
        ("2.1.5", Action.RELAYED, False, "2.1.5"),
        ("", Action.DELIVERED, False, "2.0.0"),
        ("5.1.1\r\nX: y", Action.FAILED, False, "5.0.0"),
    ],
)
def test_status_code_fits_the_action(enhanced: str, action: Action, expired: bool, status: str) -> None:
    assert status_code(enhanced, action, expired=expired) == status
