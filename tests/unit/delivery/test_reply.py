from __future__ import annotations

import time

import pytest

from email_core.delivery.outcome import Reply, Stage
from email_core.delivery.reply import MAX_TEXT, accepted, fit_to_keep, parse_reply, printable, temporary_by_default
from email_core.delivery.transcript import Transcript
from email_core.delivery.verdicts import Verdicts
from email_core.message.address import Address
from tests.kit.clock import FakeClock


@pytest.mark.parametrize(
    ("code", "lines", "enhanced", "text"),
    [
        (250, ["2.0.0 Ok: queued as 4Xy"], "2.0.0", "Ok: queued as 4Xy"),
        (250, ["Ok"], "", "Ok"),
        (550, ["5.1.1"], "5.1.1", ""),
        (550, ["5.1.1: no such user"], "5.1.1", "no such user"),
        (550, ["5.1.1 The account", "5.1.1 does not exist", "5.1.1 NoSuchUser - gsmtp"], "5.1.1",
         "The account\ndoes not exist\nNoSuchUser - gsmtp"),
        (550, ["5.1.1 first", "5.7.1 second"], "5.1.1", "first\n5.7.1 second"),
        (550, ["Sorry, no mailbox here. (#5.1.1)"], "5.1.1", "Sorry, no mailbox here. (#5.1.1)"),
        (450, ["5.1.1 class does not fit"], "", "5.1.1 class does not fit"),
        (550, ["see (#4.1.1)"], "", "see (#4.1.1)"),
        (550, ["5.1.1234 too many digits"], "", "5.1.1234 too many digits"),
        (550, ["5.1.1foo"], "", "5.1.1foo"),
        (550, ["5.001.010 zeros"], "5.1.10", "zeros"),
        (554, ["5.7.1 [2001:db8::1] blocked"], "5.7.1", "[2001:db8::1] blocked"),
        (550, ["", "5.1.1 after an empty line", ""], "5.1.1", "after an empty line"),
        (220, ["a\x00b\x1b[31mc\x7fd\rE\ngr\udcfc\u00dfe\u202eX\ttab"], "", "a?b?[31mc?d?E?gr??e?X tab"),
        (599, [], "", ""),
    ],
)  # fmt: skip
def test_reply_lines_become_code_status_and_printable_text(code: int, lines: list[str], enhanced: str, text: str) -> None:
    assert parse_reply(code, lines) == Reply(code, enhanced, text)


def test_reply_of_five_hundred_lines_is_cut() -> None:
    reply = parse_reply(550, [f"5.7.1 line {number} " + "x" * 60 for number in range(500)])
    assert len(reply.text) == MAX_TEXT
    assert reply.text.endswith("...")
    assert reply.enhanced == "5.7.1"


def test_reply_with_one_endless_line_is_cut_without_being_worked_through() -> None:
    started = time.process_time()
    reply = parse_reply(550, ["5.7.1 " + "\x00" * 50_000_000])
    assert len(reply.text) == MAX_TEXT
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    ("text", "kept"),
    [("RCPT TO:<jürgen@x.test>", "RCPT TO:<jürgen@x.test>"), ("a\nb", "a\nb"), ("\udcff\x1b[31m\u202e", "??[31m?"), ("", "")],
)
def test_text_to_keep_can_be_shown_and_encoded(text: str, kept: str) -> None:
    assert fit_to_keep(text) == kept
    fit_to_keep(text).encode()  # raises for a lone surrogate


def test_what_a_server_said_is_kept_as_lines_of_ascii() -> None:
    assert printable("grün\tis\r\nfine\udcff") == "gr?n is?\nfine?"


def test_timeline_and_outcomes_hold_nothing_that_cannot_be_shown() -> None:
    transcript = Transcript(FakeClock())
    transcript.mx("x.test", ["10 m\udcffx.test"], implicit=False)
    transcript.plain("m\x1bx.test", "bad\ud800")
    verdicts = Verdicts([Address("ann", "x.test")], transcript)
    verdicts.defer(verdicts.pending, Stage.AUTH, "no\udcff", reply=Reply(535, "", "\udcff"))
    assert [event.facts.get("hosts", event.facts.get("why")) for event in transcript.events[:2]] == [["10 m?x.test"], "bad?"]
    [outcome] = verdicts.outcomes
    assert (outcome.reason, outcome.reply) == ("no?", Reply(535, "", "?"))


def test_reply_shows_as_one_line_of_the_protocol() -> None:
    assert str(Reply(550, "5.1.1", "no such user")) == "550 5.1.1 no such user"
    assert str(Reply(550, "", "no")) == "550 no"


@pytest.mark.parametrize(
    ("code", "temporary"), [(421, True), (499, True), (500, False), (599, False), (250, True), (600, True), (0, True)]
)
def test_failure_is_temporary_unless_it_is_clearly_permanent(code: int, temporary: bool) -> None:
    assert temporary_by_default(Reply(code, "", "")) is temporary
    assert temporary_by_default(None)


@pytest.mark.parametrize(("code", "yes"), [(199, False), (200, True), (250, True), (299, True), (354, False), (550, False)])
def test_reply_is_a_yes_only_in_the_two_hundreds(code: int, yes: bool) -> None:
    assert accepted(Reply(code, "", "")) is yes
