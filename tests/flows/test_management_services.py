"""Email services and communication services: created, read, changed, conditions, read-only properties, links and keys."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from email_core.auth.principal import Grant, Role
from email_core.domains.documents import ServiceDocument, Status
from email_core.settings import Settings
from tests.kit.administration import HOST, Api, build_api, replace_states

pytestmark = pytest.mark.peers

SERVICE: dict[str, Any] = {"location": "Global", "properties": {"dataLocation": "Europe"}}


async def test_email_service_is_created_and_read_in_the_shape_of_arm(api: Api) -> None:
    created = await api.put("emailServices/Mail", {**SERVICE, "tags": {"team": "post"}})
    assert created.status == 201
    body = created.body
    assert {name: body[name] for name in ("id", "name", "type", "location", "tags", "properties")} == {
        "id": f"{api.base}/emailServices/Mail",
        "name": "Mail",
        "type": "Microsoft.Communication/emailServices",
        "location": "global",
        "tags": {"team": "post"},
        "properties": {"provisioningState": "Succeeded", "dataLocation": "Europe"},
    }
    assert body["systemData"]["createdBy"] == body["systemData"]["lastModifiedBy"] == "admin token"
    assert body["systemData"]["createdByType"] == "Key"
    read = await api.get("emailservices/mail")
    assert (read.status, read.body, read.etag) == (200, body, created.etag)


async def test_resource_that_is_changed_keeps_who_made_it_and_the_case_of_its_id(api: Api) -> None:
    await api.email_service("Mail")
    api.clock.advance(60)
    changed = await api.as_role(Role.ADMIN).put("emailServices/MAIL", {**SERVICE, "tags": {"a": "b"}})
    assert (changed.status, changed.body["name"]) == (200, "Mail")
    data = changed.body["systemData"]
    assert (data["createdBy"], data["lastModifiedBy"]) == ("admin token", "somebody@contoso.test")
    assert (data["createdByType"], data["lastModifiedByType"]) == ("Key", "User")
    assert data["createdAt"] < data["lastModifiedAt"]


async def test_put_is_followed_by_an_operation_that_has_succeeded(api: Api) -> None:
    for expected in (201, 200):
        answer = await api.put("emailServices/mail", SERVICE)
        assert (answer.status, answer.body["properties"]["provisioningState"]) == (expected, "Succeeded")
        followed = await api.get(answer.headers["azure-asyncoperation"].removeprefix(f"https://{HOST}"))
        assert (followed.status, followed.body["status"]) == (200, "Succeeded")
        assert followed.body["endTime"] >= followed.body["startTime"]
        assert followed.body["id"].endswith(followed.body["name"])


async def test_patch_of_a_communication_service_is_answered_at_once(api: Api) -> None:
    await api.communication_service()
    answer = await api.patch("communicationServices/chat", {"tags": {"a": "b"}})
    assert (answer.status, answer.body["tags"]) == (200, {"a": "b"})
    assert "azure-asyncoperation" not in answer.headers


async def test_communication_service_has_what_acs_tells_of_one(api: Api) -> None:
    await api.communication_service("Chat")
    properties = (await api.get("communicationServices/chat")).body["properties"]
    assert properties["hostName"] == "chat.postrider.test"
    assert properties["linkedDomains"] == []
    assert (properties["publicNetworkAccess"], properties["disableLocalAuth"]) == ("Enabled", False)
    assert len(properties["immutableResourceId"]) == 36
    assert "key" not in str(properties).lower()


async def test_put_says_all_of_what_acs_has_and_patch_what_it_names(api: Api) -> None:
    domain = await api.stored_domain("contoso.test")
    limits = [{"unit": "messages", "window": "hour", "most": 100}]
    changes = {"publicNetworkAccess": "disabled", "disableLocalAuth": True, "linkedDomains": [domain], "limits": limits}
    identity = {"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {"/a/b": {}}}
    await api.put("communicationServices/chat", {**SERVICE, "tags": {"a": "b"}, "identity": identity})
    patched = (await api.patch("communicationServices/chat", {"properties": changes})).body
    assert patched["tags"] == {"a": "b"}
    assert patched["identity"]["type"] == "SystemAssigned,UserAssigned"
    assert {name: patched["properties"][name] for name in changes} == {**changes, "publicNetworkAccess": "Disabled"}

    put = (await api.put("communicationServices/chat", SERVICE)).body
    assert put["tags"] == {} and "identity" not in put
    assert (put["properties"]["publicNetworkAccess"], put["properties"]["disableLocalAuth"]) == ("Enabled", False)
    # Links stay, for a template that knows nothing of them would stop all mail; limits are ours, and ACS tools know none.
    assert (put["properties"]["linkedDomains"], put["properties"]["limits"]) == ([domain], limits)


@pytest.mark.parametrize(
    ("change", "target"),
    [
        ({"properties": {"hostName": "other.test"}}, "properties.hostName"),
        ({"properties": {"immutableResourceId": "x"}}, "properties.immutableResourceId"),
        ({"properties": {"provisioningState": "Failed"}}, "properties.provisioningState"),
        ({"properties": {"notificationHubId": "/x"}}, "properties.notificationHubId"),
        ({"properties": {"version": "9"}}, "properties.version"),
        ({"properties": {"dataLocation": "Japan"}}, "properties.dataLocation"),
        ({"location": "westeurope"}, "location"),
        ({"properties": {"publicNetworkAccess": "Maybe"}}, "properties.publicNetworkAccess"),
        ({"properties": {"disableLocalAuth": "yes"}}, "properties.disableLocalAuth"),
        ({"properties": {"linkedDomains": "x"}}, "properties.linkedDomains"),
        ({"properties": {"linkedDomains": [7]}}, "properties.linkedDomains[0]"),
        ({"properties": {"linkedDomains": ["x"]}}, "properties.linkedDomains[0]"),
        ({"properties": {"limits": {}}}, "properties.limits"),
        ({"properties": {"limits": [{"unit": "words", "window": "day", "most": 1}]}}, "properties.limits[0].unit"),
        ({"properties": {"limits": [{"unit": "messages", "window": "day", "most": 0}]}}, "properties.limits[0].most"),
        ({"identity": {"type": "Nobody"}}, "identity.type"),
        ({"tags": {"<": "b"}}, "tags"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_patch_with_a_wrong_or_read_only_property_names_it_and_changes_nothing(
    api: Api, change: dict[str, Any], target: str
) -> None:
    await api.communication_service()
    before = await api.get("communicationServices/chat")
    answer = await api.patch("communicationServices/chat", change)
    assert (answer.status, answer.code, answer.targets[0]) == (400, "InvalidRequestContent", target)
    after = await api.get("communicationServices/chat")
    assert (after.body, after.etag) == (before.body, before.etag)


async def test_body_that_repeats_what_was_read_is_accepted(api: Api) -> None:
    """As clients do that read a resource, change a part, and send back the whole."""
    await api.communication_service()
    read = (await api.get("communicationServices/chat")).body
    assert (await api.put("communicationServices/chat", read)).status == 200


async def test_put_without_what_is_required_names_it(api: Api) -> None:
    answer = await api.put("emailServices/mail", {})
    assert (answer.status, answer.targets) == (400, ["location", "properties.dataLocation"])


async def test_patch_and_get_of_what_is_not_there_is_404(api: Api) -> None:
    for kind in ("emailServices", "communicationServices"):
        for answer in (await api.get(f"{kind}/none"), await api.patch(f"{kind}/none", {"tags": {}})):
            assert (answer.status, answer.code) == (404, "ResourceNotFound")


async def test_stale_etag_is_412_and_changes_nothing(api: Api) -> None:
    first = await api.put("emailServices/mail", SERVICE)
    second = await api.put("emailServices/mail", SERVICE, headers={"if-match": first.etag})
    assert second.status == 200 and second.etag != first.etag
    stale = {"if-match": first.etag}
    for answer in (
        await api.put("emailServices/mail", SERVICE, headers=stale),
        await api.patch("emailServices/mail", {"tags": {"a": "b"}}, headers=stale),
        await api.delete("emailServices/mail", headers=stale),
        await api.put("emailServices/mail", SERVICE, headers={"if-none-match": "*"}),
        await api.put("emailServices/mail", SERVICE, headers={"if-none-match": f'"other", {second.etag}'}),
        await api.put("emailServices/other", SERVICE, headers={"if-match": "*"}),
    ):
        assert (answer.status, answer.code) == (412, "PreconditionFailed")
    assert (await api.get("emailServices/mail")).etag == second.etag
    assert (await api.patch("emailServices/mail", {"tags": {}}, headers={"if-match": "*"})).status == 200


async def test_resource_that_is_larger_than_a_row_is_refused(api: Api) -> None:
    tags = {f"{'n' * 500}{number}": "v" * 256 for number in range(45)}
    answer = await api.put("emailServices/mail", {**SERVICE, "tags": tags})
    assert (answer.status, answer.code) == (413, "RequestContentTooLarge")


# --- linked domains ---------------------------------------------------------------------------------------------------


async def test_domain_that_is_not_verified_is_not_linked(api: Api) -> None:
    domain = await api.stored_domain("contoso.test", verified=False)
    await api.communication_service()
    answer = await api.patch("communicationServices/chat", {"properties": {"linkedDomains": [domain]}})
    assert (answer.status, answer.code, answer.targets) == (400, "DomainNotVerified", ["properties.linkedDomains[0]"])
    assert "SPF NotStarted" in answer.message and "initiateVerification" in answer.message


async def test_domain_that_is_foreign_is_refused_as_one_that_is_not_there(api: Api) -> None:
    theirs = api.elsewhere(group="theirs")
    foreign = await theirs.stored_domain("fabrikam.test")
    mine = api.as_(Grant(Role.ADMIN, api.base.lower()))
    unknown = foreign.replace("fabrikam", "nobodys")
    told = [
        await mine.put(
            f"communicationServices/{name}", {**SERVICE, "properties": {"dataLocation": "x", "linkedDomains": [link]}}
        )
        for name, link in (("one", foreign), ("two", unknown))
    ]
    assert [(answer.status, answer.code) for answer in told] == [(400, "LinkedDomainNotFound")] * 2
    assert told[0].message.replace("fabrikam", "nobodys") == told[1].message


async def test_second_resource_of_the_same_sender_domain_is_not_linked(api: Api) -> None:
    first, second = await api.stored_domain("contoso.test"), await api.stored_domain("contoso.test", "other")
    await api.communication_service(linkedDomains=[first])
    answer = await api.patch("communicationServices/chat", {"properties": {"linkedDomains": [first, second]}})
    assert (answer.status, answer.code) == (400, "SenderDomainLinkedTwice")
    assert first in answer.message


async def test_linking_names_every_domain_that_is_wrong(api: Api) -> None:
    good, bad = await api.stored_domain("good.test"), await api.stored_domain("bad.test", verified=False)
    service = await api.communication_service()
    links = [good, bad, service, f"{good}x", good.upper().replace("/SUBSCRIPTIONS", "/subscriptions")]
    answer = await api.patch("communicationServices/chat", {"properties": {"linkedDomains": links}})
    assert answer.codes == ["DomainNotVerified", "InvalidRequestContent", "LinkedDomainNotFound"]
    assert answer.targets == [f"properties.linkedDomains[{number}]" for number in (1, 2, 3)]


async def test_domain_that_is_linked_stays_when_its_records_are_lost(api: Api) -> None:
    """Or nothing else of the service could be changed by who sends back what was read."""
    domain = await api.stored_domain("contoso.test")
    await api.communication_service(linkedDomains=[domain])
    await api.change("emailServices/mail/domains/contoso.test", lambda document: replace_states(document, Status.FAILED))
    other = await api.stored_domain("other.test")
    answer = await api.patch("communicationServices/chat", {"properties": {"linkedDomains": [domain, other]}})
    assert (answer.status, answer.body["properties"]["linkedDomains"]) == (200, [domain, other])
    gone = await api.patch("communicationServices/chat", {"properties": {"linkedDomains": []}})
    assert gone.body["properties"]["linkedDomains"] == []


async def test_link_is_what_the_data_plane_goes_by(api: Api) -> None:
    domain = await api.stored_domain("contoso.test")
    await api.communication_service(linkedDomains=[domain.upper().replace("/SUBSCRIPTIONS", "/subscriptions")])
    services = {service.resource_id.lower(): service for service in await api.services.directory.services()}
    assert services[f"{api.base}/communicationServices/chat".lower()].linked_domains == (domain.lower(),)


# --- keys -------------------------------------------------------------------------------------------------------------


async def test_keys_are_told_with_connection_strings_to_where_the_caller_is(api: Api) -> None:
    await api.communication_service()
    answer = await api.post("communicationServices/chat/listKeys")
    keys = answer.body
    assert answer.status == 200 and keys["primaryKey"] != keys["secondaryKey"]
    for kind in ("primary", "secondary"):
        assert len(base64.b64decode(keys[f"{kind}Key"], validate=True)) == 64
        assert keys[f"{kind}ConnectionString"] == f"endpoint=https://{HOST}/;accesskey={keys[f'{kind}Key']}"


async def test_connection_string_names_the_public_host_when_there_is_one(azurite: str) -> None:
    def public(settings: Settings) -> Settings:
        return replace(settings, public_host="mail.contoso.test")

    api = await build_api(azurite, change=public)
    try:
        await api.communication_service()
        keys = (await api.post("communicationServices/chat/listKeys")).body
        assert keys["primaryConnectionString"].startswith("endpoint=https://mail.contoso.test/;accesskey=")
        assert (await api.get("communicationServices/chat")).body["properties"]["hostName"] == "mail.contoso.test"
    finally:
        await api.services.close()


@pytest.mark.parametrize("kind", ["Primary", "secondary", "PRIMARY"])
async def test_regenerated_key_is_another_and_the_other_one_stays(api: Api, kind: str) -> None:
    await api.communication_service()
    before = (await api.post("communicationServices/chat/listKeys")).body
    answer = await api.post("communicationServices/chat/regenerateKey", {"keyType": kind})
    assert answer.status == 200
    changed, kept = ("primary", "secondary") if kind.lower() == "primary" else ("secondary", "primary")
    assert answer.body[f"{changed}Key"] != before[f"{changed}Key"]
    assert answer.body[f"{kept}Key"] == before[f"{kept}Key"]
    assert (await api.post("communicationServices/chat/listKeys")).body == answer.body
    services = {each.resource_id.lower(): each for each in await api.services.directory.services()}
    known = {key.secret for key in services[f"{api.base}/communicationServices/chat".lower()].access_keys}
    assert known >= {base64.b64decode(answer.body["primaryKey"]), base64.b64decode(answer.body["secondaryKey"])}


@pytest.mark.parametrize("body", [None, {}, {"keyType": "Third"}, {"keyType": 1}])
async def test_regenerate_key_of_no_kind_is_refused(api: Api, body: object) -> None:
    await api.communication_service()
    answer = await api.post("communicationServices/chat/regenerateKey", body)
    assert (answer.status, answer.targets) == (400, ["keyType"])


async def test_keys_are_sealed_in_the_table_and_masked_in_the_log(api: Api) -> None:
    await api.communication_service()
    keys = (await api.post("communicationServices/chat/regenerateKey", {"keyType": "Primary"})).body
    stored = await api.admin.store.get(api.id("communicationServices/chat"), ServiceDocument)
    entries = (await api.admin.audit.page(api.subscription, most=100)).entries
    assert stored is not None
    for secret in (keys["primaryKey"], keys["secondaryKey"]):
        assert secret not in str(stored.document) and secret not in str(entries)
    assert stored.document.primary_key not in str(entries)
    assert any("(secret)" in entry.changes for entry in entries)


async def test_reading_the_keys_is_noted(api: Api) -> None:
    await api.communication_service()
    await api.post("communicationServices/chat/listKeys")
    newest = (await api.admin.audit.page(api.subscription, most=1)).entries[0]
    assert (newest.operation, newest.principal) == ("CommunicationServices_ListKeys", "admin token")


async def test_keys_of_what_is_not_there_are_404(api: Api) -> None:
    for action, body in (("listKeys", None), ("regenerateKey", {"keyType": "Primary"})):
        assert (await api.post(f"communicationServices/none/{action}", body)).code == "ResourceNotFound"


async def test_notification_hub_is_kept_without_its_secret(api: Api) -> None:
    await api.communication_service()
    hub = {"resourceId": "/subscriptions/x/hub", "connectionString": "Endpoint=sb://secret"}
    linked = await api.post("communicationServices/chat/linkNotificationHub", hub)
    assert (linked.status, linked.body) == (200, {"resourceId": "/subscriptions/x/hub"})
    assert (await api.get("communicationServices/chat")).body["properties"]["notificationHubId"] == "/subscriptions/x/hub"
    stored = await api.admin.store.get(api.id("communicationServices/chat"), ServiceDocument)
    assert "secret" not in str(stored)
