"""Requests made to be expensive: answered with bounded work and memory, whatever they hold."""

from __future__ import annotations

import base64
import json
import os
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from email_core.data_plane.send_request import parse_send_request
from email_core.errors import RequestRefused
from tests.unit.data_plane.requests import attachment, message, parse

TEN_MB = 10 * 1024 * 1024
ADDRESSES = [{"address": f"user{number}@fabrikam.example"} for number in range(100_000)]


def as_json(**fields: Any) -> bytes:
    return json.dumps(message(**fields)).encode()


def with_attachment(content: str) -> bytes:
    return as_json(attachments=[attachment(name="a.pdf", contentType="application/pdf", contentInBase64=content)])


# Each makes a body; all are refused with a 400.
COSTLY: dict[str, Callable[[], bytes]] = {
    "100,000 recipients": lambda: as_json(recipients={"to": ADDRESSES}),
    "100,000 recipients in bcc": lambda: as_json(recipients={"to": [], "bcc": ADDRESSES}),
    "100,000 reply-to addresses": lambda: as_json(replyTo=ADDRESSES),
    "5,000,000 recipients": lambda: b'{"recipients":{"to":[' + b"1," * (TEN_MB // 2) + b"1]}}",
    "5,000,000 attachments": lambda: b'{"attachments":[' + b"1," * (TEN_MB // 2) + b"1]}",
    "100,000 headers": lambda: as_json(headers={f"X-{number}": "a" for number in range(100_000)}),
    "30,000 short headers": lambda: as_json(headers={f"{number}": "" for number in range(30_000)}),
    "1,500,000 members of one name": lambda: b"{" + b'"a":1,' * (TEN_MB // 6) + b'"a":1}',
    "250 attachments with 4 faults each": lambda: as_json(
        attachments=[{"name": "/", "contentType": "", "contentInBase64": "*", "contentId": "<"}] * 250
    ),
    "10 MB string": lambda: b'"' + b"a" * TEN_MB + b'"',
    "10 MB subject": lambda: as_json(content={"subject": "a" * TEN_MB, "html": "x"}),
    "10 MB address": lambda: as_json(senderAddress="a" * TEN_MB),
    "10 MB display name": lambda: as_json(recipients={"to": [{"address": "a@b.example", "displayName": "\n" * TEN_MB}]}),
    "10 MB header value": lambda: as_json(headers={"X-A": " " * TEN_MB}),
    "10 MB header name": lambda: as_json(headers={"X" * TEN_MB: "a"}),
    "10 MB attachment name": lambda: as_json(attachments=[attachment(name="." * TEN_MB)]),
    "10 MB content type": lambda: as_json(attachments=[attachment(contentType="a/b;" + " =;" * (TEN_MB // 3))]),
    "10 MB of blanks": lambda: b" " * TEN_MB,
    "10 MB number": lambda: b'{"content":' + b"9" * TEN_MB + b"}",
    "10 MB of open brackets": lambda: b"[" * TEN_MB,
    "10 MB of nested objects": lambda: b'{"a":' * (TEN_MB // 5),
    "base64 with one bad character at its end": lambda: with_attachment("A" * (TEN_MB - 4) + "AAA*"),
    "base64 of nothing but padding": lambda: with_attachment("=" * TEN_MB),
    "base64 of nothing but line breaks and a bad end": lambda: with_attachment("\r\n" * (TEN_MB // 4) + "*"),
}


@pytest.mark.parametrize("make", COSTLY.values(), ids=COSTLY)
def test_costly_request_is_refused_with_bounded_work(make: Callable[[], bytes]) -> None:
    body = make()
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(RequestRefused) as caught:
            parse_send_request(body, max_recipients=50)
        worked = time.process_time() - began
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.status == 400
    assert len(caught.value.faults) <= 50
    assert sum(len(fault.message) + len(fault.target) for fault in caught.value.faults) < 32_000
    assert worked < 2  # seconds of CPU, tracing included; a quadratic walk over 10 MB would take minutes
    assert peak < 4 * TEN_MB


@pytest.mark.parametrize("escape", [None, "\\/"], ids=["plain", "slashes escaped"])
def test_request_of_10_mb_needs_at_most_four_times_its_size(escape: str | None) -> None:
    body = with_attachment(base64.b64encode(os.urandom(TEN_MB * 3 // 4 - 3000)).decode())
    if escape:
        body = body.replace(b"/", escape.encode())
    tracemalloc.start()
    try:
        draft = parse(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert draft.attachments[0].size == TEN_MB * 3 // 4 - 3000
    assert len(body) + peak < 4.2 * len(body)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'], ids=["arrays", "objects"])
@pytest.mark.parametrize("field", ["unknown", "content", "headers", "attachments", "recipients"])
def test_nesting_of_any_depth_is_read_or_refused(opening: bytes, field: str) -> None:
    # The depth at which msgspec gives up depends on the caller's own stack, so every depth around it must do.
    closing = b"]" if opening == b"[" else b"}"
    for depth in range(1, 1200, 7):
        nested = opening * depth + b"1" + closing * depth
        body = json.dumps(message(**{field: "NESTED"})).encode().replace(b'"NESTED"', nested)
        try:
            parse(body)
        except RequestRefused as refused:
            assert refused.status == 400
        else:
            assert field == "unknown"
