"""ARC chains and foreign DKIM signatures: dkimpy's own ARC is the judge of what we seal, and hostile mail costs little."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import load_der_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from email_core.domains.dkim_keys import public_record
from email_core.signing.arc import ChainResult, ChainState, read_chain, seal, sealing_key, verify_chain
from email_core.signing.dkim import SigningError, SigningKey, sign
from email_core.signing.foreign_dkim import dkim_questions, verify_dkim
from email_core.signing.key_record import KeyRecordError, KeyRecords, published_key
from email_core.signing.verification import (
    MOST_FIELDS,
    MOST_HEADER_BYTES,
    NotVerifiable,
    Verdict,
    header_digest,
    read_message,
    read_signature,
)
from tests.unit.signing.oracle import (
    BOTH_KEYS,
    DOMAIN,
    ED25519_KEY,
    GOLDEN,
    NOW,
    RSA_KEY,
    WEEK,
    dkimpy_at_now,  # noqa: F401
    dkimpy_verifies,
    zone_of,
)
from tests.unit.signing.weak_key import RSA_768

pytestmark = pytest.mark.usefixtures("dkimpy_at_now")

RECORDS = {f"{key}": public_record(key.private_key) for key in BOTH_KEYS}
ZONE = zone_of(*BOTH_KEYS)
PLAIN = (GOLDEN / "01-plain.msg").read_bytes()
SIGNED = sign(PLAIN, BOTH_KEYS, now=NOW, valid_for=WEEK) + PLAIN
MOST_SECONDS = 2.0  # of CPU, on a busy machine; alone each takes a tenth to a half, and what is quadratic takes minutes
RESULTS = "postrider.test;\r\n auth=pass"


def chain_state(message: bytes, records: KeyRecords = RECORDS) -> ChainResult:
    read = read_message(message)
    return verify_chain(read, read_chain(read), records, now=NOW)


def sealed(message: bytes, key: SigningKey = RSA_KEY) -> bytes:
    read = read_message(message)
    chain = read_chain(read)
    return seal(message, chain, verify_chain(read, chain, RECORDS, now=NOW).state, RESULTS, key, now=NOW) + message


def dkimpy_chain(message: bytes) -> bytes:
    state, _, _ = dkim.ARC(message).verify(dnsfunc=lambda name, timeout=5: ZONE.get(name, b""))
    return bytes(state or b"ended")


def verdicts(message: bytes, records: KeyRecords = RECORDS, now: float = NOW) -> list[str]:
    return [result.verdict.value for result in verify_dkim(read_message(message), records, now=now)]


# --- chains -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.msg")), ids=lambda path: path.stem)
def test_seal_of_each_golden_message_passes_at_dkimpy(path: object) -> None:
    message = path.read_bytes()  # type: ignore[attr-defined]

    once = sealed(sign(message, BOTH_KEYS, now=NOW, valid_for=WEEK) + message)

    assert dkimpy_chain(once) == b"pass"
    assert chain_state(once) == ChainResult(ChainState.PASS, 1, DOMAIN)


def test_seal_of_three_hops_passes_at_dkimpy_and_here() -> None:
    thrice = sealed(sealed(sealed(SIGNED)))

    assert dkimpy_chain(thrice) == b"pass"
    assert chain_state(thrice).instance == 3


def test_seal_leaves_the_signatures_before_it_valid() -> None:
    twice = sealed(sealed(SIGNED))

    assert [dkimpy_verifies(twice, index, ZONE) for index in (0, 1)] == [True, True]


def test_chain_of_a_message_without_one_is_none() -> None:
    assert chain_state(SIGNED) == ChainResult(ChainState.NONE)


def changed(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(message: bytes) -> bytes:
        assert old in message
        return message.replace(old, new, 1)

    return change


BROKEN = {
    "body": lambda message: message + b"added\r\n",
    "subject": changed(b"\r\nSubject: ", b"\r\nSubject: Re: "),
    "second-from": changed(b"From: ", b"From: evil@example.net\r\nFrom: "),
    "results-of-first-hop": changed(
        b"ARC-Authentication-Results: i=1; postrider.test;", b"ARC-Authentication-Results: i=1; x.test;"
    ),
    "cv-fail": changed(b" cv=pass;", b" cv=fail;"),
    "cv-none-later": changed(b" cv=pass;", b" cv=none;"),
    "missing-seal": lambda message: message[message.index(b"ARC-Message-Signature") :],
    "missing-results": changed(b"ARC-Authentication-Results: i=2;", b"X-Results: i=2;"),
    "gap": lambda message: message.replace(b"i=2;", b"i=3;"),
    "twice": lambda message: message[: message.index(b"ARC-Message-Signature")] + message,
    "instance-0": changed(b"ARC-Seal: i=2;", b"ARC-Seal: i=0;"),
    "instance-51": changed(b"ARC-Seal: i=2;", b"ARC-Seal: i=51;"),
    "no-instance": changed(b"ARC-Authentication-Results: i=2;", b"ARC-Authentication-Results:"),
    "h-in-seal": changed(b" cv=pass;", b" cv=pass; h=from;"),
    "sha1": changed(b"ARC-Seal: i=2; a=rsa-sha256;", b"ARC-Seal: i=2; a=rsa-sha1;"),
    "bad-base64": changed(b"\r\n b=", b"\r\n b=*"),
    "repeated-tag": changed(b"ARC-Seal: i=2;", b"ARC-Seal: i=2; cv=none;"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_chain_that_was_broken_fails_and_is_not_extended(name: str) -> None:
    broken = BROKEN[name](sealed(sealed(SIGNED)))
    result = chain_state(broken)

    assert result.state is ChainState.FAIL
    assert not result.extendable
    assert result.why
    with pytest.raises(SigningError, match="not extended"):
        sealed(broken)


def test_chain_whose_key_could_not_be_looked_up_is_unknown_and_not_extended() -> None:
    result = chain_state(sealed(SIGNED), records={})

    assert (result.state, result.extendable) == (ChainState.UNKNOWN, False)


def test_chain_whose_key_is_not_published_fails() -> None:
    assert chain_state(sealed(SIGNED), records={str(RSA_KEY): None}).state is ChainState.FAIL


def test_chain_of_fifty_sets_passes_and_takes_no_other() -> None:
    message = SIGNED
    for _ in range(50):
        chain = read_chain(read_message(message))
        state = ChainState.PASS if chain.sets else ChainState.NONE
        message = seal(message, chain, state, RESULTS, RSA_KEY, now=NOW) + message
    result = chain_state(message)

    assert (result.state, result.instance, result.extendable) == (ChainState.PASS, 50, False)
    with pytest.raises(SigningError, match="50 sets"):
        sealed(message)


def test_chain_that_others_wrote_with_tags_in_any_order_passes() -> None:
    # Blanks around = and a tag before i=: dkimpy's own ARC does not find such a field.
    message = sealed(SIGNED)
    read = read_message(message.replace(b"ARC-Seal: i=1; a=rsa-sha256;", b"ARC-Seal:  a=rsa-sha256; i = 1 ;"))

    assert read_chain(read).fault == ""
    assert verify_chain(read, read_chain(read), RECORDS, now=NOW).why.startswith("seal 1")  # read, and rightly not valid


def test_seal_without_an_rsa_key_is_refused() -> None:
    assert sealing_key((ED25519_KEY,)) is None
    assert sealing_key((ED25519_KEY, RSA_KEY)) is RSA_KEY
    with pytest.raises(SigningError, match="not RSA"):
        sealed(SIGNED, ED25519_KEY)


# --- foreign DKIM signatures ------------------------------------------------------------------------------------------


def test_foreign_signatures_of_both_kinds_pass() -> None:
    assert verdicts(SIGNED) == ["pass", "pass"]
    assert dkim_questions(read_message(SIGNED)) == (str(RSA_KEY), str(ED25519_KEY))


@pytest.mark.parametrize("canonicalization", [b"simple/simple", b"simple/relaxed", b"relaxed/simple", b"relaxed/relaxed"])
@pytest.mark.parametrize("body", [b"", b"\r\n\r\n", b"a  b \r\n\r\n", b"no end"], ids=["empty", "lines", "blanks", "no-end"])
def test_foreign_signature_that_dkimpy_made_passes(canonicalization: bytes, body: bytes) -> None:
    message = b"From: a@football.example.com\r\nSubject:  two   blanks\r\n\tand a fold \r\n\r\n" + body
    made = dkim.DKIM(message).sign(
        b"rsa",
        DOMAIN.encode(),
        pem_of(RSA_KEY),
        canonicalize=tuple(canonicalization.split(b"/")),
        include_headers=[b"from", b"subject"],
    )

    assert verdicts(made + message) == ["pass"]
    assert verdicts(made + message.replace(b"two", b"2")) == ["fail"]


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        (b"v=1;", b"v=2;", "permerror"),
        (b"a=rsa-sha256;", b"a=rsa-sha1;", "fail"),
        (b"a=rsa-sha256;", b"a=ed25519-sha256;", "permerror"),
        (b"s=rsa;", b"s=other;", "temperror"),
        (b"s=rsa;", b"s=gone;", "permerror"),
        (b"s=rsa;", b"s=..;", "permerror"),
        (b"d=football.example.com;", b"d=;", "permerror"),
        (b"c=relaxed/relaxed;", b"c=odd/odd;", "permerror"),
        (b"c=relaxed/relaxed;", b"c=relaxed/relaxed; l=x;", "permerror"),
        (b"c=relaxed/relaxed;", b"c=relaxed/relaxed; i=@example.net;", "permerror"),
        (b"c=relaxed/relaxed;", b"c=relaxed/relaxed; i=@sub.football.example.com;", "fail"),
        (b"h=from:from:", b"h=x:", "permerror"),
        (b"bh=", b"bh=AAAA", "fail"),
        (b"bh=", b"bh=*", "permerror"),
        (b"x=", b"x=-", "permerror"),
    ],
    ids=["version", "sha1", "other-kind", "no-answer", "no-record", "no-name", "no-domain", "canonicalization", "length",
         "identity", "identity-below", "from-unsigned", "body-hash", "base64", "expiry"],
)  # fmt: skip
def test_foreign_signature_that_is_wrong_gets_its_verdict(old: bytes, new: bytes, verdict: str) -> None:
    message = sign(PLAIN, [RSA_KEY], now=NOW, valid_for=WEEK) + PLAIN
    assert old in message

    assert verdicts(message.replace(old, new, 1), {**RECORDS, f"gone._domainkey.{DOMAIN}": None}) == [verdict]


def test_foreign_signature_that_has_expired_fails() -> None:
    assert verdicts(SIGNED, now=NOW + WEEK + 1) == ["fail", "fail"]


def test_foreign_signature_over_a_part_of_the_body_is_policy() -> None:
    message = b"From: a@football.example.com\r\n\r\nsigned\r\n"
    made = dkim.DKIM(message).sign(b"rsa", DOMAIN.encode(), pem_of(RSA_KEY), include_headers=[b"from"], length=True)

    assert verdicts(made + message) == ["pass"]
    assert verdicts(made + message + b"appended\r\n") == ["policy"]


def test_foreign_signatures_beyond_the_fifth_are_not_looked_at() -> None:
    assert len(verify_dkim(read_message(b"DKIM-Signature: v=1\r\n" * 100 + PLAIN), RECORDS, now=NOW)) == 5


WEAK_RECORD = public_record(cast("RSAPrivateKey", load_der_private_key(RSA_768, None)))


# --- key records ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ("v=DKIM2; p=AAAA", "another version"),
        ("v=DKIM1; p=", "revoked"),
        ("v=DKIM1", "revoked"),
        ("v=DKIM1; p=!!", "no base64"),
        ("v=DKIM1; p=AAAA", "can't be read"),
        ("v=DKIM1; k=dsa; p=AAAA", "not known"),
        ("v=DKIM1; h=sha1; p=AAAA", "sha256"),
        ("v=DKIM1; s=tlsrpt; p=AAAA", "not for mail"),
        ("p=" + "A" * 9000, "too long"),
        (WEAK_RECORD, "768 bits"),
        (public_record(ED25519_KEY.private_key).replace("k=ed25519", "k=rsa"), "can't be read"),
    ],
    ids=["version", "revoked", "no-key", "base64", "der", "kind", "hash", "service", "long", "weak", "not-rsa"],
)
def test_key_record_that_can_not_be_used_says_why(record: str, why: str) -> None:
    with pytest.raises(KeyRecordError, match=why):
        published_key(record)


def test_key_record_with_a_huge_key_is_refused() -> None:
    # Python's own arithmetic would take seconds for each signature by it.
    with pytest.raises(KeyRecordError, match="5120 bits"):
        published_key(public_record(generate_private_key(65537, 5120)))


# --- hostile mail -----------------------------------------------------------------------------------------------------

MEGABYTES = 10_000_000
HOSTILE_BODIES = {
    "spaces": b" " * MEGABYTES,
    "spaces-and-a-letter": b" " * MEGABYTES + b"x",
    "tabs": b"\t" * MEGABYTES,
    "blank-lines": b" \r\n" * (MEGABYTES // 3),
    "empty-lines": b"\r\n" * (MEGABYTES // 2),
    "words": b"a " * (MEGABYTES // 2),
}


@pytest.mark.parametrize("name", HOSTILE_BODIES)
@pytest.mark.parametrize("canonicalization", [b"simple", b"relaxed"])
def test_ten_megabytes_of_hostile_body_cost_little_to_verify_and_seal(name: str, canonicalization: bytes) -> None:
    once = sealed(SIGNED)
    header = once[: once.index(b"\r\n\r\n") + 4].replace(b"c=relaxed/relaxed", b"c=relaxed/" + canonicalization)
    message = header + HOSTILE_BODIES[name]
    begun = time.process_time()
    read = read_message(message)

    assert [result.verdict for result in verify_dkim(read, RECORDS, now=NOW)] == [Verdict.FAIL, Verdict.FAIL]
    assert verify_chain(read, read_chain(read), RECORDS, now=NOW).state is ChainState.FAIL
    assert seal(message, read_chain(read), ChainState.PASS, RESULTS, RSA_KEY, now=NOW)
    assert time.process_time() - begun < MOST_SECONDS


HOSTILE_SIGNATURES = {
    "spaces-in-b": b" v=1; b=" + b" " * 8000 + b"!",
    "folds-in-b": b" v=1; b=" + b"\r\n " * 2600 + b"!",
    "many-b": b" v=1; bh=x; " + b" b" * 3900,
    "many-names": b" v=1; h=from" + b":x" * 3900,
    "names-that-are-not-there": b" v=1; h=from" + b"".join(b":y%d" % number for number in range(290)),
    "colons-and-spaces": b" v=1; h=from" + b" " * 7000 + b":x",
    "tags": b" " + b"".join(b"t%d=;" % number for number in range(1000)),
    "endless": b" v=1; b=" + b"A" * 20_000,
}


@pytest.mark.parametrize("name", HOSTILE_SIGNATURES)
def test_hostile_signature_costs_little(name: str) -> None:
    tags = b"; a=rsa-sha256; d=football.example.com; s=rsa; c=relaxed/relaxed; bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;"
    rest = b" h=from; b=AAAA" if b"h=" not in HOSTILE_SIGNATURES[name] else b" b=AAAA"
    field = b"DKIM-Signature:" + HOSTILE_SIGNATURES[name] + tags + rest + b"\r\n"
    message = field * 5 + b"".join(b"X-%d: y\r\n" % number for number in range(900)) + PLAIN
    begun = time.process_time()

    assert set(verdicts(message)) <= {"fail", "permerror"}
    assert time.process_time() - begun < MOST_SECONDS


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"X: " + b"y" * MOST_HEADER_BYTES + b"\r\n\r\n", "larger"),
        (b"X: y\r\n" * (MOST_FIELDS + 1) + b"\r\n", "more than"),
        (b"From: a\nX: y\r\n\r\n", "CRLF"),
        (b"From: a\r\nno field\r\n\r\n", "field 2"),
        (b" From: a\r\n\r\n", "field 1"),
    ],
    ids=["header", "fields", "line-feed", "no-colon", "blank-first"],
)
def test_message_that_no_honest_sender_makes_is_not_verifiable(message: bytes, why: str) -> None:
    with pytest.raises(NotVerifiable, match=why):
        read_message(message)


@settings(max_examples=200)
@given(
    junk=st.binary(max_size=300),
    name=st.sampled_from([b"ARC-Seal", b"ARC-Message-Signature", b"DKIM-Signature", b"ARC-Authentication-Results"]),
)
def test_field_of_any_bytes_breaks_nothing(junk: bytes, name: bytes) -> None:
    value = junk.replace(b"\r", b"").replace(b"\n", b"\r\n ")
    read = read_message(name + b": i=1;" + value + b"\r\n" + sealed(SIGNED))

    assert verify_chain(read, read_chain(read), RECORDS, now=NOW).state in (
        ChainState.FAIL,
        ChainState.PASS,
        ChainState.UNKNOWN,
    )
    assert verify_dkim(read, RECORDS, now=NOW)


def pem_of(key: SigningKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def test_fields_are_chosen_from_the_bottom_and_looked_at_once() -> None:
    looks = 0

    class Name(bytes):
        def lower(self) -> bytes:
            nonlocal looks
            looks += 1
            return super().lower()

    fields = [(Name(b"X-%d" % (number % 500)), b" %d\r\n" % number) for number in range(1000)]
    signature = read_signature((b"DKIM-Signature", b" v=1; b=AAAA\r\n"))
    names = [b"x-7", b"x-8", b"x-7", b"x-7", *(b"y-%d" % number for number in range(200))]

    digest = header_digest(fields, names, signature)

    assert digest == header_digest([fields[7], fields[508], fields[507]], [b"x-7", b"x-8", b"x-7"], signature)
    assert looks <= 2 * len(fields)
