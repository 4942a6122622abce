"""Storage as the rest of the code knows it: tables, queues and content of one account, and the count of round trips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from email_core.settings import StorageSettings
from email_core.storage.account import Account, account_of
from email_core.storage.content import ContentStore
from email_core.storage.queues import Queues
from email_core.storage.tables import Tables

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

    from email_core.storage.pipeline import Connection


class Storage:
    """One storage account. Made by `open_storage`, shared by everything in a worker, closed at its end.

    `round_trips` counts requests by operation ("tables.insert", "queues.enqueue"), tries that failed included; a caller may
    clear it.
    """

    def __init__(
        self,
        account: Account,
        connection: Connection,
        tables: Tables,
        queues: Queues,
        content: ContentStore,
        round_trips: Counter[str],
    ) -> None:
        self._account = account
        self._connection = connection
        self.tables = tables
        self.queues = queues
        self.content = content
        self.round_trips = round_trips

    async def ensure(
        self, tables: Iterable[str] = (), queues: Iterable[str] = (), containers: Iterable[str] = ()
    ) -> None:  # fmt: skip
        """Create what is absent. Raises StorageUnavailable, StorageRefused, and StorageLimit for a wrong name."""
        # The SDKs' clients, which take most of a second to import: only who provisions pays for it.
        from email_core.storage.creation import create_absent

        credential = self._connection.token_credential()
        await create_absent(self._account, credential, tables=tables, queues=queues, containers=containers)

    async def close(self) -> None:
        """Close the connections that the running event loop opened, and the credential."""
        await self._connection.close()


def open_storage(
    settings: StorageSettings,
    *,
    message_encoding: str = "base64",
    token_credential: AsyncTokenCredential | None = None,
) -> Storage:
    """The storage account of the settings; nothing is connected before the first operation.

    `message_encoding` is that of host.json, "base64" or "none". `token_credential` stands in for the app's own identity,
    and is closed with the store. Raises SettingsError when the settings name no account.
    """
    # azure-core takes a tenth of a second to import, which a process without storage should not pay.
    from email_core.storage.pipeline import Connection, Service

    account = account_of(settings)
    round_trips: Counter[str] = Counter()
    connection = Connection(account, round_trips, token_credential=token_credential)
    return Storage(
        account,
        connection,
        Tables(Service(connection, "tables", account.table_endpoint, short_form=True)),
        Queues(Service(connection, "queues", account.queue_endpoint), message_encoding),
        ContentStore(Service(connection, "content", account.blob_endpoint)),
        round_trips,
    )
