"""Records of a domain through the management plane: exported, and published to zones of Knot and of a server like Azure DNS."""

from __future__ import annotations

import base64
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dns.zone
import pytest

from email_core.administration import publishing
from email_core.auth.principal import Role
from email_core.dns.answers import Found
from email_core.dns.resolver import DnsResolver
from email_core.domains import claims
from email_core.domains.documents import DomainDocument, Status
from email_core.domains.zone_setting import AzureZone
from email_core.settings import HOUR, Secret, Settings
from tests.kit.administration import Api, build_api, forget_claim, replace_states
from tests.kit.azure_dns import GROUP, SUBSCRIPTION, azure_dns
from tests.kit.free_ports import free_port
from tests.kit.knot import Knot

pytestmark = pytest.mark.peers

DOMAIN = "sales.sender.test"
PATH = f"emailServices/mail/domains/{DOMAIN}"
DKIM_ZONE = "dkim.rcpt.test"
WRONG = base64.b64encode(bytes(32)).decode()

Serving = Callable[..., AbstractAsyncContextManager[Api]]


@pytest.fixture
def serving(azurite: str, knot: Knot) -> Serving:
    """A management plane whose zones are entries of Knot, or what a test says."""

    @asynccontextmanager
    async def built(*zones: str, **changes: Any) -> AsyncIterator[Api]:
        def change(settings: Settings) -> Settings:
            kept = tuple(Secret(zone) for zone in zones)
            return replace(settings, zones=kept, dns_server=knot.address, allow_private_addresses=True, **changes)

        api = await build_api(azurite, change=change)
        await forget_claim(api, DOMAIN)
        try:
            yield api
        finally:
            await api.services.close()

    return built


async def texts(knot: Knot, name: str) -> set[str]:
    found = await DnsResolver(knot.address).txt(name)
    return set(found.records) if isinstance(found, Found) else set()


async def stored(api: Api) -> DomainDocument:
    found = await api.admin.store.get(api.id(PATH), DomainDocument)
    assert found is not None
    return found.document


def outcomes(answered: Any) -> dict[str, str]:
    return {record["purpose"]: record["outcome"] for record in answered.body["records"]}


async def test_records_are_exported_in_each_form(serving: Serving) -> None:
    async with serving() as api:
        await api.domain(DOMAIN)

        as_json = await api.get(f"{PATH}/records")
        as_bind = await api.get(f"{PATH}/records?format=bind")
        as_bicep = await api.get(f"{PATH}/records?format=BICEP&zone={DOMAIN}")
        as_terraform = await api.get(f"{PATH}/records?format=terraform")

    assert as_json.body["zone"] == "sender.test" and as_json.body["rotation"] is None
    assert [(each["purpose"], each["relativeName"]) for each in as_json.body["records"]] == [
        ("Domain", "sales"), ("SPF", "sales"), ("DKIM", "postrider1._domainkey.sales"),
        ("DKIM2", "postrider2._domainkey.sales"), ("DKIMEd25519", "postrider1-ed._domainkey.sales"),
        ("DKIM2Ed25519", "postrider2-ed._domainkey.sales"), ("DMARC", "_dmarc.sales"),
    ]  # fmt: skip
    assert as_bind.headers["content-type"].startswith("text/dns")
    head = "@ 60 IN SOA ns hostmaster 1 1 1 1 1\n@ 60 IN NS ns\n"
    assert len(list(dns.zone.from_text(head + as_bind.body.decode(), origin="sender.test").iterate_rdatasets())) == 8
    assert "name: 'postrider1._domainkey'" in as_bicep.body.decode() and "name: '@'" in as_bicep.body.decode()
    assert 'name                = "_dmarc.sales"' in as_terraform.body.decode()
    assert as_terraform.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("query", "target"), [("format=xml", "format"), ("zone=other.test", "zone"), ("zone=ales.sender.test", "zone")]
)
async def test_export_refuses_what_it_does_not_know(serving: Serving, query: str, target: str) -> None:
    async with serving() as api:
        await api.domain(DOMAIN)

        answered = await api.get(f"{PATH}/records?{query}")

    assert (answered.status, answered.targets) == (400, [target])


async def test_records_of_a_domain_that_is_not_there_are_not_found(serving: Serving) -> None:
    async with serving() as api:
        await api.email_service()

        assert (await api.get(f"{PATH}/records")).code == "ResourceNotFound"
        assert (await api.post(f"{PATH}/publishRecords")).code == "ResourceNotFound"


