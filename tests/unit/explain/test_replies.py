"""A reply out of a log: read as people write it, classified by the bounce rules, and explained."""

from __future__ import annotations

import pytest

from email_core.delivery.outcome import Reply, Stage
from email_core.explain.explanation import ReplyExplanation
from email_core.explain.replies import ReplyUnreadable, explain_reply, read_reply
from email_core.explain.text import Look, reply_text
from email_core.settings import HOUR, RETRY_PAUSES


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("550 5.1.1 User unknown", Reply(550, "5.1.1", "User unknown")),
        ("550-5.1.1 User unknown\n550 5.1.1 see https://x.test", Reply(550, "5.1.1", "User unknown\nsee https://x.test")),
        (r"550-5.1.1 User unknown\r\n550 5.1.1 see", Reply(550, "5.1.1", "User unknown\nsee")),
        (r"550 5.1.1 User unknown\nsee https://x.test", Reply(550, "5.1.1", "User unknown\nsee https://x.test")),
        ("421 Too many connections", Reply(421, "", "Too many connections")),
        ("  554  no  ", Reply(554, "", "no")),
        ("550", Reply(550, "", "")),
        ("550 see 451 for more\n451 is no code of ours", Reply(550, "", "see 451 for more\n451 is no code of ours")),
        ("550 sorry (#5.1.1)", Reply(550, "5.1.1", "sorry (#5.1.1)")),
        ("550 \x1b[2Jno", Reply(550, "", "?[2Jno")),
    ],
)
def test_reply_is_read_as_people_write_it(text: str, reply: Reply) -> None:
    assert read_reply(text) == reply


@pytest.mark.parametrize("text", ["", " ", "hello", "5.1.1 User unknown", "650 x", "55 x", "5500 x", "٥٥٠ x", r"\n\n"])
def test_reply_that_is_none_names_rule_and_remedy(text: str) -> None:
    with pytest.raises(ReplyUnreadable, match=r"begins with its three digits.*--reply '550 5\.1\.1 User unknown'"):
        read_reply(text)


def explained(text: str, stage: str = "rcpt", mx: str = "") -> ReplyExplanation:
    return explain_reply(read_reply(text), Stage(stage), mx, pauses=RETRY_PAUSES, time_to_live=72 * HOUR)


def test_reply_for_good_says_that_it_is_not_tried_again_and_that_the_address_is_held_back() -> None:
    told = explained("550 5.1.1 User unknown")
    assert (told.bounce_class, told.rule, told.disposition) == ("invalid_recipient", "no-such-user", "bounced")
    assert (told.retried, told.pause, told.suppress, told.suppress_after) == (False, 0.0, True, 1)
    assert told.next.startswith("It is not tried again")
    assert "takes no mail: it goes onto the managed suppression list for 24 hours" in told.suppression
    twice = explained("550 5.1.10 not found", mx="contoso.mail.protection.outlook.com")
    assert (twice.suppress_after, "once it came for 2 messages: it goes" in twice.suppression) == (2, True)


@pytest.mark.parametrize(
    ("text", "stage", "mx", "pause", "words"),
    [
        ("451 4.3.0 later", "rcpt", "", 60, "after about 1 minute, then after 5 minutes, 15 minutes, 30 minutes, 1 hour"),
        ("450 4.2.0 Greylisted", "rcpt", "", 300, "after about 5 minutes, the pause that the server or the rule asks for"),
        ("450 4.2.0 Greylisted, come back in 20 minutes", "rcpt", "", 1210, "after about 20 minutes"),
        ("421 4.7.28 unusual rate", "final-dot", "aspmx.l.google.com", 1200, "after about 20 minutes"),
        ("554 go away", "banner", "", 60, "It came before the message was offered"),
        ("552 5.5.3 too many recipients", "rcpt", "", 60, "It passes, though it begins with 5"),
    ],
)
def test_reply_for_the_moment_says_when_it_is_tried_again(text: str, stage: str, mx: str, pause: float, words: str) -> None:
    told = explained(text, stage, mx)
    assert (told.retried, told.disposition, told.pause) == (True, "deferred", pause)
    assert words in told.next
    assert "until 3 days after it was accepted" in told.next


@pytest.mark.parametrize(
    ("text", "stage", "words"),
    [("250 2.1.5 Ok", "rcpt", "waits for the next command"), ("354 go on", "data", "waits"), ("250 Ok", "final-dot", "took")],
)
def test_reply_that_says_yes_has_no_class(text: str, stage: str, words: str) -> None:
    told = explained(text, stage)
    assert (told.bounce_class, told.rule, told.retried) == ("", "", False)
    assert words in told.meaning


def test_reply_of_a_provider_is_explained_by_the_rules_for_it() -> None:
    reply = "550 5.7.1 messages weren't sent, part of their network is on our block list (S3150)"
    told = explained(reply, "mail", "outlook-com.olc.protection.outlook.com")
    assert (told.bounce_class, told.rule) == ("block_ip", "outlook-com-network-blocked")
    assert "LinkID=614866" in told.for_operator


def test_reply_to_a_log_in_is_about_the_relay() -> None:
    told = explained("535 5.7.8 authentication failed", "auth")
    assert (told.bounce_class, told.retried) == ("relay_denied", True)
    assert "the relay of this service" in told.meaning
    assert "POSTRIDER_ROUTES" in told.for_operator


def test_text_of_a_reply_tells_class_rule_and_what_follows() -> None:
    text = reply_text(explained("452 4.2.2 Mailbox full", mx="mx.fabrikam.test"), Look(width=100))
    assert text.startswith("Reply 452 4.2.2 Mailbox full\n  said          at stage rcpt from mx.fabrikam.test\n")
    assert "  it means      The mailbox of the recipient's address is full: mx.fabrikam.test takes no more mail" in text
    assert "  what follows  A reply that begins with 4 is a refusal for the moment: it is tried again after" in text
    assert "class mailbox_full (the mailbox has no room), which comes to: deferred" in " ".join(text.split())


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.ROUTE])
@pytest.mark.parametrize("code", [421, 450, 452, 500, 530, 535, 550, 552, 554, 571, 599])
def test_reply_of_any_code_at_any_stage_is_explained(code: int, stage: Stage) -> None:
    told = explained(f"{code} no", stage)
    assert told.meaning and told.next and told.what_to_do and told.for_operator and told.suppression
