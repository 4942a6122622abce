"""Entities as Table storage writes them in JSON: what is written comes back as the same Python value of the same type.

JSON has one kind of number and no bytes, so types that it cannot tell are annotated (`Edm.Int64`, `Edm.Double`,
`Edm.Binary`), and answers are asked for with `odata=minimalmetadata`, which annotates them in turn.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from email_core.storage.limits import Entity, Value, check_entity, check_key, check_properties, check_table_name

_ANNOTATION = "@odata.type"
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(dict[str, Any])


class StoredEntity(NamedTuple):
    """An entity as it was read: its properties with its keys, and the ETag that a conditional write names."""

    values: dict[str, Value]
    etag: str


def encode_entity(entity: Entity) -> bytes:
    """The JSON of a whole entity. Raises StorageLimit for what Table storage does not take."""
    check_entity(entity)
    return _encode(entity)


def encode_changes(partition_key: str, row_key: str, changes: Entity) -> bytes:
    """The JSON of a merge. Raises StorageLimit for what Table storage does not take."""
    check_properties(partition_key, row_key, changes)
    return _encode(changes)


def decode_entity(body: bytes, etag: str) -> StoredEntity:
    """The entity of a point read, whose ETag is in the header."""
    row = _decoder.decode(body)
    return StoredEntity(_values(row), etag or row.get("odata.etag", ""))


def decode_page(body: bytes) -> list[StoredEntity]:
    """The entities of one page of a query."""
    return [StoredEntity(_values(row), row["odata.etag"]) for row in _decoder.decode(body)["value"]]


def entity_path(table: str, partition_key: str, row_key: str) -> str:
    """The path of an entity, its keys quoted. Raises StorageLimit for keys and names that the service does not take."""
    check_table_name(table)
    check_key("PartitionKey", partition_key)
    check_key("RowKey", row_key)
    return f"/{table}(PartitionKey='{_quoted(partition_key)}',RowKey='{_quoted(row_key)}')"


def text_literal(text: str) -> str:
    """A string as a query filter writes it, so that no value can change what a filter asks."""
    return "'" + text.replace("'", "''") + "'"


def _quoted(key: str) -> str:
    return quote(key.replace("'", "''"), safe="")


def _encode(properties: Entity) -> bytes:
    body: dict[str, object] = {}
    for name, value in properties.items():
        kind = _annotation(value)
        if kind:
            body[name + _ANNOTATION] = kind
        # 64-bit numbers travel as strings: JSON numbers lose digits beyond 53 bits in many parsers.
        body[name] = str(value) if kind == "Edm.Int64" else _in_ascii(value)
    return _encoder.encode(body)  # msgspec writes bytes in base64 and a float with its point


def _in_ascii(value: Value) -> Value | msgspec.Raw:
    # JSON may hold any character, but Azurite 3.35 reads a body piece by piece and stores U+FFFD where the end of a piece
    # cuts one in two (Azure/Azurite issue 2670). Property names and base64 are ASCII already.
    if isinstance(value, str) and not value.isascii():
        return msgspec.Raw(encode_basestring_ascii(value).encode())
    return value


def _annotation(value: Value) -> str:
    match value:
        case bool() | str():
            return ""
        case int():
            return "" if -(2**31) <= value < 2**31 else "Edm.Int64"
        case float():
            return "Edm.Double"  # else a whole number would become an Edm.Int32
        case bytes():
            return "Edm.Binary"


def _values(row: Mapping[str, Any]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for name, value in row.items():
        if name == "Timestamp" or name.startswith("odata.") or name.endswith(_ANNOTATION) or value is None:
            continue
        match row.get(name + _ANNOTATION):
            case "Edm.Int64":
                values[name] = int(value)
            case "Edm.Double":
                values[name] = float(value)
            case "Edm.Binary":
                values[name] = binascii.a2b_base64(value)
            case _:
                values[name] = value  # a GUID or a time that another program wrote stays a string
    return values
