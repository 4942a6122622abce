from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_core.message.address import parse_address
from email_core.suppression.unsubscribe_token import domain_key, mailto, make_token, read_address, read_token

KEYS = {"a": b"first key", "b": b"second key"}
DOMAIN = "/subscriptions/1/resourceGroups/g/providers/Microsoft.Communication/emailServices/e/domains/contoso.test"
ANN = parse_address("ann@fabrikam.test")


def token(key_id: str = "a", recipient: str = "ann@fabrikam.test", domain: str = DOMAIN) -> str:
    return make_token(domain_id=domain, recipient=parse_address(recipient), key_id=key_id, key=KEYS[key_id])


def test_token_reads_back_and_fits_a_local_part() -> None:
    address = f"unsubscribe+{token()}@bounce.postrider.test"
    read = read_address(address, KEYS)
    assert read is not None
    assert len(address.partition("@")[0]) == 64
    assert (read.domain_key, read.is_for(ANN, KEYS)) == (domain_key(DOMAIN), True)
    assert read_address(address.upper(), KEYS) == read


def test_token_is_for_its_recipient_in_any_case_and_for_nobody_else() -> None:
    read = read_token(token(), KEYS)
    assert read is not None
    assert read.is_for(parse_address("ANN@Fabrikam.test"), KEYS)
    assert not read.is_for(parse_address("bob@fabrikam.test"), KEYS)


def test_token_of_another_domain_or_recipient_differs() -> None:
    tokens = {token(), token(domain=f"{DOMAIN}x"), token(recipient="bob@fabrikam.test"), token("b")}
    assert len(tokens) == 4


def test_token_of_a_key_that_is_gone_is_none_of_ours() -> None:
    assert read_token(token("b"), {"a": KEYS["a"]}) is None


@given(st.integers(0, 51), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_token_with_any_character_changed_is_none_of_ours(place: int, character: str) -> None:
    made = token()
    changed = made[:place] + character + made[place + 1 :]
    assert (read_token(changed, KEYS) is None) == (changed != made)


@pytest.mark.parametrize("text", ["", "a", "a" * 52, "a" * 53, "é" * 52, f"{token()} ", f"{token()}\n"])
def test_text_that_is_no_token_is_none_of_ours(text: str) -> None:
    assert read_token(text, KEYS) is None


@pytest.mark.parametrize("address", ["", "@", "unsubscribe+@x.test", f"{token()}@x.test", f"other+{token()}@x.test"])
def test_address_without_a_token_is_none_of_ours(address: str) -> None:
    assert read_address(address, KEYS) is None


def test_mailto_names_the_recipient_in_the_subject() -> None:
    uri = mailto("t" * 52, parse_address("ann+list&x@fabrikam.test"), "bounce.postrider.test")
    assert uri == f"mailto:unsubscribe+{'t' * 52}@bounce.postrider.test?subject=unsubscribe%20ann%2Blist%26x@fabrikam.test"


def test_key_id_of_more_than_a_character_is_refused() -> None:
    with pytest.raises(ValueError, match="one character"):
        make_token(domain_id=DOMAIN, recipient=ANN, key_id="ab", key=b"k")
