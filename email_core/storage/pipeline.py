"""The lean pipeline: an azure-core pipeline of three policies that makes every round trip to storage.

Retry, count, credential, and an aiohttp session shared by all services: a quarter of the CPU that the clients of the SDKs
need for the same request. Only this module and `shared_key` import azure-core, and nothing imports them before a store is
opened.

What is retried: no connection, a connection that broke, no answer in time, and the statuses 408, 429, 500, 502, 503 and
504, three times within the deadline, at once and then after 0.5 and 1 second, or after what `Retry-After` says. A write
whose answer was lost is sent again as well, so it may meet its own effect; `Tables` and `Queues` say what callers see then.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

import aiohttp
from azure.core.credentials import AzureSasCredential
from azure.core.exceptions import AzureError
from azure.core.pipeline import AsyncPipeline, PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import (
    AsyncBearerTokenCredentialPolicy,
    AsyncHTTPPolicy,
    AsyncRetryPolicy,
    AzureSasCredentialPolicy,
)
from azure.core.pipeline.transport import AioHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest

from email_core.errors import StorageUnavailable
from email_core.storage.account import Account, Identity, SharedAccess, SharedKey
from email_core.storage.answers import Answer, failure, unavailable
from email_core.storage.shared_key import SharedKeyPolicy

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
WHOLE_BODY = 1024 * 1024  # bytes; aiohttp writes a longer body in pieces, so that other requests get their turn
KEEP_ALIVE = 30.0  # seconds; a new connection costs a TLS handshake

_METHODS = frozenset(("GET", "PUT", "POST", "PATCH", "DELETE"))

Pipeline = AsyncPipeline[HttpRequest, AsyncHttpResponse]
Policy = AsyncHTTPPolicy[HttpRequest, AsyncHttpResponse]


class RoundTrips(AsyncHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Counts each try by the name of its operation. It stands below the retry policy, so a retry counts again."""

    def __init__(self, counter: Counter[str]) -> None:
        self._counter = counter

    async def send(self, request: PipelineRequest[HttpRequest]) -> PipelineResponse[HttpRequest, AsyncHttpResponse]:
        context = request.context
        if "operation" not in context:
            context["operation"] = context.options.pop("operation")  # options go on to the transport, which does not know it
        self._counter[context["operation"]] += 1
        return await self.next.send(request)


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
        self._open: dict[asyncio.AbstractEventLoop, tuple[AioHttpTransport, dict[bool, Pipeline]]] = {}

    def pipeline(self, *, short: bool) -> Pipeline:
        """The pipeline of the running loop; `short` for the Table service, which signs a shorter form."""
        loop = asyncio.get_running_loop()
        if loop not in self._open:
            self._open = {known: value for known, value in self._open.items() if not known.is_closed()}
            transport = self._transport()
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

    def _transport(self) -> AioHttpTransport:
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEEP_ALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,  # looking for a proxy in the environment costs more than the rest of the request
        )
        # aiohttp sends a PUT or DELETE again by itself when a kept connection breaks: uncounted, and unknown to us when its
        # second answer is a 404. It has no public switch for that; a test sees to it that this one works.
        session._retry_connection = False
        return AioHttpTransport(session=session, connection_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS)

    def _pipeline(self, transport: AioHttpTransport, short: bool) -> Pipeline:
        retry: Policy = AsyncRetryPolicy(
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
        request = _request(method, self.endpoint + target, headers, body)
        pipeline = self._connection.pipeline(short=self._short_form)
        try:
            async with asyncio.timeout(deadline):
                result = await pipeline.run(request, operation=operation, retry_on_methods=_METHODS)
        except (AzureError, TimeoutError) as error:
            raise StorageUnavailable(f"{operation}: {type(error).__name__}: {error}") from error
        response = result.http_response
        retried = bool(result.context.get("history"))
        answer = Answer(operation, response.status_code, response.headers, response.content, retried)
        if unavailable(answer):
            raise failure(answer)
        return answer


def _request(method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpRequest:
    sent = {"x-ms-version": API_VERSION, **headers}
    if len(body) <= WHOLE_BODY:
        return HttpRequest(method, url, headers=sent, content=body)
    sent["Content-Length"] = str(len(body))  # it is signed, so it must be there before aiohttp sees the request
    return HttpRequest(method, url, headers=sent, content=BytesIO(body))


def _identity_credential(client_id: str) -> AsyncTokenCredential:
    # 0.2 seconds of import, needed only where no key is configured.
    from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential

    return ManagedIdentityCredential(client_id=client_id) if client_id else DefaultAzureCredential()
