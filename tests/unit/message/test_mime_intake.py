"""What becomes of a message that came by SMTP: the security list's row 7, and what is added and removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from email_core.message.draft import encode_draft
from email_core.message.mime_draft import MimeDraft, decode_stored, encode_mime_draft
from email_core.message.mime_header import MAX_HEADER
from email_core.message.mime_intake import MAX_RECEIVED, Arrival, read_message
from email_core.message.refusal import MessageRefused
from email_core.message.seven_bit import in_seven_bits
from tests.kit.drafts import DATE, a_draft, an_address

GOLDEN = sorted((Path(__file__).parents[2] / "golden" / "intake").glob("*.msg"))
HEAD = b"From: Jane <jane@example.com>\r\nTo: bob@example.org\r\nSubject: Hi\r\n"
OURS = b"Date: Sun, 22 Nov 2026 01:19:43 +0000\r\nMessage-ID: <op-1@example.com>\r\n"
RECEIVED = b"Received: by relay.example.net (Postrider) with ESMTPSA id op-1;\r\n Sun, 22 Nov 2026 01:19:43 +0000\r\n"


def arrival(envelope_from: str = "bounces@example.com", *, smtputf8: bool = False) -> Arrival:
    return Arrival(an_address(envelope_from), "op-1", "relay.example.net", DATE, smtputf8)


def read(fields: bytes, body: bytes = b"Hello.\r\n", *, smtputf8: bool = False) -> MimeDraft:
    return read_message(fields + b"\r\n" + body, arrival(smtputf8=smtputf8))


def test_message_without_date_and_id_gets_them() -> None:
    draft = read(HEAD)

    assert draft.message == RECEIVED + OURS + HEAD + b"\r\nHello.\r\n"
    assert (draft.sender.addr_spec, draft.sender.display_name) == ("jane@example.com", "Jane")
    assert draft.message_id == "<op-1@example.com>"
    assert (draft.tracking_disabled, draft.time_to_live) == (False, 0.0)


def test_message_that_has_all_is_left_as_it_is() -> None:
    fields = (
        b"DKIM-Signature: v=1; d=example.net\r\nReceived: from a by b; Sun, 22 Nov 2026 01:00:00 +0000\r\n"
        + HEAD
        + b"Date: yesterday\r\nmessage-id:   <a@localhost>\r\nX-Priority: 1 (Urgent)\r\nReply-To: a@x.co, b@y.co\r\n"
    )
    body = b"\t trailing \t\r\n\r\n\xff\xfe\r\n.\r\n\r\n\r\nno end"
    draft = read(fields, body)

    assert draft.message == RECEIVED + fields + b"\r\n" + body
    assert draft.message_id == "<a@localhost>"


@pytest.mark.parametrize(
    "field",
    [
        b"Bcc: secret@example.org\r\n",
        b"bcc: a@b.co,\r\n c@d.co\r\nBCC: e@f.co\r\n",
        b"Resent-Bcc: secret@example.org\r\n",
        b"Return-Path: <x@y.co>\r\n",
        b"X-MS-AcsEmail-Suppress-Invalid-Attachment: true\r\n",
        b"x-ms-acsemail-ignore-duplicate-content-id: false\r\n",
        b"x-ms-acsemail-validate-message-id: true\r\n",
        b"X-Postrider-Time-To-Live: 3600\r\n",
        b"X-Postrider-Tracking-Disabled: true\r\n",
    ],
)
def test_field_that_is_not_for_recipients_is_removed(field: bytes) -> None:
    assert read(field + HEAD).message == read(HEAD + field).message == read(HEAD).message


def test_message_without_destination_gets_the_group_of_nobody() -> None:
    fields = b"From: Jane <jane@example.com>\r\nSubject: Hi\r\n"

    expected = RECEIVED + OURS + b"To: undisclosed-recipients:;\r\n" + fields + b"\r\nHello.\r\n"
    assert read(fields + b"Bcc: x@y.co\r\n").message == expected
    assert b"undisclosed" not in read(fields + b"Cc: x@y.co\r\n").message


@pytest.mark.parametrize("name", [b"DKIM-Signature", b"ARC-Message-Signature"])
def test_message_without_destination_that_others_signed_gets_none(name: bytes) -> None:
    fields = b"From: Jane <jane@example.com>\r\n%b: h=from:to:cc; b=x\r\n" % name

    assert b"undisclosed" not in read(fields).message


def test_switches_are_read() -> None:
    draft = read(HEAD + b"X-Postrider-Time-To-Live: 3600\r\nX-Postrider-Tracking-Disabled: TRUE\r\n")

    assert (draft.tracking_disabled, draft.time_to_live) == (True, 3600.0)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (b"X-Postrider-Time-To-Live: 5\r\n", "60 to 432000"),
        (b"X-Postrider-Time-To-Live: 60\r\nX-Postrider-Time-To-Live: 60\r\n", "twice"),
        (b"X-Postrider-Tracking-Disabled: yes\r\n", "'true' or 'false'"),
        (b"X-Postrider-Tracking: false\r\n", "no switch that is known"),
        (b"x-ms-acsemail-validate: true\r\n", "no switch that is known"),
        (b"x-ms-acsemail-validate-message-id: true\r\nMessage-ID: <a@localhost>\r\n", "not a message id"),
    ],
)
def test_switch_that_is_wrong_is_refused(field: bytes, text: str) -> None:
    with pytest.raises(MessageRefused) as refused:
        read(HEAD + field)

    assert text in refused.value.text


@pytest.mark.parametrize(
    "value",
    [b"", b"a@b", b"<a@b> <c@d>", b"<a b@c>", b"<>", b"<@>", b"<a@b@>c", b"<" + b"x" * 250 + b"@b.co>", b"<a@b>\r\n <c@d>"],
)
def test_message_id_that_is_none_is_replaced(value: bytes) -> None:
    assert read(HEAD + b"Message-ID: " + value + b"\r\n").message == read(HEAD).message


@pytest.mark.parametrize(
    ("fields", "code", "enhanced", "text"),
    [
        (b"To: a@b.co\r\n", 554, "5.6.0", "no From field"),
        (b"From: a@example.com\r\nFrom: a@example.com\r\n", 554, "5.6.0", "more than one From"),
        (b"From: a@example.com\r\nfrom: b@example.com\r\n", 554, "5.6.0", "more than one From"),
        (b"From: a@example.com, b@example.com\r\n", 554, "5.6.0", "From field names several"),
        (b"From: Team: a@example.com;\r\n", 554, "5.6.0", "From field has group syntax"),
        (b"From:\r\n", 554, "5.6.0", "From field has no address"),
        (b"From: <>\r\n", 554, "5.6.0", "From field has an address that is empty"),
        (b"From: a(b)@example.com\r\n", 554, "5.6.0", "From field has a comment"),
        (b"From: a@example.com\r\nSender: a@example.com\r\nSender: a@example.com\r\n", 554, "5.6.0", "more than one Sender"),
        (b"From: a@example.com\r\nSender: ceo@bank.example\r\n", 550, "5.7.1", "Sender field names neither"),
        ("From: straße@example.com\r\nSender: strasse@example.com\r\n".encode(), 550, "5.7.1", "Sender field names neither"),
        (b"From: a@example.com\r\nSender:\r\n", 554, "5.6.0", "Sender field has no address"),
        (b"From: a@example.com\r\nResent-From: ceo@bank.example\r\n", 550, "5.7.1", "Resent-From field names neither"),
        (b"From: a@example.com\r\nResent-From: a@example.com, b@x.co\r\n", 554, "5.6.0", "Resent-From field names several"),
        (b"From: a@example.com\r\nResent-Sender: ceo@bank.example\r\n", 550, "5.7.1", "Resent-Sender field names neither"),
        (b"From: a@example.com\r\n" + b"Received: x\r\n" * (MAX_RECEIVED + 1), 554, "5.4.6", "Received"),
        (b"From: a@example.com\r\nSubject: Gr\xfc\xdfe\r\n", 554, "5.6.0", "neither ASCII nor UTF-8: Latin-1"),
        (b"From: a@example.com\r\nTo: j\xc3\xb6@b.co\r\n", 554, "5.6.0", "outside of ASCII in an address"),
        (b"From: j\xc3\xb6@example.com\r\n", 554, "5.6.0", "The From field has characters outside of ASCII in an address"),
        (b"From: M\xc3\xbcller, J\xc3\xb6rg <a@example.com>\r\n", 554, "5.6.0", "From field names several"),
        ("From: \u202eeno <a@example.com>\r\n".encode(), 554, "5.6.0", "From field has a name that has a control character"),
        ("From: a@example.com (\u202eeno)\r\n".encode(), 554, "5.6.0", "From field has a comment that has a control character"),
        ("From: a@example.com\r\nSender: ö <ceo@bank.example>\r\n".encode(), 550, "5.7.1", "Sender field names neither"),
        ("From: a@example.com\r\nx-postrider-tracking-disabled: ö\r\n".encode(), 554, "5.6.0", "'true' or 'false'"),
        (b"From: a@example.com\r\nSubject: a\nBcc: x\r\n", 554, "5.6.11", "bare CR or LF"),
        (b"From: a@example.com\r\nSubject: " + b"x" * 990 + b"\r\n", 554, "5.6.0", "998"),
        (b"From: a@example.com\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * 60, 554, "5.6.0", "nested"),
    ],
    ids=lambda value: repr(value)[:60],
)  # fmt: skip
def test_message_with_a_trick_is_refused_with_cause(fields: bytes, code: int, enhanced: str, text: str) -> None:
    with pytest.raises(MessageRefused) as refused:
        read(fields, smtputf8=b"stra" in fields)

    assert (refused.value.code, refused.value.enhanced) == (code, enhanced)
    assert text in refused.value.text and refused.value.text.isascii() and "\n" not in refused.value.text


@pytest.mark.parametrize(
    "field",
    [
        b"Sender: jane@example.com\r\n",
        b"Sender: JANE@Example.com\r\n",
        b"Sender: Mailer <bounces@example.com>\r\n",
        b"Resent-From: bounces@example.com\r\nResent-From: jane@example.com\r\nResent-To: x@y.co\r\n",
        b"To: undisclosed-recipients:;\r\n",
        b"Reply-To: someone@else.example\r\n",
    ],
)
def test_field_that_names_an_allowed_sender_is_kept(field: bytes) -> None:
    fields = b"From: Jane <jane@example.com>\r\n" + field

    assert fields in read(fields).message


RAW = "From: Jörg Müller <jane@example.com>\r\nSender: bounces@example.com (Büro)\r\nSubject: Grüße\r\nTo: Öst <a@b.co>\r\n"
ENCODED = (
    b"From: =?utf-8?b?SsO2cmcgTcO8bGxlcg==?= <jane@example.com>\r\nSender: bounces@example.com (=?utf-8?b?QsO8cm8=?=)\r\n"
    b"Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\nTo: =?utf-8?q?=C3=96st?= <a@b.co>\r\n"
)


@pytest.mark.parametrize("smtputf8", [False, True])
def test_raw_utf8_in_texts_is_encoded(smtputf8: bool) -> None:
    draft = read(RAW.encode(), smtputf8=smtputf8)

    assert draft.message.endswith(b"\r\n" + ENCODED + b"\r\nHello.\r\n")
    assert (draft.sender.display_name, draft.sender.addr_spec) == ("Jörg Müller", "jane@example.com")
    assert (b"with UTF8SMTPSA id" in draft.message) is smtputf8


def test_raw_utf8_in_what_is_removed_is_no_matter() -> None:
    assert read(HEAD + "Bcc: jörg@b.co\r\nReturn-Path: <ö@b.co>\r\n".encode()).message == read(HEAD).message
    assert read(HEAD + "Message-ID: <ö@b.co>\r\n".encode(), smtputf8=True).message.isascii()


@pytest.mark.parametrize("name", ["DKIM-Signature", "DomainKey-Signature", "ARC-Message-Signature"])
def test_raw_utf8_that_others_signed_is_never_changed(name: str) -> None:
    fields = f"{name}: v=1; h=from; b=x\r\n{RAW}".encode()

    assert fields in read(fields, smtputf8=True).message
    with pytest.raises(MessageRefused, match=r"a signature \(DKIM, ARC\)"):
        read(fields)


def test_header_too_large_to_be_encoded_is_taken_with_smtputf8_as_it_came() -> None:
    fields = HEAD + ("X: " + ("ö" * 480 + "\r\n ") * 60 + "ö\r\n").encode()

    assert fields in read(fields, smtputf8=True).message
    with pytest.raises(MessageRefused, match="in encoded words"):
        read(fields)


def test_smtputf8_message_keeps_its_header_and_says_so_in_received() -> None:
    draft = read("From: Jörg <jörg@bücher.example>\r\nSubject: Grüße\r\n".encode(), smtputf8=True)

    assert draft.sender.addr_spec == "jörg@xn--bcher-kva.example"
    assert b"with UTF8SMTPSA id" in draft.message
    assert "Subject: Grüße\r\n".encode() in draft.message


def test_draft_is_stored_and_told_from_one_of_the_other_door() -> None:
    mime, other = read(HEAD), a_draft()

    assert decode_stored(encode_mime_draft(mime)) == mime
    assert decode_stored(encode_draft(other)) == other


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_message_is_mended_as_the_file_says(path: Path, tmp_path: Path) -> None:
    try:
        made = read_message(path.read_bytes(), arrival("jane@example.com")).message
    except MessageRefused as refused:
        made = f"{refused.code} {refused.enhanced} {refused.text}\r\n".encode()
    (tmp_path / "made").write_bytes(made)

    assert made == path.with_suffix(".made").read_bytes(), f"what was made is in {tmp_path / 'made'}"


def test_golden_messages_are_there() -> None:
    assert len(GOLDEN) >= 8


def test_message_with_the_largest_header_is_read_again_when_it_is_encoded() -> None:
    filler = b"X: " + b"x" * 95 + b"\r\n"
    fields = HEAD + filler * ((MAX_HEADER - len(HEAD)) // len(filler))
    draft = read(fields, b"Gr\xc3\xbc\xc3\x9fe\r\n")

    assert len(draft.message) > MAX_HEADER
    assert in_seven_bits(draft.message).isascii()
