"""Shared Key authorisation: what is signed, and the policy that signs each try anew.

"Authorize with Shared Key" in the Azure Storage documentation has the rules. The Table service signs a short form, the
Queue and Blob services a long one. The path is signed as it goes over the wire, so it is taken from the URL as the
transport will write it; on an emulator, whose path begins with the account, the account stands in it twice.
"""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Mapping
from typing import Any
from wsgiref.handlers import format_date_time

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy
from azure.core.rest import AsyncHttpResponse, HttpRequest
from yarl import URL

from email_core.storage.account import SharedKey

_LONG_FORM_HEADERS = (
    "Content-Encoding", "Content-Language", "Content-Length", "Content-MD5", "Content-Type", "Date",
    "If-Modified-Since", "If-Match", "If-None-Match", "If-Unmodified-Since", "Range",
)  # fmt: skip


def short_form(account: str, method: str, url: str, headers: Mapping[str, str]) -> str:
    """The string to sign for the Table service: method, three headers, and the path with `comp` where there is one."""
    target = URL(url)
    comp = target.query.get("comp")
    resource = f"/{account}{target.raw_path}" + (f"?comp={comp}" if comp else "")
    return "\n".join((method, headers.get("Content-MD5", ""), headers.get("Content-Type", ""), headers["x-ms-date"], resource))


def long_form(account: str, method: str, url: str, headers: Mapping[str, str]) -> str:
    """The string to sign for the Queue and Blob services: eleven headers, all x-ms- headers, path and query."""
    target = URL(url)
    standard = [headers.get(name, "") for name in _LONG_FORM_HEADERS]
    if standard[2] == "0":
        standard[2] = ""  # since version 2015-02-21
    named = sorted((name.lower(), value) for name, value in headers.items() if name.lower().startswith("x-ms-"))
    query = sorted((name.lower(), value) for name, value in target.query.items())
    lines = [method, *standard]
    lines += [f"{name}:{value.strip()}" for name, value in named]
    lines.append(f"/{account}{target.raw_path}")
    lines += [f"{name}:{value}" for name, value in query]
    return "\n".join(lines)


class SharedKeyPolicy(AsyncHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Dates and signs a request. It stands below the retry policy, for a date older than 15 minutes is refused."""

    def __init__(self, credential: SharedKey, *, short: bool) -> None:
        self._account = credential.account
        self._key = credential.key
        self._form = short_form if short else long_form

    async def send(self, request: PipelineRequest[HttpRequest]) -> PipelineResponse[HttpRequest, AsyncHttpResponse]:
        http: Any = request.http_request
        http.headers["x-ms-date"] = format_date_time(time.time())
        text = self._form(self._account, http.method, http.url, http.headers)
        signature = base64.b64encode(hmac.digest(self._key, text.encode(), "sha256")).decode()
        http.headers["Authorization"] = f"SharedKey {self._account}:{signature}"
        return await self.next.send(request)
