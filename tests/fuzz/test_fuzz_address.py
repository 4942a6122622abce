"""Hostile text at the address parser: it answers with an address that is safe to write down, or with a reason."""

from __future__ import annotations

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from email_core.message.address import Address, AddressError, parse_address, parse_domain
from email_core.message.limits import MAX_ADDRESS, MAX_DOMAIN, MAX_LABEL, MAX_LOCAL_PART

# fmt: off
TRICKS = [
    '"', "(", ")", "<", ">", "[", "]", ",", ";", ":", "\\", "%", "!", "@", ".", "..", " ", "-", "_", "+", "=?utf-8?q?", "?=",
    "\r", "\n", "\x00", "\t", "\x7f", "\x85", "\u2028", "\u202e", "\u200d", "\ud800", "\U000e0041", "＠", "．", "。", "․",
    "xn--", "XN--", "xn--zca", "\u0301", "\u0338", "İ", "ı", "ſ", "\u212a", "ß", "ς", "\ufb03", "℡", "⒈", "٣", "१", "א", "a",
    "1", "example", "org", ".org", "a@b.co", "\u3002org", "\ufdfa", "\U0001d400", "👩\u200d💻", "\xad", "\ufeff",
]
# fmt: on
pieces = st.one_of(st.sampled_from(TRICKS), st.text(max_size=4))
anything = st.one_of(
    st.text(),
    st.lists(pieces, max_size=12).map("".join),
    st.tuples(st.lists(pieces, min_size=1, max_size=5), st.lists(pieces, min_size=1, max_size=5)).map(
        lambda sides: f"{''.join(sides[0])}@{''.join(sides[1])}.org"
    ),
)
_safe_domain = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z](?:[a-z0-9-]*[a-z0-9])?")


@given(anything)
@settings(max_examples=800, deadline=None)
@example("a@" + "\xad" * 252)
@example("K@\u212a.org")
def test_parse_address_any_text_gives_a_safe_address_or_a_reason(text: str) -> None:
    try:
        address = parse_address(text)
    except AddressError as refusal:
        assert refusal.reason.isascii() and refusal.reason.isprintable()
        return

    assert_safe(address)
    assert parse_address(address.addr_spec) == address
    assert Address(address.key.rpartition("@")[0], address.domain).key == address.key
    assert text.rpartition("@")[0] == address.local  # what is accepted is never repaired


def assert_safe(address: Address) -> None:
    assert len(address.addr_spec.encode()) <= MAX_ADDRESS
    assert 0 < len(address.local.encode()) <= MAX_LOCAL_PART
    assert address.addr_spec.count("@") == 1
    assert not re.search(r'[\x00-\x20"(),:;<>\[\\\]\x7f-\xa0\u2028-\u202e\ud800-\udfff%!]', address.addr_spec)
    assert len(address.domain) <= MAX_DOMAIN
    assert _safe_domain.fullmatch(address.domain)
    assert all(len(label) <= MAX_LABEL for label in address.domain.split("."))


@given(st.from_regex(r"[a-z0-9+=_-]{1,20}(\.[a-z0-9+=_-]{1,10}){0,3}@([a-z0-9]{1,10}\.){1,4}[a-z]{2,10}", fullmatch=True))
@settings(max_examples=100, deadline=None)
def test_parse_address_ordinary_text_is_accepted_in_any_case(text: str) -> None:
    assert parse_address(text).addr_spec == text
    assert parse_address(text.upper()).key == text


@given(anything)
@settings(max_examples=300, deadline=None)
def test_parse_domain_any_text_gives_a_stable_domain_or_a_reason(text: str) -> None:
    try:
        domain = parse_domain(text)
    except AddressError as refusal:
        assert refusal.reason.isascii() and refusal.reason.isprintable()
        return

    assert _safe_domain.fullmatch(domain)
    assert parse_domain(domain) == domain
