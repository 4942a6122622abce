"""Hostile replies: nothing raises, and what comes out is bounded and printable."""

from __future__ import annotations

import re
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from email_core.delivery.bounce_classes import ASKED_FOR_LEAST, ASKED_FOR_MOST, bounce_rules, classify
from email_core.delivery.outcome import Disposition, Stage
from email_core.delivery.reply import MAX_TEXT, parse_reply

PIECES = sorted({piece for rule in bounce_rules() for phrase in rule.text for piece in phrase})
lines = st.lists(
    st.one_of(
        st.text(max_size=200),
        st.binary(max_size=200).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
        st.lists(st.sampled_from([*PIECES, "5.1.1", "4.7.1 ", "in 5 minutes", "00:05:00", " ", "\n", "\x00"]), max_size=12).map(
            "".join
        ),
    ),
    max_size=60,
)
hosts = st.sampled_from(["", "mx.google.com.", "MX.YAHOODNS.NET", "x.olc.protection.outlook.com", "\x00", "." * 300])


@settings(max_examples=400, deadline=None)
@given(code=st.integers(-999, 9999), lines=lines)
def test_any_reply_becomes_bounded_printable_text(code: int, lines: list[str]) -> None:
    reply = parse_reply(code, lines)
    assert reply.code == code
    assert len(reply.text) <= MAX_TEXT
    assert re.fullmatch(r"[\x20-\x7e\n]*", reply.text)
    assert re.fullmatch(r"([245]\.\d{1,3}\.\d{1,3})?", reply.enhanced)
    assert not reply.enhanced or reply.enhanced[0] == str(code)[0]


@settings(max_examples=400, deadline=None)
@given(code=st.integers(200, 599), lines=lines, stage=st.sampled_from(Stage), host=hosts)
def test_any_reply_has_a_class_and_only_a_clear_no_is_final(code: int, lines: list[str], stage: Stage, host: str) -> None:
    verdict = classify(parse_reply(code, lines), stage=stage, mx_host=host)
    assert verdict.bounce_class
    if code < 500:
        assert verdict.disposition is Disposition.DEFERRED
    assert not verdict.suppress or verdict.disposition is Disposition.BOUNCED
    assert verdict.retry_after <= ASKED_FOR_MOST
    assert verdict.retry_after == 0 or verdict.retry_after >= ASKED_FOR_LEAST


def test_a_reply_made_of_the_rules_own_words_takes_no_longer_than_another() -> None:
    hostile = "".join(PIECES) * 2000  # some megabytes, every piece of every phrase in it again and again
    started = time.process_time()
    for _ in range(20):
        classify(parse_reply(450, [hostile] * 500), stage=Stage.RCPT)
    assert time.process_time() - started < 2.0


def test_a_reply_made_of_pieces_of_names_takes_no_longer_than_another() -> None:
    recipients = [f"r{number}.a.a@a.a.a{number}.test" for number in range(50)]
    started = time.process_time()
    for piece in ("a.", "<", "<a@", "a@", "@", "a", "%40", "<a", ".a@a.a"):
        classify(parse_reply(450, [piece * 2000]), stage=Stage.RCPT, mx_host="a." * 100, recipients=recipients)
    assert time.process_time() - started < 1.0
