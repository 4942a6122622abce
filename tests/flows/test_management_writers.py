"""Writers of one resource that meet, and what the audit log then says."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from email_core.administration.build import build_administration
from email_core.administration.writing import MOST_TRIES
from email_core.domains.documents import EmailServiceDocument
from email_core.domains.resource_store import ResourceStore
from email_core.errors import EntityChanged
from tests.kit.administration import Api, build_api

pytestmark = pytest.mark.peers

SERVICE = {"location": "global", "properties": {"dataLocation": "Europe"}}
WRITERS = 50


@pytest.mark.parametrize("kind", ["emailServices", "communicationServices"])
async def test_fifty_puts_of_one_resource_at_once_make_one_and_change_it(api: Api, kind: str) -> None:
    bodies = [{**SERVICE, "tags": {"writer": str(number)}} for number in range(WRITERS)]
    answers = await asyncio.gather(*(api.put(f"{kind}/same", body) for body in bodies))
    assert sorted(answer.status for answer in answers) == [200] * (WRITERS - 1) + [201]
    assert len({answer.etag for answer in answers}) == WRITERS

    entries = (await api.admin.audit.page(api.subscription, most=1000)).entries
    accepted = [entry for entry in entries if entry.outcome == "accepted"]
    assert len(accepted) - (len(entries) - len(accepted)) == WRITERS  # each conflict takes one back
    assert {entry.changes for entry in accepted if "writer" in entry.changes}
    assert await api.admin.audit.verify(api.subscription) is None
    tags = {answer.body["tags"]["writer"] for answer in answers}
    last = (await api.get(f"{kind}/same")).body["tags"]["writer"]
    assert (len(tags), last in tags) == (WRITERS, True)


async def test_fifty_puts_over_several_workers_make_one_and_change_it(azurite: str) -> None:
    """Workers share nothing but storage: the ETag alone keeps them apart."""
    apis = [await build_api(azurite) for _ in range(5)]
    apis = [each.elsewhere(subscription=apis[0].subscription) for each in apis]
    try:
        tasks = [each.put(f"emailServices/{'same' if number else 'SAME'}", SERVICE) for number in range(10) for each in apis]
        answers = await asyncio.gather(*tasks)
        assert sorted(answer.status for answer in answers) == [200] * (WRITERS - 1) + [201]
        assert await apis[0].admin.audit.verify(apis[0].subscription) is None
    finally:
        for each in apis:
            await each.services.close()


async def test_write_that_lost_a_race_is_taken_back_in_the_log_and_done_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.email_service()
    replace = ResourceStore.replace
    met = 0

    async def meeting_another(store: ResourceStore, resource: Any, document: Any) -> Any:
        nonlocal met
        if not met:
            met = 1
            other = msgspec.structs.replace(resource.document, tags={"other": "writer"})
            await replace(store, resource, other)
        return await replace(store, resource, document)

    monkeypatch.setattr(ResourceStore, "replace", meeting_another)
    answer = await api.patch("emailServices/mail", {"tags": {"a": "b"}})
    assert (answer.status, answer.body["tags"]) == (200, {"a": "b"})
    done, taken_back, tried = (await api.admin.audit.page(api.subscription, most=3)).entries
    assert [entry.outcome for entry in (tried, taken_back, done)] == ["accepted", "conflict", "accepted"]
    assert "other" in done.changes and "other" not in tried.changes
    assert len({entry.request_id for entry in (tried, taken_back, done)}) == 1


async def test_write_that_meets_others_without_end_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.email_service()
    tries = 0

    async def always_late(*_: Any) -> None:
        nonlocal tries
        tries += 1
        raise EntityChanged("somebody else")

    monkeypatch.setattr(ResourceStore, "replace", always_late)
    monkeypatch.setattr("email_core.administration.writing.MOST_TRIES", 5)
    answer = await api.patch("emailServices/mail", {"tags": {"a": "b"}})
    assert (answer.status, answer.code, tries) == (409, "Conflict", 5)
    assert MOST_TRIES >= WRITERS


async def test_change_is_not_made_when_the_log_cannot_be_written(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from email_core.administration.audit import AuditLog
    from email_core.errors import StorageUnavailable

    async def away(*_: Any) -> None:
        raise StorageUnavailable("the table audit")

    monkeypatch.setattr(AuditLog, "append", away)
    assert (await api.put("emailServices/mail", SERVICE)).status == 503
    target = api.id("emailServices/mail")
    assert await build_administration(api.storage, api.admin.sealer, api.admin.settings, api.clock).store.get(
        target, EmailServiceDocument
    ) is None  # fmt: skip
