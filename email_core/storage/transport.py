"""A request, its answer, and the transport between them, as the policies of azure-core want them and no more.

azure-core's own classes serve every client that there is: their requests and answers take calls for each attribute, merge
headers through two dictionaries, and close what is closed already. That costs as much as the request itself, so only the
session of aiohttp is used here.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping, MutableMapping
from types import TracebackType
from typing import Any

import aiohttp
from azure.core.exceptions import (
    ServiceRequestError,
    ServiceRequestTimeoutError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from azure.core.pipeline.transport import AsyncHttpTransport
from yarl import URL

_WITHOUT_BODY = frozenset(("GET", "DELETE"))
_OURS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # what aiohttp would add; what we send is signed


class StorageRequest:
    """A request on its way through the pipeline. `url` is quoted already and goes over the wire as it stands.

    `operation` names it in counts and errors. A body may be in pieces, which can be asked for more than once; its length is in
    `headers` then.
    """

    __slots__ = ("body", "headers", "method", "operation", "url")

    # Azure-core asks for these of every request; ours has neither.
    files = None
    multipart_mixed_info = None

    def __init__(
        self, operation: str, method: str, url: str, headers: MutableMapping[str, str], body: bytes | AsyncIterable[bytes]
    ) -> None:
        self.operation = operation
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body

    @property
    def query(self) -> str:
        """The query, without its question mark; empty when there is none."""
        return self.url.partition("?")[2]

    def prepare_multipart_body(self) -> None:
        """Nothing: azure-core asks each request for it."""

    def __deepcopy__(self, memo: object) -> StorageRequest:
        return self  # azure-core keeps a copy of each try; what changes from one to the next, nobody looks at


class StorageResponse:
    """An answer that has been read whole; the names of its headers may be asked for in any case."""

    __slots__ = ("content", "headers", "status_code")

    def __init__(self, status_code: int, headers: Mapping[str, str], content: bytes) -> None:
        self.status_code = status_code
        self.headers = headers
        self.content = content


class StorageTransport(AsyncHttpTransport[StorageRequest, StorageResponse]):
    """Connections that are kept and used again. What goes wrong is raised as azure-core's exceptions, which its retries know.

    It looks for no proxy in the environment, follows no redirect, asks for no compression, and sends nothing twice.
    """

    def __init__(self, *, connections: int, keep_alive: float, connect_timeout: float, read_timeout: float) -> None:
        """At most so many connections at once; times in seconds, `read_timeout` is one without a byte.

        It belongs to the running event loop.
        """
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=keep_alive),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout, sock_read=read_timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_OURS,
            auto_decompress=False,
            trust_env=False,  # looking for a proxy in the environment costs more than the rest of the request
        )
        # aiohttp sends a PUT or DELETE again by itself when a kept connection breaks: uncounted, and unknown to us when its
        # second answer is a 404. It has no public switch for that; a test sees to it that this one works.
        self._session._retry_connection = False

    async def send(self, request: StorageRequest, **_: Any) -> StorageResponse:
        """The answer, whatever its status.

        Raises ServiceRequestError when there is no connection, ServiceResponseError when there was one and no answer.
        """
        body = request.body or (None if request.method in _WITHOUT_BODY else b"")
        url = URL(request.url, encoded=True)
        try:
            async with self._session.request(
                request.method, url, headers=request.headers, data=body, allow_redirects=False
            ) as answer:
                return StorageResponse(answer.status, answer.headers, await answer.read())
        except aiohttp.ConnectionTimeoutError as error:
            raise ServiceRequestTimeoutError(str(error), error=error) from error
        except aiohttp.ClientConnectorError as error:  # TLS faults are among them
            raise ServiceRequestError(str(error), error=error) from error
        except TimeoutError as error:
            raise ServiceResponseTimeoutError(str(error) or "no answer in time", error=error) from error
        except (aiohttp.ClientError, OSError) as error:
            raise ServiceResponseError(str(error) or type(error).__name__, error=error) from error

    async def open(self) -> None:
        """Nothing: connections are made when they are needed."""

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.close()
