"""The three ways to storage that are compared: ours, the SDK's clients, and bare aiohttp."""

from __future__ import annotations

import base64
import hmac
import uuid
from collections.abc import Awaitable
from email.utils import formatdate
from typing import Protocol
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec
from azure.core import MatchConditions
from azure.data.tables import UpdateMode
from azure.data.tables.aio import TableClient
from azure.storage.queue import TextBase64DecodePolicy, TextBase64EncodePolicy
from azure.storage.queue.aio import QueueClient, QueueServiceClient
from yarl import URL

from bench.figures import ContenderFailed
from email_core.settings import Secret, StorageSettings
from email_core.storage import QueueItem, Storage, Value, open_storage
from email_core.storage.account import SharedKey, account_of
from email_core.storage.pipeline import API_VERSION as VERSION

ITEM = '{"message":"5f0c5b0e-5a68-4d3e-8f0f-8a5bb3a1d6b7","envelope":"message","attempt":1,"written":1795310383.0}'
VISIBILITY = 600  # seconds
CHANGES: dict[str, Value] = {"status": "Succeeded", "attempt": 1, "ledger": b"\x94" * 220}


def entity() -> dict[str, Value]:
    """Such as a message's row: facts, times, and a content of 2 KB."""
    return {
        "PartitionKey": uuid.uuid4().hex,
        "RowKey": "message",
        "status": "Running",
        "door": "http",
        "domain": "contoso.example",
        "sender": "news@contoso.example",
        "requestHash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "attempt": 0,
        "size": 12_000,
        "acceptedAt": 1_795_310_383.25,
        "expiresAt": 1_795_569_583.25,
        "split": False,
        "ledger": b"\x93" * 200,
        "content": bytes(range(256)) * 8,
    }


class Client(Protocol):
    """A way to one table and one queue; `entity` is one of `entity`, `etag` that of what is stored of it.

    `queue` is another one in each round: Azurite looks through all items of a queue, those that are hidden too.
    """

    queue: str

    def insert(self, entity: dict[str, Value], etag: str) -> Awaitable[object]: ...

    def get(self, entity: dict[str, Value], etag: str) -> Awaitable[object]: ...

    def merge(self, entity: dict[str, Value], etag: str) -> Awaitable[object]: ...

    def enqueue(self) -> Awaitable[object]: ...

    def dequeue(self) -> Awaitable[object]: ...

    def delete(self, item: QueueItem) -> Awaitable[object]: ...

    async def close(self) -> None: ...


class OurClient:
    """email_core/storage."""

    def __init__(self, connection_string: str, name: str) -> None:
        self.storage: Storage = open_storage(StorageSettings(connection_string=Secret(connection_string)))
        self._name = name
        self.queue = ""

    def insert(self, entity: dict[str, Value], etag: str) -> Awaitable[object]:
        return self.storage.tables.insert(self._name, entity)

    def get(self, entity: dict[str, Value], etag: str) -> Awaitable[object]:
        return self.storage.tables.get(self._name, str(entity["PartitionKey"]), str(entity["RowKey"]))

    def merge(self, entity: dict[str, Value], etag: str) -> Awaitable[object]:
        keys = str(entity["PartitionKey"]), str(entity["RowKey"])
        return self.storage.tables.merge(self._name, *keys, CHANGES, etag=etag)

    def enqueue(self) -> Awaitable[object]:
        return self.storage.queues.enqueue(self.queue, ITEM)

    def dequeue(self) -> Awaitable[object]:
        return self.storage.queues.receive(self.queue, 1, VISIBILITY)

    def delete(self, item: QueueItem) -> Awaitable[object]:
        return self.storage.queues.delete(self.queue, item)

    async def close(self) -> None:
        await self.storage.close()


class SdkClient:
    """azure-data-tables and azure-storage-queue, as their documentation shows them."""

    def __init__(self, connection_string: str, name: str) -> None:
        self._table = TableClient.from_connection_string(connection_string, name)
        self._queues = QueueServiceClient.from_connection_string(
            connection_string, message_encode_policy=TextBase64EncodePolicy(), message_decode_policy=TextBase64DecodePolicy()
        )
        self._queue: QueueClient | None = None

    @property
    def queue(self) -> str:
        return self._queue.queue_name if self._queue else ""

    @queue.setter
    def queue(self, name: str) -> None:
        self._queue = self._queues.get_queue_client(name)  # shares the connections of the other

    async def create_queue(self, name: str) -> None:
        """For any of the clients: it is not measured."""
        await self._queues.create_queue(name)

    def insert(self, entity: dict[str, Value], etag: str) -> Awaitable[object]:
        return self._table.create_entity(entity)

    def get(self, entity: dict[str, Value], etag: str) -> Awaitable[object]:
        return self._table.get_entity(str(entity["PartitionKey"]), str(entity["RowKey"]))

    def merge(self, entity: dict[str, Value], etag: str) -> Awaitable[object]:
        keys = {name: entity[name] for name in ("PartitionKey", "RowKey")}
        same = MatchConditions.IfNotModified
        return self._table.update_entity({**keys, **CHANGES}, mode=UpdateMode.MERGE, etag=etag, match_condition=same)

    def enqueue(self) -> Awaitable[object]:
        assert self._queue  # for the type checker
        return self._queue.send_message(ITEM, time_to_live=-1)

    def dequeue(self) -> Awaitable[object]:
        assert self._queue  # for the type checker
        return self._queue.receive_message(visibility_timeout=VISIBILITY)

    def delete(self, item: QueueItem) -> Awaitable[object]:
        assert self._queue  # for the type checker
        return self._queue.delete_message(item.id, item.pop_receipt)

    async def close(self) -> None:
        await self._table.close()
        await self._queues.close()


