"""The table `resources`: one row for each resource, PartitionKey its subscription and group, RowKey its path.

Rows are changed by ETag only. Each write leaves a mark of its own in the row: storage makes a write again whose answer was
lost, and by the mark it is told from that of somebody else. A secret in a document is sealed for its resource, so a row that is
copied to another place does not open there.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from email_core import maillog
from email_core.domains.documents import DOCUMENTS, Document, decode_document
from email_core.errors import ConfigurationMissing, EntityChanged, EntityExists
from email_core.management.resource_id import Kind, ResourceId
from email_core.storage import StoredEntity, Tables, text_literal

RESOURCES = "resources"
PAGE = 1000  # entities of one round trip
TIMER_PAGE = 200  # of 28 KB each at the most: mail is sent in the same worker, and a page is decoded in one piece

_MARK = "write"  # the property that says which write was the last one

D = TypeVar("D", bound=Document)


@dataclass(frozen=True, slots=True)
class Resource(Generic[D]):
    """A resource as it was read, with the ETag that a change of it names."""

    document: D
    etag: str
    partition: str
    row: str


class ResourceStore:
    """Reads and writes resources. Every method raises StorageUnavailable."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def get(self, resource_id: ResourceId, kind: type[D]) -> Resource[D] | None:
        """A resource, or None. Raises ConfigurationMissing when its document can't be read."""
        row = await self._tables.get(RESOURCES, resource_id.partition, resource_id.row)
        return None if row is None else _resource(row, kind)

    async def create(self, resource_id: ResourceId, document: Document) -> str:
        """Store a new resource; its ETag. Raises EntityExists."""
        keys = {"PartitionKey": resource_id.partition, "RowKey": resource_id.row}
        values = {"kind": resource_id.kind.name, "document": encode_document(document), **_new_mark()}
        try:
            return await self._tables.insert(RESOURCES, {**keys, **values})
        except EntityExists:
            if etag := await self._etag_of(resource_id.partition, resource_id.row, values[_MARK]):
                return etag
            raise

    async def replace(self, resource: Resource[D], document: D) -> Resource[D]:
        """Change a resource that nobody changed since it was read. Raises EntityChanged, EntityMissing."""
        changes = {"document": encode_document(document), **_new_mark()}
        try:
            etag = await self._tables.merge(RESOURCES, resource.partition, resource.row, changes, etag=resource.etag)
        except EntityChanged:
            etag = await self._etag_of(resource.partition, resource.row, changes[_MARK])
            if not etag:
                raise
        return Resource(document, etag, resource.partition, resource.row)

    async def delete(self, resource: Resource[D]) -> None:
        """Delete a resource that nobody changed since it was read. Raises EntityChanged."""
        await self._tables.delete(RESOURCES, resource.partition, resource.row, etag=resource.etag)

    async def _etag_of(self, partition: str, row: str, mark: str) -> str:
        """The ETag of a row while the write with that mark is its last one; empty otherwise."""
        found = await self._tables.get(RESOURCES, partition, row, select=(_MARK,))
        return found.etag if found is not None and found.values.get(_MARK) == mark else ""

    async def children(
        self, parent: ResourceId, kind: Kind, document: type[D], *, after: str = ""
    ) -> AsyncIterator[Resource[D]]:
        """The resources of a kind directly below a parent, in the order of their rows, from behind the row `after` on.

        One whose document can't be read is left out, here and in the next two, and told to the log.
        """
        prefix = f"{parent.row}|{kind.name.lower()}|"
        filters = [
            f"PartitionKey eq {text_literal(parent.partition)}",
            f"RowKey gt {text_literal(max(after, prefix))}",
            f"RowKey lt {text_literal(prefix[:-1] + '}')}",  # "}" comes after "|"
            f"kind eq {text_literal(kind.name)}",
        ]
        async for row in self._tables.query(RESOURCES, " and ".join(filters), page_size=PAGE):
            if (resource := _readable(row, document)) is not None:
                yield resource

    async def top_level(
        self, subscription: str, group: str, kind: Kind, document: type[D], *, after: tuple[str, str] = ("", "")
    ) -> AsyncIterator[Resource[D]]:
        """The top-level resources of a kind in a subscription, or in one of its groups, from behind the keys `after` on."""
        partition = f"subscriptions|{subscription}|resourcegroups|".lower()
        if group:
            where = f"PartitionKey eq {text_literal(partition + group.lower())}"
        else:
            where = f"PartitionKey ge {text_literal(partition)} and PartitionKey lt {text_literal(partition[:-1] + '}')}"
        if after[0]:
            last_partition, last_row = (text_literal(key) for key in after)
            where += f" and (PartitionKey gt {last_partition} or (PartitionKey eq {last_partition} and RowKey gt {last_row}))"
        where += f" and kind eq {text_literal(kind.name)}"
        async for row in self._tables.query(RESOURCES, where, page_size=PAGE):
            if (resource := _readable(row, document)) is not None:
                yield resource

    async def everywhere(self, kind: Kind, document: type[D]) -> AsyncIterator[Resource[D]]:
        """Every resource of a kind in the installation, for timers."""
        async for row in self._tables.query(RESOURCES, f"kind eq {text_literal(kind.name)}", page_size=TIMER_PAGE):
            if (resource := _readable(row, document)) is not None:
                yield resource

    async def below(self, parent: ResourceId) -> AsyncIterator[Resource[Document]]:
        """Everything below a resource, at any depth."""
        prefix = f"{parent.row}|"
        where = (
            f"PartitionKey eq {text_literal(parent.partition)} and RowKey gt {text_literal(prefix)}"
            f" and RowKey lt {text_literal(prefix[:-1] + '}')}"
        )
        async for row in self._tables.query(RESOURCES, where, page_size=PAGE):
            kind = next((kind for kind in DOCUMENTS if kind.name == row.values.get("kind")), None)
            yield _resource(row, Document if kind is None else DOCUMENTS[kind])


def _new_mark() -> dict[str, str]:
    return {_MARK: secrets.token_hex(8)}


def encode_document(document: Document) -> str:
    """The stored form of a document."""
    return msgspec.json.encode(document).decode()


def _readable(row: StoredEntity, kind: type[D]) -> Resource[D] | None:
    try:
        return _resource(row, kind)
    except ConfigurationMissing as error:
        maillog.fault("resources", error=error)  # one must not keep all others from being listed and looked after
        return None


def _resource(row: StoredEntity, kind: type[D]) -> Resource[D]:
    partition, name = str(row.values["PartitionKey"]), str(row.values["RowKey"])
    try:
        document = decode_document(str(row.values.get("document", "")), kind)
    except msgspec.MsgspecError as error:
        shown = f"/{partition}/{name}".replace("|", "/")
        raise ConfigurationMissing(f"resource {shown} can't be used: {error}") from error
    return Resource(document, row.etag, partition, name)
