"""Every message that is taken means the same to the standard library: one From, the same mailbox, the same body."""

from __future__ import annotations

from dataclasses import replace
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import getaddresses

from hypothesis import given, settings
from hypothesis import strategies as st

from email_core.message.address import AddressError, parse_address
from email_core.message.mailbox import MailboxError, read_mailbox
from email_core.message.mime_draft import MimeDraft
from email_core.message.mime_header import read_header
from email_core.message.mime_intake import Arrival, read_message
from email_core.message.mime_tree import read_parts
from email_core.message.refusal import MessageRefused
from tests.kit.drafts import DATE, an_address

PIECES = [
    "a", "b.c", "@", "example.com", "x.example", "a@example.com", "b@x.example", "<", ">", ",", ";", ":", "(", ")", '"', "\\",
    " ", "\t", "\r\n ", "\r\n\t", "=?utf-8?q?", "a=40b", "?=", "=?utf-8?b?YUBiLmNv?=", "[", "]", "127.0.0.1", ".", "é", "%",
    "!", "Jane", "\x00", "\r", "\n", "\r\n", "Team:", "=", "_", "+", "'",
]  # fmt: skip
LINES = [
    "From: a@example.com", "from:b@x.example", "From : a@example.com", " From: c@x.example", "\tFrom: c@x.example", "FROM:",
    "Sender: a@example.com", "Subject: hi", "To: x@y.co", "Bcc: x@y.co", "Date: x", "Message-ID: <a@b>", "X", "", " ", "X:",
    "Resent-From: a@example.com", "Return-Path: <>", "Content-Type: multipart/mixed; boundary=b", "--b", "--b--", "From x",
    "Content-Type: message/rfc822", "x-postrider-time-to-live: 60", "é: x", "Subject: é", "text",
]  # fmt: skip
values = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
ARRIVAL = Arrival(an_address("a@example.com"), "op-1", "relay.example.net", DATE, smtputf8=True)
PLAIN = replace(ARRIVAL, smtputf8=False)


def taken(raw: bytes, arrival: Arrival = ARRIVAL) -> MimeDraft | None:
    try:
        return read_message(raw, arrival)
    except MessageRefused as refused:
        assert refused.text.isascii() and refused.text.isprintable()
        return None


def address_of_from(message: EmailMessage) -> str:
    try:
        (mailbox,) = message["From"].addresses
        spec = mailbox.addr_spec
    except AttributeError:
        # "Contoso Inc. <a@example.com>": the new parser of the standard library falls over the last dot of a name.
        unfolded = next(value for name, value in message.raw_items() if name.lower() == "from").replace("\r\n", "")
        ((_, spec),) = getaddresses([unfolded])
    return spec.encode("utf-8", "surrogateescape").decode()


def header_of(draft: MimeDraft) -> bytes:
    return draft.message.partition(b"\r\n\r\n")[0]


def shown(name: str) -> str:
    """A name without blanks: the standard library keeps those between two encoded words of a name (RFC 2047 section 6.2)."""
    return "".join(name.split())


