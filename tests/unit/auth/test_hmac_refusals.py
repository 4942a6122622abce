"""Which requests are refused, with what, and that neither time nor text tells anything about a key."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from email.utils import formatdate

import pytest

from email_core.auth import hmac_access_key
from email_core.auth.hmac_access_key import AccessKey, SignedRequest, verify
from tests.unit.auth.signed_requests import (
    BODY,
    DATE,
    HOST,
    KEYS,
    NOW,
    OTHER,
    PRIMARY,
    SECONDARY,
    STRANGER,
    TARGET,
    assert_denied,
    refusal_of,
    signed_request,
    twelve_line_signature,
    with_headers,
)


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "PUT"},
        {"target": "/emails:send?api-version=2023-03-31"},
        {"target": "/emails:send"},
        {"target": "/Emails:send?api-version=2025-09-01"},
        {"target": "/emails/operations/x?api-version=2025-09-01"},
        {"target": TARGET + "&x=1"},
        {"body": BODY + b" "},
        {"body": b""},
        {"hosts": ()},
    ],
    ids=lambda changed: "-".join(f"{k}={v!r}" for k, v in changed.items())[:40],
)
def test_verify_of_a_request_that_was_changed_is_denied(changed):
    assert_denied(replace(signed_request(), **changed))


def test_verify_of_another_body_with_its_own_hash_is_denied():
    body = BODY.replace(b"contoso", b"fabrikam")
    content_hash = base64.b64encode(hashlib.sha256(body).digest()).decode()
    assert_denied(with_headers(replace(signed_request(), body=body), x_ms_content_sha256=content_hash))


def test_verify_of_another_date_is_denied():
    assert_denied(with_headers(signed_request(), x_ms_date=formatdate(NOW + 1, usegmt=True)))


@pytest.mark.parametrize("offset", [-300.0, -299.5, 0.0, 300.0])
def test_verify_within_5_minutes_is_taken(offset):
    assert verify(signed_request(now=NOW + offset), KEYS, now=NOW)


@pytest.mark.parametrize("offset", [-86400.0, -301.0, 301.0, 3600.0])
def test_verify_beyond_5_minutes_is_refused_with_the_sentence_of_acs(offset):
    refusal = refusal_of(signed_request(now=NOW + offset), now=NOW)
    assert refusal.faults[0].message.startswith(
        "The given request could not be resolved. The time difference between the originating client and the server is "
        "greater than the allowed margin of 5 minutes."
    )
    assert f"{offset:+.0f} s" in refusal.reason


@pytest.mark.parametrize(
    "date",
    [
        None, "", "now", "1790000000", "2026-09-21T14:13:20Z", "Mon, 21 Sep 2026 14:13:20 UTC",
        "Mon, 21 Sep 2026 14:13:20 +0000", "Mon, 31 Sep 2026 14:13:20 GMT", "Mon, 21 Sep 2026 24:13:20 GMT",
        "Mon, 00 Sep 2026 14:13:20 GMT",
        f"{DATE}, {DATE}", f"{DATE} ", f"{DATE}\n", "Mon, 21 Sep 0000 14:13:20 GMT", "Mon, ٢١ Sep 2026 14:13:20 GMT",
        "Mon, 21 sep 2026 14:13:20 GMT",
    ],
)  # fmt: skip
def test_verify_with_no_date_or_a_malformed_one_is_denied(date):
    headers = twelve_line_signature(PRIMARY.secret, "POST", TARGET, date or "", HOST, BODY)
    request = SignedRequest("POST", TARGET, (HOST,), headers, BODY)
    assert_denied(with_headers(request, x_ms_date=date))


@pytest.mark.parametrize(
    "content_hash", [None, "", "x", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "é", "\ud800", "A" * 100_000]
)
def test_verify_with_a_wrong_or_missing_body_hash_is_denied(content_hash):
    assert_denied(with_headers(signed_request(), x_ms_content_sha256=content_hash))


def test_verify_with_a_repeated_body_hash_is_denied():
    request = signed_request()
    twice = ", ".join([request.headers["x-ms-content-sha256"]] * 2)
    assert_denied(with_headers(request, x_ms_content_sha256=twice))


SIGNATURE = signed_request().headers["authorization"].rpartition("Signature=")[2]
LIST = "SignedHeaders=x-ms-date;host;x-ms-content-sha256"


@pytest.mark.parametrize(
    "authorization",
    [
        "HMAC-SHA256",
        "HMAC-SHA256 ",
        "HMAC-SHA256 x",
        f"HMAC-SHA256 {LIST}",
        f"HMAC-SHA256 {LIST}&Signature=",
        f"HMAC-SHA256 {LIST}&Signature={SIGNATURE[:-1]}",
        f"HMAC-SHA256 {LIST}&Signature={SIGNATURE}=",
        f"HMAC-SHA256 {LIST}&Signature={SIGNATURE}\n",
        f"HMAC-SHA256 {LIST}&Signature={SIGNATURE} ",
        f"HMAC-SHA256  {LIST}&Signature={SIGNATURE}",
        f"HMAC-SHA256 {LIST}&Signature={'é' * 43}=",
        f"HMAC-SHA256 {LIST}&Signature={'!' * 43}=",
        f"HMAC-SHA256 {LIST}&Signature={SIGNATURE}&Signature={SIGNATURE}",
        f"HMAC-SHA256 {LIST}&Signature={SIGNATURE}, HMAC-SHA256 {LIST}&Signature={SIGNATURE}",
        f"HMAC-SHA256 Signature={SIGNATURE}&{LIST}",
        f"HMAC-SHA256 SignedHeaders=host&Signature={SIGNATURE}",
        f"HMAC-SHA256 SignedHeaders=&Signature={SIGNATURE}",
        f"HMAC-SHA256 SignedHeaders=host;x-ms-date;x-ms-content-sha256&Signature={SIGNATURE}",
        f"HMAC-SHA256 SignedHeaders=x-ms-date;host&Signature={SIGNATURE}",
        f"HMAC-SHA256 SignedHeaders=x-ms-date;ho\u017ft;x-ms-content-sha256&Signature={SIGNATURE}",
        f"HMAC-SHA256 {LIST}&Signature={SIGNATURE}" + " " * 100_000,
        "HMAC-SHA256 " + "A" * 1_000_000,
    ],
    ids=lambda value: value[:40] if value.isascii() else "not-ascii",
)  # fmt: skip
def test_verify_of_a_malformed_authorization_is_denied(authorization):
    assert_denied(with_headers(signed_request(), authorization=authorization))


def test_verify_takes_the_same_number_of_comparisons_wherever_the_key_stands(monkeypatch):
    compared: list[int] = []

    def counted(one, other):
        compared[-1] += 1
        return hmac.compare_digest(one, other)

    class CountedHmac:
        """hmac with a comparison that counts."""

        compare_digest = staticmethod(counted)
        digest = staticmethod(hmac.digest)

    monkeypatch.setattr(hmac_access_key, "hmac", CountedHmac)
    for key in (PRIMARY, SECONDARY, OTHER):
        compared.append(0)
        assert verify(signed_request(key), KEYS, now=NOW)
    compared.append(0)
    assert_denied(signed_request(STRANGER))
    assert len(set(compared)) == 1
    assert compared[0] > len(KEYS)


def test_refusals_tell_no_signature_and_no_key_even_to_the_log():
    request = signed_request(STRANGER)
    refusal = assert_denied(request)
    told = f"{refusal} {refusal.reason} {refusal.faults}"
    assert request.headers["authorization"].rpartition("Signature=")[2] not in told
    assert base64.b64encode(PRIMARY.secret).decode() not in told
    assert "POST /emails:send" in refusal.reason
    assert HOST in refusal.reason
    assert HOST not in refusal.faults[0].message


def test_access_key_repr_shows_no_secret():
    assert repr(PRIMARY).startswith("AccessKey(service_key='svca', name='primary', send_only=False")
    assert "secret" not in repr(PRIMARY)


@pytest.mark.parametrize("secret", [b"", b"x" * 15])
def test_access_key_that_could_be_guessed_is_refused(secret):
    with pytest.raises(ValueError, match=r"primary access key of svca.*16 bytes"):
        AccessKey("svca", "primary", secret)
