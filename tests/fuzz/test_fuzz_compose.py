"""Every message that we compose is read back by the standard library: same structure, same content, nothing added."""

from __future__ import annotations

import base64
import re
from email import policy
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.parser import BytesParser
from email.utils import collapse_rfc2231_value, getaddresses

from hypothesis import given, settings
from hypothesis import strategies as st

from email_core.message.address import Address
from email_core.message.compose import compose
from email_core.message.draft import Attachment, Draft, decode_draft, encode_draft
from email_core.message.headers import HeaderInjection
from email_core.message.html_text import text_from_html
from tests.kit.draft_strategies import drafts
from tests.kit.drafts import DATE, MESSAGE_ID, an_address


@given(drafts)
@settings(max_examples=200, deadline=None)
def test_composed_message_is_read_back_as_it_was_meant(draft: Draft) -> None:
    message = compose(decode_draft(encode_draft(draft)), message_id=MESSAGE_ID, date=DATE)

    assert_well_formed(message)
    assert_headers(BytesParser(policy=policy.compat32).parsebytes(message), draft)
    modern = BytesParser(policy=policy.default).parsebytes(message)
    assert isinstance(modern, EmailMessage)
    assert_structure(modern, draft)


def assert_well_formed(message: bytes) -> None:
    assert message.endswith(b"\r\n")
    assert b"\r" not in message.replace(b"\r\n", b"") and b"\n" not in message.replace(b"\r\n", b"")
    assert max(map(len, message.split(b"\r\n"))) <= 998
    assert b"hidden" not in message and b"\r\nbcc" not in message.lower()


def text_of_header(message: Message, name: str) -> str:
    # compat32 hands out the field as it stands. Only an encoded word is decoded: the rest may hold look-alikes by right.
    value = re.sub(r"\r\n(?= )", "", str(message[name]))
    return str(make_header(decode_header(value))) if re.match(r"=\?utf-8\?[qb]\?[^ ]*\?=( |$)", value) else value


def assert_headers(message: Message, draft: Draft) -> None:
    fields = ["Date", "From", *(["To"] if draft.to or not draft.cc else []), *(["Cc"] if draft.cc else [])]
    fields += [*(["Reply-To"] if draft.reply_to else []), "Subject", "Message-ID", *(name for name, _ in draft.headers)]
    assert message.keys()[: len(fields)] == fields
    assert set(message.keys()[len(fields) :]) <= {"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Importance"}
    assert text_of_header(message, "Subject") == draft.subject
    assert message["Message-ID"] == MESSAGE_ID
    for name, value in draft.headers:
        if value.isascii():
            assert str(message[name]).replace("\r\n", "") == value.strip(" ")
        else:
            assert text_of_header(message, name) == value.strip(" ")


def read_addresses(message: EmailMessage, name: str) -> list[tuple[str, str]]:
    if message[name] is None or message[name] == "undisclosed-recipients:;":
        return []
    # The parser of bytes shows UTF-8 in a header as surrogates.
    specs = [mailbox.addr_spec.encode("utf-8", "surrogateescape").decode() for mailbox in message[name].addresses]
    # The new policy puts a blank between two encoded words of a name, against RFC 2047 section 6.2; the old one does not.
    unfolded = str(dict(message.raw_items())[name]).replace("\r\n", "")
    shown = [str(make_header(decode_header(display_name))) for display_name, _ in getaddresses([unfolded])]
    return list(zip(shown, specs, strict=True))


def assert_structure(message: EmailMessage, draft: Draft) -> None:
    for name, expected in {"From": (draft.sender,), "To": draft.to, "Cc": draft.cc, "Reply-To": draft.reply_to}.items():
        assert read_addresses(message, name) == [(address.display_name, address.addr_spec) for address in expected]
    inline = [file for file in draft.attachments if file.content_id and draft.html]
    attached = [file for file in draft.attachments if file not in inline]
    content = message
    if attached:
        content = assert_multipart(content, "multipart/mixed", attached, "attachment")
    if inline:
        content = assert_multipart(content, "multipart/related", inline, "inline")
    if not draft.html:
        assert_text(content, "text/plain", draft.text or "")
        return
    text = draft.text or text_from_html(draft.html)
    if text:
        assert content.get_content_type() == "multipart/alternative"
        plain, content = content.iter_parts()
        assert_text(plain, "text/plain", text)
    assert_text(content, "text/html", draft.html)


def assert_multipart(message: EmailMessage, content_type: str, files: list[Attachment], disposition: str) -> EmailMessage:
    assert message.get_content_type() == content_type
    root, *parts = message.iter_parts()
    assert len(parts) == len(files)
    for part, file in zip(parts, files, strict=True):
        assert part.get_content_type() == file.content_type.lower()
        assert part.get_content_disposition() == disposition
        assert part.get_payload(decode=True) == base64.b64decode(file.body)
        # Not get_filename, which strips blanks and angle brackets of what it read.
        assert part["Content-Disposition"].params["filename"] == file.name
        assert collapse_rfc2231_value(part.get_param("name")).isascii()
        assert part["Content-ID"] == (f"<{file.content_id}>" if disposition == "inline" else None)
    return root


def assert_text(part: EmailMessage, content_type: str, text: str) -> None:
    assert part.get_content_type() == content_type
    assert part.get_content_charset() == "utf-8"
    expected = text.replace("\r\n", "\n").replace("\r", "\n")
    expected += "\n" if expected and not expected.endswith("\n") else ""
    assert part.get_payload(decode=True).decode().replace("\r\n", "\n") == expected


# Texts that no door would let in, straight into a draft: composed without harm, or not at all.
TRICKS = ["\r", "\n", "\r\n", "Bcc: x@y.co", "\x00", "\t", "\u2028", "\x85", ">", '"', "a", " ", ":", "é"]
hostile = st.lists(st.sampled_from(TRICKS), max_size=6).map("".join)


@given(hostile, hostile, hostile, hostile, hostile, hostile, hostile, hostile)
@settings(max_examples=200, deadline=None)
def test_composed_message_never_has_a_field_that_was_not_meant(
    subject: str, name: str, local: str, domain: str, header: str, value: str, file_name: str, content_id: str
) -> None:
    file = Attachment(file_name, f"image/{domain}png", b"eHh4eA==", 4, content_id)
    draft = Draft(Address(local, domain, name), subject, to=(Address("a", "b.co"),), html="<p>x</p>")
    for change in (draft, Draft(an_address(), "x", headers=((header, value),)), Draft(an_address(), "x", attachments=(file,))):
        try:
            message = compose(change, message_id=MESSAGE_ID, date=DATE)
        except HeaderInjection:
            continue
        assert_well_formed(message)
        expected = {"Date", "From", "To", "Subject", "Message-ID", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"}
        assert set(BytesParser(policy=policy.compat32).parsebytes(message).keys()) <= expected | {
            header for header, _ in change.headers
        }
