"""What the official management client makes of our answers: pages, refusals, conditions, versions, tokens, and keys that send.

The newest Python client stands for all; `test_official_arm_clients` goes over every operation with each of them.
"""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

import pytest
from azure.communication.email import EmailClient
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.identity import ClientSecretCredential

from tests.kit.arm_client import AdminToken, Wire
from tests.kit.arm_world import GROUP, ArmWorld, crowd_names, new_domain
from tests.kit.knot import txt
from tests.kit.token_issuer import Client
from tests.kit.waiting import wait_until

pytestmark = [pytest.mark.peers, pytest.mark.timeout(240)]

PLACE = {"location": "global", "properties": {"dataLocation": "Europe"}}
CUSTOM = {"location": "global", "properties": {"domainManagement": "CustomerManaged"}}
MANAGED = {"location": "global", "properties": {"domainManagement": "AzureManaged"}}
STABLE = ("2023-03-31", "2023-04-01", "2025-05-01", "2025-09-01", "2026-03-18")


@pytest.fixture
def client(arm_world: ArmWorld) -> Any:
    """In a subscription of its own, with an email service `mail`."""
    made = arm_world.client()
    made.email_services.begin_create_or_update(GROUP, "mail", PLACE).result()
    return made


def told(refused: pytest.ExceptionInfo[HttpResponseError]) -> tuple[int, str]:
    """Status and code as the client has them."""
    error = refused.value
    assert error.error is not None
    assert error.response is not None
    assert error.response.headers["x-ms-error-code"] == error.error.code
    return int(error.status_code or 0), str(error.error.code)


def test_list_of_several_pages_is_followed_to_its_end(arm_world: ArmWorld, crowd: tuple[str, str]) -> None:
    subscription, domain = crowd
    pages = arm_world.client(subscription).sender_usernames.list_by_domains(GROUP, "mail", domain).by_page()
    names = [[sender.name for sender in page] for page in pages]
    assert [len(page) for page in names] == [100, 21]
    assert [name for page in names for name in page] == ["DoNotReply", *crowd_names()]


async def test_async_client_makes_lists_and_deletes(arm_world: ArmWorld, crowd: tuple[str, str]) -> None:
    async with arm_world.async_client(crowd[0]) as reading:
        senders = [each.name async for each in reading.sender_usernames.list_by_domains(GROUP, "mail", crowd[1])]
    assert senders == ["DoNotReply", *crowd_names()]
    async with arm_world.async_client() as client:
        made = await (await client.communication_services.begin_create_or_update(GROUP, "app", PLACE)).result()
        assert (made.name, made.properties.provisioning_state) == ("app", "Succeeded")
        assert (await client.communication_services.list_keys(GROUP, "app")).primary_key
        assert [each.name async for each in client.communication_services.list_by_subscription()] == ["app"]
        await (await client.communication_services.begin_delete(GROUP, "app")).result()
        with pytest.raises(ResourceNotFoundError):
            await client.communication_services.get(GROUP, "app")


@pytest.mark.parametrize("version", STABLE)
def test_every_stable_api_version_makes_reads_and_lists(arm_world: ArmWorld, version: str) -> None:
    wire = Wire()
    client = arm_world.client(api_version=version, per_call_policies=[wire])
    client.email_services.begin_create_or_update(GROUP, "mail", PLACE).result()
    client.domains.begin_create_or_update(GROUP, "mail", "AzureManagedDomain", MANAGED).result()
    assert client.domains.get(GROUP, "mail", "AzureManagedDomain").properties.verification_states.dmarc.status == "Verified"
    assert [each.name for each in client.domains.list_by_email_service_resource(GROUP, "mail")] == ["AzureManagedDomain"]
    client.communication_services.begin_create_or_update(GROUP, "app", PLACE).result()
    assert client.communication_services.get(GROUP, "app").properties.provisioning_state == "Succeeded"
    assert [each.name for each in client.communication_services.list_by_resource_group(GROUP)] == ["app"]
    assert [each.name for each in client.email_services.list_by_subscription()] == ["mail"]
    assert set().union(*wire.seen.values()) == {200, 201}