class BareClient:
    """One aiohttp session, a signature, a body that is ready, and an answer that nobody reads into anything."""

    def __init__(self, connection_string: str, name: str) -> None:
        self._account = account_of(StorageSettings(connection_string=Secret(connection_string)))
        assert isinstance(self._account.credential, SharedKey)  # for the type checker
        self._key, self._name, self.queue = self._account.credential, name, ""
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=128), cookie_jar=aiohttp.DummyCookieJar())
        self._item = b"<QueueMessage><MessageText>%b</MessageText></QueueMessage>" % base64.b64encode(ITEM.encode())
        self._changes = msgspec.json.encode(CHANGES)

    def insert(self, entity: dict[str, Value], etag: str) -> Awaitable[object]:
        return self._table("POST", f"/{self._name}", msgspec.json.encode(entity), {"Prefer": "return-no-content"})

    def get(self, entity: dict[str, Value], etag: str) -> Awaitable[object]:
        return self._table("GET", self._path(entity), b"", {})

    def merge(self, entity: dict[str, Value], etag: str) -> Awaitable[object]:
        return self._table("PATCH", self._path(entity), self._changes, {"If-Match": etag})

    def enqueue(self) -> Awaitable[object]:
        return self._items("POST", f"/{self.queue}/messages", "messagettl=-1", self._item)

    def dequeue(self) -> Awaitable[object]:
        return self._items("GET", f"/{self.queue}/messages", f"numofmessages=1&visibilitytimeout={VISIBILITY}", b"")

    def delete(self, item: QueueItem) -> Awaitable[object]:
        query = f"popreceipt={quote(item.pop_receipt, safe='')}"
        return self._items("DELETE", f"/{self.queue}/messages/{item.id}", query, b"", f"popreceipt:{item.pop_receipt}")

    async def close(self) -> None:
        await self._session.close()

    def _path(self, entity: dict[str, Value]) -> str:
        partition_key, row_key = str(entity["PartitionKey"]), str(entity["RowKey"])
        return f"/{self._name}(PartitionKey='{partition_key}',RowKey='{row_key}')"

    async def _table(self, method: str, path: str, body: bytes, more: dict[str, str]) -> bytes:
        content_type, date = "application/json" if body else "", formatdate(usegmt=True)
        url = self._account.table_endpoint + path
        signed = f"{method}\n\n{content_type}\n{date}\n/{self._key.account}{urlsplit(url).path}"
        headers = {"x-ms-date": date, "Accept": "application/json;odata=minimalmetadata", **more}
        return await self._send(method, url, signed, headers, content_type, body)

    async def _items(self, method: str, path: str, query: str, body: bytes, signed_query: str = "") -> bytes:
        content_type, date = "application/xml" if body else "", formatdate(usegmt=True)
        url = self._account.queue_endpoint + path
        lines = [method, "", "", str(len(body) or ""), "", content_type, "", "", "", "", "", ""]
        lines += [f"x-ms-date:{date}", f"x-ms-version:{VERSION}", f"/{self._key.account}{urlsplit(url).path}"]
        lines += [signed_query or line.replace("=", ":", 1) for line in query.split("&")]
        return await self._send(method, f"{url}?{query}", "\n".join(lines), {"x-ms-date": date}, content_type, body)

    async def _send(self, method: str, url: str, signed: str, headers: dict[str, str], content_type: str, body: bytes) -> bytes:
        signature = base64.b64encode(hmac.digest(self._key.key, signed.encode(), "sha256")).decode()
        headers = {
            **headers, "x-ms-version": VERSION, "Authorization": f"SharedKey {self._key.account}:{signature}",
            **({"Content-Type": content_type} if content_type else {}),
        }  # fmt: skip
        request = self._session.request(
            method, URL(url, encoded=True), headers=headers, data=body or None, skip_auto_headers=("Content-Type",)
        )
        async with request as response:
            if response.status >= 300:
                raise ContenderFailed(f"{method} {url}: {response.status}")
            return await response.read()
