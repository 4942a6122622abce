"""Rows of addresses: what is written comes back, names of one mailbox meet, and thousands of lists fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_core.message.address import parse_address
from email_core.storage import StoredEntity
from email_core.storage.limits import check_entity
from email_core.suppression.address_rows import ADDRESS_ROW, AddressRow, Lease, decode_row, digest, encode_row, partition_of

_ids = st.text("0123456789abcdef-", min_size=1, max_size=36)
_times = st.floats(0, 4e9)
leases = st.builds(
    Lease, bounce_class=st.text(max_size=20), first_seen=_times, last_seen=_times, until=_times, step=st.integers(0, 4),
    reply=st.text(max_size=300), source=st.text(max_size=50),
)  # fmt: skip


@given(st.dictionaries(_ids, _ids, max_size=20), st.none() | leases)
def test_row_that_was_written_comes_back(lists: dict[str, str], lease: Lease | None) -> None:
    row = AddressRow(lists, lease)
    assert decode_row(StoredEntity(dict(encode_row(row)), "etag")) == row


def test_row_that_is_not_there_holds_nothing() -> None:
    assert decode_row(None) == AddressRow()
    assert decode_row(None).etag == ""


def test_row_of_thousands_of_lists_fits_an_entity_and_comes_back() -> None:
    row = AddressRow({f"{number:016x}": f"00000000-0000-4000-8000-{number:012x}" for number in range(12_000)})
    entity = {"PartitionKey": partition_of("0" * 64), "RowKey": ADDRESS_ROW, **encode_row(row)}
    check_entity(entity)
    assert decode_row(StoredEntity(entity, "etag")) == row


def test_row_that_shrank_has_nothing_of_what_a_merge_left_standing() -> None:
    long = encode_row(AddressRow({f"{number:016x}": "x" * 36 for number in range(3000)}))
    short = AddressRow({"list": "id"})
    assert decode_row(StoredEntity({**long, **encode_row(short)}, "etag")) == short


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Ann@Fabrikam.test", "ann@fabrikam.TEST", True),
        ("ann@münchen.test", "ANN@xn--mnchen-3ya.test", True),
        ("ÄNN@fabrikam.test", "änn@fabrikam.test", True),
        ("straße@fabrikam.test", "STRASSE@fabrikam.test", True),
        ("ann@fabrikam.test", "ann@fabrikam.example", False),
        ("ann@fabrikam.test", "ann+1@fabrikam.test", False),
        ("a.nn@fabrikam.test", "ann@fabrikam.test", False),
    ],
)
def test_digest_is_that_of_the_mailbox(one: str, other: str, same: bool) -> None:
    assert (digest(parse_address(one)) == digest(parse_address(other))) is same


def test_without_list_takes_off_the_id_that_is_named_and_no_other() -> None:
    row = AddressRow({"one": "1", "two": "2"})
    assert row.without_list("one", "1").lists == {"two": "2"}
    assert row.without_list("one", "9").lists == {"one": "1", "two": "2"}