def test_api_version_that_nobody_has_is_refused_with_those_that_there_are(arm_world: ArmWorld) -> None:
    with pytest.raises(HttpResponseError) as refused:
        arm_world.client(api_version="2019-01-01").email_services.get(GROUP, "mail")
    assert told(refused) == (400, "NoRegisteredProviderFound")
    assert all(version in refused.value.message for version in STABLE)


def test_what_is_not_there_is_a_resource_not_found_error(client: Any) -> None:
    with pytest.raises(ResourceNotFoundError) as gone:
        client.domains.get(GROUP, "mail", "gone.test")
    assert told(gone) == (404, "ResourceNotFound")
    with pytest.raises(ResourceNotFoundError) as orphan:
        client.domains.begin_create_or_update(GROUP, "other", "a.test", CUSTOM)
    assert told(orphan) == (404, "ParentResourceNotFound")


def test_faults_of_a_body_are_the_details_of_one_error(client: Any) -> None:
    body = {"location": "moon", "properties": {"domainManagement": "CustomerManaged", "userEngagementTracking": "maybe"}}
    with pytest.raises(HttpResponseError) as refused:
        client.domains.begin_create_or_update(GROUP, "mail", new_domain(), body)
    assert told(refused) == (400, "InvalidRequestContent")
    assert refused.value.error is not None
    assert [detail.target for detail in refused.value.error.details] == ["location", "properties.userEngagementTracking"]


def test_exchange_online_domain_is_refused_with_what_to_use_instead(client: Any) -> None:
    body = {"location": "global", "properties": {"domainManagement": "CustomerManagedInExchangeOnline"}}
    with pytest.raises(HttpResponseError) as refused:
        client.domains.begin_create_or_update(GROUP, "mail", new_domain(), body)
    assert told(refused) == (400, "InvalidRequestContent")
    assert "use CustomerManaged" in refused.value.message


def test_name_that_is_taken_or_wrong_is_not_available(client: Any) -> None:
    def asked(name: str) -> Any:
        body = {"name": name, "type": "Microsoft.Communication/emailServices"}
        return client.communication_services.check_name_availability(body)

    assert asked("other").name_available is True
    assert (asked("MAIL").name_available, asked("MAIL").reason) == (False, "AlreadyExists")
    assert (asked("not.one").name_available, asked("not.one").reason) == (False, "Invalid")


def test_domain_that_is_linked_is_not_deleted_until_it_is_not(client: Any) -> None:
    domain = client.domains.begin_create_or_update(GROUP, "mail", "AzureManagedDomain", MANAGED).result()
    linking = {"location": "global", "properties": {"dataLocation": "Europe", "linkedDomains": [domain.id]}}
    client.communication_services.begin_create_or_update(GROUP, "app", linking).result()
    with pytest.raises(ResourceExistsError) as refused:
        client.domains.begin_delete(GROUP, "mail", "AzureManagedDomain")
    assert told(refused) == (409, "DomainLinked")
    assert "/communicationServices/app" in refused.value.message
    client.communication_services.update(GROUP, "app", {"properties": {"linkedDomains": []}})
    assert client.domains.begin_delete(GROUP, "mail", "AzureManagedDomain").result() is None
    with pytest.raises(ResourceNotFoundError):
        client.domains.get(GROUP, "mail", "AzureManagedDomain")


def test_etag_of_an_older_state_changes_nothing(client: Any) -> None:
    """This client has no `match_condition`; the headers are what it would send."""
    etags: list[str] = []
    client.email_services.get(
        GROUP, "mail", raw_response_hook=lambda answer: etags.append(answer.http_response.headers["ETag"])
    )
    known = {"If-Match": etags[0]}
    client.email_services.begin_update(GROUP, "mail", {"tags": {"turn": "1"}}, headers=known).result()
    with pytest.raises(HttpResponseError) as older:
        client.email_services.begin_update(GROUP, "mail", {"tags": {"turn": "2"}}, headers=known)
    with pytest.raises(HttpResponseError) as there:
        client.email_services.begin_create_or_update(GROUP, "mail", PLACE, headers={"If-None-Match": "*"})
    assert told(older) == told(there) == (412, "PreconditionFailed")
    assert client.email_services.get(GROUP, "mail").tags == {"turn": "1"}


