"""If-Match and If-None-Match, as RFC 9110 section 13.1 has them."""

from __future__ import annotations

import pytest

from email_core.errors import RequestRefused
from email_core.management.conditions import check_conditions

ETAG = "W/\"datetime'2026-11-22T13%3A40%3A52.1Z'\""
STRONG = ETAG.removeprefix("W/")


@pytest.mark.parametrize(
    ("if_match", "if_none_match", "there", "met"),
    [
        ("", "", True, True),
        ("", "", False, True),
        ("*", "", True, True),
        ("*", "", False, False),
        (ETAG, "", True, True),
        (STRONG, "", True, True),
        (f'"other", {ETAG}', "", True, True),
        ('"other"', "", True, False),
        (ETAG, "", False, False),
        ("", "*", False, True),
        ("", " * ", True, False),
        ("", ETAG, True, False),
        ("", STRONG, True, False),
        ("", f'"a,b" ,W/"other",{ETAG}', True, False),
        ("", '"other", W/"another"', True, True),
        ("", ETAG, False, True),
        ("", "no-quotes", True, True),
        (ETAG, ETAG, True, False),
        (ETAG, '"other"', True, True),
    ],
)
def test_conditions_are_met_or_refused(if_match: str, if_none_match: str, there: bool, met: bool) -> None:
    etag = ETAG if there else None
    if met:
        check_conditions(if_match, if_none_match, etag)
        return
    with pytest.raises(RequestRefused) as refused:
        check_conditions(if_match, if_none_match, etag)
    assert (refused.value.status, refused.value.faults[0].code) == (412, "PreconditionFailed")
