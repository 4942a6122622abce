from __future__ import annotations

import pytest

from email_core.delivery.outcome import Disposition
from tests.kit.couriers import attempt, courier, only


def outcome_words(local_part: str) -> str:
    return f"{local_part}@simulator.postrider.test"


@pytest.mark.parametrize(
    ("local_part", "number", "disposition", "bounce_class", "said"),
    [
        ("delivered", 0, Disposition.DELIVERED, "", "250 2.0.0"),
        ("bounce", 0, Disposition.BOUNCED, "invalid_recipient", "550 5.1.1"),
        ("bounce", 5, Disposition.BOUNCED, "invalid_recipient", "550 5.1.1"),
        ("defer", 0, Disposition.DEFERRED, "greylisted", "451 4.2.0"),
        ("defer", 1, Disposition.DEFERRED, "greylisted", "451 4.2.0"),
        ("defer", 2, Disposition.DELIVERED, "", "250 2.0.0"),
        ("full", 0, Disposition.DEFERRED, "mailbox_full", "452 4.2.2"),
        ("full", 9, Disposition.DEFERRED, "mailbox_full", "452 4.2.2"),
        ("spam", 0, Disposition.FILTERED, "policy_content", "550 5.7.1"),
        ("quarantine", 0, Disposition.QUARANTINED, "", "250 2.0.0"),
        ("suppressed", 0, Disposition.SUPPRESSED, "", "550 5.7.0"),
        ("slow", 0, Disposition.DELIVERED, "", "250 2.0.0"),
        ("complaint", 0, Disposition.DELIVERED, "", "250 2.0.0"),
        ("open", 0, Disposition.DELIVERED, "", "250 2.0.0"),
        ("click", 0, Disposition.DELIVERED, "", "250 2.0.0"),
        ("Bounce+test-7", 0, Disposition.BOUNCED, "invalid_recipient", "550 5.1.1"),
        ("somebody", 0, Disposition.BOUNCED, "invalid_recipient", "550 5.1.1"),
    ],
)
async def test_test_recipient_does_what_its_name_says(
    local_part: str, number: int, disposition: Disposition, bounce_class: str, said: str
) -> None:
    outcome = only(await courier().attempt_delivery(attempt(outcome_words(local_part), number=number)))
    assert (outcome.disposition, outcome.bounce_class) == (disposition, bounce_class)
    assert str(outcome.reply).startswith(said)
    assert outcome.mx_host == "simulator.postrider.test"


async def test_unknown_test_recipient_is_told_which_there_are() -> None:
    outcome = only(await courier().attempt_delivery(attempt(outcome_words("bounced"))))
    assert outcome.reply is not None
    for name in (
        "delivered@",
        "bounce@",
        "defer@",
        "full@",
        "spam@",
        "quarantine@",
        "suppressed@",
        "slow@",
        "complaint@",
        "open@",
        "click@",
    ):
        assert name in outcome.reply.text


async def test_slow_test_recipient_is_handed_over_by_an_impatient_attempt_only() -> None:
    impatient = await courier().attempt_delivery(attempt(outcome_words("slow"), impatient=True))
    assert impatient.handed_over
    assert only(impatient).disposition is Disposition.DEFERRED
    patient = await courier().attempt_delivery(attempt(outcome_words("slow")))
    assert not patient.handed_over
    assert only(patient).disposition is Disposition.DELIVERED


async def test_slow_beside_one_that_was_delivered_is_deferred_and_the_attempt_counts() -> None:
    report = await courier().attempt_delivery(attempt(outcome_words("slow"), outcome_words("delivered"), impatient=True))
    assert not report.handed_over
    assert [str(outcome.disposition) for outcome in report.outcomes] == ["deferred", "delivered"]


async def test_deferred_test_recipient_asks_for_its_time() -> None:
    assert only(await courier().attempt_delivery(attempt(outcome_words("defer")))).retry_after == 70.0
