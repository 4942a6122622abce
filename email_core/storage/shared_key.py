"""Shared Key authorisation: what is signed, and the policy that signs each try anew.

"Authorize with Shared Key" in the Azure Storage documentation has the rules. The Table service signs a short form, the
Queue and Blob services a long one. The path is signed as it goes over the wire: the URL is quoted when it comes here, and the
transport leaves it alone. On an emulator, whose path begins with the account, the account stands in it twice.
"""

from __future__ import annotations

import hmac
import time
from binascii import b2a_base64
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import unquote
from wsgiref.handlers import format_date_time

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy

from email_core.storage.account import SharedKey
from email_core.storage.transport import StorageRequest, StorageResponse

_LONG_FORM_HEADERS = (
    "Content-Encoding", "Content-Language", "Content-Length", "Content-MD5", "Content-Type", "Date",
    "If-Modified-Since", "If-Match", "If-None-Match", "If-Unmodified-Since", "Range",
)  # fmt: skip


def short_form(account: str, method: str, url: str, headers: Mapping[str, str]) -> str:
    """The string to sign for the Table service: method, three headers, and the path with `comp` where there is one."""
    path, query = _path_and_query(url)
    comp = dict(query).get("comp")
    resource = f"/{account}{path}" + (f"?comp={comp}" if comp else "")
    return f"{method}\n{headers.get('Content-MD5', '')}\n{headers.get('Content-Type', '')}\n{headers['x-ms-date']}\n{resource}"


def long_form(account: str, method: str, url: str, headers: Mapping[str, str]) -> str:
    """The string to sign for the Queue and Blob services: eleven headers, all x-ms- headers, path and query."""
    path, query = _path_and_query(url)
    standard = [headers.get(name, "") for name in _LONG_FORM_HEADERS]
    if standard[2] == "0":
        standard[2] = ""  # since version 2015-02-21
    named = sorted((name.lower(), value) for name, value in headers.items() if name.lower().startswith("x-ms-"))
    lines = [method, *standard]
    lines += [f"{name}:{value.strip()}" for name, value in named]
    lines.append(f"/{account}{path}")
    lines += [f"{name}:{value}" for name, value in sorted(query)]
    return "\n".join(lines)


def _path_and_query(url: str) -> tuple[str, list[tuple[str, str]]]:
    """The path as it is, and the parameters with their names in lower case and their values unquoted."""
    whole, _, query = url.partition("?")
    start = whole.find("/", whole.index("//") + 2)
    pairs = [pair.partition("=") for pair in query.split("&")] if query else []
    return whole[start:] if start >= 0 else "/", [(name.lower(), unquote(value)) for name, _, value in pairs]


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return format_date_time(second)


class SharedKeyPolicy(AsyncHTTPPolicy[StorageRequest, StorageResponse]):
    """Dates and signs a request. It stands below the retry policy, for a date older than 15 minutes is refused."""

    def __init__(self, credential: SharedKey, *, short: bool) -> None:
        self._account = credential.account
        self._key = credential.key
        self._form = short_form if short else long_form

    async def send(self, request: PipelineRequest[StorageRequest]) -> PipelineResponse[StorageRequest, StorageResponse]:
        http = request.http_request
        http.headers["x-ms-date"] = _date(int(time.time()))
        text = self._form(self._account, http.method, http.url, http.headers)
        signature = b2a_base64(hmac.digest(self._key, text.encode(), "sha256"), newline=False).decode()
        http.headers["Authorization"] = f"SharedKey {self._account}:{signature}"
        return await self.next.send(request)