def test_poller_goes_on_from_a_continuation_token(client: Any) -> None:
    begun = client.email_services.begin_create_or_update(GROUP, "second", PLACE)
    again = client.email_services.begin_create_or_update(GROUP, "second", PLACE, continuation_token=begun.continuation_token())
    assert again.result().name == begun.result().name == "second"
    begun = client.email_services.begin_delete(GROUP, "second")
    token = begun.continuation_token()
    assert client.email_services.begin_delete(GROUP, "second", continuation_token=token).result() is None
    assert begun.result() is None


def test_resource_that_was_read_is_taken_back_as_it_is(client: Any) -> None:
    """Programs read, change one thing and write all of it, with everything in it that is read-only or ours."""
    domain = new_domain()
    at = (GROUP, "mail", domain)
    client.domains.begin_create_or_update(*at, CUSTOM).result()
    client.communication_services.begin_create_or_update(GROUP, "app", PLACE).result()
    client.suppression_lists.create_or_update(*at, "quiet", {"properties": {"listName": ""}})
    listed = (*at, "quiet", str(uuid.uuid4()))
    client.suppression_list_addresses.create_or_update(*listed, {"properties": {"email": "ann@fabrikam.example"}})
    smtp = {"username": f"u{uuid.uuid4().hex}", "entraApplicationId": str(uuid.uuid4()), "tenantId": str(uuid.uuid4())}
    client.smtp_usernames.create_or_update(GROUP, "app", "printer", {"properties": smtp})
    for group, name, where in (
        ("email_services", "begin_create_or_update", (GROUP, "mail")),
        ("domains", "begin_create_or_update", at),
        ("communication_services", "begin_create_or_update", (GROUP, "app")),
        ("sender_usernames", "create_or_update", (*at, "DoNotReply")),
        ("suppression_lists", "create_or_update", (*at, "quiet")),
        ("suppression_list_addresses", "create_or_update", listed),
        ("smtp_usernames", "create_or_update", (GROUP, "app", "printer")),
    ):
        operations = getattr(client, group)
        for change in (lambda read: read, lambda read: read.as_dict()):
            read = operations.get(*where)
            before = read.as_dict()
            written = getattr(operations, name)(*where, change(read))
            after = (written.result() if name.startswith("begin") else written).as_dict()
            for changing in ("lastUpdatedTimeStamp", "lastModified"):
                assert after["properties"].pop(changing, "") >= before["properties"].pop(changing, "")
            assert after.pop("systemData")["createdAt"] == before.pop("systemData")["createdAt"]
            assert after == before, group


def test_token_that_is_none_is_an_authentication_error(arm_world: ArmWorld) -> None:
    with pytest.raises(ClientAuthenticationError) as refused:
        arm_world.client(credential=AdminToken("not the token")).email_services.get(GROUP, "mail")
    assert told(refused) == (401, "AuthenticationFailed")


