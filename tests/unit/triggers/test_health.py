"""Health: what it says when storage is away, refuses, or lacks something; nothing of it is an empty 500."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import pytest

from email_core.errors import EntityMissing, StorageRefused, StorageUnavailable
from email_core.settings import SettingsError
from email_core.triggers import health
from tests.unit.storage.faulty_server import Reply, faulty_storage

OK = {"settings": "ok", "submissions": "ok", "deliveries": "ok", "tables": "ok", "content": "ok"}
MISSING = "missing: provision the installation"
REFUSED = "storage refuses: the app's identity or key may not use it; the log has the answer"


class FakeStorage:
    """A store in which everything is there, save what `faults` says by the name of the check."""

    def __init__(self, **faults: Exception) -> None:
        self._faults = {"content": EntityMissing("content.get: 404 BlobNotFound", "BlobNotFound"), **faults}
        self.queues = self.tables = self.content = self
        self.hangs = False

    async def depth(self, queue: str) -> int:
        return await self._answer(queue, 0)

    async def get(self, *names: str) -> None:
        await self._answer("content" if len(names) == 1 else "tables", None)

    async def _answer(self, what: str, answer: Any) -> Any:
        if self.hangs:
            await asyncio.Event().wait()
        if what in self._faults:
            raise self._faults[what]
        return answer


class FakeWorker:
    """A worker with that store, or with settings that are wrong."""

    def __init__(self, storage: Any, error: Exception | None = None) -> None:
        self._storage = storage
        self._error = error

    async def services(self) -> Any:
        if self._error:
            raise self._error
        return SimpleNamespace(storage=self._storage)


async def asked(worker: Any) -> tuple[int, dict[str, str]]:
    """Status and checks of `GET /health`."""
    registered: list[Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]] = []
    app = SimpleNamespace(route=lambda **_: registered.append)
    health.register(app, worker)  # type: ignore[arg-type]
    response = await registered[0](func.HttpRequest("GET", "http://localhost/health", body=b""))
    body = json.loads(response.get_body())
    assert (body["status"] == "healthy") == (response.status_code == 200)
    return response.status_code, body["checks"]


async def test_health_with_everything_in_place_is_healthy() -> None:
    assert await asked(FakeWorker(FakeStorage())) == (200, OK)


@pytest.mark.parametrize("check", ["submissions", "deliveries", "tables", "content"])
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (StorageRefused("get", 403, "AuthorizationPermissionMismatch", "secret detail"), REFUSED),
        (StorageRefused("get", 401, "NoAuthenticationInformation", "secret detail"), REFUSED),
        (StorageRefused("get", 404, "TableNotFound", "secret detail"), MISSING),
        (StorageRefused("get", 400, "InvalidUri", "secret detail"), "storage refuses the request; the log has the answer"),
        (EntityMissing("404 ContainerNotFound, secret detail", "ContainerNotFound"), MISSING),
        (StorageUnavailable("503, secret detail"), "storage does not answer"),
    ],
    ids=["403", "401", "no table", "400", "missing", "away"],
)
async def test_health_names_what_is_wrong_and_leaves_the_detail_to_the_log(
    check: str, fault: Exception, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "postrider"):
        assert await asked(FakeWorker(FakeStorage(**{check: fault}))) == (503, OK | {check: said})
    assert "secret detail" in caplog.text


async def test_health_of_storage_that_hangs_answers_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.0)
    storage = FakeStorage()
    storage.hangs = True
    away = dict.fromkeys(("submissions", "deliveries", "tables", "content"), "storage does not answer")
    assert await asked(FakeWorker(storage)) == (503, OK | away)


async def test_health_with_wrong_settings_is_unhealthy() -> None:
    status, checks = await asked(FakeWorker(None, SettingsError("POSTRIDER_ROUTES")))
    assert (status, list(checks)) == (503, ["settings"])
    assert "POSTRIDER" not in checks["settings"]


async def test_health_of_an_identity_without_a_role_is_503_and_says_so() -> None:
    """The answer of the service itself, through the real store."""
    async with faulty_storage(Reply(403, headers={"x-ms-error-code": "AuthorizationPermissionMismatch"})) as (storage, server):
        status, checks = await asked(FakeWorker(storage))
    assert (status, checks) == (503, {"settings": "ok", **dict.fromkeys(list(OK)[1:], REFUSED)})
    assert len(server.received) == 4


async def test_health_of_a_container_that_was_never_created_is_missing() -> None:
    """A blob that is absent and a container that is absent are both a 404: Azure's code tells them apart."""
    async with faulty_storage(Reply(404, headers={"x-ms-error-code": "ContainerNotFound"})) as (storage, _):
        status, checks = await asked(FakeWorker(storage))
    assert (status, checks["content"]) == (503, MISSING)
