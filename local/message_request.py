"""A message as the body of `POST /emails:send`, from options or from an .eml file."""

from __future__ import annotations

import argparse
import base64
import email
import email.policy
import mimetypes
import re
import sys
from collections.abc import Iterable, Mapping
from email.message import EmailMessage
from pathlib import Path
from typing import Any

_NAMED = re.compile(r"\s*(?P<name>.*?)\s*<(?P<address>[^<>]*)>\s*", re.DOTALL)
# What a file's header fields become properties of, and what the service makes by itself.
_NOT_PASSED_ON = {
    "from", "sender", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id", "mime-version", "received",
    "return-path", "delivered-to", "x-original-to", "dkim-signature", "authentication-results",
}  # fmt: skip


class MessageError(Exception):
    """A message that cannot be made of what was given; the text says why."""


def message_request(options: argparse.Namespace, variables: Mapping[str, str]) -> dict[str, Any]:
    """The EmailMessage of ACS. The server judges it: only what cannot be read is refused here. Raises MessageError."""
    request = _from_file(options.file) if options.file else _empty()
    content, recipients = request["content"], request["recipients"]
    if options.sender:
        request["senderAddress"] = _address(options.sender)["address"]
    for kind in ("to", "cc", "bcc"):
        if given := getattr(options, kind):
            recipients[kind] = [_address(text) for text in given]
    if options.reply_to:
        request["replyTo"] = [_address(text) for text in options.reply_to]
    if options.subject is not None:
        content["subject"] = options.subject
    if options.text is not None:
        content["plainText"] = sys.stdin.read() if options.text == "-" else options.text
    if options.html is not None:
        content["html"] = options.html
    request["headers"].update(_header(text) for text in options.header)
    request["attachments"] += [_file_attachment(path) for path in options.attach]
    _fill(request, variables)
    return request


def _fill(request: dict[str, Any], variables: Mapping[str, str]) -> None:
    """What a first try may leave out."""
    request["senderAddress"] = request["senderAddress"] or variables.get("SENDER_ADDRESS", "")
    if not any(request["recipients"].values()):
        if "RECIPIENT_ADDRESS" not in variables:
            raise MessageError("there is no recipient: give one with --to")
        request["recipients"]["to"] = [_address(variables["RECIPIENT_ADDRESS"])]
    if not request["senderAddress"]:
        raise MessageError("there is no sender: give one with --from")
    content = request["content"]
    content.setdefault("subject", "A message from ./postrider send")
    if not content.get("plainText") and not content.get("html"):
        content["plainText"] = "Hello from the other side.\n"


def _empty() -> dict[str, Any]:
    return {"senderAddress": "", "content": {}, "recipients": {}, "headers": {}, "attachments": []}


def _address(text: str) -> dict[str, str]:
    found = _NAMED.fullmatch(text)
    if not found:
        return {"address": text.strip()}
    name = found["name"].strip('"')
    return {"address": found["address"].strip(), **({"displayName": name} if name else {})}


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise MessageError(f"the header {text!r} is not of the form 'Name: value'")
    return name.strip(), value.strip()


def _file_attachment(path: Path) -> dict[str, str]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MessageError(f"the attachment {path} cannot be read: {error.strerror}") from error
    return _attachment(path.name, mimetypes.guess_type(path.name)[0] or "application/octet-stream", content)


def _attachment(name: str, content_type: str, content: bytes) -> dict[str, str]:
    return {"name": name, "contentType": content_type, "contentInBase64": base64.b64encode(content).decode("ascii")}


def _from_file(path: Path) -> dict[str, Any]:
    try:
        parsed = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    except OSError as error:
        raise MessageError(f"{path} cannot be read: {error.strerror}") from error
    if not isinstance(parsed, EmailMessage) or not parsed.keys():
        raise MessageError(f"{path} is no message: it has no header")
    request = _empty()
    senders = _addresses(parsed, "from")
    request["senderAddress"] = senders[0]["address"] if senders else ""
    if senders and "displayName" in senders[0]:
        request["senderDisplayName"] = senders[0]["displayName"]
    request["recipients"] = {kind: found for kind in ("to", "cc", "bcc") if (found := _addresses(parsed, kind))}
    if reply_to := _addresses(parsed, "reply-to"):
        request["replyTo"] = reply_to
    request["content"] = {"subject": str(parsed["subject"] or "")}
    request["headers"] = {name: str(value) for name, value in parsed.items() if _passed_on(name)}
    bodies = [body for kind, name in (("plain", "plainText"), ("html", "html")) if (body := _body(parsed, kind, name, request))]
    request["attachments"] = [_part(part) for part in parsed.walk() if not part.is_multipart() and part not in bodies]
    return request


def _addresses(parsed: EmailMessage, name: str) -> list[dict[str, str]]:
    fields: Iterable[Any] = parsed.get_all(name, [])
    return [
        {"address": address.addr_spec, **({"displayName": address.display_name} if address.display_name else {})}
        for field in fields
        for address in field.addresses
    ]


def _passed_on(name: str) -> bool:
    return name.lower() not in _NOT_PASSED_ON and not name.lower().startswith("content-")


def _body(parsed: EmailMessage, kind: str, name: str, request: dict[str, Any]) -> Any:
    body = parsed.get_body((kind,))
    if body is not None:
        request["content"][name] = body.get_content()
    return body


def _part(part: Any) -> dict[str, str]:
    attachment = _attachment(part.get_filename() or "attachment", part.get_content_type(), part.get_payload(decode=True) or b"")
    if content_id := part["content-id"]:
        attachment["contentId"] = str(content_id).strip().strip("<>")
    return attachment
