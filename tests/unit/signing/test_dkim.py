"""The signer, with dkimpy as the judge of its signatures and golden files as its memory."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import load_der_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from email_core.signing import dkim as signer
from email_core.signing.canonical import canonical_body, canonical_fields
from email_core.signing.dkim import OVER_SIGNED, SIGNED_WHEN_PRESENT, SigningError, SigningKey, sign
from tests.unit.signing.oracle import (
    BOTH_KEYS,
    DOMAIN,
    ED25519_KEY,
    GOLDEN,
    NOW,
    RSA_KEY,
    WEEK,
    dkimpy_at_now,  # noqa: F401
    dkimpy_canonical,
    dkimpy_rsa_signature,
    dkimpy_verifies,
    zone_of,
)
from tests.unit.signing.weak_key import RSA_768

pytestmark = pytest.mark.usefixtures("dkimpy_at_now")

CASES = sorted(GOLDEN.glob("*.msg"))
ZONE = zone_of(*BOTH_KEYS)
FULL = (GOLDEN / "10-unsubscribe-and-list.msg").read_bytes()
PLAIN = (GOLDEN / "01-plain.msg").read_bytes()


def signed(message: bytes, *keys: SigningKey) -> bytes:
    return sign(message, keys or BOTH_KEYS, now=NOW, valid_for=WEEK) + message


def tags_of(field: bytes) -> dict[str, str]:
    unfolded = field.decode().replace("\r\n ", " ").strip().removeprefix("DKIM-Signature: ")
    return dict(tag.strip().split("=", 1) for tag in unfolded.split(";"))


def assert_equals_file(actual: bytes, expected: Path) -> None:
    """Equal to the file; if not, the actual bytes are written beside it, for the eye and for an intended change."""
    if not expected.exists() or actual != expected.read_bytes():
        expected.with_name(f"{expected.name}.actual").write_bytes(actual)
        pytest.fail(f"differs from {expected.name}; see {expected.name}.actual")


# --- golden cases -----------------------------------------------------------------------------------------------------


def test_golden_cases_are_there():
    assert len(CASES) >= 16


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_golden_case_canonical_forms_equal_the_files_and_dkimpys(case):
    message = case.read_bytes()
    header, _, body = message.partition(b"\r\n\r\n")
    fields = canonical_fields(header.removesuffix(b"\r\n") + b"\r\n")
    assert_equals_file(b"".join(canonical for _, canonical in fields), case.with_suffix(".fields"))
    assert_equals_file(canonical_body(body), case.with_suffix(".body"))
    assert (fields, canonical_body(body)) == dkimpy_canonical(message)


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_golden_case_signatures_equal_the_file_and_verify(case):
    message = case.read_bytes()
    signatures = sign(message, BOTH_KEYS, now=NOW, valid_for=WEEK)
    assert_equals_file(signatures, case.with_suffix(".signed"))
    assert dkimpy_verifies(signatures + message, 0, ZONE)
    assert dkimpy_verifies(signatures + message, 1, ZONE)


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_golden_case_rsa_signature_equals_dkimpys_byte_for_byte(case):
    message = signed(case.read_bytes(), RSA_KEY)
    field = message[: -len(case.read_bytes())]
    assert tags_of(field)["b"].replace(" ", "") == dkimpy_rsa_signature(message, RSA_KEY)


# --- random messages --------------------------------------------------------------------------------------------------

_text = st.lists(
    st.sampled_from(["a", "Bc", "0", " ", "  ", "\t", "=", ";", ":", "<x@y.example>", '"', "ö", "本", "\r\n ", "\r\n\t"]),
    max_size=25,
).map("".join)
_name = st.sampled_from(
    [name.decode().title() for name in (*OVER_SIGNED, *SIGNED_WHEN_PRESENT) if name != b"from"]
    + ["Received", "X-Ours", "Comments"]
)
_body = st.lists(st.sampled_from(["a", " ", "\t", "   ", "\r\n", "\r\n\r\n", "b=", "ö", "From: x"]), max_size=60).map("".join)


@st.composite
def messages(draw) -> bytes:
    fields = draw(st.lists(st.tuples(_name, _text), max_size=12))
    fields.insert(draw(st.integers(0, len(fields))), ("From", draw(_text)))
    header = "".join(f"{name}:{value}\r\n" for name, value in fields)
    return f"{header}\r\n{draw(_body)}\r\n".encode()


@settings(max_examples=100, deadline=None)
@given(messages())
def test_signatures_of_random_messages_verify_in_dkimpy(message):
    whole = signed(message)
    assert dkimpy_verifies(whole, 0, ZONE)
    assert dkimpy_verifies(whole, 1, ZONE)
    field = whole.partition(b"DKIM-Signature: v=1; a=ed25519")[0]
    assert tags_of(field)["b"].replace(" ", "") == dkimpy_rsa_signature(whole, RSA_KEY)


# --- what a signature covers ------------------------------------------------------------------------------------------


def _without(message: bytes, name: bytes) -> bytes:
    return re.sub(rb"(?mi)^" + re.escape(name) + rb":(?:.*\r\n)(?:[ \t].*\r\n)*", b"", message, count=1)


@pytest.mark.parametrize("name", OVER_SIGNED, ids=bytes.decode)
@pytest.mark.parametrize("key_index", [0, 1], ids=["rsa", "ed25519"])
def test_signature_breaks_when_an_over_signed_field_is_added_changed_or_removed(name, key_index):
    whole = signed(FULL)
    signatures = whole[: -len(FULL)]
    assert dkimpy_verifies(whole, key_index, ZONE)
    before = name.title() + b": added\r\n" + whole
    after = whole.replace(b"\r\n\r\n", b"\r\n" + name.title() + b": added\r\n\r\n", 1)
    changed = signatures + re.sub(rb"(?mi)^(" + re.escape(name) + rb": )", rb"\1x", FULL, count=1)
    removed = signatures + _without(FULL, name)
    for tampered in (before, after, changed, removed):
        assert tampered != whole
        assert not dkimpy_verifies(tampered, key_index, ZONE)


@pytest.mark.parametrize("name", OVER_SIGNED[1:], ids=bytes.decode)
def test_signature_breaks_when_an_absent_over_signed_field_is_added(name):
    message = b"From: joe@football.example.com\r\n\r\nHi.\r\n"
    assert dkimpy_verifies(signed(message), 0, ZONE)
    assert not dkimpy_verifies(name + b": added\r\n" + signed(message), 0, ZONE)


@pytest.mark.parametrize("name", SIGNED_WHEN_PRESENT, ids=bytes.decode)
def test_signature_covers_other_fields_that_are_present_and_lets_more_be_added(name):
    message = name + b": once\r\n" + PLAIN
    whole = signed(message)
    assert not dkimpy_verifies(whole.replace(name + b": once", name + b": other", 1), 0, ZONE)
    assert not dkimpy_verifies(whole.replace(name + b": once\r\n", b"", 1), 0, ZONE)
    assert dkimpy_verifies(name + b": second\r\n" + whole, 0, ZONE)


def test_signature_survives_trace_fields_and_relaxed_changes_on_the_way():
    whole = (
        signed(FULL)
        .replace(b"Subject: Is dinner ready?", b"subject:   Is\r\n\tdinner  ready? ")
        .replace(b"Joe.\r\n", b"Joe. \r\n\r\n")
    )
    assert dkimpy_verifies(b"Received: from a by b\r\nReturn-Path: <x@y.example>\r\n" + whole, 0, ZONE)


def test_signature_breaks_when_anything_is_appended_to_the_body():
    assert not dkimpy_verifies(signed(PLAIN) + b"P.S. Pay this bill.\r\n", 0, ZONE)
    assert not dkimpy_verifies(signed(PLAIN) + b"P.S. Pay this bill.\r\n", 1, ZONE)


def test_signature_tags_name_algorithm_key_times_and_fields_and_no_length():
    tags = tags_of(sign(PLAIN, [ED25519_KEY], now=NOW + 0.9, valid_for=WEEK))
    assert list(tags) == ["v", "a", "c", "d", "s", "t", "x", "h", "bh", "b"]
    assert (tags["v"], tags["a"], tags["c"]) == ("1", "ed25519-sha256", "relaxed/relaxed")
    assert (tags["d"], tags["s"]) == (DOMAIN, "ed25519")
    assert (tags["t"], tags["x"]) == ("1790000000", "1790604800")
    assert tags["bh"] == base64.b64encode(hashlib.sha256(PLAIN.partition(b"\r\n\r\n")[2]).digest()).decode()
    listed = tags["h"].replace(" ", "").split(":")
    assert {name: listed.count(name) for name in listed} == {
        "from": 2, "to": 2, "subject": 2, "date": 2, "message-id": 2, "mime-version": 2, "content-type": 2,
        "cc": 1, "reply-to": 1, "list-unsubscribe": 1, "list-unsubscribe-post": 1,
    }  # fmt: skip


def test_signatures_stand_in_the_order_of_the_keys_and_share_one_body_hash(monkeypatch):
    hashed: list[bytes] = []
    monkeypatch.setattr(signer, "canonical_body", lambda body: hashed.append(body) or canonical_body(body))
    fields = sign(PLAIN, [ED25519_KEY, RSA_KEY, ED25519_KEY], now=NOW, valid_for=WEEK)
    assert re.findall(rb"a=(\S+);", fields) == [b"ed25519-sha256", b"rsa-sha256", b"ed25519-sha256"]
    assert len(hashed) == 1


@pytest.mark.parametrize("key", [RSA_KEY, ED25519_KEY], ids=["rsa", "ed25519"])
@pytest.mark.parametrize("message", [PLAIN, FULL, b"X-Priority: 1\r\n" * 40 + PLAIN], ids=["plain", "full", "many"])
def test_signature_lines_are_at_most_78_octets_and_no_fold_is_empty(key, message):
    lines = sign(message, [key], now=NOW, valid_for=WEEK).split(b"\r\n")
    assert lines.pop() == b""
    assert max(map(len, lines)) <= 78
    assert all(line[:1] == b" " and line[1:2] not in (b" ", b"") for line in lines[1:])


def test_signature_for_a_domain_longer_than_a_line_still_verifies():
    domain = ".".join(["a" * 60] * 4)
    key = SigningKey(domain=domain, selector="s" * 63, private_key=RSA_KEY.private_key)
    assert dkimpy_verifies(signed(PLAIN, key), 0, zone_of(key))


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        PLAIN.replace(b"Hi.\r\n", b"Hi.\n"),
        PLAIN.replace(b"Hi.\r\n", b"Hi.\r"),
        PLAIN.replace(b"Hi.\r\n", b"Hi.\r\r\n"),
        PLAIN.replace(b"Hi.\r\n", b"Hi.\n\r"),
        PLAIN.replace(b"Hi.\r\n", b"Hi.\n\r\n.\r\n\r"),
        PLAIN.replace(b"\r\n", b"\n"),
        PLAIN + b"\r",
        PLAIN.replace(b"ready?", b"ready?\rBcc: x@y.example"),
    ],
)
def test_sign_message_with_a_bare_cr_or_lf_is_refused(message):
    with pytest.raises(SigningError, match="not part of a CRLF"):
        signed(message)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"", "no empty line"),
        (b"From: a@b.example", "no empty line"),
        (b"To: a@b.example\r\n\r\nHi.\r\n", "0 From fields"),
        (b"From: a@b.example\r\nFROM: c@d.example\r\n\r\nHi.\r\n", "2 From fields"),
        (b"\r\n\r\nFrom: a@b.example\r\n\r\n", "no valid name"),
        (b"From: a@b.example\r\nnonsense\r\n\r\n", "field 2 of the header"),
        (b" From: a@b.example\r\n\r\n", "field 1 of the header"),
        (b"From a@b.example Fri Jul 11\r\nFrom: a@b.example\r\n\r\n", "field 1 of the header"),
    ],
)
def test_sign_malformed_header_is_refused(message, why):
    with pytest.raises(SigningError, match=why):
        signed(message)


def test_sign_without_keys_is_refused_rather_than_left_unsigned():
    with pytest.raises(SigningError, match="active selector"):
        sign(PLAIN, [], now=NOW, valid_for=WEEK)


@pytest.mark.parametrize(("now", "valid_for"), [(NOW, 0.0), (NOW, -1.0), (-5.0, 100.0), (NOW, 1e12)])
def test_sign_with_an_expiry_that_is_not_after_the_signing_is_refused(now, valid_for):
    with pytest.raises(SigningError, match="expire"):
        sign(PLAIN, BOTH_KEYS, now=now, valid_for=valid_for)


NO_DNS_NAMES = (
    "", "Example.com", "example.com.", ".example.com", "a..b", "-a.example", "a-.example", "exämple.com", "a b.example",
    "a;b", "a\r\nb", "a" * 64, ".".join(["a" * 63] * 4),
)  # fmt: skip


@pytest.mark.parametrize("name", NO_DNS_NAMES)
def test_signing_key_with_a_name_that_is_no_dns_name_is_refused(name):
    with pytest.raises(SigningError, match="domain"):
        SigningKey(domain=name, selector="s1", private_key=ED25519_KEY.private_key)
    with pytest.raises(SigningError, match="selector"):
        SigningKey(domain=DOMAIN, selector=name, private_key=ED25519_KEY.private_key)


def test_signing_key_below_1024_bits_is_refused():
    weak = load_der_private_key(RSA_768, password=None)
    with pytest.raises(SigningError, match="768 bits"):
        SigningKey(domain=DOMAIN, selector="weak", private_key=weak)


def test_signing_key_of_another_kind_is_refused():
    with pytest.raises(SigningError, match="neither RSA nor Ed25519"):
        SigningKey(domain=DOMAIN, selector="ec", private_key=generate_private_key(SECP256R1()))


@pytest.mark.parametrize("key", BOTH_KEYS, ids=["rsa", "ed25519"])
def test_signing_key_repr_and_str_name_the_selector_and_show_no_key(key):
    assert repr(key) == f"SigningKey(domain='{DOMAIN}', selector='{key.selector}')"
    assert str(key) == f"{key.selector}._domainkey.{DOMAIN}"