def addresses_of(message: bytes) -> list[str]:
    """The addresses of To, by the old parser of the standard library."""
    header, _, _ = message.partition(b"\r\n\r\n")
    [field] = [each for each in header.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ").split(b"\r\n") if each[:3] == b"To:"]
    return [spec for _, spec in getaddresses([field[3:].decode()])]


def assert_same_to_others(draft: MimeDraft, raw: bytes) -> None:
    message = BytesParser(policy=policy.SMTP).parsebytes(draft.message)
    assert isinstance(message, EmailMessage)
    assert [name.lower() for name, _ in message.raw_items()].count("from") == 1
    assert parse_address(address_of_from(message)).addr_spec == draft.sender.addr_spec
    assert "Bcc" not in message and "Return-Path" not in message
    for name in ("Date", "Message-ID"):
        assert len(message.get_all(name)) == 1
    assert draft.message.partition(b"\r\n\r\n")[2] == (raw.partition(b"\r\n\r\n")[2] if not raw.startswith(b"\r\n") else None)
    read_parts(draft.message)


@given(values, values)
@settings(max_examples=1000, deadline=None)
def test_from_that_is_taken_is_the_same_mailbox_to_the_standard_library(before: str, after: str) -> None:
    for value in (before + after, f"{before}<a@example.com>{after}", f"{before}a@example.com{after}"):
        raw = f"From: {value}\r\nSubject: x\r\n\r\nbody\r\n".encode()
        for arrival in (ARRIVAL, PLAIN):
            if (draft := taken(raw, arrival)) is not None:
                assert_same_to_others(draft, raw)
                assert arrival.smtputf8 or header_of(draft).isascii()
                assert draft.sender.addr_spec == read_mailbox(str(read_header(raw).value("from"))).addr_spec


@given(st.lists(st.sampled_from(LINES), max_size=12), st.binary(max_size=40))
@settings(max_examples=1000, deadline=None)
def test_message_that_is_taken_is_the_same_to_the_standard_library(lines: list[str], rest: bytes) -> None:
    raw = "".join(f"{line}\r\n" for line in lines).encode() + rest
    for message in (raw, b"From: a@example.com\r\n" + raw):
        for arrival in (ARRIVAL, PLAIN):
            if (draft := taken(message, arrival)) is not None:
                assert_same_to_others(draft, message)
                assert arrival.smtputf8 or header_of(draft).isascii()


# A header text as programs write it raw: no control character, and nothing that is an encoded word already.
texts = st.text(st.characters(blacklist_categories=("Cc", "Cs"), blacklist_characters="\u2028\u2029"), max_size=120).filter(
    lambda text: "=?" not in text
)


@given(texts, texts, st.lists(st.integers(1, 120), max_size=4))
@settings(max_examples=500, deadline=None)
def test_raw_text_is_read_by_the_standard_library_as_it_was_written(subject: str, name: str, folds: list[int]) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    written = subject.strip(" ")
    for at in folds:
        if written[at : at + 1] == " " and written[:at].strip(" ") and written[at:].strip(" "):
            written = f"{written[:at]}\r\n{written[at:]}"
    fields = f'From: a@example.com\r\nSubject: {written}\r\nTo: "{quoted}" <b@x.example>\r\n'
    disposition = f'Content-Disposition: attachment; filename="{quoted}"\r\n'
    draft = taken(f"{fields}{disposition}\r\nbody\r\n".encode(), PLAIN)

    assert draft is not None and header_of(draft).isascii()
    message = BytesParser(policy=policy.SMTP).parsebytes(draft.message)
    assert isinstance(message, EmailMessage)
    assert message["Subject"] == subject.strip(" ")
    if not name.isascii():
        [mailbox] = message["To"].addresses
        assert (mailbox.addr_spec, shown(mailbox.display_name)) == ("b@x.example", shown(name))
        assert shown(str(message.get_filename())) == shown(name)
    assert all(len(line) <= 78 for line in header_of(draft).split(b"\r\n") if b"=?utf-8?" in line)


@given(values)
@settings(max_examples=500, deadline=None)
def test_addresses_of_a_list_are_the_same_when_its_names_are_encoded(value: str) -> None:
    raw = f"From: a@example.com\r\nTo: {value}\r\n\r\nbody\r\n".encode()
    if (draft := taken(raw, PLAIN)) is None or taken(raw.replace(b"\xc3\xa9", b"e"), PLAIN) is None:
        return
    before = addresses_of(raw.replace(b"\xc3\xa9", b"e"))
    after = addresses_of(draft.message)
    assert [spec for spec in after if "@" in spec] == [spec for spec in before if "@" in spec]


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_bytes_of_any_kind_are_refused_or_taken(raw: bytes) -> None:
    taken(raw)
    taken(b"From: a@example.com\r\n" + raw + b"\r\n")


@given(st.text(max_size=60))
@settings(max_examples=500, deadline=None)
def test_text_of_any_kind_is_a_mailbox_or_not(text: str) -> None:
    try:
        address = read_mailbox(text)
    except MailboxError as error:
        assert error.reason
        return
    try:
        assert parse_address(address.addr_spec).key == address.key
    except AddressError as error:
        raise AssertionError("a mailbox whose address is none") from error
