"""Entity group transactions: several writes to one partition, in one request, all or none.

The request is one OData batch with one change set, MIME in MIME; see "Performing entity group transactions".
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from email_core.storage.answers import Answer
from email_core.storage.entities import encode_changes, encode_entity, entity_path
from email_core.storage.limits import TRANSACTION_BYTES, TRANSACTION_OPERATIONS, Entity, StorageLimit


@dataclass(frozen=True, slots=True)
class Insert:
    """Store a new entity; EntityExists when its keys are taken."""

    entity: Entity


@dataclass(frozen=True, slots=True)
class Merge:
    """Change properties of the entity that has this ETag ("*": any)."""

    partition_key: str
    row_key: str
    changes: Entity
    etag: str


@dataclass(frozen=True, slots=True)
class Upsert:
    """Store an entity in place of the one with its keys, if any."""

    entity: Entity


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the entity that has this ETag ("*": any); EntityMissing when there is none."""

    partition_key: str
    row_key: str
    etag: str = "*"


Operation = Insert | Merge | Upsert | Delete

_STATUS = re.compile(rb"^HTTP/1\.[01] (\d{3})[^\r\n]*\r?\n", re.MULTILINE)


def encode_transaction(endpoint: str, table: str, operations: Sequence[Operation]) -> tuple[str, bytes]:
    """The boundary and the body of the request that does these operations on a table.

    Raises StorageLimit for none or more than 100 of them, for more than one partition, for an entity that occurs twice,
    for more than 4 MiB, and for what a single operation would be refused for.
    """
    _check_keys([_keys(operation) for operation in operations])
    token = secrets.token_hex(16)  # a boundary must not occur in what it bounds, and nobody can guess this one
    batch, change_set = f"batch_{token}", f"changeset_{token}"
    lines: list[bytes] = [
        f"--{batch}\r\nContent-Type: multipart/mixed; boundary={change_set}\r\n\r\n".encode(),
    ]
    for index, operation in enumerate(operations):
        lines.append(
            f"--{change_set}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
            f"Content-ID: {index}\r\n\r\n".encode()
        )
        lines.append(_request(endpoint, table, operation))
    lines.append(f"\r\n--{change_set}--\r\n\r\n--{batch}--\r\n".encode())
    body = b"".join(lines)
    if len(body) > TRANSACTION_BYTES:
        raise StorageLimit(f"a transaction is at most {TRANSACTION_BYTES} bytes; this one is {len(body)}")
    return batch, body


def transaction_answer(answer: Answer) -> Answer:
    """The answer to the operation that failed, or to the whole when none did: a batch itself is always accepted."""
    for status in _STATUS.finditer(answer.body):
        if not 200 <= int(status[1]) < 300:
            _, _, rest = answer.body[status.end() :].partition(b"\r\n\r\n")
            fault = rest.split(b"\r\n--", 1)[0].strip()
            return Answer(answer.operation, int(status[1]), {}, fault, answer.retried)
    return answer


def _keys(operation: Operation) -> tuple[str, str]:
    match operation:
        case Insert(entity) | Upsert(entity):
            return str(entity.get("PartitionKey", "")), str(entity.get("RowKey", ""))
        case Merge(partition_key=partition_key, row_key=row_key) | Delete(partition_key=partition_key, row_key=row_key):
            return partition_key, row_key


def _check_keys(keys: list[tuple[str, str]]) -> None:
    if not 1 <= len(keys) <= TRANSACTION_OPERATIONS:
        raise StorageLimit(f"a transaction has 1 to {TRANSACTION_OPERATIONS} operations; this one has {len(keys)}")
    if len({partition_key for partition_key, _ in keys}) > 1:
        raise StorageLimit("all operations of a transaction must be in one partition")
    if len(set(keys)) < len(keys):
        raise StorageLimit("an entity may occur once in a transaction")


def _request(endpoint: str, table: str, operation: Operation) -> bytes:
    body = b""
    match operation:
        case Insert(entity):
            method, path, condition, body = "POST", f"/{table}", "", encode_entity(entity)
        case Upsert(entity):
            body = encode_entity(entity)
            method, path, condition = "PUT", entity_path(table, *_keys(operation)), ""
        case Merge(partition_key, row_key, changes, etag):
            body = encode_changes(partition_key, row_key, changes)
            method, path, condition = "PATCH", entity_path(table, partition_key, row_key), etag
        case Delete(partition_key, row_key, etag):
            method, path, condition = "DELETE", entity_path(table, partition_key, row_key), etag
    headers = [
        f"{method} {endpoint}{path} HTTP/1.1",
        "Accept: application/json;odata=minimalmetadata",
        "DataServiceVersion: 3.0",
    ]
    if condition:
        headers.append(f"If-Match: {condition}")
    if body:
        headers += ["Content-Type: application/json", f"Content-Length: {len(body)}", "Prefer: return-no-content"]
    return "\r\n".join((*headers, "", "")).encode() + body + b"\r\n"
