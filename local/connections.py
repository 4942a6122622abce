"""The storage accounts that an app's bindings name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from email_core.settings import Secret, StorageSettings
from email_core.storage import Storage, open_storage
from local.function_index import Binding, IndexingError
from local.host_settings import QueueSettings, resolve
from local.invocation import InvocationError

_PARTS = ("", "__accountName", "__clientId", "__tableServiceUri", "__queueServiceUri", "__blobServiceUri")


class Connections:
    """The storage accounts that triggers and outputs name as their `connection`, each opened once."""

    def __init__(self, app_settings: Mapping[str, str], queues: QueueSettings) -> None:
        self._app_settings = app_settings
        self._encoding = "base64" if queues.base64 else "none"
        self._opened: dict[str, Storage] = {}

    def of(self, connection: str) -> Storage:
        """Raises IndexingError when no app setting describes the connection."""
        name = connection or "AzureWebJobsStorage"
        if name not in self._opened:
            self._opened[name] = open_storage(self._settings(name), message_encoding=self._encoding)
        return self._opened[name]

    def _settings(self, name: str) -> StorageSettings:
        # The host looks for the name with its own prefix first.
        for prefix in (f"AzureWebJobs{name}", name):
            text, account, client, table, queue, blob = (self._app_settings.get(prefix + part, "") for part in _PARTS)
            if text or account or queue:
                return StorageSettings(Secret(text), account, client, table, queue, blob)
        raise IndexingError(
            f"Storage account connection string 'AzureWebJobs{name.removeprefix('AzureWebJobs')}' does not exist. "
            "Make sure that it is a defined App Setting."
        )

    def queue_of(self, binding: Binding) -> str:
        """The name of the queue of a trigger or an output."""
        return resolve(str(binding["queueName"]), self._app_settings)

    def creator(self, connection: str) -> Callable[[str], Awaitable[None]]:
        """What creates a queue of that account when it is not there."""

        async def create(queue: str) -> None:
            await self.of(connection).ensure(queues=[queue])

        return create

    async def send(self, binding: Binding, message: str | bytes) -> None:
        """Enqueue what a function gave to an output. Raises InvocationError for bytes that are no text."""
        try:
            text = message if isinstance(message, str) else message.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvocationError(f"the output '{binding['name']}' takes UTF-8 text in the local host") from error
        await self.of(str(binding["connection"])).queues.enqueue(self.queue_of(binding), text)

    async def close(self) -> None:
        for storage in self._opened.values():
            await storage.close()
