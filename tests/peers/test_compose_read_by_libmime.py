"""An outside parser reads what we compose: libmime, the MIME library under mailparser and mailauth."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from email_core.message.compose import compose
from email_core.message.draft import Draft
from email_core.message.mime_intake import Arrival, read_message
from email_core.message.seven_bit import in_seven_bits
from tests.kit.drafts import DATE, MESSAGE_ID, a_draft, an_address, an_attachment
from tests.kit.peers import require

pytestmark = pytest.mark.peers

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "kit" / "read_mail.mjs"

TEXTS = [
    "Hello",
    "Grüße aus dem herbstlichen Köln",
    "注文の確認" * 20,
    "😀 " * 30,
    "x" * 300,
    "word " * 60,
    " blanks  ",
    "=?utf-8?q?x?=",
    'a "b" <c>',
]
NAMES = [
    "Jane Doe",
    "Doe, Jane",
    'The "Shop"',
    "back\\slash",
    "Jörg Müller",
    "注文の確認" * 20,
    "😀" * 20,
    "a.b@example.com",
    "=?utf-8?q?x?=",
    "M" * 100,
]
FILES = [
    "file.pdf",
    "my file.pdf",
    "Übersicht 2026.pdf",
    "注文の確認" * 15 + ".pdf",
    "a;b=c.pdf",
    "100% 'sure'.pdf",
    'the "file".pdf',
    "x" * 200 + ".pdf",
]
BODIES = [
    "plain\n",
    "Grüße, " * 300,
    "注文\n.\nFrom here\n",
    "x" * 3000,
    "trailing \n\ttab\t\n" + "ü" + "x" * 72 + " \n",
    "--=_x\n",
]


def read_by_libmime(drafts: list[Draft]) -> list[dict[str, Any]]:
    return read_messages([compose(draft, message_id=MESSAGE_ID, date=DATE) for draft in drafts])


def read_messages(sources: list[bytes]) -> list[dict[str, Any]]:
    require(shutil.which("node"), "Node is not installed")
    require((ROOT / "node_modules" / "libmime").is_dir(), "libmime is not installed: npm ci")
    messages = [base64.b64encode(source).decode() for source in sources]
    done = subprocess.run(
        ["node", str(SCRIPT)], input=json.dumps(messages).encode(), capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return json.loads(done.stdout)


def content(entity: dict[str, Any]) -> bytes:
    return base64.b64decode(entity["content"])


def test_headers_are_read_as_they_were_meant() -> None:
    drafts = [a_draft(subject=text) for text in TEXTS]
    for name in NAMES:
        named = (an_address("jane@example.org", name), an_address("jörg@exämple.org", name), an_address("joe@example.org"))
        drafts.append(a_draft(sender=named[0], to=named, cc=named, reply_to=named))

    for draft, entity in zip(drafts, read_by_libmime(drafts), strict=True):
        assert entity["subject"] == draft.subject
        for field, addresses in {"from": (draft.sender,), "to": draft.to, "cc": draft.cc, "reply-to": draft.reply_to}.items():
            assert entity[field] == [[address.display_name, address.addr_spec] for address in addresses]


def test_files_are_read_with_their_names_and_bytes() -> None:
    files = tuple(an_attachment(bytes(range(256)) * number, name, content_id="") for number, name in enumerate(FILES))
    images = tuple(an_attachment(b"x", name, "image/png", f"image{number}") for number, name in enumerate(FILES))

    (entity,) = read_by_libmime([a_draft(html="<p>x</p>", attachments=files + images)])

    related, *attached = entity["parts"]
    alternative, *inline = related["parts"]
    assert [entity["type"], related["type"], alternative["type"]] == [
        "multipart/mixed",
        "multipart/related",
        "multipart/alternative",
    ]
    assert {level["epilogue"].strip() for level in (entity, related, alternative)} == {"--"}
    assert [(part["name"], part["disposition"]) for part in attached] == [(name, "attachment") for name in FILES]
    assert [content(part) for part in attached] == [bytes(range(256)) * number for number in range(len(FILES))]
    assert [(part["name"], part["disposition"]) for part in inline] == [(name, "inline") for name in FILES]
    assert [part["contentId"] for part in inline] == [f"<image{number}>" for number in range(len(FILES))]


def test_texts_are_read_with_their_content() -> None:
    drafts = [a_draft(text=text, html=f"<p>{text}</p>") for text in BODIES]

    for draft, entity in zip(drafts, read_by_libmime(drafts), strict=True):
        assert [part["type"] for part in entity["parts"]] == ["text/plain", "text/html"]
        for part, text in zip(entity["parts"], (draft.text, draft.html), strict=True):
            assert content(part).decode().replace("\r\n", "\n").rstrip("\n") == str(text).rstrip("\n")


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def test_raw_utf8_of_a_program_is_read_as_it_was_written() -> None:
    """By SMTP without SMTPUTF8: subjects and names as a script writes them, and file names of parts."""
    arrival = Arrival(an_address("jane@example.org"), "op-1", "relay.example.net", DATE)
    subjects = [text for text in TEXTS if not text.isascii()] + ["Grüße  aus\r\n Köln"]
    names = [name for name in NAMES if not name.isascii()] + ['Jörg "der Chef", Müller']
    files = [name for name in FILES if not name.isascii()] + ["Grüße; aus Köln.pdf"]
    cases = [(subject, name, file) for subject in subjects for name in names for file in files]
    made = []
    for subject, name, file in cases:
        mailbox = f"{quoted(name)} <jane@example.org>"
        raw = (
            f"From: {mailbox}\r\nTo: joe@example.org,\r\n\t{mailbox}\r\nCc: {mailbox}\r\nReply-To: {mailbox}\r\n"
            f"Subject: {subject}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
            f"--b\r\nContent-Type: application/pdf; name={quoted(file)}\r\nContent-Transfer-Encoding: base64\r\n"
            f"Content-Disposition: attachment; filename={quoted(file)}\r\n\r\nJVBERg==\r\n--b--\r\n"
        )
        made.append(in_seven_bits(read_message(raw.encode(), arrival).message))

    assert all(message.isascii() for message in made)
    for (subject, name, file), entity in zip(cases, read_messages(made), strict=True):
        assert entity["subject"] == subject.replace("\r\n", "").strip()
        mailbox = [name, "jane@example.org"]
        assert [entity[field] for field in ("from", "cc", "reply-to")] == [[mailbox]] * 3
        assert entity["to"] == [["", "joe@example.org"], mailbox]
        [part] = entity["parts"]
        assert (part["name"], content(part)) == (file, b"%PDF")
