"""The managed suppression list through the management plane: what it shows to whom, and that an entry can be taken off."""

from __future__ import annotations

import uuid

import pytest

from email_core.auth.principal import Role
from email_core.message.address import parse_address
from email_core.suppression.address_table import read_row
from email_core.suppression.leases import Bounce
from email_core.suppression.managed import ManagedList
from tests.kit.administration import Api
from tests.kit.suppression import hashed

pytestmark = pytest.mark.peers


async def bounce(api: Api, *, subscription: str = "", email: str = "") -> str:
    """An address that no other test uses bounces."""
    email = email or f"gone-{uuid.uuid4().hex[:12]}@fabrikam.test"
    noted = Bounce(
        f"service:{uuid.uuid4()}", 0, api.clock.now(), "invalid_recipient", "no-such-user", "550 5.1.1 no such user",
        subscription or api.subscription,
    )  # fmt: skip
    await ManagedList(api.storage.tables).bounced(parse_address(email), noted)
    return email


def entries(api: Api) -> str:
    return f"/subscriptions/{api.subscription}/providers/Microsoft.Communication/managedSuppressions"


async def asked(api: Api, email: str) -> list[dict[str, object]]:
    answer = await api.get(entries(api), query={"address": email})
    assert answer.status == 200, answer.body
    return [each["properties"] for each in answer.body["value"]]


async def test_entry_shows_why_since_when_until_when_and_by_which_message(api: Api) -> None:
    email = await bounce(api)
    [shown] = await asked(api, email.upper())
    assert shown["email"] == email
    assert (shown["reason"], shown["rule"], shown["reply"]) == ("invalid_recipient", "no-such-user", "550 5.1.1 no such user")
    assert (shown["leaseHours"], shown["bounces"], shown["withheldMessages"]) == (24, 1, 0)
    assert (shown["sourceServiceKey"], len(str(shown["sourceMessageId"]))) == ("service", 36)
    assert str(shown["expiresOn"]) > str(shown["suppressedSince"])


async def test_entries_of_the_own_subscription_come_in_pages_without_those_that_ended(api: Api) -> None:
    ended = await bounce(api)
    api.clock.advance(24 * 3600 + 1)
    mine = [await bounce(api) for _ in range(7)]
    theirs = await bounce(api, subscription=str(uuid.uuid4()))
    reader = api.as_role(Role.READER, f"/subscriptions/{api.subscription}")
    shown = [each["properties"]["email"] for each in await reader.all_of(entries(api), query={"$top": "3"})]
    assert sorted(shown) == sorted(mine)
    everything = [each["properties"]["email"] for each in await api.all_of(entries(api), query={"$top": "1000"})]
    assert theirs in everything and ended not in everything and set(mine) <= set(everything)


async def test_entry_of_somebody_else_is_shown_to_who_knows_the_address_and_not_by_whose_mail(api: Api) -> None:
    email = await bounce(api, subscription=str(uuid.uuid4()))
    reader = api.as_role(Role.READER, f"/subscriptions/{api.subscription}")
    [shown] = await asked(reader, email)
    assert shown["reason"] == "invalid_recipient"
    assert not {"sourceMessageId", "sourceServiceKey", "reply"} & set(shown)


async def test_entry_is_taken_off_with_an_entry_in_the_audit_log(api: Api) -> None:
    email = await bounce(api)
    path = f"{entries(api)}/{hashed(email)}"
    assert (await api.delete(path)).status == 200
    assert await asked(api, email) == []
    assert (await read_row(api.storage.tables, hashed(email))).lease is None
    assert (await api.delete(path)).status == 204
    events = await api.all_of(f"/subscriptions/{api.subscription}/providers/Microsoft.Communication/auditEvents")
    assert [each["properties"]["operationName"] for each in events] == ["ManagedSuppressions_Delete"]
    assert email in str(events[0]["properties"]["changes"])


async def test_entry_that_is_taken_off_leaves_the_lists_of_customers_alone(api: Api) -> None:
    from email_core.suppression.address_table import change_row

    email = await bounce(api)
    await change_row(api.storage.tables, hashed(email), lambda row: row.with_list("key", "one"))
    assert (await api.delete(f"{entries(api)}/{hashed(email)}")).status == 200
    assert dict((await read_row(api.storage.tables, hashed(email))).lists) == {"key": "one"}


@pytest.mark.parametrize(("name", "status"), [("nobody", 400), ("0" * 64, 204), ("G" * 64, 400)])
async def test_entry_that_is_none_is_told_by_its_name(api: Api, name: str, status: int) -> None:
    assert (await api.delete(f"{entries(api)}/{name}")).status == status


async def test_address_that_is_none_is_refused(api: Api) -> None:
    answer = await api.get(entries(api), query={"address": "nobody"})
    assert (answer.status, answer.code, answer.targets) == (400, "InvalidParameter", ["address"])


async def test_reader_may_not_take_an_entry_off(api: Api) -> None:
    email = await bounce(api)
    assert (await api.as_role(Role.READER).delete(f"{entries(api)}/{hashed(email)}")).status == 403
    assert await asked(api, email)
