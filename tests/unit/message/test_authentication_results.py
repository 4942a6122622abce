"""Authentication-Results: what we write, and the forged ones that are taken out."""

from __future__ import annotations

import time

import pytest

from email_core.message.authentication_results import (
    MethodResult,
    authentication_results,
    authentication_results_field,
    without_results_of,
)

MOST_SECONDS = 2.0  # of CPU, on a busy machine; alone each takes a tenth to a half, and what is quadratic takes minutes
US = "postrider.test"
REST = b"From: a@example.org\r\nSubject: x\r\n\r\nAuthentication-Results: postrider.test; in the body\r\n"


def test_results_have_one_line_for_each_method() -> None:
    results = [
        MethodResult("auth", "pass"),
        MethodResult("dkim", "fail", (("header.d", "example.org"), ("header.b", "ab+/c3=x")), reason="the body was changed"),
    ]

    assert authentication_results(US, results) == (
        "postrider.test;\r\n"
        " auth=pass;\r\n"
        ' dkim=fail reason="the body was changed" header.d=example.org\r\n'
        ' header.b="ab+/c3=x"'
    )


def test_results_of_nothing_say_none() -> None:
    assert authentication_results_field(authentication_results(US, [])) == b"Authentication-Results: postrider.test; none\r\n"


def test_results_with_a_hostile_value_stay_one_field() -> None:
    hostile = MethodResult("dkim", "pass", (("header.d", 'a"\r\nX-Evil: 1\\é'),))

    assert authentication_results(US, [hostile]) == 'postrider.test;\r\n dkim=pass header.d="a\\"??X-Evil: 1\\\\?"'


@pytest.mark.parametrize(
    "value",
    [
        b"postrider.test; dkim=pass",
        b" POSTRIDER.TEST; dkim=pass",
        b"\r\n postrider.test;\r\n dkim=pass",
        b' "postrider.test"; dkim=pass',
        b' "post\\rider.test"; dkim=pass',
        b" (a (nested) comment \\) ) postrider.test 1; dkim=pass",
        b" postrider.test(comment); dkim=pass",
        b" postrider.test.; dkim=pass",
        b" postrider.test",
        b' "not ended; dkim=pass',
        b" (not ended postrider.test; dkim=pass",
        b" ; dkim=pass",
        b"",
    ],
    ids=["plain", "case", "folded", "quoted", "quoted-pair", "comment", "comment-after", "last-dot", "alone", "open-quote",
         "open-comment", "no-id", "empty"],
)  # fmt: skip
def test_results_that_claim_to_be_ours_or_cannot_be_read_are_removed(value: bytes) -> None:
    forged = b"authentication-RESULTS :" + value + b"\r\n"

    assert without_results_of(US, forged + REST) == (REST, 1)


@pytest.mark.parametrize(
    "field",
    [
        b"Authentication-Results: mx.example.org; dkim=pass\r\n",
        b"Authentication-Results: sub.postrider.test; dkim=pass\r\n",
        b"ARC-Authentication-Results: i=1; postrider.test; dkim=pass\r\n",
        b"X-Note: about\r\n authentication-results: postrider.test;\r\n",
        b"X-Authentication-Results: postrider.test; dkim=pass\r\n",
    ],
    ids=["other", "below", "arc", "continuation", "other-name"],
)
def test_results_of_others_stay_as_they_are(field: bytes) -> None:
    assert without_results_of(US, field + REST) == (field + REST, 0)


def test_results_are_removed_wherever_they_stand() -> None:
    forged = b"Authentication-Results: postrider.test; dkim=pass\r\n"
    message = forged + b"From: a@example.org\r\n" + forged + b"Subject: x\r\n" + forged + b"\r\nbody\r\n"

    assert without_results_of(US, message) == (b"From: a@example.org\r\nSubject: x\r\n\r\nbody\r\n", 3)


def test_results_of_ten_megabytes_of_comments_cost_little() -> None:
    message = b"Authentication-Results: " + b"(" * 10_000_000 + b"\r\n" + REST
    begun = time.process_time()

    assert without_results_of(US, message) == (REST, 1)
    assert time.process_time() - begun < MOST_SECONDS
