"""What the timeline says of reports that came back."""

from __future__ import annotations

import pytest

from email_core.delivery.outcome import TimelineEvent
from email_core.explain.steps import step


@pytest.mark.parametrize(
    ("kind", "facts", "text"),
    [
        (
            "returned",
            {"recipient": "a@b.test", "reply": "550 5.1.1 gone", "by": "mx.b.test", "bounceClass": "invalid_recipient"},
            "The mail to a@b.test was taken, and came back from mx.b.test: 550 5.1.1 gone"
            " (invalid_recipient: there is no such mailbox).",
        ),
        (
            "reported",
            {"recipient": "a@b.test", "action": "delayed", "reply": "450 4.4.1 no answer", "host": "mx.b.test"},
            "A report came back from mx.b.test: a@b.test gets it later, if at all: 450 4.4.1 no answer."
            " It changes nothing here.",
        ),
        ("reported", {"action": "delivered"}, "A report came back: somebody got it. It changes nothing here."),
        (
            "complaint",
            {"recipients": ["a@b.test"], "feedback": "abuse", "by": "b.test"},
            "A feedback report by b.test about the mail to a@b.test: the recipient called it spam."
            " More mail there is held back for a time.",
        ),
        (
            "complaint",
            {"feedback": "not-spam"},
            "A feedback report about the mail to somebody who is not named: the recipient called it no spam.",
        ),
    ],
)  # fmt: skip
def test_step_of_a_report_says_who_said_what_of_whom(kind: str, facts: dict[str, object], text: str) -> None:
    assert step(TimelineEvent(0.0, kind, facts)).text == text
