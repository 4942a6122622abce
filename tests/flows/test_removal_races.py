"""Deletions that others meet: nothing stays behind in any table, and nobody is told what is not theirs to know."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from email_core.administration import removal
from email_core.auth.principal import Grant, Role
from email_core.domains.documents import ServiceDocument
from email_core.suppression.customer_lists import delete_list, partition_of_list
from tests.flows.test_suppression_lists import address, key_of
from tests.kit.administration import HOST, Api
from tests.kit.suppression import make_list

pytestmark = pytest.mark.peers

LISTS = "emailServices/mail/domains/contoso.test/suppressionLists"


@pytest.mark.parametrize("how", ["put", "import"])
async def test_address_that_comes_while_its_domain_is_deleted_stays_in_no_table(
    api: Api, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It comes when the addresses of the list were deleted already, and the list itself was not yet."""
    await api.stored_domain("contoso.test")
    path = await make_list(api, "all", lists=LISTS)
    key = await key_of(api, path)
    answers: list[Any] = []

    async def delete_and_put(tables: Any, list_key: str) -> None:
        await delete_list(tables, list_key)
        if answers or list_key != key:
            return
        answers.append(None)
        if how == "put":
            answer = await api.put(f"{path}/suppressionListAddresses/late", address("late@fabrikam.test"))
        else:
            answer = await api.post(f"{path}/import", b"email\nlate@fabrikam.test\n", headers={"content-type": "text/csv"})
        answers.append(answer)

    monkeypatch.setattr("email_core.suppression.customer_lists.delete_list", delete_and_put)
    assert (await api.delete("emailServices/mail/domains/contoso.test")).status == 202
    await api.work()
    assert answers[-1].code == "ResourceBeingDeleted"
    rows = api.storage.tables.query("suppressions", f"PartitionKey eq '{partition_of_list(key)}'")
    assert [row async for row in rows] == []


async def test_link_of_somebody_else_that_stops_a_deletion_is_not_named(api: Api) -> None:
    domain = await api.stored_domain("contoso.test")
    theirs = await api.elsewhere(group="other").communication_service("secret-plans")
    answer = await api.as_(Grant(Role.ADMIN, api.base.lower())).delete("emailServices/mail")
    found = await api.admin.store.get(api.elsewhere(group="other").id("communicationServices/secret-plans"), ServiceDocument)
    assert found is not None and found.document.id == theirs
    await api.admin.store.replace(found, msgspec.structs.replace(found.document, linked_domains=[domain]))
    await removal.put_again(api.admin)
    await api.work()
    ended = await api.get(answer.headers["location"].removeprefix(f"https://{HOST}"))
    assert (ended.status, ended.code) == (409, "DomainLinked")
    assert "linked to 1 communication service:" in ended.message and "secret-plans" not in ended.message
    events = await api.all_of(f"/subscriptions/{api.subscription}/providers/Microsoft.Communication/auditEvents")
    newest = events[0]["properties"]
    assert newest["outcome"] == "DomainLinked" and "secret-plans" not in str(newest)
