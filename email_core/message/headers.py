"""Rules for what a caller may put into a header, and the last guard over the header block that leaves us.

The checks answer with a reason, fit for the caller, or "" when all is well. None of them repairs anything: text that
could end a line, hide what follows it or show itself backwards is refused at the door, and the guard looks at the bytes
again when the message is composed, because header injection is the oldest hole of programs that write mail.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from email_core.message.encoded_words import fold_unstructured
from email_core.message.limits import (
    MAX_ATTACHMENT_NAME,
    MAX_CONTENT_ID,
    MAX_CONTENT_TYPE,
    MAX_CUSTOM_HEADERS,
    MAX_CUSTOM_HEADERS_BYTES,
    MAX_DISPLAY_NAME_CHARACTERS,
    MAX_HEADER_NAME,
    MAX_HEADER_VALUE,
    MAX_LINE,
    MAX_MESSAGE_ID,
    MAX_SUBJECT_CHARACTERS,
)

# Fields that we write ourselves, that only transport may write, or that would change what a reader is shown as the
# origin. Lower case; a trailing "*" stands for anything.
RESERVED_HEADERS = (
    "from", "to", "cc", "bcc", "subject", "date", "sender", "reply-to", "message-id", "mime-version", "content-*",
    "return-path", "received", "received-spf", "delivered-to", "resent-*", "dkim-signature", "domainkey-signature", "arc-*",
    "authentication-results", "x-ms-acsemail-*",
)  # fmt: skip
_reserved = re.compile("|".join(re.escape(name).replace(r"\*", ".*") for name in RESERVED_HEADERS))

# At most one of each in a message (RFC 5322 section 3.6, RFC 2045 for the MIME fields, RFC 8058 for List-Unsubscribe).
SINGLETONS = frozenset(
    b"from sender reply-to to cc bcc message-id in-reply-to references subject date mime-version content-type "
    b"content-transfer-encoding content-disposition content-id content-description list-unsubscribe "
    b"list-unsubscribe-post".split()
)

_field_name = re.compile(r"[!-9;-~]+")  # ftext, RFC 5322 section 3.6.8
_control = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# Embeddings, overrides and isolates: they can show "gpj.exe" as "exe.jpg". The marks U+200E and U+200F stay allowed,
# ordinary Hebrew and Arabic text needs them.
_turning = re.compile("[\u202a-\u202e\u2066-\u2069]")
# A msg-id without comments, quoted parts and domain literals (RFC 5322 section 3.6.4); ACS wants a domain with a dot.
_ATOM = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_message_id = re.compile(rf"<{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})+>")
_content_id = re.compile(r"[!-;=?-~]+")
_RESTRICTED_NAME = r"[A-Za-z0-9!#$&^_.+\-]+"
_content_type = re.compile(rf"({_RESTRICTED_NAME})/{_RESTRICTED_NAME}")


class HeaderInjection(ValueError):
    """A finished header block breaks the rules that keep fields apart. It must not be sent; the text has no content of it."""


def check_subject(subject: str) -> str:
    """Why this can't be a subject, or ""."""
    if found := _control.search(subject):
        return _has_control(found[0])
    if len(subject) > MAX_SUBJECT_CHARACTERS:
        return f"is longer than {MAX_SUBJECT_CHARACTERS} characters"
    return ""


def check_display_name(name: str) -> str:
    """Why this can't be a display name, or ""."""
    if found := _control.search(name) or _turning.search(name):
        return _has_control(found[0])
    if len(name) > MAX_DISPLAY_NAME_CHARACTERS:
        return f"is longer than {MAX_DISPLAY_NAME_CHARACTERS} characters"
    return ""


def check_attachment_name(name: str) -> str:
    """Why this can't be the file name of an attachment, or ""."""
    if found := _control.search(name) or _turning.search(name):
        return _has_control(found[0])
    if not name.strip():
        return "is empty: give a file name"
    if len(name.encode()) > MAX_ATTACHMENT_NAME:
        return f"is longer than {MAX_ATTACHMENT_NAME} octets of UTF-8"
    return ""


def check_content_id(content_id: str) -> str:
    """Why this can't be a content id (the X of `cid:X`, without angle brackets), or ""."""
    if len(content_id) > MAX_CONTENT_ID:
        return f"is longer than {MAX_CONTENT_ID} characters"
    if not _content_id.fullmatch(content_id):
        return "is not a content id: use printable ASCII characters without blanks and angle brackets (RFC 2392)"
    return ""


