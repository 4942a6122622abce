"""Which TXT values publish a key (RFC 6376 section 3.6.1)."""

from __future__ import annotations

import pytest

from email_core.domains.key_judgement import is_key

KEY = "v=DKIM1; k=rsa; p=QUJD"


@pytest.mark.parametrize(
    "text",
    [KEY, "p=QUJD", "v=DKIM1;k=rsa;p=QU JD;", "v=DKIM1; K=RSA; p=QUJD", "v=DKIM1; h=sha1:sha256; p=QUJD",
     "v=DKIM1; t=s; p=QUJD", "v=DKIM1; s=*; p=QUJD", "v=DKIM1; s=email; p=QUJD", "v=DKIM1; s=other : email; p=QUJD",
     "v=DKIM1; n=note; p=QUJD"],
)  # fmt: skip
def test_value_that_receivers_take_the_key_from_publishes_it(text: str) -> None:
    assert is_key(text, KEY)


@pytest.mark.parametrize(
    "text",
    ["v=DKIM1; k=rsa; p=", "v=DKIM1; p=QUJDRA==", "v=DKIM1; p=QUJ", "v=DKIM1; p=qujd", "v=DKIM1; k=ed25519; p=QUJD",
     "v=DKIM2; p=QUJD", "v=DKIM1; h=sha1; p=QUJD", "v=DKIM1; s=other; p=QUJD", "v=DKIM1; p=REVG; p=QUJD",
     "v=DKIM1; p=QUJD; p=QUJD", '"v=DKIM1; p=QUJD"', "v=DKIM1\\; p=QUJD", "", "QUJD"],
)  # fmt: skip
def test_value_that_receivers_take_no_key_or_another_from_does_not(text: str) -> None:
    assert not is_key(text, KEY)
