"""The record sets of Azure DNS over HTTPS, as far as azure-mgmt-dns is used here: a server of the test's own.

There is no Azure in the tests. It keeps record sets as they are put, gives each change a new ETag, and obeys If-Match and
If-None-Match, as "Record Sets - Create Or Update" (2018-05-01) says. What it refuses, it refuses in the shape of ARM.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
from aiohttp import web

from email_core.dns.azure_zone import AzureDnsZone

SUBSCRIPTION = "11111111-2222-4333-8444-555555555555"
GROUP = "dns-zones"
_PATH = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)/providers/Microsoft\.Network/dnsZones/(?P<zone>[^/]+)"
    r"/(?P<type>[A-Z]+)/(?P<name>[^/]+)"
)
_MEMBERS = {"TXT": "TXTRecords", "CNAME": "CNAMERecord", "MX": "MXRecords"}


class FakeToken:
    """A credential that gives a token at once."""

    def __init__(self) -> None:
        self.closed = False

    async def get_token(self, *scopes: str, **_: Any) -> Any:
        from azure.core.credentials import AccessToken

        return AccessToken("token-of-the-test", int(time.time()) + 3600)

    async def close(self) -> None:
        self.closed = True

    async def __aenter__(self) -> FakeToken:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


@dataclass
class AzureDns:
    """One zone. `answer` may stand in for the next answer; `meanwhile` is called before a change is looked at."""

    zone: str
    port: int = 0
    authority: Path = Path()
    sets: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)  # by name within the zone and type
    requests: list[tuple[str, str]] = field(default_factory=list)
    answer: Callable[[web.Request], web.Response | None] = lambda request: None
    meanwhile: Callable[[], None] = lambda: None

    def editor(self, **changes: Any) -> AzureDnsZone:
        """An editor of the zone, which trusts this server."""
        arguments: dict[str, Any] = {
            "credential": FakeToken(),
            "base_url": f"https://localhost:{self.port}",
            "options": {
                "connection_verify": str(self.authority), "credential_scopes": ["https://management.azure.test/.default"],
                "retry_backoff_factor": 0,
            },
        }  # fmt: skip
        return AzureDnsZone(self.zone, SUBSCRIPTION, GROUP, **{**arguments, **changes})

    def put(self, name: str, record_type: str, ttl: int = 300, **properties: Any) -> None:
        """A record set that somebody wrote."""
        kept = {"name": name, "properties": {"TTL": ttl, **properties}, "etag": uuid.uuid4().hex}
        self.sets[name, record_type] = kept

    def texts(self, name: str) -> list[list[str]]:
        """The TXT values at a name, each as the strings that it is cut into."""
        return [record["value"] for record in self.sets[name, "TXT"]["properties"]["TXTRecords"]]

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append((request.method, request.path))
        assert request.headers.get("Authorization") == "Bearer token-of-the-test"
        assert request.query["api-version"] == "2018-05-01"
        instead = self.answer(request)
        if instead is not None:
            return instead
        found = _PATH.fullmatch(request.path)
        if found is None or (found["subscription"], found["group"], found["zone"]) != (SUBSCRIPTION, GROUP, self.zone):
            return refusal(404, "ParentResourceNotFound", "Can not perform requested operation on nested resource.")
        key = found["name"], found["type"]
        if request.method == "PUT":
            return self._put(key, request, await request.json())
        kept = self.sets.get(key)
        return web.json_response(kept) if kept else refusal(404, "NotFound", f"The resource record '{key[0]}' does not exist.")

    def _put(self, key: tuple[str, str], request: web.Request, body: dict[str, Any]) -> web.Response:
        self.meanwhile()
        name, kind = key
        before = self.sets.get(key)
        if request.headers.get("If-None-Match") == "*" and before is not None:
            return refusal(412, "PreconditionFailed", "The Resource already exists.")
        if (wanted := request.headers.get("If-Match")) and (before is None or wanted != before["etag"]):
            return refusal(412, "PreconditionFailed", "The etag doesn't match.")
        if any(other == name and (kind == "CNAME") != (type_ == "CNAME") for other, type_ in self.sets if other == name):
            return refusal(400, "BadRequest", f"The record could not be created because of a CNAME at {name}.")
        strings = [string for record in body["properties"].get("TXTRecords", ()) for string in record["value"]]
        if _MEMBERS[kind] not in body["properties"] or any(len(string) > 255 for string in strings):
            return refusal(400, "BadRequest", "The record set is malformed.")
        self.sets[key] = {"name": name, "properties": body["properties"], "etag": uuid.uuid4().hex}
        return web.json_response(self.sets[key], status=200 if before else 201)


def refusal(status: int, code: str, message: str) -> web.Response:
    """An error in the shape of ARM."""
    return web.json_response({"error": {"code": code, "message": message}}, status=status)


@asynccontextmanager
async def azure_dns(folder: Path, zone: str) -> AsyncIterator[AzureDns]:
    """A server with an empty zone, for the time of the context."""
    certificates = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates.issue_cert("localhost").configure_cert(context)
    serving = AzureDns(zone, authority=folder / "authority.pem")
    await asyncio.to_thread(certificates.cert_pem.write_to_path, serving.authority)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", serving.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    serving.port = runner.addresses[0][1]
    try:
        yield serving
    finally:
        await runner.cleanup()
