"""Tables: entities by key, by filter, and several at once.

A write is sent again when its answer is lost, so it may meet its own effect: `insert` then raises EntityExists, `merge`
EntityChanged, and `transact` either of them, although it was this caller's write that took effect. A caller that must know
reads the entity and looks for something that only its own write can have put there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from email_core.storage.answers import Answer, failure
from email_core.storage.entities import StoredEntity, decode_entity, decode_page, encode_changes, encode_entity, entity_path
from email_core.storage.limits import Entity, check_table_name
from email_core.storage.transactions import Operation, encode_transaction, transaction_answer

if TYPE_CHECKING:
    from email_core.storage.pipeline import Service

_NO_ENTITY = "ResourceNotFound"  # a table that was never created is another code, and a fault
_READ = {"Accept": "application/json;odata=minimalmetadata", "DataServiceVersion": "3.0"}
_WRITE = {
    "Accept": "application/json;odata=minimalmetadata",
    "Content-Type": "application/json",
    "DataServiceVersion": "3.0",
    "Prefer": "return-no-content",
}


class Tables:
    """The Table service. Every method raises StorageUnavailable, and StorageLimit for what the service does not take."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def insert(self, table: str, entity: Entity) -> str:
        """Store a new entity; its ETag. Raises EntityExists when its keys are taken."""
        check_table_name(table)
        answer = await self._service.call("insert", "POST", f"/{table}", _WRITE, encode_entity(entity))
        return _written(answer)

    async def get(self, table: str, partition_key: str, row_key: str, *, select: Sequence[str] = ()) -> StoredEntity | None:
        """The entity with these keys, or only its properties in `select`; None when there is none."""
        target = entity_path(table, partition_key, row_key)
        if select:
            target += "?$select=" + quote(",".join(select), safe=",")
        answer = await self._service.call("get", "GET", target, _READ)
        if answer.status == 200:
            return decode_entity(answer.body, answer.etag)
        if answer.fault[0] == _NO_ENTITY:
            return None
        raise failure(answer)

    async def merge(self, table: str, partition_key: str, row_key: str, changes: Entity, *, etag: str) -> str:
        """Change properties of the entity that has this ETag ("*": any) and leave the others alone; its new ETag.

        Raises EntityChanged for another ETag and EntityMissing when there is no such entity.
        """
        target = entity_path(table, partition_key, row_key)
        body = encode_changes(partition_key, row_key, changes)
        return _written(await self._service.call("merge", "PATCH", target, {**_WRITE, "If-Match": etag}, body))

    async def upsert(self, table: str, entity: Entity) -> None:
        """Store an entity in place of the one with its keys, if any."""
        body = encode_entity(entity)
        target = entity_path(table, str(entity["PartitionKey"]), str(entity["RowKey"]))
        _written(await self._service.call("upsert", "PUT", target, _WRITE, body))

    async def delete(self, table: str, partition_key: str, row_key: str, *, etag: str = "*") -> None:
        """Delete the entity that has this ETag ("*": any). That there is none is fine. Raises EntityChanged."""
        headers = {**_READ, "If-Match": etag}
        answer = await self._service.call("delete", "DELETE", entity_path(table, partition_key, row_key), headers)
        if answer.status != 204 and answer.fault[0] != _NO_ENTITY:
            raise failure(answer)

    async def query(
        self, table: str, filter: str, *, select: Sequence[str] = (), page_size: int | None = None
    ) -> AsyncIterator[StoredEntity]:
        """The entities that an OData filter lets through (empty: all), in the order of their keys.

        Follows continuations, so entities may come and go meanwhile. Values in a filter are written with `text_literal`.
        `page_size` is how many are fetched in one round trip, 1 to 1,000.
        """
        check_table_name(table)
        parameters = {"$filter": filter, "$select": ",".join(select), "$top": str(page_size or "")}
        while True:
            asked = urlencode({name: value for name, value in parameters.items() if value}, quote_via=quote)
            answer = await self._service.call("query", "GET", f"/{table}()?{asked}", _READ)
            if answer.status != 200:
                raise failure(answer)
            for entity in decode_page(answer.body):
                yield entity
            # A page may be empty and have a continuation all the same: the service stops after five seconds.
            partition_key = answer.headers.get("x-ms-continuation-NextPartitionKey")
            if partition_key is None:
                return
            parameters["NextPartitionKey"] = partition_key
            parameters["NextRowKey"] = answer.headers.get("x-ms-continuation-NextRowKey", "")

    async def transact(self, table: str, operations: Sequence[Operation]) -> None:
        """Do all of the operations or none: at most 100, in one partition, each entity once, 4 MiB in all.

        Raises EntityExists, EntityChanged or EntityMissing as the first operation that fails says.
        """
        check_table_name(table)
        boundary, body = encode_transaction(self._service.endpoint, table, operations)
        headers = {
            "Accept": "application/json", "DataServiceVersion": "3.0",
            "Content-Type": f"multipart/mixed; boundary={boundary}",
        }  # fmt: skip
        answer = await self._service.call("transact", "POST", "/$batch", headers, body)
        outcome = transaction_answer(answer)
        if not 200 <= outcome.status < 300:
            raise failure(outcome)


def _written(answer: Answer) -> str:
    if answer.status in (201, 204):
        return answer.etag
    raise failure(answer)
