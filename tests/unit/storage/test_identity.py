"""The app's own identity instead of a key: which address is asked, with which token, and what is imported for it."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from email_core.errors import StorageUnavailable
from email_core.settings import Secret, StorageSettings
from email_core.storage import open_storage
from email_core.storage.transport import StorageRequest, StorageTransport


class FakeCredential:
    """Gives tokens, and keeps for what they were asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.scopes: list[tuple[str, ...]] = []
        self.closed = False
        self._error = error

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes.append(scopes)
        if self._error:
            raise self._error
        return AccessToken("t0ken", int(time.time()) + 3600)

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[StorageRequest]:
    """The requests that would have left; none does."""
    requests: list[StorageRequest] = []

    async def send(self: StorageTransport, request: StorageRequest, **_: Any) -> None:
        requests.append(request)
        raise TimeoutError

    monkeypatch.setattr(StorageTransport, "send", send)
    return requests


async def test_account_name_asks_the_public_endpoints_with_a_token(sent: list[StorageRequest]) -> None:
    credential = FakeCredential()
    storage = open_storage(StorageSettings(account_name="mail"), token_credential=credential)  # type: ignore[arg-type]
    for call in (
        storage.tables.get("things", "p", "r"),
        storage.queues.depth("items"),
        storage.content.get("name"),
    ):
        with pytest.raises(StorageUnavailable):
            await call
    assert [request.url for request in sent] == [
        "https://mail.table.core.windows.net/things(PartitionKey='p',RowKey='r')",
        "https://mail.queue.core.windows.net/items?comp=metadata",
        "https://mail.blob.core.windows.net/content/name",
    ]
    assert {request.headers["Authorization"] for request in sent} == {"Bearer t0ken"}
    assert set(credential.scopes) == {("https://storage.azure.com/.default",)}
    assert storage.round_trips == {"tables.get": 1, "queues.depth": 1, "content.get": 1}
    await storage.close()
    assert credential.closed


async def test_identity_without_a_token_is_unavailable(sent: list[StorageRequest]) -> None:
    credential = FakeCredential(ClientAuthenticationError("no identity endpoint"))
    storage = open_storage(StorageSettings(account_name="mail"), token_credential=credential)  # type: ignore[arg-type]
    with pytest.raises(StorageUnavailable, match="no identity endpoint"):
        await storage.tables.get("things", "p", "r")
    assert sent == []
    await storage.close()


@pytest.mark.parametrize(("client_id", "kind"), [("c1", "ManagedIdentityCredential"), ("", "DefaultAzureCredential")])
async def test_identity_is_looked_for_with_the_first_request(
    client_id: str, kind: str, monkeypatch: pytest.MonkeyPatch, sent: list[StorageRequest]
) -> None:
    made: list[dict[str, str]] = []

    def make(**options: str) -> FakeCredential:
        made.append(options)
        return FakeCredential()

    monkeypatch.setattr(f"azure.identity.aio.{kind}", make)
    storage = open_storage(StorageSettings(account_name="mail", client_id=client_id))
    assert made == []
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            await storage.tables.get("things", "p", "r")
    assert made == [{"client_id": "c1"} if client_id else {}]
    await storage.close()


async def test_shared_access_signature_is_added_to_each_request(sent: list[StorageRequest]) -> None:
    storage = open_storage(
        StorageSettings(connection_string=Secret("AccountName=mail;SharedAccessSignature=sv=2020-12-06&sig=a%2Bb%3D"))
    )
    for call in (storage.queues.depth("items"), storage.content.get("name")):
        with pytest.raises(StorageUnavailable):
            await call
    assert [request.url for request in sent] == [
        "https://mail.queue.core.windows.net/items?comp=metadata&sv=2020-12-06&sig=a%2Bb%3D",
        "https://mail.blob.core.windows.net/content/name?sv=2020-12-06&sig=a%2Bb%3D",
    ]
    assert all("Authorization" not in request.headers for request in sent)
    await storage.close()


def modules_after(statement: str) -> set[str]:
    script = f"import sys\n{statement}\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_storage_imports_no_client() -> None:
    loaded = modules_after("import email_core.storage")
    assert "email_core.storage.tables" in loaded
    assert loaded.isdisjoint({"azure.core", "aiohttp", "azure.data.tables", "azure.storage.queue", "azure.storage.blob"})


def test_opening_a_store_imports_neither_the_sdks_nor_the_identity_library() -> None:
    loaded = modules_after(
        "from email_core.settings import StorageSettings\n"
        "from email_core.storage import open_storage\n"
        "open_storage(StorageSettings(account_name='mail'))"
    )
    assert "azure.core.pipeline" in loaded
    assert loaded.isdisjoint(
        {"azure.identity", "azure.data.tables", "azure.storage.queue", "azure.storage.blob", "msal", "requests"}
    )
