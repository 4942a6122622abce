"""Storage: each of its three services reached with our credential, and what an installation needs to find there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from email_core.errors import EntityMissing, StorageRefused, StorageUnavailable
from local.doctor.check import Check, Finding, ok, shown_time, wrong
from local.doctor.subject import Subject
from local.ports import LOOPBACK

if TYPE_CHECKING:
    from email_core.storage.account import Account

ABSENT = "doctor"  # the name of an entity and of a blob that are never written: reading them proves the way there
ANSWER_SECONDS = 8.0  # with the retries of our storage code; less than a check may take, so that it says what is wrong
ROUND_TRIPS = 3  # the fastest of them is told: the others shared this process with the other checks
_GROUP = "Storage"

Read = Callable[[], Awaitable[object]]
_ROLES = {"tables": "Storage Table Data Contributor", "queues": "Storage Queue Data Contributor",
          "blobs": "Storage Blob Data Contributor"}  # fmt: skip


async def tables(subject: Subject) -> Finding:
    from email_core.administration.provision import TABLES

    storage = subject.storage()
    return await _service(subject, "tables", {name: partial(storage.tables.get, name, ABSENT, ABSENT) for name in TABLES})


async def queues(subject: Subject) -> Finding:
    from email_core.administration.provision import QUEUES

    storage = subject.storage()
    return await _service(subject, "queues", {name: partial(storage.queues.depth, name) for name in QUEUES})


async def blobs(subject: Subject) -> Finding:
    from email_core.storage.content import CONTAINER

    return await _service(subject, "blobs", {CONTAINER: partial(subject.storage().content.get, ABSENT)})


async def _service(subject: Subject, name: str, reads: Mapping[str, Read]) -> Finding:
    """One read of each table, queue or container; then the time of another one, for the first one connects."""
    account = subject.account()
    results = await asyncio.gather(*(_result(read) for read in reads.values()))
    refusals = [result for result in results if isinstance(result, Exception) and not _is_absent(result)]
    if refusals:
        return wrong(name, *storage_trouble(refusals[0], name, account))
    missing = [read for read, result in zip(reads, results, strict=True) if _is_absent(result)]
    if missing:
        return wrong(name, f"missing: {', '.join(missing)}", _provision(account))
    seconds = [await _seconds(next(iter(reads.values()))) for _ in range(ROUND_TRIPS)]
    return ok(name, f"{', '.join(reads)}: there, a round trip takes {shown_time(min(seconds))}, at {endpoint(account, name)}")


async def _seconds(read: Read) -> float:
    began = time.monotonic()
    await _result(read)
    return time.monotonic() - began


async def _result(read: Read) -> object:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await read()
    except EntityMissing as error:
        # Azure's code: the container is there, and may be read.
        return None if "BlobNotFound" in str(error) else error
    except TimeoutError:
        return StorageUnavailable(f"no answer within {ANSWER_SECONDS:g} s")
    except (StorageRefused, StorageUnavailable) as error:
        return error


def _is_absent(result: object) -> bool:
    return isinstance(result, EntityMissing) or (isinstance(result, StorageRefused) and result.code == "TableNotFound")


def storage_trouble(error: Exception, service: str, account: Account) -> tuple[str, str]:
    """What an error of storage means, and what to do about it; `service` is tables, queues or blobs."""
    where = endpoint(account, service)
    if isinstance(error, StorageRefused):
        return _refusal(error, service, account)
    text = str(error)
    if "Credential" in text:
        return (
            f"{where}: there is no identity to show: {text[:200]}",
            "give the app a managed identity (on your own machine: az login), or a connection string in AzureWebJobsStorage",
        )
    if is_loopback(account):
        return f"no answer from {where}: {_short(text)}", "start ./postrider up: Azurite, its storage, is not running there"
    return (
        f"no answer from {where}: {_short(text)}",
        "is the account's name right, does this machine resolve and reach it, and does the account's firewall "
        "(Networking in the portal) let this machine in?",
    )


def _refusal(error: StorageRefused, service: str, account: Account) -> tuple[str, str]:
    said = f"{endpoint(account, service)} refuses with {error.status} {error.code}"
    # Azurite says AuthorizationFailure of a wrong key, which in Azure is what the firewall says.
    if error.code == "AuthenticationFailed" or error.status == 401 or (error.status == 403 and is_loopback(account)):
        return (
            said,
            "the key or signature in AzureWebJobsStorage is not, or not any more, that of the account: copy it anew. A clock "
            "that is 15 minutes off is refused in the same words: see the lines of the clock",
        )
    if error.code == "AuthorizationPermissionMismatch":
        return said, f"give the app's identity the role {_ROLES[service]} on the account; it takes some minutes to be in force"
    if error.status == 403:
        return (
            said,
            f"let this machine through the account's firewall (Networking in the portal), and give the app's identity the role "
            f"{_ROLES[service]}; with a shared access signature, it must cover this service",
        )
    return said, "the text names what storage did not like; is AzureWebJobsStorage an account of Azure Storage or an Azurite?"


def _provision(account: Account) -> str:
    if is_loopback(account):
        return "start ./postrider up, which makes what is missing"
    return "provision the installation: email_core/administration/provision.py makes what is missing, see docs/install.md"


def endpoint(account: Account, service: str) -> str:
    """Where a service is, for people: scheme, host and port."""
    urls = {"tables": account.table_endpoint, "queues": account.queue_endpoint, "blobs": account.blob_endpoint}
    url = urlsplit(urls[service])
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}"


def is_loopback(account: Account) -> bool:
    """Whether storage is on this very machine."""
    return (urlsplit(account.table_endpoint).hostname or "") in (*LOOPBACK, "localhost")


def _short(text: str) -> str:
    """What went wrong below the names of the classes that passed it on."""
    found = text.rpartition("[")[2].rstrip("]") if "[" in text else text.rpartition(": ")[2]
    return found.strip("' ")[:150] or text[:150]


CHECKS = (
    Check(_GROUP, "tables", tables),
    Check(_GROUP, "queues", queues),
    Check(_GROUP, "blobs", blobs),
)
