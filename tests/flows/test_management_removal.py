"""Deleting resources with all that is below them: refused while linked, followed by a Location, done by the queue."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from email_core.administration import removal
from email_core.auth.principal import Grant, Role
from email_core.domains.documents import SenderDocument, ServiceDocument, SuppressionListDocument
from email_core.domains.resource_store import Resource
from email_core.domains.tasks import Remove, decode_task
from tests.kit.administration import HOST, Api, Reply

pytestmark = pytest.mark.peers

SERVICE = {"location": "global", "properties": {"dataLocation": "Europe"}}
DOMAIN = "emailServices/mail/domains/contoso.test"


async def followed(api: Api, answer: Reply) -> Reply:
    """What the Location of a 202 answers now."""
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (202, None, "1")
    return await api.get(answer.headers["location"].removeprefix(f"https://{HOST}"))


async def with_children(api: Api) -> None:
    """A domain with a sender, a suppression list with an address, and a second domain beside it."""
    await api.stored_domain("contoso.test")
    await api.stored_domain("contoso.test2")
    domain = api.id(DOMAIN)
    sender = api.id(f"{DOMAIN}/senderUsernames/news")
    await api.admin.store.create(sender, SenderDocument(id=sender.text, name="news", username="news"))
    listed = api.id(f"{DOMAIN}/suppressionLists/all")
    await api.admin.store.create(listed, SuppressionListDocument(id=listed.text, name="all", key=api.subscription[:8]))
    assert [each async for each in api.admin.store.below(domain)]


async def left(api: Api) -> list[str]:
    """The ids of all that there is in the group."""
    partition = api.id("emailServices/x").partition
    rows = api.storage.tables.query("resources", f"PartitionKey eq '{partition}'")
    return [str(row.values["RowKey"]) async for row in rows]


async def test_domain_is_deleted_with_what_is_below_it_and_nothing_else(api: Api) -> None:
    await with_children(api)
    answer = await api.delete(DOMAIN)
    assert (await followed(api, answer)).status == 202
    deleting = (await api.get(DOMAIN)).body
    assert deleting["properties"]["provisioningState"] == "Deleting"

    assert await api.work() == 1
    assert (await followed(api, answer)).status == 204
    assert await left(api) == ["emailservices|mail", "emailservices|mail|domains|contoso.test2"]
    assert (await api.get(DOMAIN)).status == 404
    assert (await api.delete(DOMAIN)).status == 204


async def test_email_service_is_deleted_with_its_domains_and_can_be_made_again_at_once(api: Api) -> None:
    await with_children(api)
    answer = await api.delete("emailServices/mail")
    await api.work()
    assert (await followed(api, answer)).status == 204
    assert await left(api) == []
    assert (await api.put("emailServices/mail", SERVICE)).status == 201
    assert (await api.get("emailServices/mail/domains")).body == {"value": []}


async def test_communication_service_is_deleted_with_what_is_below_it(api: Api) -> None:
    await api.communication_service()
    robot = f"robot-{uuid.uuid4().hex}"  # names of log-ins are those of the whole installation
    login = {"username": robot, "entraApplicationId": str(uuid.uuid4()), "tenantId": str(uuid.uuid4())}
    for round_ in range(2):  # and it can be made again at once
        assert (await api.put("communicationServices/chat/accessKeys/robot", {"properties": {}})).status == 201
        assert (await api.put("communicationServices/chat/smtpUsernames/robot", {"properties": login})).status == 201
        answer = await api.delete("communicationServices/chat")
        await api.work()
        assert ((await followed(api, answer)).status, await left(api)) == (204, []), round_
        await api.communication_service("chat")
        login = {**login, "tenantId": str(uuid.uuid4())}


async def test_domain_that_a_service_linked_which_is_being_deleted_is_deleted(api: Api) -> None:
    domain = await api.stored_domain("contoso.test")
    await api.communication_service(linkedDomains=[domain])
    await api.delete("communicationServices/chat")
    assert (await api.delete(DOMAIN)).status == 202
    await api.work()
    assert await left(api) == ["emailservices|mail"]


async def test_deletion_is_followed_as_an_operation_too(api: Api) -> None:
    await api.email_service()
    answer = await api.delete("emailServices/mail")
    status = answer.headers["location"].removeprefix(f"https://{HOST}").replace("operationResults", "operationStatuses")
    running = await api.get(status)
    assert (running.body["status"], running.headers["retry-after"]) == ("Running", "1")
    await api.work()
    assert (await api.get(status)).body["status"] == "Succeeded"


@pytest.mark.parametrize("path", [DOMAIN, "emailServices/mail"])
async def test_domain_that_is_linked_is_not_deleted_and_its_services_are_named(api: Api, path: str) -> None:
    domain = await api.stored_domain("contoso.test")
    service = await api.communication_service(linkedDomains=[domain])
    other = await api.elsewhere(group="other").communication_service("second", linkedDomains=[domain])
    answer = await api.delete(path)
    assert (answer.status, answer.code) == (409, "DomainLinked")
    assert service in answer.message and other in answer.message
    assert (await api.get(DOMAIN)).body["properties"]["provisioningState"] == "Succeeded"

    mine = api.as_(Grant(Role.ADMIN, api.base.lower()))
    told = (await mine.delete(path)).message
    assert service in told and other not in told and "1 more" in told

    for each in (api, api.elsewhere(group="other")):
        name = "chat" if each.group == "group" else "second"
        await each.patch(f"communicationServices/{name}", {"properties": {"linkedDomains": []}})
    assert (await api.delete(path)).status == 202


async def test_domain_that_is_linked_while_it_is_marked_stays_and_the_operation_says_so(api: Api) -> None:
    domain = await api.stored_domain("contoso.test")
    await api.communication_service()
    found = await api.admin.store.get(api.id("communicationServices/chat"), ServiceDocument)
    answer = await api.delete(DOMAIN)
    assert found is not None
    await api.admin.store.replace(found, msgspec.structs.replace(found.document, linked_domains=[domain]))
    await api.work()
    ended = await followed(api, answer)
    assert (ended.status, ended.code) == (409, "DomainLinked")
    assert (await api.get(DOMAIN)).body["properties"]["provisioningState"] == "Succeeded"
    newest = (await api.admin.audit.page(api.subscription, most=1)).entries[0]
    assert (newest.operation, newest.principal, newest.outcome) == ("Remove", "postrider", "DomainLinked")
    assert newest.changes == '{"provisioning_state":["Deleting","Succeeded"]}'


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "emailServices/mail", SERVICE),
        ("PATCH", "emailServices/mail", {"tags": {}}),
        ("PUT", DOMAIN, {"location": "global", "properties": {"domainManagement": "CustomerManaged"}}),
    ],
)
async def test_what_is_being_deleted_takes_no_change_and_no_child(api: Api, method: str, path: str, body: Any) -> None:
    await api.email_service()
    await api.delete("emailServices/mail")
    answer = await api.call(method, path, body)
    assert (answer.status, answer.code) == (409, "ResourceBeingDeleted")


async def test_deletion_asked_for_twice_is_done_once_and_both_operations_end(api: Api) -> None:
    await api.email_service()
    first, second = await api.delete("emailServices/mail"), await api.delete("emailServices/mail")
    assert await api.work() == 2
    assert [(await followed(api, answer)).status for answer in (first, second)] == [204, 204]


async def test_task_that_comes_late_leaves_what_was_made_again(api: Api) -> None:
    await api.email_service()
    await api.delete("emailServices/mail")
    task = api.queues.noted[0].text
    await api.work()
    await api.email_service()
    await removal.run(api.admin, decode_task(task))  # type: ignore[arg-type]
    assert (await api.get("emailServices/mail")).status == 200


async def test_task_that_was_lost_is_put_again(api: Api) -> None:
    await api.email_service()
    await api.delete("emailServices/mail")
    api.queues.noted.clear()
    assert await removal.put_again(api.admin) >= 1  # of other tests as well
    mine = [noted for noted in api.queues.noted if api.subscription in noted.text]
    assert len(mine) == 1
    await removal.run(api.admin, decode_task(mine[0].text))  # type: ignore[arg-type]
    assert await left(api) == []


async def test_task_that_died_half_way_is_done_by_the_next_one(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await with_children(api)
    await api.delete("emailServices/mail")
    task = Remove(resource=api.id("emailServices/mail").text, operation="")
    delete, count = type(api.admin.store).delete, 0

    async def dying(store: Any, resource: Resource[Any]) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        await delete(store, resource)

    with monkeypatch.context() as patch:
        patch.setattr(type(api.admin.store), "delete", dying)
        with pytest.raises(KeyboardInterrupt):
            await removal.run(api.admin, task)
    assert "emailservices|mail" in await left(api)
    await removal.run(api.admin, task)
    assert await left(api) == []


async def test_child_that_comes_while_the_parent_is_deleted_goes_with_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its writer had seen the parent before it was marked."""
    await with_children(api)
    await api.delete("emailServices/mail")
    below, late = type(api.admin.store).below, True

    async def below_and_late(store: Any, parent: Any) -> AsyncIterator[Resource[Any]]:
        nonlocal late
        async for each in below(store, parent):
            yield each
        if late:
            late = False
            target = api.id(f"{DOMAIN}/senderUsernames/late")
            await store.create(target, SenderDocument(id=target.text, name="late", username="late"))

    monkeypatch.setattr(type(api.admin.store), "below", below_and_late)
    await api.work()
    assert await left(api) == []


