"""The lean pipeline: an azure-core pipeline of three policies that makes every round trip to storage.

Retry, count, credential, and an aiohttp session shared by all services: about a quarter of the CPU that the clients of the
SDKs need for the same request. Only this module, `shared_key` and `transport` import azure-core, and nothing imports them
before a store is opened.

What is retried: no connection, a connection that broke, no answer in time, and the statuses 408, 429, 500, 502, 503 and
504, three times within the deadline, at once and then after 0.5 and 1 second, or after what `Retry-After` says. When that is
more than five seconds nobody waits here, and StorageUnavailable carries it to whoever has to. A write whose answer was lost is
sent again as well, so it may meet its own effect; `Tables` and `Queues` say what callers see then.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from azure.core.credentials import AzureSasCredential
from azure.core.exceptions import AzureError
from azure.core.pipeline import AsyncPipeline, PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import (
    AsyncBearerTokenCredentialPolicy,
    AsyncHTTPPolicy,
    AsyncRetryPolicy,
    AzureSasCredentialPolicy,
)

from email_core.errors import StorageUnavailable
from email_core.storage.account import Account, Identity, SharedAccess, SharedKey
from email_core.storage.answers import Answer, failure, retry_after, unavailable
from email_core.storage.shared_key import SharedKeyPolicy
from email_core.storage.transport import StorageRequest, StorageResponse, StorageTransport

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

API_VERSION = "2020-12-06"  # the oldest in which all three services take bearer tokens
TOKEN_SCOPE = "https://storage.azure.com/.default"  # noqa: S105

RETRIES = 3
BACKOFF = 0.25  # seconds; azure-core waits 0, then this times 2, then times 4
CONNECT_SECONDS = 5
READ_SECONDS = 30  # without a byte; a service gives up a request itself after 30 seconds
DEADLINE = 60.0  # seconds for an operation with its retries
CONNECTIONS = 128  # 64 messages in flight are two operations each at accept
WHOLE_BODY = 1024 * 1024  # bytes; a longer body is written in pieces, so that other requests get their turn
PIECE = 64 * 1024
LONGEST_RETRY_AFTER = 5.0  # seconds that are waited for here; what a caller of ours would be told to wait anyway
KEEP_ALIVE = 30.0  # seconds; a new connection costs a TLS handshake

_METHODS = frozenset(("GET", "PUT", "POST", "PATCH", "DELETE"))

Pipeline = AsyncPipeline[StorageRequest, StorageResponse]


class RoundTrips(AsyncHTTPPolicy[StorageRequest, StorageResponse]):
    """Counts each try by the name of its operation. It stands below the retry policy, so a retry counts again."""

    def __init__(self, counter: Counter[str]) -> None:
        self._counter = counter

    async def send(self, request: PipelineRequest[StorageRequest]) -> PipelineResponse[StorageRequest, StorageResponse]:
        self._counter[request.http_request.operation] += 1
        return await self.next.send(request)


class Retries(AsyncRetryPolicy[Any, Any]):
    """azure-core's, but for a service that asks to be left alone for longer: that is for the caller to decide."""

    def is_retry(self, settings: dict[str, Any], response: PipelineResponse[Any, Any]) -> bool:
        if response.http_response.status_code < 400:
            return False
        asked_for = retry_after(response.http_response.headers)
        return asked_for <= LONGEST_RETRY_AFTER and bool(super().is_retry(settings, response))

    def get_retry_after(self, response: PipelineResponse[Any, Any]) -> float | None:
        return retry_after(response.http_response.headers) or None  # azure-core's raises ValueError for what is no time


