"""A message from options or from a file, as the request that the data plane takes."""

from __future__ import annotations

import argparse
import base64
import io
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from email_core.data_plane.send_request import parse_send_request
from local.cli import read_command_line
from local.message_request import MessageError, message_request

WORLD = {"SENDER_ADDRESS": "DoNotReply@x.postrider.test", "RECIPIENT_ADDRESS": "delivered@simulator.postrider.test"}


def options(*arguments: str) -> argparse.Namespace:
    return read_command_line(["send", *arguments]).options


def test_request_without_options_is_a_first_message_to_the_test_recipient() -> None:
    assert message_request(options(), WORLD) == {
        "senderAddress": "DoNotReply@x.postrider.test",
        "content": {"subject": "A message from ./postrider send", "plainText": "Hello from the other side.\n"},
        "recipients": {"to": [{"address": "delivered@simulator.postrider.test"}]},
        "headers": {},
        "attachments": [],
    }


def test_request_of_options_has_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"notes")
    (tmp_path / "blob").write_bytes(b"\0")
    request = message_request(
        options(
            "--from", "news@contoso.test", "--to", "Jo Doe <jo@a.test>", "--to", "b@b.test", "--cc", '"C, D" <c@c.test>',
            "--bcc", "d@d.test", "--reply-to", "r@r.test", "--subject", "S", "--text", "T", "--html", "<p>H",
            "--attach", str(tmp_path / "notes.txt"), "--attach", str(tmp_path / "blob"), "--header", "X-A:  b: c ",
        ),
        WORLD,
    )  # fmt: skip
    assert request == {
        "senderAddress": "news@contoso.test",
        "content": {"subject": "S", "plainText": "T", "html": "<p>H"},
        "recipients": {
            "to": [{"address": "jo@a.test", "displayName": "Jo Doe"}, {"address": "b@b.test"}],
            "cc": [{"address": "c@c.test", "displayName": "C, D"}],
            "bcc": [{"address": "d@d.test"}],
        },
        "replyTo": [{"address": "r@r.test"}],
        "headers": {"X-A": "b: c"},
        "attachments": [
            {"name": "notes.txt", "contentType": "text/plain", "contentInBase64": "bm90ZXM="},
            {"name": "blob", "contentType": "application/octet-stream", "contentInBase64": "AA=="},
        ],
    }


def test_request_text_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("piped\n"))
    assert message_request(options("--text", "-"), WORLD)["content"]["plainText"] == "piped\n"


@pytest.fixture
def eml(tmp_path: Path) -> Path:
    message = EmailMessage()
    message["From"] = "The News <news@contoso.test>"
    message["To"] = "Jos\u00e9 <jose@a.test>, b@b.test"
    message["Cc"] = "c@c.test"
    message["Reply-To"] = "r@r.test"
    message["Subject"] = "Caf\u00e9"
    message["X-Campaign"] = "winter"
    message["Received"] = "from elsewhere"
    message["Message-ID"] = "<old@elsewhere.test>"
    message.set_content("plain \u00e9\n")
    message.add_alternative("<img src='cid:logo'>", subtype="html")
    html = message.get_body(("html",))
    assert html
    html.add_related(b"PNG", "image", "png", cid="<logo>", filename="logo.png")
    message.add_attachment(b"%PDF", "application", "pdf", filename="bill.pdf")
    path = tmp_path / "message.eml"
    path.write_bytes(message.as_bytes())
    return path


def test_request_of_a_file_keeps_texts_addresses_attachments_and_own_headers(eml: Path) -> None:
    request = message_request(options(str(eml)), WORLD)
    attachments: list[dict[str, Any]] = request.pop("attachments")
    assert request == {
        "senderAddress": "news@contoso.test",
        "senderDisplayName": "The News",
        "recipients": {
            "to": [{"address": "jose@a.test", "displayName": "Jos\u00e9"}, {"address": "b@b.test"}],
            "cc": [{"address": "c@c.test"}],
        },
        "replyTo": [{"address": "r@r.test"}],
        "content": {"subject": "Caf\u00e9", "plainText": "plain \u00e9\n", "html": "<img src='cid:logo'>\n"},
        "headers": {"X-Campaign": "winter"},
    }
    assert [(each["name"], each["contentType"], base64.b64decode(each["contentInBase64"])) for each in attachments] == [
        ("logo.png", "image/png", b"PNG"),
        ("bill.pdf", "application/pdf", b"%PDF"),
    ]
    assert [each.get("contentId") for each in attachments] == ["logo", None]


def test_request_options_replace_what_a_file_says(eml: Path) -> None:
    request = message_request(options(str(eml), "--to", "only@me.test", "--subject", "Other"), WORLD)
    assert request["recipients"]["to"] == [{"address": "only@me.test"}]
    assert request["content"]["subject"] == "Other"
    assert request["senderAddress"] == "news@contoso.test"


def test_request_is_one_that_the_data_plane_takes(eml: Path) -> None:
    import json

    draft = parse_send_request(json.dumps(message_request(options(str(eml)), WORLD)).encode(), max_recipients=50)
    assert (draft.sender.addr_spec, draft.subject, len(draft.attachments)) == ("news@contoso.test", "Caf\u00e9", 2)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--header", "nonsense"], "not of the form"),
        (["--attach", "/no/such/file"], "cannot be read"),
        (["/no/such/file.eml"], "cannot be read"),
        (["/dev/null"], "no message"),
    ],
)
def test_request_of_what_cannot_be_read_is_refused(arguments: list[str], word: str) -> None:
    with pytest.raises(MessageError, match=word):
        message_request(options(*arguments), WORLD)


def test_request_without_sender_or_recipient_says_which_option_is_missing() -> None:
    with pytest.raises(MessageError, match="--to"):
        message_request(options(), {})
    with pytest.raises(MessageError, match="--from"):
        message_request(options("--to", "a@b.test"), {})
