"""Entities in the JSON of Table storage: every type comes back as itself."""

from __future__ import annotations

import json
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_core.storage import StorageLimit, text_literal
from email_core.storage.entities import decode_entity, decode_page, encode_changes, encode_entity, entity_path
from tests.kit.storage_values import entities, keys

ETAG = "W/\"datetime'2026-11-22T04%3A50%3A50.1Z'\""


def test_entity_encoded_has_the_annotations_that_json_needs() -> None:
    entity = {
        "PartitionKey": "p", "RowKey": "r", "text": "é", "yes": True, "small": -5, "large": 2**31, "whole": 3.0,
        "bytes": b"\x00\xff",
    }  # fmt: skip
    assert encode_entity(entity).decode() == (
        '{"PartitionKey":"p","RowKey":"r","text":"\\u00e9","yes":true,"small":-5,"large@odata.type":"Edm.Int64",'
        '"large":"2147483648","whole@odata.type":"Edm.Double","whole":3.0,"bytes@odata.type":"Edm.Binary","bytes":"AP8="}'
    )


@pytest.mark.parametrize(("number", "annotated"), [(2**31 - 1, False), (-(2**31), False), (2**31, True), (-(2**31) - 1, True)])
def test_integer_outside_32_bits_is_annotated(number: int, annotated: bool) -> None:
    assert ("n@odata.type" in json.loads(encode_changes("p", "r", {"n": number}))) is annotated


@given(entities())
def test_entity_encoded_and_decoded_is_the_same(entity: dict[str, str | int | float | bool | bytes]) -> None:
    decoded = decode_entity(encode_entity(entity), ETAG)
    assert decoded.values == entity
    assert {name: type(value) for name, value in decoded.values.items()} == {
        name: type(value) for name, value in entity.items()
    }
    assert decoded.etag == ETAG


def test_entity_decoded_leaves_out_metadata_and_the_timestamp() -> None:
    body = json.dumps({
        "odata.metadata": "http://x/$metadata#things/@Element", "odata.etag": ETAG, "PartitionKey": "p", "RowKey": "r",
        "Timestamp": "2026-11-22T04:50:50.1Z", "id@odata.type": "Edm.Guid", "id": "00000000-0000-0000-0000-000000000001",
        "when@odata.type": "Edm.DateTime", "when": "2026-01-01T00:00:00Z", "none": None,
    }).encode()  # fmt: skip
    assert decode_entity(body, "").values == {
        "PartitionKey": "p", "RowKey": "r", "id": "00000000-0000-0000-0000-000000000001", "when": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    assert decode_entity(body, "").etag == ETAG
    assert decode_entity(body, "other").etag == "other"


def test_double_that_the_service_writes_as_text_is_a_float() -> None:
    body = b'{"n@odata.type":"Edm.Double","n":"Infinity","m@odata.type":"Edm.Double","m":5}'
    values = decode_entity(body, ETAG).values
    assert values == {"n": float("inf"), "m": 5.0}
    assert isinstance(values["m"], float)


def test_page_decoded_has_the_entities_with_their_etags() -> None:
    body = b'{"odata.metadata":"x","value":[{"odata.etag":"1","RowKey":"a"},{"odata.etag":"2","RowKey":"b","n":1}]}'
    assert decode_page(body) == [({"RowKey": "a"}, "1"), ({"RowKey": "b", "n": 1}, "2")]


def test_entity_beyond_a_limit_is_not_encoded() -> None:
    with pytest.raises(StorageLimit):
        encode_entity({"PartitionKey": "p", "RowKey": "r", "text": "x" * 32769})
    with pytest.raises(StorageLimit):
        encode_changes("p", "r", {"text": "x" * 32769})


@given(keys(), keys())
def test_path_of_an_entity_holds_its_keys_quoted(partition_key: str, row_key: str) -> None:
    path = entity_path("things", partition_key, row_key)
    assert path.isascii()
    assert set(path).isdisjoint(" ?#\\")
    doubled = [key.replace("'", "''") for key in (partition_key, row_key)]
    assert unquote(path) == f"/things(PartitionKey='{doubled[0]}',RowKey='{doubled[1]}')"


def test_path_of_an_entity_with_a_wrong_name_or_key_is_refused() -> None:
    for table, partition_key, row_key in (("things/x", "p", "r"), ("things", "p/q", "r"), ("things", "p", "r?")):
        with pytest.raises(StorageLimit):
            entity_path(table, partition_key, row_key)


@given(st.text())
def test_text_literal_is_one_literal_of_the_same_text(text: str) -> None:
    literal = text_literal(text)
    assert literal[0] == literal[-1] == "'"
    assert literal[1:-1].replace("''", "") == text.replace("'", "")
    assert literal[1:-1].replace("''", "'") == text
