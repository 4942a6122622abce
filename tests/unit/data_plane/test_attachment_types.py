"""The table of allowed attachment types, and what is made of a caller's Content-Type."""

from __future__ import annotations

import pytest

from email_core.data_plane.attachment_types import ALLOWED_TYPES, AttachmentTypeError, allowed_types, wire_type
from email_core.message.headers import check_content_type


def test_table_has_the_59_rows_of_acs() -> None:
    shared_rows = {"jpeg", "midi", "tiff"}  # the second names of three of them
    assert len(ALLOWED_TYPES) - len(shared_rows) == 59
    assert shared_rows < set(ALLOWED_TYPES)


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("report.pdf", ("application/pdf",)),
        ("REPORT.PDF", ("application/pdf",)),
        ("a.b.tiff", ("image/tiff",)),
        ("feed.xml", ("application/xml", "text/xml")),
        ("report.pdf.exe", ()),
        ("report", ()),
        (".txt", ()),
        ("report.", ()),
        ("report.txt ", ()),
        ("", ()),
    ],
)
def test_allowed_types_go_by_the_last_extension(name: str, types: tuple[str, ...]) -> None:
    assert allowed_types(name) == types


@pytest.mark.parametrize("extension", sorted(ALLOWED_TYPES))
def test_every_row_is_accepted_and_written_as_the_table_writes_it(extension: str) -> None:
    for mime_type in ALLOWED_TYPES[extension]:
        assert wire_type(mime_type.upper(), f"file.{extension.upper()}") == mime_type
        assert check_content_type(mime_type) == ""


@pytest.mark.parametrize(
    ("claimed", "name", "written"),
    [
        ("text/plain; charset=utf-8", "a.txt", "text/plain"),
        ('Text/Plain;CHARSET="UTF-8"', "a.txt", "text/plain"),
        ('text/plain; name="other.exe"', "a.txt", "text/plain"),
        ("text/plain ;", "a.txt", "text/plain"),
        ("text/xml; charset=utf-8", "a.xml", "text/xml"),
        (" image/png ", "a.png", "image/png"),
    ],
)
def test_parameters_are_accepted_and_left_out(claimed: str, name: str, written: str) -> None:
    assert wire_type(claimed, name) == written


@pytest.mark.parametrize(
    ("claimed", "name", "reason"),
    [
        ("application/pdf", "a.txt", "belongs to another extension"),
        ("application/x-msdownload", "a.txt", "is none of the allowed"),
        ("application/octet-stream", "a.zip", "give 'application/zip'"),
        ("text/html", "a.txt", "is none of the allowed"),
        ("pdf", "a.pdf", "is not of the form type/subtype"),
        ("", "a.pdf", "is not of the form type/subtype"),
        ("image/png\r\nBcc: x@y.z", "a.png", "is not of the form type/subtype"),
        ("image/png; a=b\nX: y", "a.png", "is not of the form type/subtype"),
        ("image/png, image/gif", "a.png", "is not of the form type/subtype"),
        ("text/plain; " + "a" * 300, "a.txt", "too long"),
        ("application/x-msdownload", "a.exe", "is none of the allowed"),
    ],
)
def test_type_that_is_not_allowed_is_refused_with_a_remedy(claimed: str, name: str, reason: str) -> None:
    with pytest.raises(AttachmentTypeError) as caught:
        wire_type(claimed, name)
    assert reason in caught.value.reason
    assert "give" in caught.value.reason


def test_type_of_a_name_that_is_not_allowed_is_judged_by_itself() -> None:
    assert wire_type("image/png", "a.exe") == "image/png"
