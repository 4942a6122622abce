"""Creating what is absent, with the clients of the SDKs: it happens when an installation is provisioned, so their import
time and their CPU do not matter.

Their errors are judged by Azure's code and not by their class: a ResourceExistsError may mean a queue or container that is
just being deleted, which is neither there nor to be had for a while.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Iterable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import AzureError, HttpResponseError

from email_core.errors import StorageRefused, StorageUnavailable
from email_core.storage.account import Account, Identity, SharedAccess, SharedKey
from email_core.storage.limits import check_queue_name, check_table_name

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

# The SDKs of queues and blobs would wait for 15 seconds and more between tries: somebody is waiting for the start.
_RETRIES: dict[str, Any] = {"retry_total": 3, "initial_backoff": 1, "increment_base": 2}
_TABLE_RETRIES: dict[str, Any] = {"retry_total": 3}
# Not every code that ends in AlreadyExists: an AccountAlreadyExists would not say that the queue is there.
_EXISTS = frozenset(("TableAlreadyExists", "QueueAlreadyExists", "ContainerAlreadyExists"))
_BEING_DELETED = frozenset(("TableBeingDeleted", "QueueBeingDeleted", "ContainerBeingDeleted"))


async def create_absent(
    account: Account,
    token_credential: AsyncTokenCredential | None,
    *,
    tables: Iterable[str],
    queues: Iterable[str],
    containers: Iterable[str],
) -> None:
    """Create the tables, queues and containers that are not there.

    Raises StorageUnavailable, StorageRefused when the credential may not, and StorageLimit for a wrong name.
    """
    from azure.data.tables.aio import TableServiceClient
    from azure.storage.blob.aio import BlobServiceClient
    from azure.storage.queue.aio import QueueServiceClient

    credential = _credential(account, token_credential)
    async with AsyncExitStack() as stack:
        calls: list[Awaitable[object]] = []
        if names := _checked(tables, check_table_name):
            service = await stack.enter_async_context(
                TableServiceClient(account.table_endpoint, credential=credential, **_TABLE_RETRIES)
            )
            calls += [service.create_table(name) for name in names]
        if names := _checked(queues, check_queue_name):
            queue_service = await stack.enter_async_context(
                QueueServiceClient(account.queue_endpoint, credential=credential, **_RETRIES)
            )
            calls += [queue_service.create_queue(name) for name in names]
        if names := _checked(containers, check_queue_name):
            blob_service = await stack.enter_async_context(
                BlobServiceClient(account.blob_endpoint, credential=credential, **_RETRIES)
            )
            calls += [blob_service.create_container(name) for name in names]
        for result in await asyncio.gather(*calls, return_exceptions=True):
            judge(result)


def _credential(account: Account, token_credential: AsyncTokenCredential | None) -> Any:
    match account.credential:
        case SharedKey(name, key):
            return AzureNamedKeyCredential(name, base64.b64encode(key).decode())
        case SharedAccess(signature):
            return AzureSasCredential(signature)
        case Identity():
            return token_credential


def _checked(names: Iterable[str], check: Any) -> list[str]:
    checked = list(names)
    for name in checked:
        check(name)
    return checked


def judge(result: object) -> None:
    """Raise what an answer of the SDKs means to our callers; that something exists already is no error."""
    code = _code(result)
    match result:
        case HttpResponseError() if code in _EXISTS:
            return
        case HttpResponseError() if code in _BEING_DELETED:
            raise StorageUnavailable(f"create: {code}: it can be made again when that is done, in a minute or so") from result
        case HttpResponseError(status_code=int(status)) if status < 500 and status not in (408, 429):
            raise StorageRefused("create", status, code, result.message.split("\n", 1)[0][:200]) from result
        case AzureError():
            raise StorageUnavailable(f"create: {type(result).__name__}: {result}") from result
        case BaseException():
            raise result


def _code(result: object) -> str:
    # The SDKs of queues and blobs set an enumeration of their own, the one of tables another, and some paths a plain text.
    code = getattr(result, "error_code", None)
    return str(getattr(code, "value", code) or "")
