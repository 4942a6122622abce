"""Entity group transactions: the request as the official client writes it, and the answers of the service."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.data.tables import UpdateMode
from azure.data.tables.aio import TableClient

from email_core.errors import EntityChanged, EntityExists, EntityMissing, StorageRefused, StorageUnavailable
from email_core.storage import Delete, Insert, Merge, Operation, StorageLimit, Upsert
from email_core.storage.transactions import encode_transaction
from tests.unit.storage.faulty_server import BREAK, Reply, faulty_storage

ENDPOINT = "https://account.table.core.windows.net"
ETAG = "W/\"datetime'1'\""


class Sent(Exception):
    """Stands for the request having left."""


class Recording(AsyncHttpTransport[HttpRequest, AsyncHttpResponse]):
    """Keeps the body of the request that was to leave."""

    body = b""

    async def send(self, request: HttpRequest, **_: Any) -> AsyncHttpResponse:
        self.body = request.content
        raise Sent

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close."""


def parts_of(body: bytes) -> list[tuple[str, str, object]]:
    """Each operation of a batch: its request line, its If-Match and its entity without the annotation that is the default."""
    found = []
    for part in re.split(r"\r?\n--changeset_[^\r\n]*", body.decode())[1:-1]:
        head, _, rest = part.partition("HTTP/1.1")
        line = head.splitlines()[-1].strip()
        condition = re.search(r"^If-Match: (.*?)\r?$", rest, re.MULTILINE)
        entity = json.loads(rest[rest.index("{") :]) if "{" in rest else {}
        plain = {name: value for name, value in entity.items() if value != "Edm.String"}
        found.append((line, condition[1] if condition else "", plain))
    return found


async def test_transaction_is_written_as_the_official_client_writes_it() -> None:
    recording = Recording()
    client = TableClient.from_connection_string(
        "AccountName=account;AccountKey=a2V5", "things", transport=recording, retry_total=0
    )
    await_me = client.submit_transaction([
        ("create", {"PartitionKey": "p'1", "RowKey": "a b%", "text": "é", "bytes": b"\x00", "whole": 2.0}),
        ("update", {"PartitionKey": "p'1", "RowKey": "b", "x": 1}, {
            "mode": UpdateMode.MERGE, "etag": ETAG, "match_condition": MatchConditions.IfNotModified,
        }),
        ("upsert", {"PartitionKey": "p'1", "RowKey": "€"}, {"mode": UpdateMode.REPLACE}),
        ("delete", {"PartitionKey": "p'1", "RowKey": "d"}),
    ])  # fmt: skip
    with pytest.raises(Sent):
        await await_me
    _, ours = encode_transaction(
        ENDPOINT,
        "things",
        [
            Insert({"PartitionKey": "p'1", "RowKey": "a b%", "text": "é", "bytes": b"\x00", "whole": 2.0}),
            Merge("p'1", "b", {"PartitionKey": "p'1", "RowKey": "b", "x": 1}, ETAG),
            Upsert({"PartitionKey": "p'1", "RowKey": "€"}),
            Delete("p'1", "d"),
        ],
    )
    assert len(parts_of(ours)) == 4
    assert [(line.replace("%27%27", "''"), *rest) for line, *rest in parts_of(ours)] == [
        (line.replace("%27%27", "''"), *rest) for line, *rest in parts_of(recording.body)
    ]


def test_transaction_is_a_batch_with_one_change_set() -> None:
    boundary, body = encode_transaction(ENDPOINT, "things", [Insert({"PartitionKey": "p", "RowKey": "r"})])
    token = boundary.removeprefix("batch_")
    assert body.decode() == "\r\n".join((
        f"--batch_{token}", f"Content-Type: multipart/mixed; boundary=changeset_{token}", "",
        f"--changeset_{token}", "Content-Type: application/http", "Content-Transfer-Encoding: binary", "Content-ID: 0", "",
        "POST https://account.table.core.windows.net/things HTTP/1.1", "Accept: application/json;odata=minimalmetadata",
        "DataServiceVersion: 3.0", "Content-Type: application/json", "Content-Length: 33", "Prefer: return-no-content", "",
        '{"PartitionKey":"p","RowKey":"r"}', "",
        f"--changeset_{token}--", "", f"--batch_{token}--", "",
    ))  # fmt: skip


