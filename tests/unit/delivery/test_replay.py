"""Until when a signed message can be verified, and where an exception came from."""

from __future__ import annotations

import math

import pytest

from email_core.delivery.poison import where_of
from email_core.delivery.replay import signed_until
from email_core.delivery.spool import SpoolItem

BODY = b"From: a@x.test\r\n\r\nDKIM-Signature: v=1; x=5;\r\n"


@pytest.mark.parametrize(
    ("header", "until"),
    [
        (b"DKIM-Signature: v=1; a=rsa-sha256; t=100; x=1790000000; b=abc\r\n", 1_790_000_000.0),
        (b"DKIM-Signature: v=1; t=100; x=200;\r\n\tb=abc\r\nDKIM-Signature: v=1;\r\n x=150; b=abc\r\n", 150.0),
        (b"dkim-signature: v=1; x=\r\n 300; b=abc\r\n", 300.0),
        (b"DKIM-Signature: v=1; b=x=7/abc; x=400\r\n", 400.0),
        (b"DKIM-Signature: v=1; b=abc\r\n", math.inf),
        (b"Subject: DKIM-Signature: x=9;\r\n x=10;\r\n", math.inf),
        (b"", math.inf),
    ],
)
def test_signed_until_is_the_first_end_of_the_signatures_of_the_header(header: bytes, until: float) -> None:
    assert signed_until(header + BODY) == until


def test_where_of_is_the_innermost_line_of_ours() -> None:
    with pytest.raises(ValueError) as caught:
        SpoolItem.decode("not json")
    assert where_of(caught.value).startswith("email_core/delivery/spool.py:")


def test_where_of_an_exception_from_elsewhere_is_empty() -> None:
    assert where_of(KeyError("never raised")) == ""
