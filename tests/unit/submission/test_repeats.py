"""Transactions by SMTP that come again."""

from __future__ import annotations

import pytest

from email_core.submission.repeats import transaction_id

HEADER = b"From: a@b.test\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\nMESSAGE-ID : <x@b.test>\r\n"
CONTENT = HEADER + b"\r\nHello.\r\n"
ENVELOPE = ("a@b.test", "", "", "False", "c@d.test  ")
NOON = 1_795_348_800.0


def made(
    content: bytes = CONTENT,
    *,
    service: str = "s",
    user: str = "u",
    envelope: tuple[str, ...] = ENVELOPE,
    now: float = NOON,
) -> str:
    return transaction_id(service, user, envelope, content, now=now)


def test_transaction_id_of_the_same_within_the_hour_is_the_same() -> None:
    assert made() == made(now=NOON + 3599.0)


@pytest.mark.parametrize(
    "other",
    [
        made(CONTENT + b"\r\n"),
        made(service="t"),
        made(user="v"),
        made(envelope=(*ENVELOPE, "e@d.test  ")),
        made(envelope=("a@b.test", "FULL", "", "False", "c@d.test  ")),
        made(now=NOON + 3600.0),
    ],
    ids=["content", "service", "user", "recipients", "options", "hour"],
)
def test_transaction_id_of_another_one_is_another(other: str) -> None:
    assert other != made()


@pytest.mark.parametrize(
    "content",
    [
        CONTENT.replace(b"Date:", b"X-Date:"),
        CONTENT.replace(b"MESSAGE-ID", b"X-Message-ID"),
        b"From: a@b.test\r\n\r\nDate: now\r\nMessage-ID: <x@b.test>\r\n",
        b"",
    ],
    ids=["no-date", "no-message-id", "in-the-body", "empty"],
)
def test_transaction_id_of_a_message_that_cannot_be_told_from_another_is_new_each_time(content: bytes) -> None:
    assert made(content) != made(content)
