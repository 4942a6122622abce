"""Composes messages as Postrider does: `python -m bench.programs.compose_postrider`.

Each time from what a web service holds when it has read its request: texts, and attachments in base64.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from bench.programs.tasks import serve
from email_core.message.address import parse_address
from email_core.message.base64_body import rewrap
from email_core.message.compose import compose
from email_core.message.draft import Attachment, Draft


def work_on(request: bytes) -> Callable[[], bytes]:
    held: dict[str, Any] = json.loads(request)
    files = [(file["name"], file["contentType"], file["contentInBase64"].encode()) for file in held["attachments"]]

    def work() -> bytes:
        draft = Draft(
            sender=parse_address(held["from"]),
            subject=held["subject"],
            to=(parse_address(held["to"]),),
            text=held["text"],
            html=held["html"],
            attachments=tuple(Attachment(name, content_type, *rewrap(base64)) for name, content_type, base64 in files),
        )
        return compose(draft, message_id=held["messageId"], date=held["date"])

    return work


if __name__ == "__main__":
    serve(work_on, lambda message: str(len(message)))
