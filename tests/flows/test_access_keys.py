"""Extra access keys: made through the management plane, and what the data plane lets them do."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from email_core.administration.access_keys import MOST_KEYS
from email_core.administration.writing import existing
from email_core.auth.principal import Grant, Principal, PrincipalKind, Role
from email_core.domains.documents import ServiceDocument
from email_core.management.envelope import timestamp
from tests.kit.administration import Api, KnownTokens, NotingTasks, Reply
from tests.kit.pipeline import DOMAIN, Pipeline, build_pipeline
from tests.kit.requests import Answer, explanation, get, message, post

pytestmark = pytest.mark.peers

NOBODYS = bytes(64)


@dataclass
class Both:
    """A communication service on both planes."""

    pipeline: Pipeline
    api: Api
    service: str  # path

    async def make(self, name: str = "ci", **properties: object) -> Reply:
        answer = await self.api.put(f"{self.service}/accessKeys/{name}", {"properties": properties})
        self.pipeline.clock.advance(31)  # the directory forgets
        return answer

    async def secret(self, name: str = "ci", **properties: object) -> bytes:
        """The secret of a new key."""
        answer = await self.make(name, **properties)
        assert answer.status == 201, answer.body
        return base64.b64decode(answer.body["properties"]["key"], validate=True)

    async def send(self, key: bytes, *, sender: str = f"news@{DOMAIN}", source: str = "") -> Answer:
        headers = {"x-forwarded-for": source} if source else {}
        return await post(self.pipeline, message(senderAddress=sender), key=key, headers=headers)


@pytest.fixture
async def both(azurite: str) -> AsyncIterator[Both]:
    pipeline = await build_pipeline(azurite, routes="capture://127.0.0.1:9")
    tokens = KnownTokens()
    services = replace(pipeline.services, authenticator=tokens)  # type: ignore[arg-type]
    admin = Principal(PrincipalKind.ADMIN_TOKEN, name="admin token", grants=(Grant(Role.ADMIN),))
    _, _, subscription, _, group, *_ = pipeline.service.resource_id.split("/")
    api = Api(
        services, pipeline.clock, NotingTasks(pipeline.queues), tokens, tokens.token_of(admin),
        subscription=subscription, group=group,
    )  # fmt: skip
    yield Both(pipeline, api, f"communicationServices/{pipeline.service.name}")
    await pipeline.close()


async def test_key_is_shown_once_with_its_connection_string(both: Both) -> None:
    made = await both.make(sendOnly=False)
    assert made.status == 201
    secret = made.body["properties"]["key"]
    assert len(base64.b64decode(secret, validate=True)) == 64
    assert made.body["properties"]["connectionString"].endswith(f"/;accesskey={secret}")
    again = await both.make(sendOnly=False)
    shown = [again, await both.api.get(f"{both.service}/accessKeys/ci"), await both.api.get(f"{both.service}/accessKeys")]
    assert [answer.status for answer in shown] == [200, 200, 200]
    for answer in shown:
        assert secret not in str(answer.body)
        assert "'key'" not in str(answer.body) and "connectionString" not in str(answer.body)
    assert [each["name"] for each in shown[2].body["value"]] == ["ci"]


async def test_key_is_sealed_at_rest_and_not_in_the_audit_log(both: Both) -> None:
    made = await both.make()
    secret = made.body["properties"]["key"]
    tables = both.pipeline.storage.tables
    for table in ("resources", "audit"):
        assert secret not in str([row.values async for row in tables.query(table, "")])
    events = await both.api.get(f"/subscriptions/{both.api.subscription}/providers/Microsoft.Communication/auditEvents")
    [event] = [each["properties"] for each in events.body["value"] if each["properties"]["resourceId"].endswith("/ci")]
    assert event["operationName"] == "AccessKeys_CreateOrUpdate"
    assert event["changes"]["secret"] == {"before": None, "after": "(secret)"}


async def test_key_without_restrictions_sends_and_reads(both: Both) -> None:
    secret = await both.secret(sendOnly=False)
    sent = await both.send(secret)
    assert sent.status == 202
    assert (await get(both.pipeline, sent.body["id"], key=secret)).status == 200


async def test_key_that_only_sends_may_not_ask(both: Both) -> None:
    secret = await both.secret()
    sent = await both.send(secret)
    assert sent.status == 202
    for asked in (get, explanation):
        answer = await asked(both.pipeline, sent.body["id"], key=secret)
        assert (answer.status, answer.code) == (403, "Forbidden")
        assert "'ci' may only send" in answer.body["error"]["message"]


async def test_key_of_one_domain_sends_from_it_alone(both: Both) -> None:
    secret = await both.secret(domains=["CONTOSO.test."])
    assert (await both.send(secret)).status == 202
    answer = await both.send(secret, sender="news@fabrikam.test")
    assert (answer.status, answer.code, answer.body["error"]["target"]) == (403, "Forbidden", "senderAddress")


async def test_key_of_one_network_is_taken_from_there_alone(both: Both) -> None:
    secret = await both.secret(sourceRanges=["203.0.113.0/24", "2001:db8::/32"])
    for source in ("203.0.113.9:4711", "[2001:db8::9]:4711", "198.51.100.1, 203.0.113.9:4711"):
        assert (await both.send(secret, source=source)).status == 202
    for source in ("203.0.114.9:4711", "203.0.113.9, 198.51.100.1:4711", ""):
        answer = await both.send(secret, source=source)
        assert (answer.status, answer.code) == (403, "Forbidden"), source


async def test_key_of_a_network_in_mapped_addresses_is_taken_from_there_however_it_is_written(both: Both) -> None:
    secret = await both.secret(sourceRanges=["::ffff:203.0.113.0/120"])
    for source in ("203.0.113.9:4711", "[::ffff:203.0.113.9]:4711"):
        assert (await both.send(secret, source=source)).status == 202
    assert (await both.send(secret, source="[::ffff:203.0.114.9]:4711")).status == 403
    shown = (await both.api.get(f"{both.service}/accessKeys/ci")).body["properties"]
    assert shown["sourceRanges"] == ["203.0.113.0/24"]


async def test_key_ends_at_its_time(both: Both) -> None:
    secret = await both.secret(expiresOn=timestamp(both.pipeline.clock.now() + 60))
    assert (await both.send(secret)).status == 202
    both.pipeline.clock.advance(60)
    answer = await both.send(secret)
    assert (answer.status, answer.code) == (401, "Denied")
    assert "expired" in answer.body["error"]["message"]


async def test_key_that_outlived_its_service_is_none_of_the_next_one_of_that_name(both: Both) -> None:
    """A worker that died between the write of a key and the look for its service leaves a key that nothing deletes."""
    secret = await both.secret()
    store, target = both.api.admin.store, both.api.id(both.service)
    before = await existing(both.api.admin, target, ServiceDocument)
    await store.delete(before)
    again = msgspec.structs.replace(before.document, key="another", immutable_resource_id="another")
    await store.create(target, again)
    both.pipeline.clock.advance(31)
    assert (await both.send(secret)).status == 401
    assert (await both.send(await both.secret("other"))).status == 202


async def test_key_that_is_deleted_is_refused_within_a_minute(both: Both) -> None:
    secret = await both.secret()
    assert (await both.send(secret)).status == 202
    assert (await both.api.delete(f"{both.service}/accessKeys/ci")).status == 200
    both.pipeline.clock.advance(59)
    assert (await both.send(secret)).status == 401
    assert (await both.api.delete(f"{both.service}/accessKeys/ci")).status == 204


async def test_primary_key_that_is_made_anew_is_taken_within_a_minute_and_the_old_one_refused(both: Both) -> None:
    old = both.pipeline.service.access_keys[0].secret
    assert (await both.send(old)).status == 202
    answer = await both.api.post(f"{both.service}/regenerateKey", {"keyType": "Primary"})
    new = base64.b64decode(answer.body["primaryKey"])
    both.pipeline.clock.advance(59)
    assert (await both.send(new)).status == 202
    assert (await both.send(old)).status == 401
    assert (await both.send(both.pipeline.service.access_keys[1].secret)).status == 202


async def test_keys_cost_no_round_trip_of_a_warm_send(both: Both) -> None:
    secret = await both.secret()
    await both.send(secret)
    both.pipeline.storage.round_trips.clear()
    await both.send(secret)
    warm = dict(both.pipeline.storage.round_trips)
    assert warm == {"tables.insert": 1, "queues.enqueue": 1}


async def test_key_of_another_service_opens_nothing_here(azurite: str, both: Both) -> None:
    secret = await both.secret()
    other = await build_pipeline(azurite, routes="capture://127.0.0.1:9")
    assert (await post(other, message(), key=secret)).status == 401
    await other.close()


async def test_key_that_cannot_be_read_leaves_the_others_in_use(both: Both) -> None:
    secret = await both.secret()
    await both.make("broken")
    target = both.api.id(f"{both.service}/accessKeys/broken")
    await both.pipeline.storage.tables.merge("resources", target.partition, target.row, {"document": "{"}, etag="*")
    both.pipeline.clock.advance(31)
    assert (await both.send(secret)).status == 202
    assert (await both.send(both.pipeline.service.access_keys[0].secret)).status == 202
    await both.pipeline.storage.tables.delete("resources", target.partition, target.row)


@pytest.mark.parametrize("name", ["primary", "Secondary"])
async def test_key_may_not_have_the_name_of_one_that_every_service_has(both: Both, name: str) -> None:
    answer = await both.make(name)
    assert (answer.status, answer.code) == (400, "InvalidResourceName")


@pytest.mark.parametrize(
    ("properties", "targets"),
    [
        ({"sendOnly": "yes"}, ["properties.sendOnly"]),
        ({"domains": ["contoso"]}, ["properties.domains[0]"]),
        ({"domains": "contoso.test"}, ["properties.domains"]),
        ({"sourceRanges": ["10.0.0.0/8", "10.0.0.1/8"]}, ["properties.sourceRanges[1]"]),
        ({"sourceRanges": ["localhost"]}, ["properties.sourceRanges[0]"]),
        ({"expiresOn": "tomorrow"}, ["properties.expiresOn"]),
        ({"expiresOn": "2030-01-01T00:00:00"}, ["properties.expiresOn"]),
        ({"expiresOn": "2020-01-01T00:00:00Z"}, ["properties.expiresOn"]),
        ({"expiresOn": "9999-12-31T23:59:59.999999Z"}, ["properties.expiresOn"]),  # which no timestamp could show again
        ({"sourceRanges": ["fe80::1%eth0"]}, ["properties.sourceRanges[0]"]),
        ({"limits": [{"unit": "bytes"}]}, ["properties.limits[0].unit", "properties.limits[0].window"]),
        (
            {"sendOnly": 1, "domains": [""], "expiresOn": 7},
            ["properties.sendOnly", "properties.expiresOn", "properties.domains[0]"],
        ),
    ],
    ids=lambda value: "" if isinstance(value, list) else "-".join(value),
)
async def test_key_with_bad_properties_is_refused_naming_each(
    both: Both, properties: dict[str, Any], targets: list[str]
) -> None:
    answer = await both.make(**properties)
    assert answer.status == 400
    assert answer.targets == targets
    assert (await both.api.get(f"{both.service}/accessKeys/ci")).status == 404


async def test_key_may_keep_an_expiry_that_has_passed(both: Both) -> None:
    """Who puts back what was read must not be refused for it."""
    expiry = timestamp(both.pipeline.clock.now() + 60)
    await both.make(expiresOn=expiry)
    both.pipeline.clock.advance(3600)
    again = await both.make(expiresOn=expiry)
    assert (again.status, again.body["properties"]["expiresOn"]) == (200, expiry)


async def test_keys_of_a_service_have_a_most_number(both: Both) -> None:
    for number in range(MOST_KEYS):
        assert (await both.make(f"key{number}")).status == 201
    answer = await both.make("onemore")
    assert (answer.status, answer.code) == (409, "QuotaExceeded")
    assert (await both.make("key7")).status == 200


async def test_key_of_a_service_that_is_not_there_is_not_found(both: Both) -> None:
    answer = await both.api.put("communicationServices/nothing/accessKeys/ci", {"properties": {}})
    assert (answer.status, answer.code) == (404, "ParentResourceNotFound")
    assert (await both.api.get("communicationServices/nothing/accessKeys")).status == 404


async def test_reader_sees_keys_and_may_not_make_one(both: Both) -> None:
    await both.make()
    reader = both.api.as_role(Role.READER)
    assert (await reader.get(f"{both.service}/accessKeys/ci")).status == 200
    for role in (Role.READER, Role.SENDER):
        answer = await both.api.as_role(role).put(f"{both.service}/accessKeys/other", {"properties": {}})
        assert (answer.status, answer.code) == (403, "AuthorizationFailed")


async def test_limit_of_a_key_holds_for_that_key_alone(both: Both) -> None:
    secret = await both.secret(limits=[{"unit": "messages", "window": "day", "most": 2}])
    assert [(await both.send(secret)).status for _ in range(3)] == [202, 202, 429]
    assert (await both.send(both.pipeline.service.access_keys[0].secret)).status == 202
