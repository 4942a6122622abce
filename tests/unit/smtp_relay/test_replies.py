"""What clients are told about what went wrong."""

from __future__ import annotations

import pytest

from email_core.errors import (
    ConfigurationMissing,
    DomainNotLinked,
    DomainPaused,
    LimitReached,
    LimitTooSmall,
    SenderUnknown,
    StorageRefused,
    StorageUnavailable,
    WorkerBusy,
)
from email_core.message.refusal import MALFORMED, MessageRefused
from smtp_relay import replies
from smtp_relay.replies import Reply

CASES = [
    (DomainNotLinked("foreign.test"), "501 5.1.7 The specified sender domain has not been linked."),
    (DomainPaused("contoso.test", "SPF is gone."), "501 5.1.7 The specified sender domain has not been linked. Sending from"),
    (SenderUnknown("bob"), "501 5.1.7 Invalid email sender username: 'bob'. Please use a username from the list of valid"),
    (
        LimitReached("The limit of x", "hour", opens_at=1.0, retry_after=5),
        "450 4.5.127 Message rejected. Excessive message rate from sender",
    ),
    (LimitTooSmall("The limit of x", 60, "recipients"), "554 5.5.3 The limit of x does not allow 60 recipients at any time"),
    (StorageUnavailable("secret-host timed out"), "451 4.3.0 The message cannot be stored right now: try again later"),
    (StorageRefused("tables.insert", 403, "AuthorizationFailure", "secret-host"), "451 4.3.0 The message cannot be stored"),
    (WorkerBusy("64 in hand"), "451 4.3.2 "),
    (ConfigurationMissing("secret-host key"), "451 4.3.5 "),
    (MessageRefused(MALFORMED, "The message has no From field.", reason="secret-host"), "554 5.6.0 The message has no From"),
    (RuntimeError("secret-host"), "451 4.3.0 Something went wrong here: try again later"),
    (KeyError("secret-host"), "451 4.3.0 Something went wrong here: try again later"),
]


@pytest.mark.parametrize(
    ("error", "begins"), CASES, ids=lambda value: type(value).__name__ if isinstance(value, Exception) else ""
)
def test_error_becomes_a_reply_that_tells_no_detail_of_ours(error: Exception, begins: str) -> None:
    line = replies.of_error(error, request="abc").encode().decode()
    assert line.startswith(begins)
    assert line.endswith("\r\n")
    assert "secret-host" not in line


def test_reply_is_one_short_line_of_ascii_whatever_its_text() -> None:
    line = Reply(501, "5.1.7", "bad\r\n250 2.0.0 ok\0 é" + "x" * 1000).encode()
    assert line.count(b"\r\n") == 1 and line.endswith(b"\r\n") and len(line) <= 512
    assert line.isascii() and b"\0" not in line


def test_replies_have_an_enhanced_code_of_their_class() -> None:
    catalogue = [reply for reply in vars(replies).values() if isinstance(reply, Reply)]
    assert len(catalogue) > 30
    for reply in catalogue:
        if reply.code in (334, 354):
            assert reply.enhanced == ""
        else:
            assert reply.enhanced.split(".")[0] == str(reply.code)[0]
            assert len(reply.encode()) <= 512