async def test_child_that_is_written_after_its_parent_is_gone_goes_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.email_service()
    create, done = type(api.admin.store).create, False

    async def create_late(store: Any, target: Any, document: Any) -> str:
        nonlocal done
        if not done:  # between the look at the parent and the write, all of the deletion goes by
            done = True
            assert (await api.delete("emailServices/mail")).status == 202
            await api.work()
        return await create(store, target, document)

    monkeypatch.setattr(type(api.admin.store), "create", create_late)
    answer = await api.put(DOMAIN, {"location": "global", "properties": {"domainManagement": "CustomerManaged"}})
    assert (answer.status, answer.code) == (404, "ParentResourceNotFound")
    assert await left(api) == []
    newest = (await api.admin.audit.page(api.subscription, most=1)).entries[0]
    assert (newest.operation, newest.outcome) == ("Domains_CreateOrUpdate", "conflict")


async def test_deletion_is_in_the_audit_log_with_who_asked_and_that_it_was_done(api: Api) -> None:
    await with_children(api)
    await api.as_role(Role.ADMIN).delete(DOMAIN)
    await api.work()
    done, asked = (await api.admin.audit.page(api.subscription, most=2)).entries
    assert (asked.operation, asked.principal) == ("Domains_Delete", "somebody@contoso.test")
    assert (done.operation, done.principal, done.text) == ("Remove", "postrider", "Deleted, with 2 resources below it.")


async def test_deletion_with_a_stale_etag_is_refused(api: Api) -> None:
    etag = (await api.put("emailServices/mail", SERVICE)).etag
    await api.patch("emailServices/mail", {"tags": {"a": "b"}})
    assert (await api.delete("emailServices/mail", headers={"if-match": etag})).code == "PreconditionFailed"
    assert api.queues.noted == []
