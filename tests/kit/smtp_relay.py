"""The SMTP server in the test's own process, and a raw client that says exactly what it is told to."""

from __future__ import annotations

import asyncio
import base64
import ssl
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

from email_core.auth.smtp_credential import hash_password
from email_core.domains.documents import ServiceDocument, SmtpUsernameDocument
from email_core.domains.resource_store import ResourceStore
from email_core.domains.smtp_names import SmtpNames
from email_core.management.resource_id import parse_resource_id
from email_core.services import Services
from smtp_relay.door import Door, Visit
from smtp_relay.options import RelayOptions, TimeLimits
from smtp_relay.server import Server
from tests.kit.pipeline import DOMAIN, Pipeline

APPLICATION = "0f8fad5b-d9cb-469f-a165-70867728950e"
TENANT = "7e6d4f0e-3f52-4fd7-a3f7-5a3c2f6f1b22"
HOST_NAME = "smtp.postrider.test"
SENDER = f"news@{DOMAIN}"
QUICK = TimeLimits(linger=0.2, drain=5.0, failed_login=0.0)
MESSAGE = f"From: <{SENDER}>\r\nTo: <ann@example.test>\r\nSubject: A test\r\n\r\nHello.\r\n".encode()


class RelayFiles:
    """A certificate and its key in files, which can be made anew."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.certificate = folder / "server.pem"
        self.key = folder / "server.key"
        self.authority = folder / "authority.pem"  # of the certificate, for programs that are told whom to trust by a file
        self._authority.cert_pem.write_to_path(self.authority)
        self.write()

    def write(self, *, not_after: datetime | None = None, not_before: datetime | None = None) -> bytes:
        """Put a new pair into the files; the certificate in PEM."""
        made = self._authority.issue_cert(
            "localhost",
            "127.0.0.1",
            HOST_NAME,
            not_before=not_before,
            not_after=not_after or datetime.now(UTC) + timedelta(days=9),
        )
        self.certificate.write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))
        self.key.write_bytes(made.private_key_pem.bytes())
        return made.cert_chain_pems[0].bytes()

    def trusting(self) -> ssl.SSLContext:
        """A client context that trusts it."""
        context = ssl.create_default_context()
        self._authority.configure_trust(context)
        return context


@dataclass
class RunningRelay:
    """A server on free ports of loopback, with a user that may log in."""

    server: Server
    files: RelayFiles
    user: str
    password: str

    def port(self, name: str = "submission") -> int:
        return self.server.port(name)

    async def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Until something of the server is so, within ten seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(10):
                while not holds():
                    await asyncio.sleep(0.01)
                return
        raise TimeoutError(what)

    async def client(self, name: str = "submission", *, source: str = "127.0.0.1") -> RawClient:
        """A connection of which nothing was read."""
        context = self.files.trusting() if name == "tls" else None
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port(name), ssl=context, server_hostname="localhost" if context else None, local_addr=(source, 0)
        )
        return RawClient(reader, writer)

    async def greeted(self, name: str = "tls") -> RawClient:
        """A connection behind greeting and EHLO."""
        client = await self.client(name)
        assert (await client.reply()).startswith("220 ")
        await client.ask("EHLO client.test")
        return client

    async def logged_in(self) -> RawClient:
        """A connection with TLS whose user has logged in."""
        client = await self.greeted()
        assert (await client.ask(f"AUTH PLAIN {plain(self.user, self.password)}")) == "235 2.7.0 Authentication successful"
        return client

    async def with_recipient(self, *recipients: str) -> RawClient:
        """A connection in a transaction, about to say DATA."""
        client = await self.logged_in()
        assert (await client.ask(f"MAIL FROM:<{SENDER}>")).startswith("250 ")
        for recipient in recipients or ("ann@example.test",):
            assert (await client.ask(f"RCPT TO:<{recipient}>")).startswith("250 ")
        return client

    async def in_data(self) -> RawClient:
        """A connection whose next octets are a message."""
        client = await self.with_recipient()
        assert (await client.ask("DATA")).startswith("354 ")
        return client


class RawClient:
    """Says octets, and reads replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()

    async def reply(self) -> str:
        """The next reply, its lines joined by line feeds; empty when the server has closed."""
        lines: list[str] = []
        async with asyncio.timeout(20):
            while True:
                try:
                    line = (await self.reader.readline()).decode()
                except ConnectionError:
                    return ""
                lines.append(line.rstrip("\r\n"))
                if not line or line[3:4] != "-":
                    return "\n".join(lines)

    async def ask(self, line: str) -> str:
        """Say a line; the reply."""
        await self.send(line.encode() + b"\r\n")
        return await self.reply()

    async def start_tls(self, context: ssl.SSLContext) -> None:
        await self.writer.start_tls(context, server_hostname="localhost")

    async def is_closed(self) -> bool:
        """Whether the server closes, and says nothing more before."""
        async with asyncio.timeout(20):
            with suppress(ConnectionError):
                return await self.reader.read(1) == b""
        return True

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


def plain(user: str, password: str) -> str:
    """The response of AUTH PLAIN."""
    return encoded(f"\0{user}\0{password}")


def encoded(text: str) -> str:
    """Text in base64."""
    return base64.b64encode(text.encode()).decode()


async def add_user(pipeline: Pipeline, *, username: str = "", password: str = "", tenant: str = TENANT) -> tuple[str, str]:
    """An SMTP username of the pipeline's service, for APPLICATION, with its password."""
    username = username or f"relay-{uuid.uuid4().hex[:12]}"
    password = password or uuid.uuid4().hex
    target = parse_resource_id(f"{pipeline.service.resource_id}/smtpUsernames/{uuid.uuid4().hex}")
    store = ResourceStore(pipeline.storage.tables)
    await SmtpNames(pipeline.storage.tables, store, pipeline.clock).claim(username, target)
    document = SmtpUsernameDocument(
        id=target.text, name=target.name, username=username, entra_application_id=APPLICATION, tenant_id=tenant
    )
    stored = await asyncio.to_thread(hash_password, password)
    await store.create(target, msgspec.structs.replace(document, password=stored))
    return username, password


async def change_service(pipeline: Pipeline, **changes: Any) -> None:
    """Change the document of the service, and let the directory forget the old one."""
    store = ResourceStore(pipeline.storage.tables)
    found = await store.get(parse_resource_id(pipeline.service.resource_id), ServiceDocument)
    assert found is not None
    await store.replace(found, msgspec.structs.replace(found.document, **changes))
    pipeline.clock.advance(120)


@asynccontextmanager
async def running_relay(
    services: Services, files: RelayFiles, *, inbound: Callable[[Visit], Door] | None = None, **changes: object
) -> AsyncIterator[RunningRelay]:
    """A server with these options; there is no user yet."""
    options = RelayOptions(
        certificate=files.certificate, key=files.key, host_name=HOST_NAME, host="127.0.0.1", submission_port=0, tls_port=0,
        health_port=0, any_port=True, limits=QUICK,
    )  # fmt: skip
    server = Server(services, replace(options, **changes), inbound)  # type: ignore[arg-type]
    await server.start()
    try:
        yield RunningRelay(server, files, "", "")
    finally:
        await server.stop()


@pytest.fixture
def relay_files(tmp_path: Path) -> RelayFiles:
    return RelayFiles(tmp_path)


@pytest.fixture
async def relay(pipeline: Pipeline, relay_files: RelayFiles) -> AsyncIterator[RunningRelay]:
    """A server in front of the pipeline, and a user of it."""
    user, password = await add_user(pipeline)
    async with running_relay(pipeline.services, relay_files) as running:
        running.user, running.password = user, password
        yield running
