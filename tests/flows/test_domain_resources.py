"""Domains through the management plane: managed ones, those of customers, and what each of them refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from email_core.auth.principal import Role
from email_core.domains.dkim_keys import public_record
from email_core.domains.documents import (
    AZURE_MANAGED_NAME,
    DELETING,
    MAIL_FROM,
    RECORD_STATES,
    VERIFICATION_TYPES,
    DomainDocument,
    StateDocument,
    Status,
)
from email_core.domains.tasks import Publish, decode_task
from email_core.message.address import parse_address
from tests.kit.administration import Api, build_api

pytestmark = pytest.mark.peers

MANAGED = f"emailServices/mail/domains/{AZURE_MANAGED_NAME}"
CUSTOM = "emailServices/mail/domains/sales.contoso.com"


def asked(management: str = "CustomerManaged", **properties: object) -> dict[str, Any]:
    return {"location": "Global", "properties": {"domainManagement": management, **properties}}


@pytest.fixture
async def mail(api: Api) -> Api:
    """The management plane with an email service."""
    await api.email_service("mail")
    return api


@pytest.fixture
async def publishing(azurite: str) -> AsyncIterator[Api]:
    """A management plane that has a DKIM zone."""
    built = await build_api(azurite, change=lambda settings: replace(settings, dkim_zone="dkim.postrider.test"))
    await built.email_service("mail")
    yield built
    await built.services.close()


async def test_managed_domain_is_verified_at_once_with_its_one_sender(mail: Api) -> None:
    made = await mail.put(MANAGED, asked("AzureManaged"))
    properties = made.body["properties"]
    sender_domain = properties["fromSenderDomain"]
    assert made.status == 201
    assert made.body["type"] == "Microsoft.Communication/emailServices/domains"
    assert (made.body["name"], made.body["location"]) == (AZURE_MANAGED_NAME, "global")
    assert properties["provisioningState"] == "Succeeded"
    assert properties["dataLocation"] == "Europe"
    assert properties["verificationStates"] == {kind: {"status": "Verified"} for kind in VERIFICATION_TYPES}
    assert properties["verificationRecords"] == {}
    assert properties["sending"] == {"state": "Ready"}
    assert len(sender_domain.removesuffix(".postrider.test")) == 36
    assert properties["mailFromSenderDomain"] == "bounce.postrider.test"
    senders = await mail.all_of(f"{MANAGED}/senderUsernames")
    assert [sender["properties"]["username"] for sender in senders] == ["DoNotReply"]
    again = await mail.put(MANAGED, asked("AzureManaged"))
    assert (again.status, again.body["properties"]["fromSenderDomain"]) == (200, sender_domain)


async def test_managed_domain_can_send_as_soon_as_it_is_linked(mail: Api) -> None:
    made = await mail.put(MANAGED, asked("AzureManaged"))
    name = f"chat-{mail.subscription}"
    await mail.communication_service(name, linkedDomains=[made.body["id"]])
    directory = mail.services.directory
    service = next(each for each in await directory.services() if each.name == name)
    sender = parse_address(f"donotreply@{made.body['properties']['fromSenderDomain']}")
    domain = await directory.sending_domain(service, sender)
    assert domain.managed
    assert {key.domain for key in domain.signing_keys} == {"postrider.test"}
    assert {key.algorithm for key in domain.signing_keys} == {"rsa-sha256", "ed25519-sha256"}


async def test_managed_domain_whose_sender_was_never_made_gets_it_with_the_next_put(mail: Api) -> None:
    await mail.put(MANAGED, asked("AzureManaged"))
    rows = mail.admin.store.below(mail.id(MANAGED))
    async for row in rows:  # as if the worker had died before it
        await mail.admin.store.delete(row)
    assert await mail.all_of(f"{MANAGED}/senderUsernames") == []
    await mail.put(MANAGED, asked("AzureManaged"))
    assert [each["name"] for each in await mail.all_of(f"{MANAGED}/senderUsernames")] == ["DoNotReply"]


async def test_custom_domain_shows_the_records_as_acs_does(mail: Api) -> None:
    made = await mail.put(CUSTOM, asked())
    properties = made.body["properties"]
    records = properties["verificationRecords"]
    assert made.status == 201
    assert properties["verificationStates"] == {kind: {"status": "NotStarted"} for kind in VERIFICATION_TYPES}
    assert properties["sending"] == {"state": "NotVerified", "reason": "Not verified yet: Domain, SPF, DKIM, DKIM2."}
    assert list(records) == list(VERIFICATION_TYPES)
    assert {kind: (record["type"], record["name"], record["nameInZone"]) for kind, record in records.items()} == {
        "Domain": ("TXT", "sales.contoso.com", "sales"),
        "SPF": ("TXT", "sales.contoso.com", "sales"),
        "DKIM": ("TXT", "postrider1._domainkey", "postrider1._domainkey.sales"),
        "DKIM2": ("TXT", "postrider2._domainkey", "postrider2._domainkey.sales"),
        "DMARC": ("TXT", "_dmarc", "_dmarc.sales"),
    }
    assert {record["ttl"] for record in records.values()} == {3600}
    assert records["Domain"]["value"].startswith("postrider-domain-verification=")
    assert records["SPF"]["value"] == "v=spf1 include:spf.postrider.test -all"
    assert [(record["purpose"], record["name"]) for record in properties["additionalRecords"]] == [
        ("DKIMEd25519", "postrider1-ed._domainkey"), ("DKIM2Ed25519", "postrider2-ed._domainkey"),
    ]  # fmt: skip
    assert properties["dnsZone"] == "contoso.com"
    assert (await mail.get(CUSTOM)).body == made.body


async def test_custom_domain_has_two_slots_of_keys_of_which_the_first_signs(mail: Api) -> None:
    made = await mail.put(CUSTOM, asked())
    found = await mail.admin.store.get(mail.id(CUSTOM), DomainDocument)
    assert found is not None
    selectors = found.document.selectors
    assert [(each.name, each.slot, each.active) for each in selectors] == [
        ("postrider1", 1, True), ("postrider1-ed", 1, True), ("postrider2", 2, False), ("postrider2-ed", 2, False),
    ]  # fmt: skip
    assert len({each.public_record for each in selectors}) == 4
    sending = await mail.services.directory.domain(found.document.id)
    assert sending is not None
    published = made.body["properties"]["verificationRecords"]["DKIM"]["value"]
    [rsa] = [key for key in sending.signing_keys if key.algorithm == "rsa-sha256"]
    assert public_record(rsa.private_key) == published


async def test_custom_domain_with_a_dkim_zone_points_there_and_has_it_written(publishing: Api) -> None:
    made = await publishing.put(CUSTOM, asked())
    record = made.body["properties"]["verificationRecords"]["DKIM2"]
    assert (record["type"], record["value"]) == ("CNAME", "postrider2.sales.contoso.com.dkim.postrider.test")
    assert [decode_task(noted.text) for noted in publishing.queues.noted] == [Publish(domain=made.body["id"])]


async def test_custom_domain_with_an_international_name_has_a_labels_in_the_dns(mail: Api) -> None:
    path = "emailServices/mail/domains/bücher.example"
    made = await mail.put(path, asked())
    assert made.status == 201
    assert made.body["name"] == "bücher.example"
    assert made.body["properties"]["fromSenderDomain"] == "xn--bcher-kva.example"
    assert (await mail.get("emailServices/mail/domains/BÜCHER.example")).status == 200


async def test_domain_may_be_made_in_two_email_services_by_its_owner_and_another(mail: Api) -> None:
    await mail.email_service("other")
    first = await mail.put(CUSTOM, asked())
    second = await mail.put("emailServices/other/domains/sales.contoso.com", asked())
    assert (first.status, second.status) == (201, 201)
    tokens = {made.body["properties"]["verificationRecords"]["Domain"]["value"] for made in (first, second)}
    assert len(tokens) == 2


REFUSED_NAMES = {
    "a public suffix": ("co.uk", "public suffix"),
    "one label": ("localhost", "without a dot"),
    "an address": ("192.0.2.1", "not an IP address"),
    "the platform's": ("postrider.test", "keeps for itself"),
    "below the platform's": ("a.b.postrider.test", "keeps for itself"),
    "a label with an underscore": ("_dmarc.contoso.com", "not allowed in a domain"),
    "the managed name": (AZURE_MANAGED_NAME, "that is what a domain with domainManagement AzureManaged is named"),
    "the managed name in another case": (AZURE_MANAGED_NAME.lower(), "that is what a domain with"),
}


@pytest.mark.parametrize(("name", "why"), REFUSED_NAMES.values(), ids=REFUSED_NAMES)
async def test_custom_domain_that_nobody_can_own_is_refused(mail: Api, name: str, why: str) -> None:
    answer = await mail.put(f"emailServices/mail/domains/{name}", asked())
    assert (answer.status, answer.code) == (400, "InvalidResourceName")
    assert why in answer.message


async def test_managed_domain_under_another_name_is_refused_and_a_second_one_impossible(mail: Api) -> None:
    answer = await mail.put("emailServices/mail/domains/Another", asked("AzureManaged"))
    assert (answer.status, answer.code) == (400, "InvalidResourceName")
    assert f"is named '{AZURE_MANAGED_NAME}'" in answer.message
    assert await mail.all_of("emailServices/mail/domains") == []


WRONG_BODIES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": ({}, ["properties.domainManagement"]),
    "no location": ({"properties": {"domainManagement": "CustomerManaged"}}, ["location"]),
    "another location": ({**asked(), "location": "westeurope"}, ["location"]),
    "no such management": (asked("SelfManaged"), ["properties.domainManagement"]),
    "a number": (asked(7), ["properties.domainManagement"]),  # type: ignore[arg-type]
    "Exchange Online": (asked("CustomerManagedInExchangeOnline"), ["properties.domainManagement"]),
    "several": (
        asked(userEngagementTracking="On", anySender="yes", dmarcPolicy="all", mailFromSubdomain="a b", limits=[{"unit": "x"}]),
        [
            "properties.userEngagementTracking", "properties.anySender", "properties.limits[0].unit",
            "properties.limits[0].window", "properties.dmarcPolicy", "properties.mailFromSubdomain",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "targets"), WRONG_BODIES.values(), ids=WRONG_BODIES)
async def test_domain_with_a_wrong_body_is_refused_and_every_field_named(
    mail: Api, body: dict[str, Any], targets: list[str]
) -> None:
    answer = await mail.put(CUSTOM, body)
    assert (answer.status, answer.code) == (400, "InvalidRequestContent")
    assert sorted(answer.targets) == sorted(targets)
    assert (await mail.get(CUSTOM)).status == 404


async def test_exchange_online_domain_is_refused_with_what_to_use_instead(mail: Api) -> None:
    answer = await mail.put(CUSTOM, asked("CustomerManagedInExchangeOnline"))
    assert "There is no Exchange Online here: use CustomerManaged" in answer.message


async def test_domain_without_an_email_service_is_refused(api: Api) -> None:
    answer = await api.put(CUSTOM, asked())
    assert (answer.status, answer.code) == (404, "ParentResourceNotFound")


async def test_domain_keeps_the_management_that_it_was_made_with(mail: Api) -> None:
    await mail.put(CUSTOM, asked())
    for call in (mail.put, mail.patch):
        answer = await call(CUSTOM, asked("AzureManaged"))
        assert (answer.status, answer.targets) == (400, ["properties.domainManagement"])
        assert "can't be changed" in answer.message
    assert (await mail.patch(CUSTOM, {"properties": {"domainManagement": "CustomerManaged"}})).status == 200


async def test_patch_changes_what_it_names_and_keeps_the_rest(mail: Api) -> None:
    await mail.put(CUSTOM, {**asked(), "tags": {"team": "sales"}})
    limits = [{"unit": "messages", "window": "hour", "most": 100}]
    own = {"anySender": True, "dmarcPolicy": "quarantine", "limits": limits}
    first = await mail.patch(CUSTOM, {"properties": {"userEngagementTracking": "Enabled", **own}})
    assert first.status == 200
    second = await mail.patch(CUSTOM, {"tags": {"team": "news"}})
    properties = second.body["properties"]
    assert second.body["tags"] == {"team": "news"}
    assert {name: properties[name] for name in own} == own
    assert properties["userEngagementTracking"] == "Enabled"
    assert properties["verificationRecords"]["DMARC"]["value"] == "v=DMARC1; p=quarantine"
    # A tool of ACS sends the whole of what it knows, which is not ours.
    third = await mail.put(CUSTOM, asked())
    assert third.body["tags"] == {}
    assert third.body["properties"]["userEngagementTracking"] == "Disabled"
    assert {name: third.body["properties"][name] for name in own} == own


READ_ONLY = {
    "provisioningState": "Deleting",
    "dataLocation": "Africa",
    "fromSenderDomain": "contoso.com",
    "mailFromSenderDomain": "contoso.com",
    "verificationStates": {"Domain": {"status": "Verified"}},
    "verificationRecords": {},
    "verificationDetails": {},
    "additionalRecords": [],
    "sending": {"state": "Ready"},
    "dnsZone": "com",
}


@pytest.mark.parametrize("name", READ_ONLY)
async def test_patch_of_a_read_only_property_is_refused(mail: Api, name: str) -> None:
    await mail.put(CUSTOM, asked())
    for call in (mail.patch, mail.put):
        answer = await call(CUSTOM, asked(**{name: READ_ONLY[name]}))
        assert (answer.status, answer.targets) == (400, [f"properties.{name}"])
    assert "read-only" in answer.message


async def test_put_of_what_was_read_changes_nothing(mail: Api) -> None:
    made = await mail.put(CUSTOM, asked(mailFromSubdomain="bounce", anySender=True))
    again = await mail.put(CUSTOM, made.body)
    assert again.status == 200
    assert again.body["properties"] == made.body["properties"]


@pytest.mark.parametrize("extras", [False, True])
async def test_managed_domain_has_engagement_tracking_only_where_the_setting_lifts_the_rule(azurite: str, extras: bool) -> None:
    api = await build_api(azurite, change=lambda settings: replace(settings, managed_domain_extras=extras))
    await api.email_service("mail")
    wanted = asked("AzureManaged", userEngagementTracking="Enabled", anySender=True)
    answer = await api.put(MANAGED, wanted)
    if extras:
        assert answer.body["properties"]["userEngagementTracking"] == "Enabled"
        assert answer.body["properties"]["anySender"] is True
    else:
        assert answer.status == 400
        assert answer.targets == ["properties.userEngagementTracking", "properties.anySender"]
        assert "POSTRIDER_MANAGED_DOMAIN_EXTRAS" in answer.message
    await api.services.close()


async def test_managed_domain_has_no_reverse_path_and_no_dmarc_record_of_its_own(mail: Api) -> None:
    answer = await mail.put(MANAGED, asked("AzureManaged", mailFromSubdomain="bounce", dmarcPolicy="reject"))
    assert answer.status == 400
    assert answer.targets == ["properties.mailFromSubdomain", "properties.dmarcPolicy"]


async def test_reverse_path_is_used_once_its_records_were_seen(mail: Api) -> None:
    made = await mail.put(CUSTOM, asked(mailFromSubdomain="bounce"))
    properties = made.body["properties"]
    assert properties["mailFromSubdomain"] == "bounce"
    assert properties["mailFromSenderDomain"] == "bounce.postrider.test"
    assert [(record["type"], record["name"], record["value"]) for record in properties["additionalRecords"][-2:]] == [
        ("MX", "bounce", "10 mx.postrider.test"), ("TXT", "bounce", "v=spf1 include:spf.postrider.test -all"),
    ]  # fmt: skip
    assert properties["verificationDetails"][MAIL_FROM]["status"] == "NotStarted"
    await mail.change(CUSTOM, seen_mail_from)
    assert (await mail.get(CUSTOM)).body["properties"]["mailFromSenderDomain"] == "bounce.sales.contoso.com"
    # Another one is not used before its own records were seen, and none is the platform's again.
    other = await mail.patch(CUSTOM, {"properties": {"mailFromSubdomain": "mail"}})
    assert other.body["properties"]["mailFromSenderDomain"] == "bounce.postrider.test"
    assert other.body["properties"]["verificationDetails"][MAIL_FROM]["status"] == "NotStarted"
    none = await mail.patch(CUSTOM, {"properties": {"mailFromSubdomain": ""}})
    assert MAIL_FROM not in none.body["properties"]["verificationDetails"]


def seen_mail_from(domain: DomainDocument) -> DomainDocument:
    return with_states(domain, {MAIL_FROM: StateDocument(status=Status.VERIFIED)})


def with_states(domain: DomainDocument, states: dict[str, StateDocument], **changes: Any) -> DomainDocument:
    return msgspec.structs.replace(domain, verification_states={**domain.verification_states, **states}, **changes)


async def test_domain_that_lost_a_record_says_so_and_when_it_will_be_paused(mail: Api) -> None:
    await mail.put(CUSTOM, asked())
    verified = {kind: StateDocument(status=Status.VERIFIED) for kind in RECORD_STATES}
    lost = StateDocument(
        status=Status.VERIFIED, lost_since=1_700_000_000.0, found=("v=spf1 -all",), expected="v=spf1 include:x -all",
        reason="The include is missing.", remedy="Add it.", checked_at=1_700_000_100.0, next_check_at=1_700_000_200.0,
    )  # fmt: skip
    await mail.change(CUSTOM, lambda domain: with_states(domain, {**verified, "SPF": lost}))
    properties = (await mail.get(CUSTOM)).body["properties"]
    assert properties["sending"] == {
        "state": "Warning",
        "since": "2023-11-14T22:13:20.000000Z",
        "reason": "SPF: The include is missing. Add it.",
        "pausesAt": "2023-11-17T22:13:20.000000Z",
    }
    assert properties["verificationDetails"]["SPF"] == {
        "status": "Verified", "found": ["v=spf1 -all"], "expected": "v=spf1 include:x -all",
        "reason": "The include is missing.", "remedy": "Add it.", "attempt": 0,
        "checkedAt": "2023-11-14T22:15:00.000000Z", "nextCheckAt": "2023-11-14T22:16:40.000000Z",
        "lostSince": "2023-11-14T22:13:20.000000Z",
    }  # fmt: skip
    await mail.change(CUSTOM, lambda domain: msgspec.structs.replace(domain, paused_since=1_700_300_000.0))
    assert (await mail.get(CUSTOM)).body["properties"]["sending"] == {
        "state": "Paused", "since": "2023-11-18T09:33:20.000000Z", "reason": "SPF: The include is missing. Add it.",
    }  # fmt: skip


async def test_domain_that_may_lack_a_record_is_not_told_to_be_paused(mail: Api) -> None:
    await mail.put(CUSTOM, asked())
    verified = {kind: StateDocument(status=Status.VERIFIED) for kind in RECORD_STATES}
    lost = StateDocument(status=Status.VERIFIED, lost_since=1_700_000_000.0, reason="There is none.")
    await mail.change(CUSTOM, lambda domain: with_states(domain, {**verified, "DMARC": lost}))
    sending = (await mail.get(CUSTOM)).body["properties"]["sending"]
    assert (sending["state"], "pausesAt" in sending) == ("Warning", False)


async def test_domain_that_is_being_deleted_takes_no_change(mail: Api) -> None:
    await mail.put(CUSTOM, asked())
    await mail.change(CUSTOM, lambda domain: msgspec.structs.replace(domain, provisioning_state=DELETING))
    for answer in (await mail.put(CUSTOM, asked()), await mail.patch(CUSTOM, {"tags": {}})):
        assert (answer.status, answer.code) == (409, "ResourceBeingDeleted")


async def test_domain_changed_under_a_stale_etag_is_refused(mail: Api) -> None:
    made = await mail.put(CUSTOM, asked())
    await mail.patch(CUSTOM, {"tags": {"a": "b"}})
    answer = await mail.patch(CUSTOM, {"tags": {}}, headers={"if-match": made.etag})
    assert (answer.status, answer.code) == (412, "PreconditionFailed")
    assert (await mail.put(CUSTOM, asked(), headers={"if-none-match": "*"})).status == 412


async def test_domain_made_by_fifty_calls_at_once_is_made_once(mail: Api) -> None:
    answers = await asyncio.gather(*(mail.put(CUSTOM, asked()) for _ in range(50)))
    assert sorted(answer.status for answer in answers) == [200] * 49 + [201]
    tokens = {answer.body["properties"]["verificationRecords"]["Domain"]["value"] for answer in answers}
    assert len(tokens) == 1


async def test_domains_are_listed_in_pages(mail: Api) -> None:
    names = [f"d{number}.contoso.com" for number in range(5)]
    for name in names:
        await mail.stored_domain(name)
    listed = await mail.all_of("emailServices/mail/domains", query={"$top": "2"})
    assert [each["name"] for each in listed] == names


async def test_reader_sees_domains_and_writes_none(mail: Api) -> None:
    await mail.put(CUSTOM, asked())
    reader = mail.as_role(Role.READER, "emailServices/mail")
    assert (await reader.get(CUSTOM)).status == 200
    for answer in (await reader.put(CUSTOM, asked()), await reader.patch(CUSTOM, {"tags": {}})):
        assert (answer.status, answer.code) == (403, "AuthorizationFailed")


async def test_private_keys_of_a_domain_are_shown_nowhere(mail: Api) -> None:
    made = await mail.put(CUSTOM, asked())
    audit = await mail.get(f"/subscriptions/{mail.subscription}/providers/Microsoft.Communication/auditEvents")
    found = await mail.admin.store.get(mail.id(CUSTOM), DomainDocument)
    assert found is not None
    for selector in found.document.selectors:
        assert selector.private_key not in str(made.body)
        assert selector.private_key not in str(audit.body)
