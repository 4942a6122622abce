"""Relaxed canonicalisation against the RFC's examples, dkimpy, a simple reference, and hostile input of 10 MB."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import given, settings
from hypothesis import strategies as st

from email_core.signing.canonical import NotAHeader, canonical_body, canonical_fields
from tests.unit.signing.oracle import GOLDEN, dkimpy_canonical

TEN_MEGABYTES = 10_000_000


def reference_body(body: bytes) -> bytes:
    """RFC 6376 section 3.4.4 word by word, line by line; too slow for anything large."""
    lines = body.removesuffix(b"\r\n").split(b"\r\n") if body else []
    reduced = []
    for line in lines:
        line = line.rstrip(b" \t")
        out = bytearray()
        for octet in line:
            if octet in b" \t":
                if not out.endswith(b" "):
                    out += b" "
            else:
                out.append(octet)
        reduced.append(bytes(out))
    while reduced and not reduced[-1]:
        reduced.pop()
    return b"".join(line + b"\r\n" for line in reduced)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", b""),
        (b"\r\n", b""),
        (b" \t \r\n", b""),
        (b"\r\n\r\n\t\r\n", b""),
        (b" ", b""),
        (b"x", b"x\r\n"),
        (b"x  ", b"x\r\n"),
        (b"x\r\n", b"x\r\n"),
        (b"x\r\n\r\n \r\n", b"x\r\n"),
        (b"\r\nx\r\n", b"\r\nx\r\n"),
        (b"\tx\r\n", b" x\r\n"),
        (b"  x \t y\t\r\n", b" x y\r\n"),
        (b"x \r\n\r\ny\r\n", b"x\r\n\r\ny\r\n"),
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),  # RFC 6376 section 3.4.5
        (b"x\x0b\x0c y\r\n", b"x\x0b\x0c y\r\n"),  # neither is WSP
        (b"x\xc2\xa0 y\xc2\xa0\r\n", b"x\xc2\xa0 y\xc2\xa0\r\n"),
    ],
)
def test_canonical_body_by_table(body, expected):
    assert canonical_body(body) == expected == reference_body(body)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"A: X\r\nB : Y\t\r\n\tZ  \r\n", [(b"a", b"a:X\r\n"), (b"b", b"b:Y Z\r\n")]),  # RFC 6376 section 3.4.5
        (b"Subject:x\r\n", [(b"subject", b"subject:x\r\n")]),
        (b"SUBJECT:\r\n x: y\r\n\tz \r\n", [(b"subject", b"subject:x: y z\r\n")]),
        (b"Subject: a\r\n \r\n b\r\n", [(b"subject", b"subject:a b\r\n")]),
        (b"Subject:\r\n", [(b"subject", b"subject:\r\n")]),
        (b"Subject: \t \r\n", [(b"subject", b"subject:\r\n")]),
        (b"Subject: J\xc3\xb6rg\r\n", [(b"subject", b"subject:J\xc3\xb6rg\r\n")]),
    ],
)
def test_canonical_fields_by_table(header, expected):
    assert canonical_fields(header) == expected


@pytest.mark.parametrize(
    "header",
    [b"no colon\r\n", b": x\r\n", b" x: y\r\n", b"a b: c\r\n", b"a\x00: c\r\n", b"J\xc3\xb6: c\r\n", b"\r\n", b"A: b\r\n\r\n"],
)
def test_canonical_fields_of_no_header_are_refused_without_quoting_it(header):
    with pytest.raises(NotAHeader) as refusal:
        canonical_fields(header)
    assert re.fullmatch(r"field [12] of the header has no valid name and colon", str(refusal.value))


def test_canonical_forms_of_the_rfc8463_sample_fit_its_signatures():
    header, _, body = (GOLDEN / "rfc8463.eml").read_bytes().partition(b"\r\n\r\n")
    fields = canonical_fields(header + b"\r\n")
    zone = dict(line.split(" ", 1) for line in (GOLDEN / "rfc8463.zone").read_text().splitlines())
    signatures = [canonical for name, canonical in fields if name == b"dkim-signature"]
    assert len(signatures) == len(zone) == 2
    for canonical in signatures:
        tags = dict(tag.strip().split(b"=", 1) for tag in canonical.partition(b":")[2].split(b";"))
        assert base64.b64decode(tags[b"bh"]) == hashlib.sha256(canonical_body(body)).digest()
        # The sample lists its fields twice, and none of them occurs twice.
        first_five = [name.strip() for name in tags[b"h"].split(b":")][:5]
        signed = b"".join(dict(fields)[name] for name in first_five) + canonical.rpartition(b" b=")[0] + b" b="
        record = zone[f"{tags[b's'].decode()}._domainkey.{tags[b'd'].decode()}."]
        published = base64.b64decode(record.rpartition("p=")[2])
        signature = base64.b64decode(tags[b"b"].replace(b" ", b""))
        if "k=ed25519" in record:
            Ed25519PublicKey.from_public_bytes(published).verify(signature, hashlib.sha256(signed).digest())
        else:
            load_der_public_key(published).verify(signature, signed, PKCS1v15(), hashes.SHA256())


# Blanks, line breaks and letters in close quarters; runs stay short, because dkimpy is quadratic on long ones.
bodies = st.lists(
    st.sampled_from([b" ", b"\t", b"  ", b" \t", b" " * 9, b"\r\n", b"\r\n\r\n", b"x", b"yz", b"=20", b".", b"\xc3\xb6"]),
    max_size=60,
).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(bodies)
def test_canonical_body_of_random_text_is_the_reference_and_dkimpys(body):
    assert canonical_body(body) == reference_body(body)
    terminated = body if not body or body.endswith(b"\r\n") else body + b"\r\n"
    assert canonical_body(body) == dkimpy_canonical(b"From: x\r\n\r\n" + terminated)[1]


values = st.lists(
    st.sampled_from([b" ", b"\t", b"\r\n ", b"\r\n\t", b"\r\n \r\n ", b" " * 9, b"x", b"Y:", b"<z@example.com>", b"\xc3\xb6"]),
    max_size=30,
).map(b"".join)
names = st.sampled_from([b"From", b"TO", b"x-Ours", b"Subject", b"!#$%", b"List-Unsubscribe"])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(names, values), min_size=1, max_size=8))
def test_canonical_fields_of_random_fields_are_dkimpys(fields):
    header = b"".join(name + b":" + value + b"\r\n" for name, value in fields)
    assert canonical_fields(header) == dkimpy_canonical(header + b"\r\n")[0]


def _repeated(piece: bytes) -> Callable[[int], bytes]:
    return lambda size: piece * (size // len(piece))


# Each is a shape of any size, and its canonical form for that size, in closed form. The form is checked against the
# reference where that is quick, and then holds the implementation to it where a quadratic one would take hours.
HOSTILE: dict[str, tuple[Callable[[int], bytes], Callable[[int], bytes]]] = {
    "spaces": (_repeated(b" "), lambda n: b""),
    "tabs": (_repeated(b"\t"), lambda n: b""),
    "spaces-then-x": (lambda n: b" " * n + b"x\r\n", lambda n: b" x\r\n"),
    "x-then-tabs-and-spaces": (lambda n: b"x" + b"\t " * (n // 2), lambda n: b"x\r\n"),
    "runs-before-x": (_repeated(b" " * 1023 + b"x"), lambda n: b" x" * (n // 1024) + b"\r\n" if n >= 1024 else b""),
    "short-runs": (_repeated(b"x  "), lambda n: (b"x " * (n // 3)).rstrip(b" ") + b"\r\n"),
    "tab-lines": (_repeated(b"x\t\t\t\r\n"), lambda n: b"x\r\n" * (n // 6)),
    "growing-runs": (
        lambda n: b"".join(b" " * k + b"x" for k in range(1, int((2 * n) ** 0.5))),
        lambda n: b" x" * (int((2 * n) ** 0.5) - 1) + b"\r\n",
    ),
    "line-breaks": (_repeated(b"\r\n"), lambda n: b""),
    "line-breaks-then-x": (lambda n: b"\r\n" * (n // 2) + b"x", lambda n: b"\r\n" * (n // 2) + b"x\r\n"),
    "blank-lines": (_repeated(b" \t\r\n"), lambda n: b""),
    "blank-lines-then-x": (lambda n: b" \t\r\n" * (n // 4) + b"x", lambda n: b"\r\n" * (n // 4) + b"x\r\n"),
    "one-long-line": (_repeated(b"x"), lambda n: b"x" * n + b"\r\n"),
    "base64": (_repeated(b"QUJD" * 19 + b"\r\n"), lambda n: (b"QUJD" * 19 + b"\r\n") * (n // 78)),
}


@pytest.mark.parametrize("shape", HOSTILE)
def test_canonical_body_of_hostile_10_megabytes_is_what_the_reference_makes_of_its_shape(shape):
    body, expected = HOSTILE[shape]
    for small in (2048, 10_000):
        assert reference_body(body(small)) == expected(small) == canonical_body(body(small))
    digest = hashlib.sha256(canonical_body(body(TEN_MEGABYTES))).digest()
    assert digest == hashlib.sha256(expected(TEN_MEGABYTES)).digest()


@pytest.mark.parametrize("blank", [b" ", b"\t", b"\r\n "])
def test_canonical_fields_of_a_field_of_ten_million_blanks_are_short(blank):
    header = b"Subject: a" + blank * (TEN_MEGABYTES // len(blank)) + b"b\r\n"
    assert canonical_fields(header) == [(b"subject", b"subject:a b\r\n")]