async def test_records_are_published_beside_what_others_wrote_and_the_second_time_all_are_there(
    serving: Serving, knot: Knot
) -> None:
    knot.add_records([
        f'{DOMAIN}. 300 TXT "v=spf1 mx ~all"', f'{DOMAIN}. 300 TXT "google-site"', f'_dmarc.{DOMAIN}. TXT "v=DMARC1; p=reject"',
    ])  # fmt: skip
    async with serving(knot.zone_entry("sender.test")) as api:
        await api.domain(DOMAIN, verified=False)

        first, second = await api.post(f"{PATH}/publishRecords"), await api.post(f"{PATH}/publishRecords")
        document = await stored(api)

    assert first.status == 200 and first.body["zone"] == "sender.test"
    assert outcomes(first) == {
        "Domain": "published", "SPF": "merged", "DKIM": "published", "DKIM2": "published", "DKIMEd25519": "published",
        "DKIM2Ed25519": "published", "DMARC": "already there",
    }  # fmt: skip
    assert set(outcomes(second).values()) == {"already there"}
    assert await texts(knot, DOMAIN) == {
        "v=spf1 mx include:spf.postrider.test ~all", "google-site",
        f"postrider-domain-verification={document.verification_token}",
    }  # fmt: skip
    assert await texts(knot, f"_dmarc.{DOMAIN}") == {"v=DMARC1; p=reject"}
    for selector in document.selectors:
        assert await texts(knot, f"{selector.name}._domainkey.{DOMAIN}") == {selector.public_record}


async def test_record_that_can_not_be_published_is_told_with_its_reason_and_the_others_are_published(
    serving: Serving, knot: Knot
) -> None:
    knot.add_records([
        f'{DOMAIN}. TXT "v=spf1 mx ~all"', f'{DOMAIN}. TXT "v=spf1 a ~all"',
        f"postrider1._domainkey.{DOMAIN}. CNAME elsewhere.test.", f'postrider2._domainkey.{DOMAIN}. TXT "v=DKIM1; p=THEIRS"',
    ])  # fmt: skip
    async with serving(knot.zone_entry("sender.test")) as api:
        await api.domain(DOMAIN)

        answered = await api.post(f"{PATH}/publishRecords")

    conflicts = {each["purpose"]: each["reason"] for each in answered.body["records"] if each["outcome"] == "conflict"}
    assert answered.status == 200
    assert set(conflicts) == {"SPF", "DKIM", "DKIM2"}
    assert "2 SPF records" in conflicts["SPF"] and "CNAME to elsewhere.test" in conflicts["DKIM"]
    assert await texts(knot, f"postrider2._domainkey.{DOMAIN}") == {"v=DKIM1; p=THEIRS"}
    assert await texts(knot, f"_dmarc.{DOMAIN}") == {"v=DMARC1; p=none"}


async def test_spf_record_that_our_include_would_break_is_left_as_it_is(serving: Serving, knot: Knot) -> None:
    theirs = "v=spf1 " + " ".join(f"include:i{number}.sender.test" for number in range(10)) + " -all"
    knot.add_records([f'{DOMAIN}. TXT "{theirs}"', *(f'i{number}.sender.test. TXT "v=spf1 -all"' for number in range(10))])
    async with serving(knot.zone_entry("sender.test")) as api:
        await api.domain(DOMAIN)
        answered = await api.post(f"{PATH}/publishRecords")

    told = next(record for record in answered.body["records"] if record["purpose"] == "SPF")
    assert (told["outcome"], "would need 11 DNS lookups" in told["reason"]) == ("conflict", True)
    assert theirs in await texts(knot, DOMAIN)
    assert outcomes(answered)["Domain"] == "published"


async def test_aliases_and_the_keys_that_they_lead_to_are_published(serving: Serving, knot: Knot) -> None:
    zones = knot.zone_entry("sender.test"), knot.zone_entry("rcpt.test")
    async with serving(*zones, dkim_zone=DKIM_ZONE) as api:
        await api.domain(DOMAIN)

        answered = await api.post(f"{PATH}/publishRecords")
        document = await stored(api)
        looks = [await api.admin.authority.look(f"{each.name}._domainkey.{DOMAIN}", "TXT") for each in document.selectors]

    assert {each["type"] for each in answered.body["records"] if each["purpose"].startswith("DKIM2")} == {"CNAME"}
    assert [each["outcome"] for each in answered.body["records"]] == ["published"] * 11
    assert [look.records for look in looks] == [(selector.public_record,) for selector in document.selectors]
    assert [look.aliases for look in looks] == [(f"{each.name}.{DOMAIN}.{DKIM_ZONE}",) for each in document.selectors]


async def test_publishing_without_a_zone_says_what_to_do(serving: Serving, knot: Knot) -> None:
    async with serving(knot.zone_entry("rcpt.test")) as api:
        await api.domain(DOMAIN)

        answered = await api.post(f"{PATH}/publishRecords")

    assert (answered.status, answered.code) == (409, "NoZoneForDomain")
    assert DOMAIN in answered.message and "records?format=bind" in answered.message and "POSTRIDER_ZONES" in answered.message


