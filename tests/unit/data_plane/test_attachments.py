"""The `attachments` of a request."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.unit.data_plane.requests import PNG, attachment, message, only_fault, parse, refusal

SUPPRESS = "x-ms-acsemail-suppress-invalid-attachment"
IGNORE = "x-ms-acsemail-ignore-duplicate-content-id"

# a change to a valid attachment, the property that is refused, what the message says
INVALID = {
    "name missing": ({"name": ...}, "name", "It is required"),
    "name null": ({"name": None}, "name", "It is required"),
    "name a number": ({"name": 1}, "name", "not a number"),
    "name empty": ({"name": ""}, "name", "is empty"),
    "name with a folder": ({"name": "../../etc/passwd.png"}, "name", "path separator"),
    "name with a Windows folder": ({"name": "C:\\a.png"}, "name", "path separator"),
    "name with LF": ({"name": "a\nb.png"}, "name", "U+000A"),
    "name with NUL": ({"name": "a\0.png"}, "name", "U+0000"),
    "name with a quote and a header": ({"name": 'a"\r\nContent-Type: text/html\r\n.png'}, "name", "U+000D"),
    "name reversed": ({"name": "gpj.\u202eexe.png"}, "name", "U+202E"),
    "name isolated": ({"name": "a\u2066b.png"}, "name", "U+2066"),
    "name too long": ({"name": "a" * 252 + ".png"}, "name", "255"),
    "name much too long": ({"name": "a" * 100_000 + ".png"}, "name", "255"),
    "extension not allowed": ({"name": "setup.exe"}, "name", "allowed attachment type"),
    "double extension": ({"name": "photo.png.js"}, "name", "allowed attachment type"),
    "no extension": ({"name": "photo"}, "name", "allowed attachment type"),
    "parent folder": ({"name": ".."}, "name", "allowed attachment type"),
    "type missing": ({"contentType": ...}, "contentType", "It is required"),
    "type not allowed": ({"contentType": "text/html"}, "contentType", "none of the allowed"),
    "type of another extension": ({"contentType": "image/gif"}, "contentType", "give 'image/png'"),
    "type with a header": ({"contentType": "image/png\r\nBcc: x@y.z"}, "contentType", "type/subtype"),
    "type much too long": ({"contentType": "image/png;" + "a" * 10_000}, "contentType", "255"),
    "content missing": ({"contentInBase64": ...}, "contentInBase64", "It is required: give a string."),
    "content null": ({"contentInBase64": None}, "contentInBase64", "It is required: give a string."),
    "content an array": ({"contentInBase64": [1, 2]}, "contentInBase64", "It must be a string, not an array."),
    "content not base64": ({"contentInBase64": "hello world!"}, "contentInBase64", "ContentBytes invalid. Should be base64."),
    "content without padding": ({"contentInBase64": "YQ"}, "contentInBase64", "ContentBytes invalid. Should be base64."),
    "content in the URL alphabet": ({"contentInBase64": "_-__"}, "contentInBase64", "Should be base64."),
    "content with an escape that is no base64": ({"contentInBase64": "YWJj\\"}, "contentInBase64", "Should be base64."),
    "content beyond ASCII": ({"contentInBase64": "YWJé"}, "contentInBase64", "Should be base64."),
    "content a data URL": ({"contentInBase64": "data:image/png;base64,YWJj"}, "contentInBase64", "what follows its comma"),
    "content id with a blank": ({"contentId": "a b"}, "contentId", "is not a content id"),
    "content id in brackets": ({"contentId": "<a>"}, "contentId", "is not a content id"),
    "content id with a header": ({"contentId": "a>\r\nBcc: x@y.z"}, "contentId", "is not a content id"),
    "content id beyond ASCII": ({"contentId": "é"}, "contentId", "is not a content id"),
    "content id too long": ({"contentId": "a" * 201}, "contentId", "200"),
    "content id a number": ({"contentId": 7}, "contentId", "not a number"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "field", "says"), INVALID.values(), ids=INVALID)
def test_attachment_that_is_invalid_is_refused_at_its_field(change: dict[str, Any], field: str, says: str) -> None:
    fault = only_fault(message(attachments=[attachment(), attachment(**change)]))
    assert (fault.code, fault.target) == ("BadRequest", f"attachments[1].{field}")
    assert fault.message.startswith(f"Request body validation error. See property 'attachments[1].{field}'. ")
    assert says in fault.message
    assert fault.message.isprintable()


@pytest.mark.parametrize("change", [change for change, _, _ in INVALID.values()], ids=INVALID)
def test_attachment_that_is_invalid_is_left_out_when_the_switch_says_so(change: dict[str, Any]) -> None:
    request = message(attachments=[attachment(**change), attachment(name="kept.png")], headers={SUPPRESS: "true"})
    assert [kept.name for kept in parse(request).attachments] == ["kept.png"]


def test_attachment_that_is_invalid_is_refused_when_the_switch_is_off() -> None:
    request = message(attachments=[attachment(name="setup.exe")], headers={SUPPRESS: "false"})
    assert refusal(request).faults[0].target == "attachments[0].name"


def test_attachments_beyond_the_cap_are_refused_even_with_the_switch() -> None:
    request = message(attachments=[attachment()] * 251, headers={SUPPRESS: "true"})
    assert only_fault(request).target == "attachments"


def test_attachment_has_the_type_of_the_table_without_parameters() -> None:
    draft = parse(
        message(
            attachments=[
                attachment(name="A.TXT", contentType='TEXT/PLAIN; charset="utf-8"; name="b.exe"'),
                attachment(name="b.png", contentType="IMAGE/PNG; charset=utf-8"),
            ]
        )
    )
    assert [file.content_type for file in draft.attachments] == ["text/plain", "image/png"]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 57, 58, 5000])
def test_attachment_content_keeps_its_bytes_in_lines_of_76(size: int) -> None:
    content = bytes(range(256)) * 20
    content = content[:size]
    (file,) = parse(message(attachments=[attachment(contentInBase64=base64.b64encode(content).decode())])).attachments
    assert (base64.b64decode(file.body), file.size) == (content, size)
    assert all(len(line) <= 76 for line in file.body.split(b"\r\n"))


def escaped(text: str, characters: str, form: str) -> str:
    """JSON text in which these characters are escaped as `form` says."""
    for character in characters:
        text = text.replace(character, form.format(character, ord(character)))
    return text


@pytest.mark.parametrize(
    ("characters", "form"),
    [("/", "\\{0}"), ("+", "\\u{1:04x}"), ("+", "\\u{1:04X}"), ("/+=", "\\u{1:04x}"), ("v", "\\u{1:04x}")],
    ids=["PHP", "dotnet, lower case", "dotnet, upper case", "all three", "a letter"],
)
def test_attachment_content_with_json_escapes_is_the_same_content(characters: str, form: str) -> None:
    content = bytes.fromhex("fbfffefbeffbbf41")
    plain = json.dumps(message(attachments=[attachment(contentInBase64="CONTENT")]))
    encoded = base64.b64encode(content).decode()
    assert all(character in encoded for character in characters)
    body = plain.replace("CONTENT", escaped(encoded, characters, form)).encode()
    (file,) = parse(body).attachments
    assert base64.b64decode(file.body) == content


@pytest.mark.parametrize("line_break", ["\r\n", "\n"])
def test_attachment_content_in_lines_is_the_same_content(line_break: str) -> None:
    content = PNG * 5
    lines = base64.encodebytes(content).decode().replace("\n", line_break)
    (file,) = parse(message(attachments=[attachment(contentInBase64=lines)])).attachments
    assert base64.b64decode(file.body) == content


def test_attachment_content_in_bytes_that_are_no_utf8_is_refused() -> None:
    for replacement in (b"\xff", b"\\/\xff"):
        body = json.dumps(message(attachments=[attachment(contentInBase64="YW?j")])).encode().replace(b"?", replacement)
        assert only_fault(body).target == "attachments[0].contentInBase64"


@pytest.mark.parametrize("content_id", ["my-inline-image", "image001.png@01DB7A3C.4F2E6A10", "a_b.c+d=e", "X" * 200])
def test_content_id_is_taken_as_it_is(content_id: str) -> None:
    (file,) = parse(message(attachments=[attachment(contentId=content_id)])).attachments
    assert file.content_id == content_id


def test_content_id_that_is_empty_is_the_same_as_none() -> None:
    draft = parse(message(attachments=[attachment(contentId=""), attachment(contentId="")]))
    assert [file.content_id for file in draft.attachments] == ["", ""]


def test_content_id_that_appears_twice_is_refused_with_both_places_and_the_switch() -> None:
    fault = only_fault(message(attachments=[attachment(contentId="a"), attachment(), attachment(contentId="a")]))
    assert fault.target == "attachments[2].contentId"
    assert "attachments[0]" in fault.message
    assert IGNORE in fault.message


def test_content_id_that_appears_twice_is_kept_as_given_when_the_switch_says_so() -> None:
    draft = parse(message(attachments=[attachment(contentId="a")] * 2, headers={IGNORE: "true"}))
    assert [file.content_id for file in draft.attachments] == ["a", "a"]


def test_content_id_of_an_attachment_that_was_left_out_is_free() -> None:
    attachments = [attachment(name="a.exe", contentId="a"), attachment(contentId="a")]
    assert len(parse(message(attachments=attachments, headers={SUPPRESS: "true"})).attachments) == 1
