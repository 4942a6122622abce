"""Requests to the data plane, signed as the official clients sign them, and handed to the functions as the host does."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import azure.functions as func

from email_core.auth.hmac_access_key import authorization_headers
from email_core.services import Services
from email_core.triggers.data_plane import explain, get_send_result, send
from email_core.triggers.http_exchange import answer
from tests.kit.pipeline import DOMAIN, Pipeline

VERSION = "2025-09-01"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def code(self) -> str:
        """The error's code, which the header repeats."""
        code = str(self.body["error"]["code"])
        assert self.headers["x-ms-error-code"] == code
        return code


class Ready:
    """A worker whose services are built already."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def services(self) -> Services:
        return self._services


def message(**changes: Any) -> dict[str, Any]:
    """A valid request body, with changes at the top level."""
    body: dict[str, Any] = {
        "senderAddress": f"news@{DOMAIN}",
        "content": {"subject": "A test", "plainText": "Hello.\n"},
        "recipients": {"to": [{"address": "ann@fabrikam.test"}]},
    }
    return body | changes


async def post(
    pipeline: Pipeline,
    body: object,
    *,
    version: str | None = VERSION,
    headers: dict[str, str] | None = None,
    key: bytes | None = None,
    date_skew: float = 0.0,
    sent_body: bytes | None = None,
    host: str = "",
) -> Answer:
    """`POST /emails:send`. `sent_body` is what arrives when it is not what was signed."""
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    target = "/emails:send" + ("" if version is None else f"?api-version={version}")
    return await _exchange(
        pipeline, "POST", target, encoded, headers or {}, key, date_skew, encoded if sent_body is None else sent_body, host
    )


async def get(
    pipeline: Pipeline,
    operation_id: str,
    *,
    version: str = VERSION,
    headers: dict[str, str] | None = None,
    key: bytes | None = None,
    host: str = "",
) -> Answer:
    """`GET /emails/operations/{id}`."""
    target = f"/emails/operations/{operation_id}?api-version={version}"
    return await _exchange(pipeline, "GET", target, b"", headers or {}, key, 0.0, b"", host)


async def explanation(
    pipeline: Pipeline, operation_id: str, *, headers: dict[str, str] | None = None, key: bytes | None = None
) -> Answer:
    """`GET /emails/operations/{id}/explanation`."""
    target = f"/emails/operations/{operation_id}/explanation?api-version={VERSION}"
    return await _exchange(pipeline, "GET", target, b"", headers or {}, key, 0.0, b"", "")


async def _exchange(
    pipeline: Pipeline,
    method: str,
    target: str,
    body: bytes,
    headers: dict[str, str],
    key: bytes | None,
    date_skew: float,
    sent_body: bytes,
    host: str,
) -> Answer:
    host = host or pipeline.service.host_name
    secret = pipeline.service.access_keys[0].secret if key is None else key
    signed = authorization_headers(method, target, host, body, secret, pipeline.clock.now() + date_skew)
    sent = {"host": host, "content-length": str(len(sent_body)), **signed, **headers}
    request = func.HttpRequest(
        method,
        f"https://{sent['host']}{target}",
        headers=sent,
        params=dict(pair.split("=", 1) for pair in target.partition("?")[2].split("&") if pair),
        body=sent_body,
    )
    asked = explain if "/explanation?" in target else get_send_result
    handler = send if method == "POST" else asked
    response = await answer(Ready(pipeline.services), request, handler)  # type: ignore[arg-type]
    return Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, json.loads(response.get_body()))
