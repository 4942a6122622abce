"""The limits of Azure Storage that we enforce, because the emulator does not: sizes, counts, and the rules for names.

Each check passes what the service would take and raises StorageLimit for the rest, before a byte is sent. Numbers are those
of "Understanding the Table service data model", "Naming queues and metadata" and "Naming and referencing containers,
blobs, and metadata" in the Azure Storage documentation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

Value = str | int | float | bool | bytes
Entity = Mapping[str, Value]

PROPERTY_BYTES = 64 * 1024  # a string counts two bytes for each UTF-16 unit
ENTITY_BYTES = 1024 * 1024  # names, keys and values together
USER_PROPERTIES = 252  # 255 with PartitionKey, RowKey and Timestamp
KEY_BYTES = 1024
NAME_CHARACTERS = 255  # of a property
TRANSACTION_OPERATIONS = 100
TRANSACTION_BYTES = 4 * 1024 * 1024
ITEM_BYTES = 64 * 1024  # a queue item as it is sent, so 48 KiB when it is sent in base64
LONGEST_DELAY = 7 * 24 * 3600  # seconds that a queue item may stay invisible
ITEMS_A_CALL = 32

KEYS = ("PartitionKey", "RowKey")
_SYSTEM_PROPERTIES = frozenset((*KEYS, "Timestamp"))
_PROPERTY_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_FORBIDDEN_IN_KEYS = re.compile(r"[/\\#?\x00-\x1f\x7f-\x9f]")
_TABLE_NAME = re.compile(r"(?!tables$)[A-Za-z][A-Za-z0-9]{2,62}", re.ASCII | re.IGNORECASE)
_QUEUE_NAME = re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
_FORBIDDEN_IN_BLOBS = re.compile(r"[\\\x00-\x1f\x7f-\x9f]")
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # XML 1.0 section 2.2


class StorageLimit(ValueError):
    """Something is larger than Azure Storage takes, or has a name or a value that it does not take."""


def check_table_name(name: str) -> None:
    """Letters and digits, 3 to 63, beginning with a letter."""
    if not _TABLE_NAME.fullmatch(name):
        raise StorageLimit(f"table name {name!r} must be 3 to 63 letters and digits and begin with a letter")


def check_queue_name(name: str, kind: str = "queue") -> None:
    """Lower-case letters, digits and single hyphens between them, 3 to 63. The rule of containers is the same."""
    if not _QUEUE_NAME.fullmatch(name):
        raise StorageLimit(f"{kind} name {name!r} must be 3 to 63 lower-case letters, digits and single hyphens between them")


def check_blob_name(name: str) -> None:
    """1 to 1,024 characters, in segments that no HTTP client folds away."""
    if not 1 <= len(name) <= 1024 or _FORBIDDEN_IN_BLOBS.search(name):
        raise StorageLimit(
            f"blob name of {len(name)} characters must be 1 to 1024 characters, none of them a control or backslash"
        )
    if any(segment in ("", ".", "..") for segment in name.split("/")):
        raise StorageLimit(f"blob name {name!r} must have no empty, '.' or '..' segment")


def check_key(name: str, value: object) -> None:
    """1 KiB in UTF-16 and none of / \\ # ? and the control characters."""
    if not isinstance(value, str):
        raise StorageLimit(f"{name} must be a string, not {type(value).__name__}")
    if _FORBIDDEN_IN_KEYS.search(value):
        raise StorageLimit(f"{name} must not hold / \\ # ? or control characters")
    if 2 * _utf16_units(name, value) > KEY_BYTES:
        raise StorageLimit(f"{name} of {len(value)} characters is larger than {KEY_BYTES} bytes in UTF-16")


def check_entity(entity: Entity) -> None:
    """Keys present and right, and properties as `check_properties` wants them, 1 MiB in all."""
    for name in KEYS:
        if name not in entity:
            raise StorageLimit(f"an entity needs a {name}")
        check_key(name, entity[name])
    check_properties(str(entity["PartitionKey"]), str(entity["RowKey"]), entity)


def check_properties(partition_key: str, row_key: str, properties: Entity) -> None:
    """At most 252 properties besides the keys, each of a type and size that Table storage takes, 1 MiB in all.

    For a merge this sees the changes alone: what they add up to with the stored rest is for the service to say.
    """
    # The documented formula: 4 bytes, the keys, and for each property 8 bytes, its name and its value.
    size = 4 + 2 * (_utf16_units("PartitionKey", partition_key) + _utf16_units("RowKey", row_key))
    count = 0
    for name, value in properties.items():
        if name in KEYS:
            continue
        if name in _SYSTEM_PROPERTIES or len(name) > NAME_CHARACTERS or not _PROPERTY_NAME.fullmatch(name):
            raise StorageLimit(f"property name {name[:80]!r} must be up to {NAME_CHARACTERS} letters, digits and underscores")
        count += 1
        size += 8 + 2 * len(name) + _value_bytes(name, value)
    if count > USER_PROPERTIES:
        raise StorageLimit(f"an entity has at most {USER_PROPERTIES} properties besides its keys; this one has {count}")
    if size > ENTITY_BYTES:
        raise StorageLimit(f"an entity is at most {ENTITY_BYTES} bytes; this one is {size}")


def check_item(text: str, sent: str) -> None:
    """The text of a queue item, and the form in which it is sent: 64 KiB, and nothing that XML cannot carry."""
    if _NOT_IN_XML.search(sent):
        raise StorageLimit("a queue item that is sent as text must not hold control characters")
    if len(sent) > ITEM_BYTES or (not sent.isascii() and len(sent.encode()) > ITEM_BYTES):
        raise StorageLimit(f"a queue item is at most {ITEM_BYTES} bytes as sent; this text of {len(text)} characters is larger")


def whole_seconds(name: str, seconds: float, least: int = 0) -> int:
    """Seconds rounded up, from `least` to seven days: what Queue storage takes for a delay or a visibility."""
    if not least <= seconds <= LONGEST_DELAY:  # also refuses NaN
        raise StorageLimit(f"{name} must be {least} to {LONGEST_DELAY} seconds; it is {seconds}")
    return math.ceil(seconds)


def _value_bytes(name: str, value: object) -> int:
    # bool before int: it is one. Sizes as Table storage counts them.
    match value:
        case bool():
            return 1
        case str():
            size = 2 * _utf16_units(name, value)
        case bytes():
            size = len(value)
        case int():
            if not -(2**63) <= value < 2**63:
                raise StorageLimit(f"property {name} must fit 64 bits")
            return 8
        case float():
            if not math.isfinite(value):
                raise StorageLimit(f"property {name} must be a finite number")
            return 8
        case _:
            raise StorageLimit(f"property {name} must be a str, int, float, bool or bytes, not {type(value).__name__}")
    if size > PROPERTY_BYTES:
        raise StorageLimit(f"property {name} is at most {PROPERTY_BYTES} bytes; it is {size}")
    return size + 4


def _utf16_units(name: str, text: str) -> int:
    if text.isascii():
        return len(text)
    try:
        return len(text.encode("utf-16-le")) // 2
    except UnicodeEncodeError as error:
        raise StorageLimit(f"{name} must be Unicode text; it has half of a surrogate pair") from error
