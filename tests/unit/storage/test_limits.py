"""The limits of Azure Storage: the last value that passes and the first that does not."""

from __future__ import annotations

import math

import pytest

from email_core.storage import StorageLimit
from email_core.storage.limits import (
    check_blob_name,
    check_entity,
    check_item,
    check_properties,
    check_queue_name,
    check_table_name,
    whole_seconds,
)

KEYS = {"PartitionKey": "p", "RowKey": "r"}


@pytest.mark.parametrize("name", ["abc", "Messages", "a1234567890" * 5 + "12345678", "tables1"])
def test_table_name_right_passes(name: str) -> None:
    check_table_name(name)


@pytest.mark.parametrize("name", ["", "ab", "a" * 64, "1abc", "a-b", "tables", "Tables", "äbc", "abc\n", "a/b"])
def test_table_name_wrong_is_refused(name: str) -> None:
    with pytest.raises(StorageLimit, match="table name"):
        check_table_name(name)


@pytest.mark.parametrize("name", ["abc", "deliveries-poison", "1-2-3", "a" * 63])
def test_queue_name_right_passes(name: str) -> None:
    check_queue_name(name)


@pytest.mark.parametrize("name", ["", "ab", "a" * 64, "Abc", "-abc", "abc-", "a--b", "a_b", "ab\n", "äbc", "a/b"])
def test_queue_name_wrong_is_refused(name: str) -> None:
    with pytest.raises(StorageLimit, match="queue name"):
        check_queue_name(name)


@pytest.mark.parametrize("name", ["a", "service:1/content/0", "x" * 1024, "ä b%", "..a"])
def test_blob_name_right_passes(name: str) -> None:
    check_blob_name(name)


@pytest.mark.parametrize("name", ["", "x" * 1025, "a//b", "/a", "a/", "a/../b", ".", "a\\b", "a\nb", "a\x7f"])
def test_blob_name_wrong_is_refused(name: str) -> None:
    with pytest.raises(StorageLimit, match="blob name"):
        check_blob_name(name)


@pytest.mark.parametrize("key", ["", "k" * 512, "é" * 512, "😀" * 256, "a b'%&+=:@"])
def test_key_of_up_to_a_kibibyte_passes(key: str) -> None:
    check_entity({"PartitionKey": key, "RowKey": key})


@pytest.mark.parametrize(
    "key", ["k" * 513, "é" * 513, "😀" * 257, "a/b", "a\\b", "a#b", "a?b", "a\tb", "a\x00", "\x7f", "\x9f", "\ud800", 7]
)
@pytest.mark.parametrize("name", ["PartitionKey", "RowKey"])
def test_key_wrong_is_refused_by_name(name: str, key: object) -> None:
    with pytest.raises(StorageLimit, match=name):
        check_entity({**KEYS, name: key})  # type: ignore[dict-item]


@pytest.mark.parametrize("missing", ["PartitionKey", "RowKey"])
def test_entity_without_a_key_is_refused(missing: str) -> None:
    with pytest.raises(StorageLimit, match=f"needs a {missing}"):
        check_entity({name: value for name, value in KEYS.items() if name != missing})


@pytest.mark.parametrize(
    "value",
    ["x" * 32768, "é" * 32768, "😀" * 16384, b"x" * 65536, 2**63 - 1, -(2**63), 1.5, True, "", b"", "\x00\r\n"],
)
def test_property_at_its_limit_passes(value: str | bytes | float | bool) -> None:
    check_entity({**KEYS, "value": value})


@pytest.mark.parametrize(
    "value",
    ["x" * 32769, "é" * 32769, "😀" * 16385, b"x" * 65537, 2**63, -(2**63) - 1, math.nan, math.inf, "\udfff", None, [1], {}],
)
def test_property_beyond_its_limit_is_refused_by_name(value: object) -> None:
    with pytest.raises(StorageLimit, match="value"):
        check_entity({**KEYS, "value": value})  # type: ignore[dict-item]


@pytest.mark.parametrize("name", ["", "a-b", "1a", "a b", "Timestamp", "a@odata.type", "é", "a" * 256, "a\n"])
def test_property_name_wrong_is_refused(name: str) -> None:
    with pytest.raises(StorageLimit, match="property name"):
        check_entity({**KEYS, name: 1})


def test_entity_of_252_properties_passes_and_of_one_more_is_refused() -> None:
    properties = {f"p{number}": number for number in range(252)}
    check_entity({**KEYS, **properties})
    with pytest.raises(StorageLimit, match="253"):
        check_entity({**KEYS, **properties, "more": 1})


def test_entity_of_one_mebibyte_passes_and_of_one_byte_more_is_refused() -> None:
    # 4 bytes, the keys p and r, and for each property 8 bytes, its name of two letters, its value and 4 bytes for its length.
    full = {f"b{digit}": b"x" * 65536 for digit in "abcdefghijklmno"}
    rest = 1024 * 1024 - (4 + 2 * 2) - 15 * (8 + 2 * 2 + 65536 + 4) - (8 + 2 * 2 + 4)
    check_entity({**KEYS, **full, "zz": b"x" * rest})
    with pytest.raises(StorageLimit, match="1048577"):
        check_entity({**KEYS, **full, "zz": b"x" * (rest + 1)})


def test_changes_count_their_keys_once_and_need_none_among_them() -> None:
    check_properties("p", "r", {"value": 1})
    with pytest.raises(StorageLimit, match="at most 1048576 bytes"):
        check_properties("p", "r", {f"b{digit}": b"x" * 65536 for digit in "abcdefghijklmnop"})


@pytest.mark.parametrize("text", ["", "x" * 65536, "é" * 32768])
def test_item_of_up_to_64_kibibytes_passes(text: str) -> None:
    check_item(text, text)


@pytest.mark.parametrize("text", ["x" * 65537, "é" * 32769, "a\x00b", "\x1b", "\ufffe", "\ud800"])
def test_item_too_large_or_not_for_xml_is_refused(text: str) -> None:
    with pytest.raises(StorageLimit, match="queue item"):
        check_item(text, text)


@pytest.mark.parametrize(("seconds", "whole"), [(0, 0), (0.2, 1), (1.0, 1), (59.01, 60), (604800.0, 604800)])
def test_seconds_are_rounded_up(seconds: float, whole: int) -> None:
    assert whole_seconds("delay", seconds) == whole


@pytest.mark.parametrize("seconds", [-1, -0.001, 604800.5, 604801, math.nan, math.inf])
def test_seconds_outside_seven_days_are_refused(seconds: float) -> None:
    with pytest.raises(StorageLimit, match="delay"):
        whole_seconds("delay", seconds)


def test_seconds_below_the_least_are_refused() -> None:
    with pytest.raises(StorageLimit, match="1 to 604800"):
        whole_seconds("visibility", 0.5, 1)
