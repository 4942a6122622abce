"""Writes of resources whose answer was lost: the transport makes them again, and they meet their own effect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from email_core.administration.writing import existing
from email_core.domains.documents import AccessKeyDocument
from email_core.domains.resource_store import RESOURCES
from email_core.storage import Tables
from tests.kit.administration import HOST, Api

pytestmark = pytest.mark.peers

SERVICE = {"location": "global", "properties": {"dataLocation": "Europe"}}


@pytest.fixture
def lossy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every write of a resource is made twice, as the transport does when the answer to the first try does not come."""
    insert, merge = Tables.insert, Tables.merge

    async def insert_twice(self: Tables, table: str, entity: Any) -> str:
        if table == RESOURCES:
            await insert(self, table, entity)
        return await insert(self, table, entity)

    async def merge_twice(self: Tables, table: str, partition: str, row: str, changes: Any, *, etag: str) -> str:
        if table == RESOURCES:
            await merge(self, table, partition, row, changes, etag=etag)
        return await merge(self, table, partition, row, changes, etag=etag)

    with monkeypatch.context() as patch:
        patch.setattr(Tables, "insert", insert_twice)
        patch.setattr(Tables, "merge", merge_twice)
        yield


async def outcomes(api: Api) -> list[str]:
    """Of the audit log, the oldest first."""
    entries = (await api.admin.audit.page(api.subscription, most=100)).entries
    return [f"{entry.operation} {entry.outcome}" for entry in reversed(entries)]


async def test_key_whose_answer_was_lost_is_made_once_and_told(api: Api, request: pytest.FixtureRequest) -> None:
    """Otherwise its secret would be in no answer at all, and nobody could ever use the key."""
    await api.communication_service()
    request.getfixturevalue("lossy")
    made = await api.put("communicationServices/chat/accessKeys/ci", {"properties": {}})
    assert made.status == 201
    stored = await existing(api.admin, api.id("communicationServices/chat/accessKeys/ci"), AccessKeyDocument)
    secret = api.admin.sealer.open(stored.document.secret, context=stored.document.id.lower()).decode()
    assert made.body["properties"]["key"] == secret
    assert made.etag == stored.etag
    assert (await outcomes(api))[1:] == ["AccessKeys_CreateOrUpdate accepted"]


async def test_change_whose_answer_was_lost_is_made_once_and_the_log_takes_nothing_back(
    api: Api, request: pytest.FixtureRequest
) -> None:
    await api.email_service()
    request.getfixturevalue("lossy")
    made = await api.patch("emailServices/mail", {"tags": {"a": "b"}})
    assert (made.status, made.etag) == (200, (await api.get("emailServices/mail")).etag)
    assert (await outcomes(api))[1:] == ["EmailServices_Update accepted"]


async def test_operation_whose_answer_was_lost_is_followed(api: Api, request: pytest.FixtureRequest) -> None:
    """The change was made, so that an error would tell the caller something wrong."""
    request.getfixturevalue("lossy")
    made = await api.put("emailServices/mail", SERVICE)
    assert made.status == 201
    status = await api.get(made.headers["azure-asyncoperation"].removeprefix(f"https://{HOST}"))
    assert status.body["status"] == "Succeeded"
