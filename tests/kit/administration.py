"""The management plane in process: real storage, the real function from URL to answer, and principals that a test names.

    async def test_...(api: Api) -> None:
        answer = await api.put("emailServices/mail", {"location": "global", "properties": {"dataLocation": "Europe"}})
        assert answer.status == 201
        await api.work()  # the tasks that it put into the queue

A path without a slash at its beginning is below the resource group of the test, which nobody else uses.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import azure.functions as func
import msgspec
import pytest

from email_core.administration.call import Administration
from email_core.administration.provision import CONTAINERS, QUEUES, TABLES
from email_core.administration.work import work
from email_core.auth.principal import Grant, Principal, PrincipalKind, Role
from email_core.auth.token_refused import TokenRefused
from email_core.domains.claims import CLAIMS
from email_core.domains.documents import REQUIRED, DomainDocument, StateDocument, Status
from email_core.domains.resource_store import RESOURCES
from email_core.domains.tasks import ADMINISTRATION
from email_core.management.resource_id import ResourceId, parse_resource_id
from email_core.services import Services, build_services
from email_core.settings import Secret, Settings, StorageSettings
from email_core.storage import Queues, Storage, open_storage
from email_core.triggers.management import answer
from tests.kit.clock import FakeClock
from tests.kit.pipeline import SEALING_KEY

VERSION = "2025-09-01"
HOST = "management.postrider.test"


@dataclass(frozen=True)
class Reply:
    """What came back. `body` is JSON that was read, or bytes of another type, or None."""

    status: int
    body: Any
    headers: dict[str, str]  # names in lower case

    @property
    def code(self) -> str:
        """The error's code, which the header repeats."""
        code = str(self.body["error"]["code"])
        assert self.headers["x-ms-error-code"] == code
        return code

    @property
    def message(self) -> str:
        """The error's message."""
        return str(self.body["error"]["message"])

    @property
    def codes(self) -> list[str]:
        """The codes of all faults."""
        error = self.body["error"]
        return [str(fault["code"]) for fault in error.get("details", [error])]

    @property
    def targets(self) -> list[str]:
        """The targets of all faults."""
        error = self.body["error"]
        return [str(fault.get("target", "")) for fault in error.get("details", [error])]

    @property
    def etag(self) -> str:
        """The ETag of the resource."""
        return self.headers["etag"]


@dataclass
class NotedTask:
    """A task as it was put; `delay` is in seconds."""

    text: str
    delay: float


class NotingTasks(Queues):
    """The real queues, save that tasks of administration are kept for the test that put them."""

    def __init__(self, inner: Queues) -> None:
        self.__dict__.update(inner.__dict__)
        self.noted: list[NotedTask] = []

    async def enqueue(self, queue: str, text: str, *, delay: float = 0.0) -> None:
        if queue == ADMINISTRATION:
            self.noted.append(NotedTask(text, delay))
        else:
            await super().enqueue(queue, text, delay=delay)


class KnownTokens:
    """Stands in for the authenticator: a token is the name of a principal. Tests of authentication use the real one."""

    def __init__(self) -> None:
        self.principals: dict[str, Principal] = {}

    async def bearer(self, authorization: str, now: float) -> Principal:
        scheme, _, token = authorization.partition(" ")
        if scheme != "Bearer" or token not in self.principals:
            raise TokenRefused("no token of this test")
        return self.principals[token]

    def token_of(self, principal: Principal) -> str:
        """A token for the principal."""
        token = uuid.uuid4().hex
        self.principals[token] = principal
        return token


class _Ready:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def services(self) -> Services:
        return self._services