def test_application_of_entra_manages_by_its_role(arm_world: ArmWorld) -> None:
    """azure-identity gets the tokens, and the functions host asks the issuer for its keys, all of it over HTTPS."""
    subscription, issuer = str(uuid.uuid4()), arm_world.issuer

    def signed_in(role: str) -> tuple[str, Any]:
        application = str(uuid.uuid4())
        issuer.clients[application] = Client("the secret", roles=(role,))
        credential = ClientSecretCredential(
            issuer.tenant, application, "the secret", authority=issuer.authority, disable_instance_discovery=True,
            connection_verify=arm_world.bundle,
        )  # fmt: skip
        return application, arm_world.client(subscription, credential)

    (name, admin), (_, reader) = signed_in("Admin"), signed_in("Reader")
    made = admin.email_services.begin_create_or_update(GROUP, "mail", PLACE).result()
    assert (made.system_data.created_by, made.system_data.created_by_type) == (name, "Application")
    assert reader.email_services.get(GROUP, "mail").id == made.id
    assert [each.id for each in reader.email_services.list_by_subscription()] == [made.id]
    for write in (reader.email_services.begin_create_or_update, reader.email_services.begin_update):
        with pytest.raises(HttpResponseError) as refused:
            write(GROUP, "mail", PLACE)
        assert told(refused) == (403, "AuthorizationFailed")
    with pytest.raises(HttpResponseError) as refused:
        reader.email_services.begin_delete(GROUP, "mail")
    assert told(refused) == (403, "AuthorizationFailed")


def test_domain_is_verified_and_linked_and_its_new_key_sends(arm_world: ArmWorld, client: Any) -> None:
    domain = new_domain()
    resource = client.domains.begin_create_or_update(GROUP, "mail", domain, CUSTOM).result()
    records = resource.as_dict()["properties"]["verificationRecords"]
    arm_world.knot.add_records([_line(record, domain) for record in records.values()])
    for kind in records:
        client.domains.begin_initiate_verification(GROUP, "mail", domain, {"verificationType": kind}).result()
        wait_until(partial(_is_verified, client, domain, kind), timeout=20.0, what=f"verified {kind}")
    sender = {"properties": {"username": "news", "displayName": "The News"}}
    client.sender_usernames.create_or_update(GROUP, "mail", domain, "news", sender)
    linking = {"location": "global", "properties": {"dataLocation": "Europe", "linkedDomains": [resource.id]}}
    client.communication_services.begin_create_or_update(GROUP, "app", linking).result()
    client.suppression_lists.create_or_update(GROUP, "mail", domain, "all", {"properties": {"listName": ""}})
    quiet = {"properties": {"email": "quiet@fabrikam.example"}}
    client.suppression_list_addresses.create_or_update(GROUP, "mail", domain, "all", str(uuid.uuid4()), quiet)

    before = client.communication_services.list_keys(GROUP, "app")
    after = client.communication_services.regenerate_key(GROUP, "app", {"keyType": "primary"})
    assert (after.primary_key != before.primary_key, after.secondary_key) == (True, before.secondary_key)
    subject = f"With a new key {uuid.uuid4()}"
    for connection_string in (after.primary_connection_string, after.secondary_connection_string):
        result = _send(arm_world, connection_string, domain, subject)
        assert [each["status"] for each in result["recipients"]] == ["Delivered", "Suppressed"]
    captured = arm_world.world.wait_for_captured(lambda message: subject.encode() in message)
    assert f"From: The News <news@{domain}>".encode() in captured
    with pytest.raises(HttpResponseError) as refused:
        _send(arm_world, before.primary_connection_string, domain, subject)
    assert told(refused) == (401, "Denied")


def _line(record: dict[str, Any], domain: str) -> str:
    """As in ACS, a name is the domain itself or relative to it."""
    name = domain if record["name"] == domain else f"{record['name']}.{domain}"
    return f"{name}. {record['ttl']} IN {record['type']} {txt(record['value'])}"


def _is_verified(client: Any, domain: str, kind: str) -> bool:
    states = client.domains.get(GROUP, "mail", domain).as_dict()["properties"]["verificationStates"]
    return bool(states[kind]["status"] == "Verified")


def _send(arm_world: ArmWorld, connection_string: str, domain: str, subject: str) -> dict[str, Any]:
    message = {
        "senderAddress": f"news@{domain}",
        "content": {"subject": subject, "plainText": "Hello."},
        "recipients": {"to": [{"address": arm_world.world.recipient}, {"address": "Quiet@fabrikam.example"}]},
    }
    client = EmailClient.from_connection_string(connection_string, connection_verify=arm_world.bundle)
    return dict(client.begin_send(message).result())
