"""Rows of the activity log: their keys, for whatever recipient."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from email_core.insights.activity import StatusUpdate, record
from email_core.message.address import parse_address
from email_core.storage import Entity, Operation, Upsert
from email_core.storage.limits import check_entity

AT = 1_790_000_000.5  # 2026-09-21T14:13:20.5Z
LONGEST_NAME = "a" * 60 + "." + "b" * 60 + "." + "c" * 60 + ".test"


class Rows:
    """The tables as `record` uses them; what Table storage would not take is refused as there."""

    def __init__(self) -> None:
        self.written: list[Entity] = []
        self.round_trips = 0

    async def upsert(self, table: str, entity: Entity) -> None:
        await self.transact(table, [Upsert(entity)])

    async def transact(self, table: str, operations: Sequence[Operation]) -> None:
        assert table == "activity"
        self.round_trips += 1
        for operation in operations:
            assert isinstance(operation, Upsert)
            check_entity(operation.entity)
            self.written.append(operation.entity)


def update(recipient: str, *, attempt: int = 1, at: float = AT) -> StatusUpdate:
    return StatusUpdate(
        service_key="abcdefghij",
        correlation_id="7f0b1d6e-4a53-4f0c-9d2b-1c3a5e7f9b11",
        at=at,
        recipient=recipient,
        status="Delivered",
        attempt=attempt,
        sender="news@contoso.test",
        message_id="<1@contoso.test>",
    )


async def rows_of(*updates: StatusUpdate) -> Rows:
    rows = Rows()
    await record(SimpleNamespace(tables=rows), updates)  # type: ignore[arg-type]
    return rows


@pytest.mark.parametrize(
    "recipient",
    [
        "a/b@fabrikam.test",
        "joe#x@fabrikam.test",
        "who?@fabrikam.test",
        "o'brien@fabrikam.test",
        "a=b+c@fabrikam.test",
        "Zoë@fabrikam.test",
        "𝒜" + "é" * 30 + "@" + LONGEST_NAME,
        "/" * 64 + "@" + LONGEST_NAME,
    ],
)
async def test_row_of_any_valid_recipient_has_a_short_key_of_ascii_and_the_whole_address(recipient: str) -> None:
    address = parse_address(recipient).addr_spec if recipient.isascii() else recipient
    [row] = (await rows_of(update(address))).written
    assert str(row["RowKey"]).isascii()
    assert len(str(row["RowKey"])) <= 512
    assert row["RecipientId"] == address


async def test_rows_of_several_recipients_have_keys_of_their_own_and_are_written_at_once() -> None:
    rows = await rows_of(*(update(f"{local}@fabrikam.test") for local in ("a/b", "a#b", "a?b", "ab", "AB")))
    assert len({row["RowKey"] for row in rows.written}) == 5
    assert {row["PartitionKey"] for row in rows.written} == {"abcdefghij:2026092114"}
    assert rows.round_trips == 1


async def test_row_that_is_written_again_has_the_same_key() -> None:
    [first], [second] = [(await rows_of(update("a/b@fabrikam.test"))).written for _ in range(2)]
    assert first["RowKey"] == second["RowKey"]


async def test_row_that_is_newer_comes_first() -> None:
    older, newer = (await rows_of(update("a@fabrikam.test"), update("a@fabrikam.test", attempt=2, at=AT + 60))).written
    assert str(newer["RowKey"]) < str(older["RowKey"])


async def test_nothing_to_record_is_no_round_trip() -> None:
    assert (await rows_of()).round_trips == 0