def entity(row_key: str, size: int = 0) -> dict[str, str | bytes]:
    count, rest = divmod(size, 60_000)
    parts = {f"b{number}": b"x" * 60_000 for number in range(count)}
    return {"PartitionKey": "p", "RowKey": row_key, **parts, "rest": b"x" * rest}


@pytest.mark.parametrize(
    ("operations", "rule"),
    [
        ([], "1 to 100"),
        ([Insert(entity(str(number))) for number in range(101)], "1 to 100"),
        ([Insert(entity("a")), Delete("q", "b")], "one partition"),
        ([Insert(entity("a")), Merge("p", "a", {}, "*")], "once"),
        ([Insert(entity(str(number), 900_000)) for number in range(4)], "4194304 bytes"),
        ([Insert({"PartitionKey": "p"})], "needs a RowKey"),
        ([Upsert({"PartitionKey": "p", "RowKey": "a/b"})], "RowKey"),
        ([Merge("p", "r", {"text": "x" * 40_000}, "*")], "text"),
        ([Delete("p", "a?b")], "RowKey"),
    ],
)
def test_transaction_beyond_a_limit_is_refused(operations: Sequence[Operation], rule: str) -> None:
    with pytest.raises(StorageLimit, match=rule):
        encode_transaction(ENDPOINT, "things", operations)


def test_transaction_of_a_hundred_operations_is_written() -> None:
    _, body = encode_transaction(ENDPOINT, "things", [Insert(entity(str(number))) for number in range(100)])
    assert len(parts_of(body)) == 100


def batch_answer(status: int, code: str = "", message: str = "") -> Reply:
    """The answer of the Table service to a batch that it could read, after its documentation."""
    fault = f'{{"odata.error":{{"code":"{code}","message":{{"lang":"en-US","value":"{message}"}}}}}}' if code else ""
    body = "\r\n".join((
        "--batchresponse_1", "Content-Type: multipart/mixed; boundary=changesetresponse_2", "",
        "--changesetresponse_2", "Content-Type: application/http", "Content-Transfer-Encoding: binary", "",
        f"HTTP/1.1 {status} Reason", "X-Content-Type-Options: nosniff", "DataServiceVersion: 3.0;",
        "Content-Type: application/json;odata=minimalmetadata;streaming=true;charset=utf-8", "", fault,
        "--changesetresponse_2--", "--batchresponse_1--", "",
    ))  # fmt: skip
    return Reply(202, body.encode(), {"Content-Type": "multipart/mixed; boundary=batchresponse_1"})


OPERATIONS = [Merge("p", "r", {"x": 1}, ETAG)]


async def test_transaction_done_returns() -> None:
    async with faulty_storage(batch_answer(204)) as (storage, server):
        await storage.tables.transact("things", OPERATIONS)
    assert server.received[0].target == "/account/$batch"
    assert storage.round_trips == {"tables.transact": 1}


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (409, "EntityAlreadyExists", EntityExists),
        (412, "UpdateConditionNotSatisfied", EntityChanged),
        (404, "ResourceNotFound", EntityMissing),
        (404, "TableNotFound", StorageRefused),
        (400, "InvalidInput", StorageRefused),
        (503, "ServerBusy", StorageUnavailable),
        (500, "OperationTimedOut", StorageUnavailable),
    ],
)
async def test_transaction_refused_raises_as_its_failing_operation_says(status: int, code: str, error: type[Exception]) -> None:
    async with faulty_storage(batch_answer(status, code, "0:Why.\\nRequestId:1")) as (storage, _):
        with pytest.raises(error, match=rf"tables\.transact: {status} {code}"):
            await storage.tables.transact("things", OPERATIONS)


async def test_transaction_that_met_its_own_effect_says_so() -> None:
    async with faulty_storage(BREAK, batch_answer(409, "EntityAlreadyExists")) as (storage, _):
        with pytest.raises(EntityExists, match="after a retry"):
            await storage.tables.transact("things", OPERATIONS)


async def test_transaction_too_large_for_the_service_is_refused() -> None:
    async with faulty_storage(Reply(413, headers={"x-ms-error-code": "RequestBodyTooLarge"})) as (storage, _):
        with pytest.raises(StorageLimit, match="413 RequestBodyTooLarge"):
            await storage.tables.transact("things", OPERATIONS)
