"""Send requests as the official clients write them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from email_core.data_plane.send_request import parse_send_request
from email_core.errors import Fault, RequestRefused
from email_core.message.draft import Draft

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


def message(**fields: Any) -> dict[str, Any]:
    """A valid EmailMessage with these fields in place of its own; `...` takes a field out."""
    whole: dict[str, Any] = {
        "senderAddress": "DoNotReply@contoso.example",
        "content": {"subject": "Your order", "plainText": "It is on its way.", "html": "<p>It is on its way.</p>"},
        "recipients": {"to": [{"address": "jane@fabrikam.example", "displayName": "Jane Doe"}]},
    } | fields
    return {name: value for name, value in whole.items() if value is not ...}


def attachment(**fields: Any) -> dict[str, Any]:
    """A valid EmailAttachment with these fields in place of its own; `...` takes a field out."""
    whole: dict[str, Any] = {"name": "dot.png", "contentType": "image/png", "contentInBase64": base64.b64encode(PNG).decode()}
    return {name: value for name, value in (whole | fields).items() if value is not ...}


def parse(request: dict[str, Any] | bytes, *, max_recipients: int = 50) -> Draft:
    """The draft of a request, written as Python writes JSON: all but ASCII escaped."""
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    return parse_send_request(body, max_recipients=max_recipients)


def refusal(request: dict[str, Any] | bytes) -> RequestRefused:
    """The refusal of a request that must be refused with 400 and without a Retry-After."""
    with pytest.raises(RequestRefused) as caught:
        parse(request)
    assert caught.value.status == 400
    assert caught.value.retry_after is None
    return caught.value


def only_fault(request: dict[str, Any] | bytes) -> Fault:
    """The fault of a request that has exactly one."""
    (fault,) = refusal(request).faults
    return fault