@dataclass
class Api:
    """Calls operations as one principal, in a subscription and resource group of the test's own."""

    services: Services
    clock: FakeClock
    queues: NotingTasks
    tokens: KnownTokens
    token: str
    subscription: str = field(default_factory=lambda: str(uuid.uuid4()))
    group: str = "group"
    version: str = VERSION

    @property
    def admin(self) -> Administration:
        """What the operations share, for a test that looks behind them."""
        return self.services.administration()

    @property
    def storage(self) -> Storage:
        return self.services.storage

    @property
    def base(self) -> str:
        """What relative paths are below."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers/Microsoft.Communication"

    def path(self, path: str) -> str:
        """The whole path."""
        return path if path.startswith("/") else f"{self.base}/{path}"

    def id(self, path: str) -> ResourceId:
        """The resource id of a path."""
        return parse_resource_id(self.path(path))

    def as_(self, *grants: Grant, kind: PrincipalKind = PrincipalKind.USER, name: str = "somebody@contoso.test") -> Api:
        """The same with another principal, who has these grants and no others."""
        return replace(self, token=self.tokens.token_of(Principal(kind, name=name, grants=grants)))

    def as_role(self, role: Role, scope: str = "") -> Api:
        """The same with a principal of one role, everywhere or below a path."""
        return self.as_(Grant(role, self.path(scope).lower() if scope else ""))

    def elsewhere(self, **changes: Any) -> Api:
        """The same in another group or subscription."""
        return replace(self, **changes)

    async def get(self, path: str, **options: Any) -> Reply:
        return await self.call("GET", path, **options)

    async def put(self, path: str, body: object = None, **options: Any) -> Reply:
        return await self.call("PUT", path, body, **options)

    async def patch(self, path: str, body: object = None, **options: Any) -> Reply:
        return await self.call("PATCH", path, body, **options)

    async def post(self, path: str, body: object = None, **options: Any) -> Reply:
        return await self.call("POST", path, body, **options)

    async def delete(self, path: str, **options: Any) -> Reply:
        return await self.call("DELETE", path, **options)

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        version: str | None = "",
    ) -> Reply:
        """One request. `body`: bytes as they are, else as JSON; None for none. `version` None sends no api-version."""
        path, _, asked = self.path(path).partition("?")
        parameters = {**dict(parse_qsl(asked)), **(query or {})}
        if version is not None:
            parameters.setdefault("api-version", version or self.version)
        sent = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = func.HttpRequest(
            method,
            f"https://{HOST}{path}" + (f"?{urlencode(parameters)}" if parameters else ""),
            headers={
                "host": HOST,
                "content-length": str(len(sent)),
                "authorization": f"Bearer {self.token}",
                **({"content-type": "application/json"} if body is not None else {}),
                **(headers or {}),
            },
            params=parameters,
            body=sent,
        )
        response = await answer(_Ready(self.services), request)  # type: ignore[arg-type]
        got, named = response.get_body(), {name.lower(): value for name, value in response.headers.items()}
        named.setdefault("content-type", response.mimetype or "")
        read: Any = got or None
        if got and (response.mimetype or "").startswith("application/json"):
            read = json.loads(got)
        return Reply(response.status_code, read, named)

    async def all_of(self, path: str, **options: Any) -> list[Any]:
        """The elements of a list, following nextLink."""
        answered = await self.get(path, **options)
        elements: list[Any] = []
        while True:
            assert answered.status == 200, answered.body
            elements += answered.body["value"]
            link = answered.body.get("nextLink", "")
            if not link:
                return elements
            assert link.startswith(f"https://{HOST}/")
            answered = await self.get(link.removeprefix(f"https://{HOST}"))

    async def work(self, most: int = 100) -> int:
        """Do the tasks of the queue as they fall due, until there are none; how many."""
        count = 0
        while self.queues.noted:
            noted = min(self.queues.noted, key=lambda each: each.delay)
            await self.work_one(noted)
            count += 1
            assert count <= most, f"no end after {most} tasks: {noted.text}"
        return count

    async def work_one(self, noted: NotedTask) -> None:
        """Do one task when it is due."""
        self.queues.noted.remove(noted)
        self.clock.advance(noted.delay)
        for other in self.queues.noted:
            other.delay = max(other.delay - noted.delay, 0.0)
        await work(self.admin, noted.text)

    async def email_service(self, name: str = "mail") -> str:
        """Make an email service; its id."""
        body = {"location": "global", "properties": {"dataLocation": "Europe"}}
        answered = await self.put(f"emailServices/{name}", body)
        assert answered.status in (200, 201), answered.body
        return str(answered.body["id"])

    async def communication_service(self, name: str = "chat", **properties: object) -> str:
        """Make a communication service; its id."""
        body = {"location": "global", "properties": {"dataLocation": "Europe", **properties}}
        answered = await self.put(f"communicationServices/{name}", body)
        assert answered.status in (200, 201), answered.body
        return str(answered.body["id"])

    async def domain(self, name: str, email_service: str = "mail", *, verified: bool = True) -> str:
        """Make a domain of a customer's, verified without anybody having looked; its id."""
        await self.email_service(email_service)
        path = f"emailServices/{email_service}/domains/{name}"
        body = {"location": "global", "properties": {"domainManagement": "CustomerManaged"}}
        answered = await self.put(path, body)
        assert answered.status in (200, 201), answered.body
        if verified:
            await self.change(path, lambda domain: replace_states(domain, Status.VERIFIED))
        return str(answered.body["id"])

    async def stored_domain(self, name: str, email_service: str = "mail", *, verified: bool = True) -> str:
        """As `domain`, written straight into the table: no keys, and much faster."""
        await self.email_service(email_service)
        target = self.id(f"emailServices/{email_service}/domains/{name}")
        document = DomainDocument(
            id=target.text,
            name=name,
            domain_management="CustomerManaged",
            from_sender_domain=name.lower(),
            verification_token="token",
        )
        status = Status.VERIFIED if verified else Status.NOT_STARTED
        await self.admin.store.create(target, replace_states(document, status))
        return target.text

    async def change(self, path: str, make: Callable[[DomainDocument], DomainDocument]) -> None:
        """Change a domain's document behind the API's back."""
        found = await self.admin.store.get(self.id(path), DomainDocument)
        assert found is not None
        await self.admin.store.replace(found, make(found.document))


