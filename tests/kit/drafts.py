"""Builders for addresses, attachments and drafts: every test states only what it is about."""

from __future__ import annotations

import base64
from typing import Any

from email_core.message.address import Address, parse_address
from email_core.message.base64_body import rewrap
from email_core.message.draft import Attachment, Draft

MESSAGE_ID = "<0b6cd7c2-6ab1-4f0f-a28f-7d0d0b7a2ed4@mail.example.com>"
DATE = 1_795_310_383.0  # Sun, 22 Nov 2026 01:19:43 +0000


def an_address(spec: str = "jane@example.org", name: str = "") -> Address:
    """A checked address."""
    return parse_address(spec, name)


def an_attachment(
    content: bytes = b"%PDF-1.7", name: str = "file.pdf", content_type: str = "application/pdf", content_id: str = ""
) -> Attachment:
    """A file with that content."""
    body, size = rewrap(base64.b64encode(content))
    return Attachment(name=name, content_type=content_type, body=body, size=size, content_id=content_id)


def a_draft(**changes: Any) -> Draft:
    """A short message from one sender to one recipient, with the changes given."""
    fields: dict[str, Any] = {
        "sender": an_address("noreply@mail.example.com"),
        "subject": "Hello",
        "to": (an_address(),),
        "text": "A short text.\n",
    }
    return Draft(**(fields | changes))
