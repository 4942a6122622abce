"""Reading a JSON request field by field, so that one answer names every field that is wrong.

A library that decodes into types stops at the first wrong field and builds everything on the way to it. Here msgspec
checks the syntax of the whole body once and leaves each value as a slice of it (`msgspec.Raw`); values are decoded where
they are used. So nothing is built of what is ignored, too large or too many, and an attachment is never a string.

Duplicate members of an object: the last one counts, as in most parsers (RFC 8259 section 4 leaves it open). The body is
read only here, so no second reader can see another one. Null is the same as absent.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar

import msgspec
from msgspec import Raw

from email_core.data_plane import refusals
from email_core.data_plane.json_text import LONG, utf8_of
from email_core.errors import Fault

T = TypeVar("T")

ABSENT = Raw(b"")  # the default of a field: no JSON value is empty
MAX_FAULTS = 50  # in one answer; who has more wrong than that does not read on

_LONGEST_ESCAPE = 12  # octets of JSON for one character: a surrogate pair, both halves escaped

_NO_UTF8 = "It is not valid UTF-8."
_text = msgspec.json.Decoder(str)
_boolean = msgspec.json.Decoder(bool)
_TYPE_BY_FIRST_OCTET = {
    ord('"'): "a string", ord("{"): "an object", ord("["): "an array", ord("t"): "a boolean", ord("f"): "a boolean",
}  # fmt: skip


class FieldReader:
    """Reads the fields of one document and collects their faults; a field that is wrong or absent reads as None."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Remember a fault. Raises RequestRefused when there are so many that the answer is full."""
        self.faults.append(fault)
        if len(self.faults) >= MAX_FAULTS:
            raise refusals.faulty_request(self.faults)

    def text(self, raw: Raw, target: str, *, most: int | None = None, required: bool = False) -> str | None:
        """A string of at most about `most` characters; a longer one may be refused before it is decoded."""
        if not self._is_there(raw, target, "a string", required):
            return None
        if most is not None and len(memoryview(raw)) > most * _LONGEST_ESCAPE + 2:
            self.add(refusals.bad_property(target, f"It is longer than {most} characters."))
            return None
        try:
            return _text.decode(raw)
        except msgspec.ValidationError:
            self.add(_wrong_type(raw, target, "a string"))
        except ValueError:  # UnicodeDecodeError; all else was found when the syntax was checked
            self.add(refusals.bad_property(target, _NO_UTF8))
        return None

    def long_text(self, raw: Raw, target: str) -> str | bytes | None:
        """A string of any length; a long one in UTF-8, see json_text."""
        octets = memoryview(raw)
        if len(octets) <= LONG or octets[0] != ord('"'):
            return self.text(raw, target)
        try:
            return utf8_of(octets[1:-1])
        except UnicodeDecodeError:
            self.add(refusals.bad_property(target, _NO_UTF8))
        return None

    def boolean(self, raw: Raw, target: str) -> bool | None:
        """true or false."""
        if not self._is_there(raw, target, "a boolean", False):
            return None
        try:
            return _boolean.decode(raw)
        except msgspec.ValidationError:
            self.add(_wrong_type(raw, target, "a boolean"))
        return None

    def members(self, raw: Raw, target: str, decoder: msgspec.json.Decoder[T], *, required: bool = False) -> T | None:
        """An object, as the raw values that `decoder` makes of it: a Struct of them, or a dictionary."""
        if not self._is_there(raw, target, "an object", required):
            return None
        try:
            return decoder.decode(raw)
        except msgspec.ValidationError:
            self.add(_wrong_type(raw, target, "an object"))
        except ValueError:  # UnicodeDecodeError, of a name that becomes a dictionary's key
            self.add(refusals.bad_property(target, "A name in it is not valid UTF-8."))
        return None

    def elements(self, raw: Raw, target: str, most: int) -> list[Raw]:
        """The elements of an array; of one with more than `most`, the first `most + 1`. The caller says what is too many."""
        if not self._is_there(raw, target, "an array", False):
            return []
        try:
            slots = msgspec.structs.astuple(_first_elements(most + 1).decode(raw))
        except msgspec.ValidationError:
            self.add(_wrong_type(raw, target, "an array"))
            return []
        return [element for element in slots if element is not ABSENT]

    def _is_there(self, raw: Raw, target: str, wanted: str, required: bool) -> bool:
        if raw is not ABSENT and memoryview(raw)[0] != ord("n"):  # of all JSON values only null begins so
            return True
        if required:
            self.add(refusals.bad_property(target, f"It is required: give {wanted}."))
        return False


def _wrong_type(raw: Raw, target: str, wanted: str) -> Fault:
    found = _TYPE_BY_FIRST_OCTET.get(memoryview(raw)[0], "a number")
    return refusals.bad_property(target, f"It must be {wanted}, not {found}.")


@lru_cache(maxsize=8)
def _first_elements(count: int) -> msgspec.json.Decoder[msgspec.Struct]:
    """A decoder of arrays that keeps `count` elements and skips the rest without building anything of it.

    That is how msgspec reads an array-like Struct. A list of raw values would take 28 times the size of a body that is
    nothing but `[1,1,1...`.
    """
    slots = [(f"element{number}", Raw, ABSENT) for number in range(count)]
    return msgspec.json.Decoder(msgspec.defstruct("FirstElements", slots, array_like=True))


def read_document(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The body's top-level object, its whole syntax checked. Raises RequestRefused (400)."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise refusals.malformed_body("The body must be a JSON object.") from None
    except msgspec.DecodeError as error:
        raise refusals.malformed_body(_what_is_malformed(body, str(error))) from None


def _what_is_malformed(body: bytes, error: str) -> str:
    if not body or body.isspace():
        return "The body is empty: send a JSON object."
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return "The body begins with a byte order mark: send JSON in UTF-8 without one (RFC 8259 section 8.1)."
    if error == "Input data was truncated":
        return "The body ends in the middle of a JSON value, or of an escaped surrogate pair: send all of it."
    # What msgspec says holds positions and names of JSON's own parts, nothing of the body.
    return f"The body is not valid JSON in UTF-8. {error}."
