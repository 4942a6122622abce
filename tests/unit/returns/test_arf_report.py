"""Feedback reports: what they are about, whom they name, and what of ours is left in them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from email_core.delivery.verp import make_reverse_path
from email_core.returns.arf_report import Feedback, FeedbackReport, read_feedback

KEY = b"a key of 32 bytes for the tests."
VERP = make_reverse_path(
    service_key="abcde23456", operation_id="6f0b8f1e-2d9e-4f57-9a3c-0c6a5b2f7e11", envelope=0, key_id="a", key=KEY,
    bounce_domain="bounce.postrider.test",
)  # fmt: skip
TOKEN = VERP.partition("@")[0]


def arf(fields: str, *, returned: str = "", sender: str = "staff@provider.test", kind: str = "message/rfc822") -> bytes:
    """A report as RFC 5965 has it."""
    returned = returned or f"Return-Path: <{VERP}>\nFrom: news@contoso.test\nMessage-ID: <1@contoso.test>\nSubject: Hello\n"
    return f"""From: Abuse <{sender}>
To: complaints@bounce.postrider.test
Subject: FW: Hello
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary=r

--r
Content-Type: text/plain

This is an email abuse report.
--r
Content-Type: message/feedback-report

{fields}
--r
Content-Type: {kind}

{returned}
Body

--r--
""".replace("\n", "\r\n").encode()


FULL = f"""Feedback-Type: abuse
User-Agent: SomeGenerator/1.0
Version: 1
Original-Mail-From: <{VERP}>
Original-Rcpt-To: <Ann@Fabrikam.test>
Arrival-Date: Mon, 2 Nov 2026 10:00:00 +0000
Reporting-MTA: dns; mail.provider.test
Source-IP: 192.0.2.1
Incidents: 3"""


def read(raw: bytes) -> FeedbackReport:
    report = read_feedback(raw)
    assert report is not None
    return report


def test_report_of_rfc_5965_is_read() -> None:
    assert read(arf(FULL)) == FeedbackReport(
        Feedback.ABUSE,
        recipients=("Ann@fabrikam.test",),
        tokens=(TOKEN,),
        message_id="<1@contoso.test>",
        reporter="provider.test",
        user_agent="SomeGenerator/1.0",
        incidents=3,
    )


@pytest.mark.parametrize(
    ("word", "feedback", "unwanted"),
    [
        ("abuse", Feedback.ABUSE, True),
        ("ABUSE; complaint", Feedback.ABUSE, True),
        ("fraud", Feedback.FRAUD, True),
        ("opt-out", Feedback.OPT_OUT, True),
        ("opt-out-list", Feedback.OPT_OUT, True),
        ("virus", Feedback.VIRUS, False),
        ("not-spam", Feedback.NOT_SPAM, False),
        ("auth-failure", Feedback.AUTH_FAILURE, False),
        ("other", Feedback.OTHER, False),
        ("something-new", Feedback.OTHER, False),
    ],
)
def test_feedback_type_says_whether_mail_is_unwanted(word: str, feedback: Feedback, unwanted: bool) -> None:
    report = read(arf(FULL.replace("Feedback-Type: abuse", f"Feedback-Type: {word}")))
    assert (report.feedback, report.feedback.unwanted) == (feedback, unwanted)


@pytest.mark.parametrize(
    "returned",
    [
        f"Return-Path: <{VERP}>\n",
        f"Return-Path: <{VERP.upper()}>\n",
        f"X-Envelope-From: {VERP}\n",
        f"Feedback-ID: campaign:{TOKEN}:contoso:postrider\n",
        f"Received-SPF: pass (mx: domain of {VERP} designates 192.0.2.1 as permitted sender)\n",
        f"Authentication-Results: mx.provider.test; spf=pass smtp.mailfrom={VERP}\n",
    ],
)
def test_reverse_path_is_found_wherever_a_provider_leaves_it(returned: str) -> None:
    assert read(arf("Feedback-Type: abuse\nVersion: 1", returned=returned)).tokens == (TOKEN,)


def test_report_without_a_recipient_names_nobody() -> None:
    report = read(arf(f"Feedback-Type: abuse\nVersion: 1\nOriginal-Mail-From: {VERP}"))
    assert (report.recipients, report.tokens) == ((), (TOKEN,))


def test_redacted_recipient_names_nobody() -> None:
    assert read(arf("Feedback-Type: abuse\nOriginal-Rcpt-To: redacted\nRemoval-Recipient: <>")).recipients == ()


def test_recipient_is_found_in_the_trace_when_the_fields_hide_it() -> None:
    returned = "Received: from us by mx.provider.test for <ann@fabrikam.test>; Mon, 2 Nov 2026 10:00:00 +0000\n"
    assert read(arf("Feedback-Type: abuse", returned=returned)).recipients == ("ann@fabrikam.test",)


def test_report_with_the_header_alone_is_read() -> None:
    assert read(arf(FULL, kind="text/rfc822-headers")).message_id == "<1@contoso.test>"


def test_report_of_microsofts_program_is_a_message_with_a_field_of_its_own() -> None:
    raw = (
        "From: <staff@hotmail.test>\nSubject: complaint about message from 192.0.2.1\nMIME-Version: 1.0\n"
        "Content-Type: multipart/mixed; boundary=j\n\n--j\nContent-Type: message/rfc822\nContent-Disposition: inline\n\n"
        f"X-HmXmrOriginalRecipient: ann@fabrikam.test\nReturn-Path: {VERP}\nMessage-ID: <1@contoso.test>\n\nHello\n--j--\n"
    )
    report = read(raw.encode())
    assert (report.feedback, report.recipients, report.tokens) == (Feedback.ABUSE, ("ann@fabrikam.test",), (TOKEN,))
    assert (report.reporter, report.message_id) == ("hotmail.test", "<1@contoso.test>")


def test_feedback_report_within_a_returned_message_is_none() -> None:
    inner = arf(FULL).decode()
    raw = (
        "From: MAILER-DAEMON@x.test\nContent-Type: multipart/report; boundary=o\n\n--o\n\nno\n"
        f"--o\nContent-Type: message/rfc822\n\n{inner}\n--o--"
    )
    assert read_feedback(raw.encode()) is None


@pytest.mark.parametrize("raw", [b"", b"From: a@b.test\n\nHello", b"Content-Type: multipart/report; boundary=x\n\n--x--"])
def test_other_mail_is_no_feedback(raw: bytes) -> None:
    assert read_feedback(raw) is None


def test_broken_reports_crash_nothing() -> None:
    chance = random.Random(7)
    for number in range(300):
        octets = bytearray(arf(FULL))
        for _ in range(number % 40):
            octets[chance.randrange(len(octets))] = chance.randrange(256)
        read_feedback(bytes(octets[: chance.randrange(len(octets) + 1)] if number % 3 else octets))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=500))
def test_any_fields_are_read_as_something(fields: str) -> None:
    report = read_feedback(arf(fields))
    assert report is None or report.feedback in Feedback