def check_content_type(content_type: str) -> str:
    """Why this can't be the media type of an attachment, or ""; it is a bare `type/subtype`."""
    if len(content_type) > MAX_CONTENT_TYPE or not (match := _content_type.fullmatch(content_type)):
        return "is not a media type: write type/subtype without parameters, as in application/pdf (RFC 6838 section 4.2)"
    if match[1].lower() in ("multipart", "message"):
        return "is a type that may not be sent in base64 (RFC 2045 section 6.4): send application/octet-stream instead"
    return ""


def check_message_id(message_id: str) -> str:
    """Why this can't be a Message-ID as ACS takes it, `<left@domain.tld>` with the angle brackets, or ""."""
    if len(message_id) > MAX_MESSAGE_ID:
        return f"is longer than {MAX_MESSAGE_ID} characters"
    if not _message_id.fullmatch(message_id):
        return "is not a message id: write it as <unique@example.com>, with the angle brackets (RFC 5322 section 3.6.4)"
    return ""


def check_custom_header(name: str, value: str) -> str:
    """Why a caller may not set this header, or "". Message-ID and the x-ms-acsemail switches are not for this check."""
    if len(name) > MAX_HEADER_NAME or not _field_name.fullmatch(name):
        return (
            f"has a name that is not 1 to {MAX_HEADER_NAME} printable ASCII characters without a colon (RFC 5322 section 3.6.8)"
        )
    if _reserved.fullmatch(name.lower()):
        return "is set by the service and can't be set by the caller: leave it out"
    if not value.strip(" "):
        return "has an empty value: leave it out"
    if found := _control.search(value):
        return _has_control(found[0])
    if len(value) > MAX_HEADER_VALUE or len(folded := fold_unstructured(name, value)) > MAX_HEADER_VALUE:
        return f"is longer than {MAX_HEADER_VALUE} octets"
    if any(len(line) > MAX_LINE for line in folded.split(b"\r\n")):
        return f"has more than {MAX_LINE} characters without a space, so it can't be folded (RFC 5322 section 2.1.1)"
    return ""


def check_custom_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Every header that a caller may not set, with the reason; the name is empty when all of them together are too much."""
    faults = []
    names: set[str] = set()
    size = 0
    for name, value in headers:
        reason = check_custom_header(name, value)
        if not reason and name.lower() in names:
            reason = "is given twice, in names that differ only by case: give it once"
        if reason:
            faults.append((name, reason))
        names.add(name.lower())
        size += len(name) + len(value)
    if len(names) > MAX_CUSTOM_HEADERS or size > MAX_CUSTOM_HEADERS_BYTES:
        faults.append(("", f"are more than {MAX_CUSTOM_HEADERS} or together longer than {MAX_CUSTOM_HEADERS_BYTES} octets"))
    return faults


def _has_control(character: str) -> str:
    return f"has a control character (U+{ord(character):04X}): remove it"


_PRINTABLE_AND_CRLF = bytes(range(0x20, 0x7F)) + b"\r\n"
_field_start = re.compile(rb"([!-9;-~]+):( |$)")
_fold = re.compile(rb" +[^ ]")


def check_header_block(block: bytes, *, fields: int | None = None, smtputf8: bool = False) -> None:
    """Let a finished header block pass only if no byte of it can be taken for anything but what we meant.

    The block ends with the CRLF of its last field, before the empty line. `fields` is how many were meant: a field that
    somebody smuggled in looks like any other, but it is one too many. `smtputf8`: it may hold UTF-8 (RFC 6532). Raises
    HeaderInjection.
    """
    foreign = block.translate(None, _PRINTABLE_AND_CRLF)
    if foreign and not (smtputf8 and _is_plain_utf8(foreign)):
        raise HeaderInjection("a header holds a control character or an octet that is not ASCII")
    if not block.endswith(b"\r\n") or not block.count(b"\r\n") == block.count(b"\r") == block.count(b"\n"):
        raise HeaderInjection("a header holds a carriage return or a line feed of its own")
    found = 0
    seen: set[bytes] = set()
    for number, line in enumerate(block[:-2].split(b"\r\n")):
        if len(line) > MAX_LINE:
            raise HeaderInjection(f"a header line is longer than {MAX_LINE} octets")
        if field := _field_start.match(line):
            name = field[1].lower()
            if name in seen and name in SINGLETONS:
                raise HeaderInjection(f"the header field {name.decode()} appears twice")
            seen.add(name)
            found += 1
        elif number == 0 or not _fold.match(line):
            raise HeaderInjection("a header line is neither the start of a field nor the continuation of one")
    if fields is not None and found != fields:
        raise HeaderInjection(f"a header block has {found} fields, not {fields}")


def _is_plain_utf8(text: bytes) -> bool:
    try:
        return not _control.search(text.decode("utf-8"))
    except UnicodeDecodeError:
        return False
