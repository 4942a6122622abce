"""What an installation has written to its storage: counted, forgotten, or taken as the measure of what one message costs."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import Any

from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient

from bench.figures import ContenderFailed
from email_core.delivery.rows import MESSAGE_ROW, facts_of, ledger_of, row_of, timeline_of
from email_core.delivery.spool import MESSAGES, SUBMISSIONS
from email_core.insights.activity import ACTIVITY
from email_core.settings import Secret, StorageSettings
from email_core.storage import Storage, StoredEntity, open_storage


@dataclass(frozen=True, slots=True)
class Stored:
    """The storage of an installation."""

    connection_string: str

    def forget(self) -> None:
        """Remove the items and rows of a round: Azurite looks through a whole queue or partition for each request."""
        with QueueClient.from_connection_string(self.connection_string, SUBMISSIONS) as queue:
            queue.clear_messages()
        with TableServiceClient.from_connection_string(self.connection_string) as tables:
            for name in (MESSAGES, ACTIVITY):
                tables.delete_table(name)
                tables.create_table(name)

    def accepted(self) -> int:
        """How many messages have both a row and, as long as nobody works them, an item."""
        with QueueClient.from_connection_string(self.connection_string, SUBMISSIONS) as queue:
            items = queue.get_queue_properties().approximate_message_count or 0
        with TableServiceClient.from_connection_string(self.connection_string) as tables:
            rows = sum(1 for _ in tables.get_table_client(MESSAGES).list_entities(select=["PartitionKey"]))
        return min(rows, items)

    def written(self) -> dict[str, dict[str, Any]]:
        """What is written for one message, from a row that was written: `row`, `claim`, `settled` and `activity`.

        Binary properties are in base64, as on the wire. Without deliveries, only `row` is of use. Raises ContenderFailed when
        there is no message.
        """
        return asyncio.run(_written(self.connection_string))


async def _written(connection_string: str) -> dict[str, dict[str, Any]]:
    storage = open_storage(StorageSettings(connection_string=Secret(connection_string)))
    try:
        stored, activity = await _any_entity(storage, MESSAGES), await _any_entity(storage, ACTIVITY)
    finally:
        await storage.close()
    if not stored.values:
        raise ContenderFailed("there is no message whose round trips could be made")
    row = row_of("", MESSAGE_ROW, stored)
    accepted = {**stored.values, **timeline_of(row.timeline[:1])}
    settled = {**facts_of(row.facts), **ledger_of(row.ledger), **timeline_of(row.timeline)}
    found = {"row": accepted, "claim": ledger_of(row.ledger), "settled": settled, "activity": activity.values}
    return {name: {key: _encoded(value) for key, value in values.items()} for name, values in found.items()}


def _encoded(value: object) -> object:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


async def _any_entity(storage: Storage, table: str) -> StoredEntity:
    async for entity in storage.tables.query(table, "", page_size=1):
        return entity
    return StoredEntity({}, "")
