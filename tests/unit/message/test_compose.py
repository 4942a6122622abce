import time
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

import pytest

from email_core.message.address import Address
from email_core.message.compose import compose
from email_core.message.draft import Draft, decode_draft, encode_draft
from email_core.message.headers import HeaderInjection
from tests.kit.drafts import DATE, MESSAGE_ID, a_draft, an_address, an_attachment

LOGO = an_attachment(b"\x89PNG" * 50, "logo.png", "image/png", "logo")
FILE = an_attachment(b"%PDF" * 50)
HTML = '<p>Hi <a href="https://example.com">there</a><img src="cid:logo"></p>'


def composed(draft: Draft) -> bytes:
    return compose(draft, message_id=MESSAGE_ID, date=DATE)


def parsed(draft: Draft) -> EmailMessage:
    message = BytesParser(policy=policy.default).parsebytes(composed(draft))
    assert isinstance(message, EmailMessage)
    return message


def text_of(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    assert body is not None
    return body.get_content().replace("\r\n", "\n")


def structure(message: EmailMessage) -> str:
    if not message.is_multipart():
        return message.get_content_type()
    parts = ", ".join(structure(part) for part in message.iter_parts())
    return f"{message.get_content_subtype()}({parts})"


def test_compose_short_text_gives_exactly_these_bytes() -> None:
    draft = a_draft(
        sender=an_address("noreply@mail.example.com", "Example Shop"),
        cc=(an_address("joe@example.org", "Jörg"),),
        bcc=(an_address("secret@example.org"),),
        reply_to=(an_address("help@example.com"),),
        headers=(("X-Campaign", "autumn"), ("X-Priority", "1")),
    )

    assert composed(draft) == (
        b"Date: Sun, 22 Nov 2026 01:19:43 +0000\r\n"
        b"From: Example Shop <noreply@mail.example.com>\r\n"
        b"To: jane@example.org\r\n"
        b"Cc: =?utf-8?b?SsO2cmc=?= <joe@example.org>\r\n"
        b"Reply-To: help@example.com\r\n"
        b"Subject: Hello\r\n"
        b"Message-ID: <0b6cd7c2-6ab1-4f0f-a28f-7d0d0b7a2ed4@mail.example.com>\r\n"
        b"X-Campaign: autumn\r\n"
        b"X-Priority: 1\r\n"
        b"Importance: high\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"A short text.\r\n"
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "text/plain"),
        ({"text": None}, "text/plain"),
        ({"html": HTML}, "alternative(text/plain, text/html)"),
        ({"text": None, "html": HTML}, "alternative(text/plain, text/html)"),
        ({"text": None, "html": "<img src=cid:logo>"}, "text/html"),
        ({"attachments": (FILE,)}, "mixed(text/plain, application/pdf)"),
        ({"attachments": (LOGO,)}, "mixed(text/plain, image/png)"),
        ({"html": HTML, "attachments": (FILE,)}, "mixed(alternative(text/plain, text/html), application/pdf)"),
        ({"html": HTML, "attachments": (LOGO,)}, "related(alternative(text/plain, text/html), image/png)"),
        ({"html": "<img>", "text": None, "attachments": (LOGO,)}, "related(text/html, image/png)"),
        (
            {"html": HTML, "attachments": (FILE, LOGO, FILE)},
            "mixed(related(alternative(text/plain, text/html), image/png), application/pdf, application/pdf)",
        ),
    ],
)
def test_structure_is_only_as_deep_as_needed(changes: dict[str, object], expected: str) -> None:
    assert structure(parsed(a_draft(**changes))) == expected


def test_html_alone_gets_a_text_part_with_its_link_targets() -> None:
    assert text_of(parsed(a_draft(text=None, html=HTML))) == "Hi there <https://example.com>\n"


def test_text_that_is_given_is_not_derived() -> None:
    assert text_of(parsed(a_draft(text="mine", html=HTML))) == "mine\n"


def test_inline_image_has_its_content_id_and_its_root_type() -> None:
    message = parsed(a_draft(html=HTML, attachments=(LOGO,)))
    image = list(message.iter_parts())[1]

    assert image["Content-ID"] == "<logo>"
    assert image.get_content_disposition() == "inline"
    assert image.get_filename() == "logo.png"
    assert image.get_payload(decode=True) == b"\x89PNG" * 50
    assert message["Content-Type"].params["type"] == "multipart/alternative"


def test_attachment_name_outside_ascii_has_both_readers_served() -> None:
    message = composed(a_draft(attachments=(an_attachment(name="Übersicht.pdf"),)))

    assert b'Content-Type: application/pdf;\r\n name="Ubersicht.pdf"\r\n' in message
    assert b"Content-Disposition: attachment;\r\n filename*=utf-8''%C3%9Cbersicht.pdf\r\n" in message


def test_no_visible_recipient_writes_an_empty_group() -> None:
    message = composed(a_draft(to=(), bcc=(an_address("secret@example.org"),)))

    assert b"\r\nTo: undisclosed-recipients:;\r\n" in message
    assert b"secret" not in message and b"bcc" not in message.lower()


def test_cc_alone_writes_no_to() -> None:
    message = parsed(a_draft(to=(), cc=(an_address(),)))

    assert message["To"] is None and message["Cc"] == "jane@example.org"