async def test_publishing_for_a_managed_domain_is_refused(serving: Serving) -> None:
    async with serving() as api:
        await api.email_service()
        managed = "emailServices/mail/domains/AzureManagedDomain"
        await api.put(managed, {"location": "global", "properties": {"domainManagement": "AzureManaged"}})

        answered, exported = await api.post(f"{managed}/publishRecords"), await api.get(f"{managed}/records")

    assert (answered.status, answered.code) == (409, "DomainManagedByPlatform")
    assert exported.body["records"] == []
    shown = [(record["purpose"], record["name"]) for record in exported.body["platformRecords"]]
    names = {"DKIM": "postrider1", "DKIM2": "postrider2", "DKIMEd25519": "postrider1-ed", "DKIM2Ed25519": "postrider2-ed"}
    assert shown == [(purpose, f"{name}._domainkey.{exported.body['zone']}") for purpose, name in names.items()]
    assert all(record["type"] == "TXT" and "p=" in record["value"] for record in exported.body["platformRecords"])


async def test_publishing_with_a_wrong_key_names_the_entry_and_shows_no_secret(serving: Serving, knot: Knot) -> None:
    async with serving(knot.zone_entry("sender.test", secret=WRONG)) as api:
        await api.domain(DOMAIN)

        answered = await api.post(f"{PATH}/publishRecords")

    assert (answered.status, answered.code) == (409, "ZoneRefusedRecords")
    assert "entry 1 of POSTRIDER_ZONES" in answered.message and "does not take the key" in answered.message
    assert WRONG not in answered.message and knot.host not in answered.message


async def test_publishing_to_a_server_that_is_away_is_to_be_repeated(serving: Serving) -> None:
    async with serving(f"rfc2136://key:{WRONG}@127.0.0.1:{free_port()}/sender.test") as api:
        await api.domain(DOMAIN)

        answered = await api.post(f"{PATH}/publishRecords")

    assert (answered.status, answered.code, answered.headers["retry-after"]) == (503, "ZoneUnavailable", "30")
    assert "Repeat the request later" in answered.message and "127.0.0.1" not in answered.message


async def test_publishing_a_proof_of_ownership_is_for_an_admin_of_everything(serving: Serving, knot: Knot) -> None:
    async with serving(knot.zone_entry("sender.test")) as api:
        await api.domain(DOMAIN, verified=False)
        part = api.as_role(Role.ADMIN, "emailServices/mail")

        refused = await part.post(f"{PATH}/publishRecords")
        before = await texts(knot, DOMAIN)
        await api.change(PATH, lambda domain: replace_states(domain, Status.VERIFIED))
        taken = await part.post(f"{PATH}/publishRecords")

    assert (refused.status, refused.code, before) == (403, "OwnershipNotProven", set())
    assert taken.status == 200


async def test_publishing_is_in_the_audit_log(serving: Serving, knot: Knot) -> None:
    async with serving(knot.zone_entry("sender.test")) as api:
        await api.domain(DOMAIN)
        await api.post(f"{PATH}/publishRecords")

        events = await api.get(f"/subscriptions/{api.subscription}/providers/Microsoft.Communication/auditEvents")

    assert "Domains_PublishRecords" in str(events.body)


