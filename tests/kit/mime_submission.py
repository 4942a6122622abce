"""Submissions by SMTP as the session makes them, without the session."""

from __future__ import annotations

from typing import Any, BinaryIO

from email_core.message.address import parse_address
from email_core.message.dsn_options import RecipientOptions
from email_core.submission.accept import Accepted
from email_core.submission.accept_mime import MimeRecipient, MimeSubmission, accept_mime
from tests.kit.pipeline import DOMAIN, Pipeline

SENDER = f"news@{DOMAIN}"


def mime(text: str = "Hello.\r\n", **fields: str) -> bytes:
    """A message from the test sender; a field that is given replaces its own, an empty one is left out."""
    header = {"From": SENDER, "To": "ann@example.test", "Subject": "A test"} | {
        name.replace("_", "-"): value for name, value in fields.items()
    }
    return ("".join(f"{name}: {value}\r\n" for name, value in header.items() if value) + f"\r\n{text}").encode()


async def submit(
    pipeline: Pipeline,
    content: bytes | BinaryIO,
    *recipients: str | tuple[str, RecipientOptions],
    mail_from: str = SENDER,
    **changes: Any,
) -> Accepted:
    """Accept a message as the SMTP door would."""
    named = [each if isinstance(each, tuple) else (each, RecipientOptions()) for each in recipients or ("ann@example.test",)]
    size = len(content) if isinstance(content, bytes) else content.seek(0, 2)
    submission = MimeSubmission(
        service=pipeline.service,
        envelope_from=parse_address(mail_from),
        recipients=tuple(MimeRecipient(parse_address(address), options) for address, options in named),
        content=content,
        size=size,
        host_name="relay.example.net",
        **changes,
    )
    services = pipeline.services
    return await accept_mime(
        services.spool,
        services.directory,
        services.limits,
        submission,
        now=pipeline.clock.now(),
        time_to_live=services.settings.time_to_live,
    )
