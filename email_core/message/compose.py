"""A draft as the bytes that are signed and sent: RFC 5322 and MIME, structured only as deep as the content needs.

mixed(related(alternative(text, html), inline images), attachments), each level only when there is something for it. The
same draft, message id and date give the same bytes. Every header block passes `headers.check_header_block` before it
leaves, so nothing that a sender wrote can end a field, and no line is longer than 998 octets.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from itertools import chain
from typing import NamedTuple

from email_core.message.dates import date_text
from email_core.message.draft import Attachment, Draft
from email_core.message.encoded_words import address_field, ascii_file_name, fold_unstructured, parameter, structured_field
from email_core.message.headers import (
    HeaderInjection,
    check_attachment_name,
    check_content_id,
    check_content_type,
    check_custom_headers,
    check_display_name,
    check_header_block,
    check_message_id,
    check_subject,
)
from email_core.message.html_text import text_from_html
from email_core.message.limits import MAX_HTML_READ
from email_core.message.text_body import BOUNDARY_MARK, encode_text

# ACS documents x-priority and x-msmail-priority; Importance (RFC 2156 section 5.3.4) is what new clients read.
_IMPORTANCE = {
    "1": "high", "2": "high", "3": "normal", "4": "low", "5": "low", "high": "high", "normal": "normal", "low": "low",
}  # fmt: skip


class _Entity(NamedTuple):
    """A MIME entity: its header fields, each without its CRLF, and its body in pieces that only the end joins."""

    fields: list[bytes]
    body: list[bytes]


def compose(draft: Draft, *, message_id: str, date: float, feedback_id: str = "") -> bytes:
    """The whole message, lines ending with CRLF, without Bcc and without a signature.

    `message_id` has its angle brackets; `date` is in seconds since 1970; `feedback_id` counts unless the draft has one. Raises
    HeaderInjection when the draft holds what no door should have let in; UnicodeEncodeError when a text holds lone surrogates.
    """
    content = _content(draft, _boundary(message_id))
    fields = _message_fields(draft, message_id, date)
    if feedback_id and not any(name.lower() == "feedback-id" for name, _ in draft.headers):
        fields.append(f"Feedback-ID: {feedback_id}".encode())
    block = _block(fields + content.fields, smtputf8=draft.needs_smtputf8)
    return b"".join((block, b"\r\n", *content.body))


def _message_fields(draft: Draft, message_id: str, date: float) -> list[bytes]:
    _refuse_bad_texts(draft, message_id)
    fields = [f"Date: {date_text(date)}".encode(), address_field("From", [draft.sender])]
    if draft.to:
        fields.append(address_field("To", draft.to))
    if draft.cc:
        fields.append(address_field("Cc", draft.cc))
    if not (draft.to or draft.cc):
        # Receivers count a message without any destination field as malformed; the empty group names nobody.
        fields.append(b"To: undisclosed-recipients:;")
    if draft.reply_to:
        fields.append(address_field("Reply-To", draft.reply_to))
    fields.append(fold_unstructured("Subject", draft.subject, literal=True))
    fields.append(f"Message-ID: {message_id}".encode())
    fields.extend(fold_unstructured(name, value.strip(" ")) for name, value in draft.headers)
    if importance := _importance(draft.headers):
        fields.append(b"Importance: " + importance)
    fields.append(b"MIME-Version: 1.0")
    return fields


def _refuse_bad_texts(draft: Draft, message_id: str) -> None:
    # Encoded words would carry a control character past the guard of the header block: these checks are for them.
    faults = [check_message_id(message_id), check_subject(draft.subject)]
    for address in chain([draft.sender], draft.to, draft.cc, draft.reply_to):
        if address.display_name:
            faults.append(check_display_name(address.display_name))
    if draft.headers:
        faults.extend(reason for _, reason in check_custom_headers(draft.headers))
    for fault in faults:
        if fault:
            raise HeaderInjection(f"a header text {fault}")


def _importance(headers: Sequence[tuple[str, str]]) -> bytes:
    given = {name.lower(): value.strip(" ").lower() for name, value in headers}
    if "importance" in given:
        return b""
    # "1 (Highest)" and "1" are both in use.
    words = (given.get("x-priority") or given.get("x-msmail-priority") or "").split(" ")
    return _IMPORTANCE.get(words[0], "").encode()


def _content(draft: Draft, boundary: str) -> _Entity:
    shown, attached = [], list(draft.attachments)
    given, html = draft.text or draft.long_text, draft.html or draft.long_html
    if html:
        text = given or text_from_html(_beginning(html))
        content = _text("html", html)
        if text:
            content = _multipart("alternative", boundary + "a", [_text("plain", text), content])
        shown = [_attachment(file, "inline") for file in attached if file.content_id]
        attached = [file for file in attached if not file.content_id]
    else:
        content = _text("plain", given)
    if shown:
        content = _multipart("related", boundary + "r", [content, *shown])
    if attached:
        content = _multipart("mixed", boundary + "m", [content, *(_attachment(file, "attachment") for file in attached)])
    if content.body[-1] and not content.body[-1].endswith(b"\r\n"):
        content.body.append(b"\r\n")
    return content


def _beginning(html: str | bytes) -> str:
    """As much of the HTML as its text is made of, and a character more when there is more."""
    return html if isinstance(html, str) else html[: 4 * (MAX_HTML_READ + 1)].decode(errors="ignore")


def _text(subtype: str, text: str | bytes) -> _Entity:
    encoding, octets = encode_text(text)
    charset = b"; charset=utf-8"
    return _Entity(
        [b"Content-Type: text/" + subtype.encode() + charset, f"Content-Transfer-Encoding: {encoding}".encode()], [octets]
    )


def _attachment(file: Attachment, disposition: str) -> _Entity:
    faults = [check_attachment_name(file.name), check_content_type(file.content_type)]
    # RFC 2231 has the name where RFC 2183 wants it. Readers that know neither find a likeness in `name`.
    name = parameter("name", ascii_file_name(file.name))
    fields = [
        structured_field("Content-Type", file.content_type, name),
        b"Content-Transfer-Encoding: base64",
        structured_field("Content-Disposition", disposition, parameter("filename", file.name)),
    ]
    if disposition == "inline":
        faults.append(check_content_id(file.content_id))
        fields.append(f"Content-ID: <{file.content_id}>".encode())
    for fault in faults:
        if fault:
            raise HeaderInjection(f"a text of an attachment {fault}")
    return _Entity(fields, [file.body])


def _multipart(subtype: str, boundary: str, entities: Sequence[_Entity]) -> _Entity:
    delimiter = f"--{boundary}".encode()
    body = []
    for entity in entities:
        body += [delimiter, b"\r\n", _block(entity.fields), b"\r\n", *entity.body, b"\r\n"]
    body += [delimiter, b"--"]
    parameters = [f'boundary="{boundary}"'.encode()]
    if subtype == "related":
        parameters.insert(0, _type_parameter(entities[0]))
    return _Entity([structured_field("Content-Type", f"multipart/{subtype}", parameters)], body)


def _type_parameter(root: _Entity) -> bytes:
    # RFC 2387 section 3.1 asks for the type of the root, which is the first part.
    media_type = root.fields[0].split(b";")[0].removeprefix(b"Content-Type: ")
    return b'type="' + media_type + b'"'


def _boundary(message_id: str) -> str:
    """The start of this message's boundaries; each multipart adds a letter, and no encoded content can hold it."""
    return BOUNDARY_MARK.decode() + sha256(message_id.encode()).hexdigest()[:32]


def _block(fields: list[bytes], *, smtputf8: bool = False) -> bytes:
    block = b"\r\n".join(fields) + b"\r\n"
    check_header_block(block, fields=len(fields), smtputf8=smtputf8)
    return block
