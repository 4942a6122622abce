"""Composes messages with the standard library's EmailMessage: `python -m bench.programs.compose_email_message`."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from typing import Any

from bench.programs.tasks import serve


def work_on(request: bytes) -> Callable[[], bytes]:
    held: dict[str, Any] = json.loads(request)

    def work() -> bytes:
        message = EmailMessage(policy=SMTP)
        message["From"], message["To"], message["Subject"] = held["from"], held["to"], held["subject"]
        message["Date"], message["Message-ID"] = formatdate(held["date"]), held["messageId"]
        message.set_content(held["text"])
        message.add_alternative(held["html"], subtype="html")
        for file in held["attachments"]:
            maintype, _, subtype = file["contentType"].partition("/")
            content = base64.b64decode(file["contentInBase64"], validate=True)
            message.add_attachment(content, maintype=maintype, subtype=subtype, filename=file["name"])
        return message.as_bytes()

    return work


if __name__ == "__main__":
    serve(work_on, lambda message: str(len(message)))