@pytest.mark.parametrize(
    ("headers", "importance"),
    [
        ([("x-priority", "1")], "high"),
        ([("X-Priority", "2 (High)")], "high"),
        ([("X-Priority", "3")], "normal"),
        ([("X-MSMail-Priority", "5")], "low"),
        ([("X-MSMail-Priority", "High")], "high"),
        ([("X-Priority", "soon")], None),
        ([("X-Other", "1")], None),
        ([("X-Priority", "1"), ("Importance", "low")], "low"),
    ],
)
def test_importance_follows_the_priority_headers(headers: list[tuple[str, str]], importance: str | None) -> None:
    message = parsed(a_draft(headers=tuple(headers)))

    assert message["Importance"] == importance
    assert [message[name] for name, _ in headers] == [value for _, value in headers]


@pytest.mark.parametrize("seconds", [0, 951_782_400, 1_795_310_383.9, 4_102_444_799])
def test_date_is_that_second_in_utc(seconds: float) -> None:
    text = BytesParser(policy=policy.compat32).parsebytes(compose(a_draft(), message_id=MESSAGE_ID, date=seconds))["Date"]

    assert text.removesuffix(" +0000") == time.strftime("%a, %d %b %Y %H:%M:%S", time.gmtime(seconds)).replace(", 0", ", ")


def test_same_draft_composes_to_the_same_bytes_and_another_id_to_other_boundaries() -> None:
    draft = a_draft(html=HTML, attachments=(FILE, LOGO))
    stored = decode_draft(encode_draft(draft))

    assert composed(draft) == composed(stored)
    assert stored == draft
    other = compose(draft, message_id="<other@example.com>", date=DATE)
    assert parsed(draft).get_boundary() not in other.decode()


def test_text_that_holds_the_boundary_does_not_end_its_part() -> None:
    boundary = parsed(a_draft(html=HTML)).get_boundary()
    assert boundary is not None

    message = parsed(a_draft(text=f"--{boundary}\n--{boundary}--\n", html=f"<p>--{boundary}--</p>"))

    assert structure(message) == "alternative(text/plain, text/html)"
    assert text_of(message) == f"--{boundary}\n--{boundary}--\n"


def test_international_local_part_is_written_as_utf8_and_reported() -> None:
    draft = a_draft(to=(an_address("jörg@exämple.org", "Jörg"),))

    assert draft.needs_smtputf8
    assert "To: =?utf-8?b?SsO2cmc=?= <jörg@xn--exmple-cua.org>\r\n".encode() in composed(draft)
    assert not a_draft(bcc=(an_address("jörg@example.org"),)).needs_smtputf8


INJECTIONS = {
    "subject": {"subject": "Hello\r\nBcc: joe@example.org"},
    "subject line feed": {"subject": "Hello\nBcc: joe@example.org"},
    "subject that would be encoded": {"subject": "Grüße\r\nBcc: joe@example.org"},
    "sender name": {"sender": Address("a", "example.com", "A\r\nBcc: joe@example.org")},
    "sender local part": {"sender": Address("a\r\nBcc: joe", "example.com")},
    "recipient name": {"to": (Address("a", "example.com", "Ä\nB"),)},
    "recipient domain": {"to": (Address("a", "example.com>\r\nBcc: <joe@example.org"),)},
    "cc local part": {"cc": (Address("ä\x85b", "example.com"),)},
    "reply-to name": {"reply_to": (Address("a", "example.com", "\x00"),)},
    "header value": {"headers": (("X-A", "a\r\nBcc: joe@example.org"),)},
    "header value that would be encoded": {"headers": (("X-A", "ä\r\nBcc: joe@example.org"),)},
    "header name": {"headers": (("X-A: 1\r\nBcc", "joe@example.org"),)},
    "second from": {"headers": (("From", "joe@example.org"),)},
    "bcc as a header": {"headers": (("Bcc", "joe@example.org"),)},
    "header twice": {"headers": (("List-Unsubscribe", "<https://a.example>"), ("list-unsubscribe", "<https://b.example>"))},
    "header that can not be folded": {"headers": (("X-A", "a" * 1000),)},
    "attachment name": {"attachments": (an_attachment(name='a"\r\nX-A: 1'),)},
    "attachment type": {"attachments": (an_attachment(content_type="text/plain\r\nX-A: 1"),)},
    "attachment of messages": {"attachments": (an_attachment(content_type="message/rfc822"),)},
    "content id": {"html": "<p>x</p>", "attachments": (an_attachment(content_id="a>\r\nX-A: 1"),)},
}


@pytest.mark.parametrize("changes", INJECTIONS.values(), ids=INJECTIONS)
def test_injection_that_passed_every_door_is_not_composed(changes: dict[str, object]) -> None:
    with pytest.raises(HeaderInjection):
        composed(a_draft(**changes))


@pytest.mark.parametrize("message_id", ["", "guid@example.com", "<a@b.co>\r\nBcc: joe@example.org", "<a b@example.com>"])
def test_message_id_of_another_form_is_not_composed(message_id: str) -> None:
    with pytest.raises(HeaderInjection):
        compose(a_draft(), message_id=message_id, date=DATE)


def test_large_attachment_is_joined_as_it_is() -> None:
    file = an_attachment(bytes(range(256)) * 12_000)

    message = composed(a_draft(attachments=(file,)))

    assert message.count(file.body) == 1
    assert len(message) - len(file.body) < 1200