async def test_records_are_published_to_azure_dns(serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with azure_dns(tmp_path, "sender.test") as azure:
        azure.put("sales", "TXT", TXTRecords=[{"value": ["v=spf1 mx -all"]}])
        opened: list[AzureZone] = []

        def open_editor(setting: Any, settings: Settings) -> Any:
            opened.append(setting)
            return azure.editor()

        monkeypatch.setattr(publishing, "open_editor", open_editor)
        async with serving(f"azure://{SUBSCRIPTION}/{GROUP}/sender.test") as api:
            await api.domain(DOMAIN)

            first, second = await api.post(f"{PATH}/publishRecords"), await api.post(f"{PATH}/publishRecords")
            document = await stored(api)

    assert outcomes(first)["SPF"] == "merged" and outcomes(first)["DKIM"] == "published"
    assert set(outcomes(second).values()) == {"already there"}
    assert opened[0].zone == "sender.test"
    assert azure.texts("sales") == [
        ["v=spf1 mx include:spf.postrider.test -all"], [f"postrider-domain-verification={document.verification_token}"],
    ]  # fmt: skip


async def test_keys_below_the_dkim_zone_publish_themselves(serving: Serving, knot: Knot) -> None:
    async with serving(knot.zone_entry("rcpt.test"), dkim_zone=DKIM_ZONE) as api:
        await api.domain(DOMAIN)
        await api.work()
        document = await stored(api)

    for selector in document.selectors:
        assert await texts(knot, f"{selector.name}.{DOMAIN}.{DKIM_ZONE}") == {selector.public_record}


async def test_keys_of_a_verified_domain_are_not_replaced_by_whoever_claims_it_as_well(serving: Serving, knot: Knot) -> None:
    async with serving(knot.zone_entry("rcpt.test"), dkim_zone=DKIM_ZONE) as api:
        await api.domain(DOMAIN)
        await api.work()
        owner = await stored(api)
        other = api.elsewhere(group="another")
        await other.domain(DOMAIN, verified=False)
        count = await other.work(most=200)

    assert 20 < count < 150  # it was tried again until the time for verification was over
    for selector in owner.selectors:
        assert await texts(knot, f"{selector.name}.{DOMAIN}.{DKIM_ZONE}") == {selector.public_record}


async def test_owner_before_does_not_take_the_place_of_the_keys_of_the_owner_now(serving: Serving, knot: Knot) -> None:
    async with serving(knot.zone_entry("rcpt.test"), dkim_zone=DKIM_ZONE) as api:
        before = api.elsewhere(subscription=str(uuid.uuid4()))
        await before.domain(DOMAIN)
        await before.work()
        await api.domain(DOMAIN)
        taken = await claims.take(api.storage.tables, api.admin.store, DOMAIN, api.id(PATH).text, ())
        await api.work()
        assert taken.held
        keys = {selector.name: selector.public_record for selector in (await stored(api)).selectors}

        # Its state is Verified still, so each of these would write with the right of an owner.
        await publishing.run(before.admin, publishing.Publish(domain=before.id(PATH).text))
        answered = await before.as_role(Role.ADMIN, "emailServices/mail").post(f"{PATH}/publishRecords")
        await before.post(f"{PATH}/rotateKeys")
        for _ in range(5):
            await before.work_one(before.queues.noted[0])
        seen = {name: await texts(knot, f"{name}.{DOMAIN}.{DKIM_ZONE}") for name in keys}

    assert seen == {name: {key} for name, key in keys.items()}
    assert answered.status == 409  # no zone of ours holds the domain itself


async def test_records_of_a_domain_that_another_one_showed_to_be_its_own_are_not_published(
    serving: Serving, knot: Knot
) -> None:
    async with serving(knot.zone_entry("sender.test")) as api:
        await api.domain(DOMAIN)
        limited = api.as_role(Role.ADMIN, "emailServices/mail")
        allowed = await limited.post(f"{PATH}/publishRecords")
        await forget_claim(api, DOMAIN)
        other = api.elsewhere(group="another")
        await other.domain(DOMAIN)
        assert (await claims.take(api.storage.tables, api.admin.store, DOMAIN, other.id(PATH).text, ())).held
        refused = await limited.post(f"{PATH}/publishRecords")

    assert allowed.status == 200
    assert (refused.status, refused.code) == (403, "OwnershipNotProven")


async def test_keys_that_can_not_be_published_are_given_up_in_time(serving: Serving, knot: Knot) -> None:
    async with serving(knot.zone_entry("rcpt.test", secret=WRONG), dkim_zone=DKIM_ZONE) as api:
        await api.domain(DOMAIN)
        begun = api.clock.now()
        count = await api.work(most=200)

    assert 20 < count < 150
    assert 72 * HOUR <= api.clock.now() - begun <= 74 * HOUR


async def test_keys_are_published_once_their_server_is_back(serving: Serving, knot: Knot) -> None:
    async with serving(knot.zone_entry("rcpt.test"), dkim_zone=DKIM_ZONE) as api:
        wrong = Secret(knot.zone_entry("rcpt.test", secret=WRONG))
        away = replace(api.admin, settings=replace(api.admin.settings, zones=(wrong,)))
        await api.domain(DOMAIN)
        (noted,) = api.queues.noted
        task = publishing.Publish(domain=api.id(PATH).text)
        api.queues.noted.clear()

        await publishing.run(away, task)
        (again,) = api.queues.noted
        await api.work()
        document = await stored(api)

    assert "publish" in noted.text and again.delay >= 5
    assert await texts(knot, f"postrider1.{DOMAIN}.{DKIM_ZONE}") == {document.selectors[0].public_record}


async def test_task_of_a_domain_that_is_gone_does_nothing(serving: Serving, knot: Knot) -> None:
    async with serving(knot.zone_entry("rcpt.test"), dkim_zone=DKIM_ZONE) as api:
        await api.email_service()

        await publishing.run(api.admin, publishing.Publish(domain=api.id(PATH).text))

        assert api.queues.noted == []
