"""Signed requests and keys for the tests of the HMAC access-key scheme."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace

import pytest

from email_core.auth.hmac_access_key import AccessKey, SignedRequest, authorization_headers, verify
from email_core.errors import RequestRefused

NOW = 1_790_000_000.0
DATE = "Mon, 21 Sep 2026 14:13:20 GMT"
HOST = "contoso.unitedstates.communication.example"
TARGET = "/emails:send?api-version=2025-09-01"
BODY = '{"senderAddress": "DoNotReply@contoso.example", "ö": "本"}'.encode()

PRIMARY = AccessKey("svca", "primary", bytes(range(64)))
SECONDARY = AccessKey("svca", "secondary", bytes(range(64, 128)))
OTHER = AccessKey("svcb", "primary", bytes(range(128, 192)))
STRANGER = AccessKey("svcx", "primary", bytes(range(192, 256)))
KEYS = (PRIMARY, SECONDARY, OTHER)


def signed_request(
    key: AccessKey = PRIMARY, *, method="POST", target=TARGET, host=HOST, body=BODY, now=NOW, arrives_at=()
) -> SignedRequest:
    """A request signed for `host`, that arrives with the candidates `arrives_at`."""
    headers = authorization_headers(method, target, host, body, key.secret, now)
    return SignedRequest(method, target, arrives_at or (host,), {name.lower(): value for name, value in headers.items()}, body)


def with_headers(request: SignedRequest, **headers: str | None) -> SignedRequest:
    merged = {**request.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return replace(request, headers={name: value for name, value in merged.items() if value is not None})


def refusal_of(request: SignedRequest, keys=KEYS, now=NOW) -> RequestRefused:
    with pytest.raises(RequestRefused) as refusal:
        verify(request, keys, now=now)
    assert refusal.value.status == 401
    assert refusal.value.retry_after is None
    assert [fault.code for fault in refusal.value.faults] == ["Denied"]
    assert refusal.value.reason
    return refusal.value


def assert_denied(request: SignedRequest, keys=KEYS, now=NOW) -> RequestRefused:
    refusal = refusal_of(request, keys, now)
    assert refusal.faults[0].message.startswith("Denied by the resource provider.")
    return refusal


def twelve_line_signature(key: bytes, method: str, target: str, date: str, host: str, body: bytes) -> dict[str, str]:
    """The scheme as the documentation has it, apart from our own code."""
    content_hash = base64.b64encode(hashlib.sha256(body).digest()).decode()
    text = f"{method}\n{target}\n{date};{host};{content_hash}"
    signature = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()
    return {
        "x-ms-content-sha256": content_hash,
        "authorization": f"HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature={signature}",
    }
