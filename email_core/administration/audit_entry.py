"""One entry of the audit log: what it says, its hash, and how it is stored.

The hash is SHA-256 over the entry as JSON in one canonical form: names in order, no spaces, ASCII, with the hash of the entry
before it. So anybody can compute it again from what is stored.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from email_core.storage import Value

FIRST_PREVIOUS = "0" * 64  # what the first entry of a chain names
MOST_TEXT = 2000  # characters of a text
MOST_CHANGES = 24_000  # characters of all changes: a property has 64 KiB, at two bytes a character
_VALUE_STEPS = (4000, 1000, 200, 40)  # characters that a value keeps: as many as let all of them fit

# The names of the properties, and of the members of the JSON that is hashed. They never change: old hashes would not fit.
_NAMES = {
    "sequence": "sequence", "id": "id", "at": "at", "principal_kind": "principalKind", "principal": "principal",
    "object_id": "objectId", "tenant": "tenant", "operation": "operation", "resource": "resource", "request_id": "requestId",
    "changes": "changes", "outcome": "outcome", "text": "text", "previous": "previous",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry. `at` is ISO 8601 in UTC; `changes` is a JSON object of `[before, after]` by property."""

    sequence: int
    id: str
    at: str
    principal_kind: str
    principal: str
    object_id: str
    tenant: str
    operation: str
    resource: str
    request_id: str
    changes: str
    outcome: str
    text: str
    previous: str
    hash: str = ""

    def sealed(self) -> Entry:
        """The entry with its hash."""
        return dataclasses.replace(self, hash=hash_of(self))


def hash_of(entry: Entry) -> str:
    """What the hash of an entry has to be."""
    return hashlib.sha256(hashed_text(entry).encode()).hexdigest()


def hashed_text(entry: Entry) -> str:
    """What the hash of an entry is of: all that it says, in ASCII."""
    return _canonical({name: getattr(entry, attribute) for attribute, name in _NAMES.items()})


def properties_of(entry: Entry) -> dict[str, Value]:
    """An entry as the properties of its row."""
    return {**{name: getattr(entry, attribute) for attribute, name in _NAMES.items()}, "hash": entry.hash}


def entry_of(values: Mapping[str, Value], sequence: int) -> Entry:
    """The entry that a row holds, at the place that its key says: what was moved does not fit there."""
    fields = {attribute: str(values.get(name, "")) for attribute, name in _NAMES.items() if attribute != "sequence"}
    return Entry(sequence=sequence, hash=str(values.get("hash", "")), **fields)


def changes_text(changes: Mapping[str, tuple[object, object]]) -> str:
    """The changes as JSON, with values cut until all fit, and marked where they are."""
    written = {str(name)[:200]: [_written(before), _written(after)] for name, (before, after) in changes.items()}
    for most in _VALUE_STEPS:
        text = _canonical({name: [_shortened(each, most) for each in pair] for name, pair in written.items()})
        if len(text) <= MOST_CHANGES:
            return text
    for count in (50, 10, 0):
        kept = dict(list(written.items())[:count])
        shortened = {name: [_shortened(each, _VALUE_STEPS[-1]) for each in pair] for name, pair in kept.items()}
        text = _canonical({**shortened, "...": [None, f"{len(written) - count} more properties"]})
        if len(text) <= MOST_CHANGES:
            break
    return text


def cut(text: str, most: int = MOST_TEXT) -> str:
    """A text that fits, with a mark where it was cut, and with `?` for what can't be seen or stored."""
    clean = "".join(character if character.isprintable() or character == "\n" else "?" for character in text)
    return clean if len(clean) <= most else f"{clean[:most]}... ({len(clean)} characters)"


def _written(value: object) -> object:
    return msgspec.to_builtins(value, str_keys=True, enc_hook=str)


def _shortened(value: object, most: int) -> object:
    text = value if isinstance(value, str) else _canonical(value)
    return value if len(_canonical(value)) <= most else cut(text, most)


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
