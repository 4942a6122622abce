"""The `attachments` of a send request."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from email_core.data_plane import refusals
from email_core.data_plane.attachment_types import AttachmentTypeError, allowed_types, wire_type
from email_core.data_plane.custom_headers import CustomHeaders
from email_core.data_plane.json_fields import ABSENT, FieldReader
from email_core.message.base64_body import Base64Error, rewrap
from email_core.message.draft import Attachment
from email_core.message.headers import check_attachment_name, check_content_id
from email_core.message.limits import MAX_ATTACHMENT_NAME, MAX_CONTENT_ID, MAX_CONTENT_TYPE
from email_core.message.switches import IGNORE_DUPLICATE_CONTENT_ID

MAX_ATTACHMENTS = 250  # ACS publishes no number; this is Exchange Online's, and what receivers cope with


class _Attachment(msgspec.Struct, rename="camel"):
    name: Raw = ABSENT
    content_type: Raw = ABSENT
    content_in_base64: Raw = ABSENT
    content_id: Raw = ABSENT


_attachment = msgspec.json.Decoder(_Attachment)
_text = msgspec.json.Decoder(str)


def read_attachments(reader: FieldReader, raw: Raw, headers: CustomHeaders) -> tuple[Attachment, ...]:
    """The attachments of a request; what is wrong with them goes to `reader`.

    `headers.suppress_invalid_attachment`: an attachment that anything is wrong with is left out, and nothing is said.
    """
    elements = reader.elements(raw, "attachments", MAX_ATTACHMENTS)
    if len(elements) > MAX_ATTACHMENTS:
        reader.add(refusals.bad_property("attachments", f"It has more than {MAX_ATTACHMENTS} members: send a .zip."))
        return ()
    attachments: list[Attachment] = []
    first_with_id: dict[str, str] = {}
    for number, element in enumerate(elements):
        target = f"attachments[{number}]"
        faults = FieldReader()
        attachment = _read_attachment(faults, element, target)
        if headers.suppress_invalid_attachment and faults.faults:
            continue
        for fault in faults.faults:
            reader.add(fault)
        if attachment is None:
            continue
        first = first_with_id.setdefault(attachment.content_id, target) if attachment.content_id else target
        if first != target and not headers.ignore_duplicate_content_id:
            rule = f"It is that of {first}, too. Give each its own, or set the header {IGNORE_DUPLICATE_CONTENT_ID} to 'true'."
            reader.add(refusals.bad_property(f"{target}.contentId", rule))
        attachments.append(attachment)
    return tuple(attachments)


def _read_attachment(reader: FieldReader, raw: Raw, target: str) -> Attachment | None:
    element = reader.members(raw, target, _attachment, required=True)
    if element is None:
        return None
    name = _read_name(reader, element.name, f"{target}.name")
    content_type = _read_content_type(reader, element.content_type, f"{target}.contentType", name)
    content_id = _read_content_id(reader, element.content_id, f"{target}.contentId")
    content = _read_content(reader, element.content_in_base64, f"{target}.contentInBase64")
    if reader.faults or content is None:
        return None
    body, size = content
    return Attachment(name, content_type, body, size, content_id)


def _read_name(reader: FieldReader, raw: Raw, target: str) -> str:
    name = reader.text(raw, target, most=MAX_ATTACHMENT_NAME, required=True)
    if name is None:
        return ""
    reason = check_attachment_name(name)
    if not reason and ("/" in name or "\\" in name):
        reason = "has a path separator: give the file's name without its folder"
    if not reason and not allowed_types(name):
        reason = "does not end with an extension of an allowed attachment type; .zip is one"
    if reason:
        reader.add(refusals.bad_property(target, f"It {reason}."))
    return "" if reason else name


def _read_content_type(reader: FieldReader, raw: Raw, target: str, name: str) -> str:
    content_type = reader.text(raw, target, most=MAX_CONTENT_TYPE, required=True)
    if content_type is None:
        return ""
    try:
        return wire_type(content_type, name)
    except AttachmentTypeError as error:
        reader.add(refusals.bad_property(target, f"It {error.reason}."))
        return ""


def _read_content_id(reader: FieldReader, raw: Raw, target: str) -> str:
    content_id = reader.text(raw, target, most=MAX_CONTENT_ID)
    if not content_id:
        return ""
    if reason := check_content_id(content_id):
        reader.add(refusals.bad_property(target, f"It {reason}."))
    return content_id


def _read_content(reader: FieldReader, raw: Raw, target: str) -> tuple[bytes, int] | None:
    """The base64 in lines, and the size that it decodes to. It is read where it stands: it may be most of the request."""
    octets = memoryview(raw)
    if not octets or octets[0] != ord('"'):
        reader.text(raw, target, required=True)  # says which: absent, or of which other type
        return None
    try:
        return rewrap(octets[1:-1])
    except Base64Error as error:
        reason = error.reason
    if b"\\" in bytes(octets):
        # Characters of base64 may be escaped: PHP writes \/ by default, .NET encoders may write \u002B, and line breaks
        # are \r\n. Taking the escapes back costs two more copies, so it is left to requests that have any.
        try:
            return rewrap(_text.decode(raw).encode())
        except Base64Error as error:
            reason = error.reason
        except ValueError:  # UnicodeDecodeError
            reason = "is not valid UTF-8"
    if bytes(octets[1:6]) == b"data:":
        reason = "is a data: URL: give only what follows its comma"
    reader.add(refusals.bad_base64(target, f"It {reason}."))
    return None