def replace_states(domain: DomainDocument, status: Status, kinds: tuple[str, ...] = REQUIRED) -> DomainDocument:
    """The domain with these records in that state."""
    states = {**domain.verification_states, **{kind: StateDocument(status=status) for kind in kinds}}
    return msgspec.structs.replace(domain, verification_states=states)


async def forget_claim(api: Api, domain: str) -> None:
    """Have nobody own a domain: tests share the storage, and some the names of their domains."""
    await api.storage.tables.delete(RESOURCES, CLAIMS, domain)


def principal_of_everything() -> Principal:
    """An administrator of the whole installation."""
    return Principal(PrincipalKind.ADMIN_TOKEN, name="admin token", grants=(Grant(Role.ADMIN),))


async def build_api(
    connection_string: str,
    *,
    change: Callable[[Settings], Settings] = lambda settings: settings,
    queues: type[NotingTasks] = NotingTasks,
) -> Api:
    """An administrator of everything, on this storage."""
    settings = change(
        Settings(storage=StorageSettings(connection_string=Secret(connection_string)), sealing_key=SEALING_KEY, routes="mx")
    )
    storage = open_storage(settings.storage)
    await storage.ensure(tables=TABLES, queues=QUEUES, containers=CONTAINERS)
    storage.queues = noting = queues(storage.queues)
    clock = FakeClock(time.time())
    tokens = KnownTokens()
    services = replace(build_services(settings, clock, storage=storage), authenticator=tokens)  # type: ignore[arg-type]
    return Api(services, clock, noting, tokens, tokens.token_of(principal_of_everything()))


@pytest.fixture
async def api(azurite: str) -> AsyncIterator[Api]:
    """The management plane, asked by an administrator of everything."""
    built = await build_api(azurite)
    yield built
    await built.services.close()