class Connection:
    """The pipelines and the session to one account, made when first used, apart for each event loop."""

    def __init__(
        self,
        account: Account,
        counter: Counter[str],
        *,
        token_credential: AsyncTokenCredential | None = None,
        backoff: float = BACKOFF,
    ) -> None:
        self._account = account
        self._counter = counter
        self._token_credential = token_credential
        self._backoff = backoff
        self._open: dict[asyncio.AbstractEventLoop, tuple[StorageTransport, dict[bool, Pipeline]]] = {}

    def pipeline(self, *, short: bool) -> Pipeline:
        """The pipeline of the running loop; `short` for the Table service, which signs a shorter form."""
        loop = asyncio.get_running_loop()
        if loop not in self._open:
            self._open = {known: value for known, value in self._open.items() if not known.is_closed()}
            transport = StorageTransport(
                connections=CONNECTIONS, keep_alive=KEEP_ALIVE, connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS
            )
            self._open[loop] = transport, {form: self._pipeline(transport, form) for form in (True, False)}
        return self._open[loop][1][short]

    def token_credential(self) -> AsyncTokenCredential | None:
        """The app's own identity, made when first asked for; None when the account is opened with a key or a signature."""
        if self._token_credential is None and isinstance(self._account.credential, Identity):
            self._token_credential = _identity_credential(self._account.credential.client_id)
        return self._token_credential

    async def close(self) -> None:
        """Close what the running loop opened, and the credential."""
        transport, _ = self._open.pop(asyncio.get_running_loop(), (None, None))
        if transport is not None:
            await transport.close()
        if self._token_credential is not None:
            await self._token_credential.close()

    def _pipeline(self, transport: StorageTransport, short: bool) -> Pipeline:
        retry: Any = Retries(
            retry_total=RETRIES, retry_connect=RETRIES, retry_read=RETRIES, retry_status=RETRIES,
            retry_backoff_factor=self._backoff,
        )  # fmt: skip
        return AsyncPipeline(transport, [retry, RoundTrips(self._counter), self._credential_policy(short)])

    def _credential_policy(self, short: bool) -> Any:
        match self._account.credential:
            case SharedKey() as key:
                return SharedKeyPolicy(key, short=short)
            case SharedAccess(signature):
                return AzureSasCredentialPolicy(AzureSasCredential(signature))
            case Identity(client_id):
                return AsyncBearerTokenCredentialPolicy(self.token_credential() or _identity_credential(client_id), TOKEN_SCOPE)


class Service:
    """One service of the account: makes requests below its endpoint and reads their answers whole."""

    def __init__(self, connection: Connection, name: str, endpoint: str, *, short_form: bool = False) -> None:
        self._connection = connection
        self._name = name
        self._short_form = short_form
        self.endpoint = endpoint

    async def call(
        self,
        verb: str,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        deadline: float = DEADLINE,
    ) -> Answer:
        """The answer to a request, whatever its status, unless the same request may succeed later.

        `verb` names the operation in counts and errors, `target` is the path and query below the endpoint, quoted;
        `deadline` is in seconds. Raises StorageUnavailable.
        """
        operation = f"{self._name}.{verb}"
        request = _request(operation, method, self.endpoint + target, headers, body)
        pipeline = self._connection.pipeline(short=self._short_form)
        try:
            async with asyncio.timeout(deadline):
                result = await pipeline.run(request, retry_on_methods=_METHODS)
        except (AzureError, TimeoutError) as error:
            raise StorageUnavailable(f"{operation}: {type(error).__name__}: {error}") from error
        response = result.http_response
        retried = bool(result.context.get("history"))
        answer = Answer(operation, response.status_code, response.headers, response.content, retried)
        if unavailable(answer):
            raise failure(answer)
        return answer


def _request(operation: str, method: str, url: str, headers: Mapping[str, str], body: bytes) -> StorageRequest:
    sent = {"x-ms-version": API_VERSION, **headers}
    if body:
        sent["Content-Length"] = str(len(body))  # it is signed
    return StorageRequest(operation, method, url, sent, body if len(body) <= WHOLE_BODY else _Pieces(body))


class _Pieces:
    """A body in pieces, as often as it is asked for them: a retry sends it again."""

    def __init__(self, body: bytes) -> None:
        self._body = memoryview(body)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), PIECE):
            yield bytes(self._body[start : start + PIECE])


def _identity_credential(client_id: str) -> AsyncTokenCredential:
    # 0.2 seconds of import, needed only where no key is configured.
    from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential

    return ManagedIdentityCredential(client_id=client_id) if client_id else DefaultAzureCredential()
