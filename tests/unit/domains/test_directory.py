"""The directory over documents that are right, and over those that are not."""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from email_core.domains.directory import PLATFORM_ID, PROVIDER, Directory, resource_keys
from email_core.domains.dkim_keys import generate_ed25519
from email_core.domains.sending import SendingDomain
from email_core.domains.service_choice import service_of_sender
from email_core.errors import ConfigurationMissing, DomainNotLinked, DomainPaused, SenderUnknown
from email_core.message.address import parse_address
from email_core.sealing import Sealer
from email_core.storage import StoredEntity
from tests.kit.clock import FakeClock

SEALER = Sealer(b"a sealing key for tests, 32 byte")
SCOPE = "/subscriptions/1/resourcegroups/group" + PROVIDER
SERVICE = f"{SCOPE}communicationservices/mail"
DOMAIN = f"{SCOPE}emailservices/email/domains/contoso.test"
SENDER = f"{DOMAIN}/senderusernames/news"
SECRET = b"an access key for tests, 32 byte"
LIFETIME = 30.0
VERIFIED = {"status": "Verified"}


class Shelf:
    """The table `resources` in memory: documents by resource id."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], dict[str, Any]] = {}

    def put(self, resource_id: str, kind: str, document: object) -> None:
        """Store a document; text is stored as it is."""
        partition, path = resource_keys(resource_id)
        text = document if isinstance(document, str) else msgspec.json.encode(document).decode()
        values = {"PartitionKey": partition, "RowKey": path, "kind": kind, "document": text}
        self._rows[partition, path] = values

    async def get(self, table: str, partition: str, path: str) -> StoredEntity | None:
        values = self._rows.get((partition, path))
        return StoredEntity(dict(values), "etag") if values else None

    async def query(self, table: str, filter: str) -> AsyncIterator[StoredEntity]:
        if filter.startswith("kind eq "):
            kinds = re.findall(r"kind eq '(\w+)'", filter)
            rows = [values for values in self._rows.values() if values["kind"] in kinds]
        else:
            partition, path = re.findall(r"Key eq '([^']*)'", filter)
            rows = [
                values
                for (of, key), values in self._rows.items()
                if of == partition and (key == path or key.startswith(f"{path}|"))
            ]
        for values in rows:
            yield StoredEntity(dict(values), "etag")


def sealed(secret: bytes, context: str) -> str:
    return SEALER.seal(base64.b64encode(secret), context=context)


def service_document(resource_id: str = SERVICE, **changes: Any) -> dict[str, Any]:
    document = {
        "id": resource_id,
        "key": "abcdefghij",
        "immutableResourceId": "0f8fad5b-d9cb-469f-a165-70867728950e",
        "name": resource_id.rpartition("/")[2],
        "hostName": "Mail.Contoso.Test",
        "linkedDomains": [DOMAIN],
        "primaryKey": sealed(SECRET, resource_id),
        "secondaryKey": sealed(SECRET, resource_id),
    }
    return {name: value for name, value in (document | changes).items() if value is not None}


def selector(private_key: bytes | None = None, *, resource_id: str = DOMAIN, **changes: Any) -> dict[str, Any]:
    key = sealed(generate_ed25519() if private_key is None else private_key, resource_id)
    return {"name": "one", "active": True, "privateKey": key} | changes


def domain_document(**changes: Any) -> dict[str, Any]:
    document = {
        "id": DOMAIN,
        "name": "contoso.test",
        "domainManagement": "CustomerManaged",
        "fromSenderDomain": "contoso.test",
        "verificationToken": "0f8fad5b-d9cb-469f-a165-70867728950e",
        "verificationStates": dict.fromkeys(("Domain", "SPF", "DKIM", "DKIM2"), VERIFIED),
        "signingDomain": "contoso.test",
        "selectors": [selector()],
    }
    return {name: value for name, value in (document | changes).items() if value is not None}


def shelf_with(service: object, domain: object, sender: object = None) -> Shelf:
    shelf = Shelf()
    shelf.put(SERVICE, "communicationServices", service)
    shelf.put(DOMAIN, "domains", domain)
    shelf.put(SENDER, "senderUsernames", sender or sender_document(username="News", displayName="The news"))
    return shelf


def sender_document(**fields: Any) -> dict[str, Any]:
    return {"id": SENDER, "name": "news", **fields}


def directory_of(shelf: Shelf, clock: FakeClock | None = None, **options: Any) -> Directory:
    return Directory(shelf, SEALER, clock or FakeClock(), LIFETIME, **options)  # type: ignore[arg-type]


async def sending(domain: object, sender: str = "news@contoso.test", **options: Any) -> SendingDomain:
    """The domain that the sender of the one service gets."""
    directory = directory_of(shelf_with(service_document(), domain), **options)
    [service] = await directory.services()
    return await directory.sending_domain(service, parse_address(sender))


def elliptic_key() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


async def test_services_and_their_domain_are_read_from_their_documents() -> None:
    directory = directory_of(shelf_with(service_document(), domain_document(anySender=False)))
    [service] = await directory.services()
    assert (service.name, service.host_name, service.linked_domains) == ("mail", "mail.contoso.test", (DOMAIN,))
    assert [(key.name, key.secret) for key in service.access_keys] == [("primary", SECRET), ("secondary", SECRET)]
    domain = await directory.sending_domain(service, parse_address("NEWS@contoso.test"))
    assert (domain.name, dict(domain.sender_usernames)) == ("contoso.test", {"news": "The news"})
    assert [(key.domain, key.selector) for key in domain.signing_keys] == [("contoso.test", "one")]
    with pytest.raises(SenderUnknown):
        await directory.sending_domain(service, parse_address("sales@contoso.test"))
    with pytest.raises(DomainNotLinked):
        await directory.sending_domain(service, parse_address("news@other.test"))


async def test_suppression_lists_of_a_domain_are_known_by_sender_and_key() -> None:
    shelf = shelf_with(service_document(), domain_document())
    for name, list_name in (("one", ""), ("two", "News")):
        resource_id = f"{DOMAIN}/suppressionlists/{name}"
        document = {"id": resource_id, "name": name, "key": f"key of {name}", "listName": list_name}
        shelf.put(resource_id, "suppressionLists", document)
    domain = await directory_of(shelf).domain(DOMAIN)
    assert domain is not None
    assert sorted(domain.suppression_lists) == [("", "key of one"), ("News", "key of two")]


async def test_domain_that_is_not_there_is_asked_for_once_in_its_lifetime() -> None:
    clock, shelf = FakeClock(), Shelf()
    directory = directory_of(shelf, clock)
    assert await directory.domain(DOMAIN) is None
    shelf.put(DOMAIN, "domains", domain_document())
    assert await directory.domain(DOMAIN) is None
    clock.advance(LIFETIME)
    assert await directory.domain(DOMAIN) is not None


async def test_managed_domain_is_signed_with_the_platforms_keys() -> None:
    shelf = shelf_with(service_document(), domain_document(domainManagement="AzureManaged", selectors=None, signingDomain=None))
    with pytest.raises(ConfigurationMissing, match="platform's signing keys are missing"):
        await directory_of(shelf).domain(DOMAIN)
    selectors = [selector(resource_id=PLATFORM_ID), selector(b"not opened", resource_id="elsewhere", active=False)]
    platform = {"id": PLATFORM_ID, "name": "default", "signingDomain": "postrider.test", "selectors": selectors}
    shelf.put(PLATFORM_ID, "platform", platform)
    domain = await directory_of(shelf).domain(DOMAIN)
    assert domain is not None
    assert [key.domain for key in domain.signing_keys] == ["postrider.test"]


NOT_SENDING = {
    "one record is not verified": domain_document(verificationStates={"Domain": VERIFIED, "SPF": VERIFIED, "DKIM": VERIFIED}),
    "no record was asked for": domain_document(verificationStates=None),
    "it is being deleted": domain_document(provisioningState="Deleting"),
}


@pytest.mark.parametrize("document", NOT_SENDING.values(), ids=NOT_SENDING)
async def test_domain_that_is_not_ready_is_as_good_as_not_linked(document: object) -> None:
    with pytest.raises(DomainNotLinked):
        await sending(document)


async def test_domain_written_before_there_was_an_api_still_sends() -> None:
    domain = await sending(domain_document(verificationStates=dict.fromkeys(("Domain", "SPF", "DKIM", "DKIM2"), "Verified")))
    assert domain.verified


async def test_domain_that_lost_a_record_sends_until_it_is_paused() -> None:
    lost = {"status": "Verified", "lostSince": 1.0, "reason": "There is no TXT record.", "remedy": "Publish it again."}
    states = {"Domain": VERIFIED, "SPF": lost, "DKIM": VERIFIED, "DKIM2": VERIFIED}
    assert (await sending(domain_document(verificationStates=states))).paused == ""
    with pytest.raises(DomainPaused) as caught:
        await sending(domain_document(verificationStates=states, pausedSince=2.0))
    assert caught.value.args == ("contoso.test", "SPF: There is no TXT record. Publish it again.")


async def test_service_that_is_being_deleted_is_gone_for_senders() -> None:
    shelf = shelf_with(service_document(provisioningState="Deleting"), domain_document())
    assert await directory_of(shelf).services() == ()


@pytest.mark.parametrize(
    ("document", "setting", "allowed"),
    [
        ({}, False, False),
        ({"anySender": True}, False, True),
        ({}, True, True),
        ({"domainManagement": "AzureManaged"}, True, False),
        ({"domainManagement": "AzureManaged", "anySender": True}, False, True),
    ],
    ids=["neither", "the domain's", "the installation's", "the installation's for a managed one", "a managed one's"],
)
async def test_domain_takes_any_sender_when_it_or_the_installation_says_so(
    document: dict[str, Any], setting: bool, allowed: bool
) -> None:
    shelf = shelf_with(service_document(), domain_document(**document))
    platform = {"id": PLATFORM_ID, "name": "default", "signingDomain": "postrider.test", "selectors": []}
    shelf.put(PLATFORM_ID, "platform", platform)
    domain = await directory_of(shelf, any_sender=setting).domain(DOMAIN)
    assert domain is not None
    assert domain.any_sender is allowed


@pytest.mark.parametrize(
    ("state", "mail_from"), [({}, ""), (VERIFIED, "bounce.contoso.test"), ({**VERIFIED, "lostSince": 1.0}, "")]
)
async def test_reverse_path_of_a_domain_is_its_own_while_its_records_are_seen(state: dict[str, Any], mail_from: str) -> None:
    states = {**domain_document()["verificationStates"], "MailFrom": state}
    domain = await sending(domain_document(mailFromSenderDomain="bounce.contoso.test", verificationStates=states))
    assert domain.mail_from_domain == mail_from


async def test_domain_with_an_international_name_is_found_by_its_a_labels() -> None:
    resource_id = f"{SCOPE}emailservices/email/domains/bücher.test"
    shelf = Shelf()
    shelf.put(SERVICE, "communicationServices", service_document(linkedDomains=[resource_id]))
    keys = [selector(resource_id=resource_id)]
    a_labels = "xn--bcher-kva.test"
    document = domain_document(id=resource_id, fromSenderDomain=a_labels, signingDomain=a_labels, selectors=keys)
    shelf.put(resource_id, "domains", document | {"anySender": True})
    directory = directory_of(shelf)
    [service] = await directory.services()
    domain = await directory.sending_domain(service, parse_address("news@bücher.test"))
    assert (domain.resource_id, domain.name) == (resource_id, a_labels)


MALFORMED_SERVICES = {
    "no JSON": "{",
    "empty": "",
    "a list": [],
    "no host": service_document(hostName=None),
    "a host that is a number": service_document(hostName=7),
    "one linked domain instead of a list": service_document(linkedDomains=DOMAIN),
    "no key": service_document(secondaryKey=None),
    "a key that is not sealed": service_document(primaryKey=base64.b64encode(SECRET).decode()),
    "a key of another row": service_document(primaryKey=sealed(SECRET, DOMAIN)),
    "a short key": service_document(primaryKey=sealed(b"short", SERVICE)),
    "an empty key": service_document(primaryKey=sealed(b"", SERVICE)),
    "a key that is no base64": service_document(primaryKey=SEALER.seal(b"!" * 44, context=SERVICE)),
}


@pytest.mark.parametrize("document", MALFORMED_SERVICES.values(), ids=MALFORMED_SERVICES)
async def test_service_that_is_malformed_is_logged_and_leaves_the_others_up(
    document: object, caplog: pytest.LogCaptureFixture
) -> None:
    shelf, other = Shelf(), f"{SCOPE}communicationservices/other"
    shelf.put(SERVICE, "communicationServices", document)
    shelf.put(other, "communicationServices", service_document(other))
    with caplog.at_level(logging.ERROR, "postrider"):
        assert [service.name for service in await directory_of(shelf).services()] == ["other"]
    assert f"resource {SERVICE} can't be used: " in caplog.text
    assert "!!!!" not in caplog.text
    assert base64.b64encode(SECRET).decode() not in caplog.text


MALFORMED_DOMAINS = {
    "no JSON": "{",
    "no name": domain_document(fromSenderDomain=None),
    "states that are a list": domain_document(verificationStates=[VERIFIED]),
    "a state that there is not": domain_document(verificationStates={"SPF": "Perhaps"}),
    "selectors that are none": domain_document(selectors="postrider1"),
    "a selector without a name": domain_document(selectors=[selector(name=7)]),
    "a selector that is no DNS name": domain_document(selectors=[selector(name="One Two")]),
    "a key that is none": domain_document(selectors=[selector(b"not a key")]),
    "a key of another kind": domain_document(selectors=[selector(elliptic_key())]),
    "a key that is no base64": domain_document(
        selectors=[selector(privateKey=SEALER.seal(b"-----BEGIN PRIVATE KEY-----", context=DOMAIN))]
    ),
    "a key of another row": domain_document(selectors=[selector(resource_id=SERVICE)]),
}


@pytest.mark.parametrize("document", MALFORMED_DOMAINS.values(), ids=MALFORMED_DOMAINS)
async def test_domain_that_is_malformed_is_missing_configuration_and_named(document: object) -> None:
    directory = directory_of(shelf_with(service_document(), document))
    with pytest.raises(ConfigurationMissing) as caught:
        await directory.domain(DOMAIN)
    assert str(caught.value).startswith(f"resource {DOMAIN} can't be used: ")
    assert "BEGIN PRIVATE KEY" not in str(caught.value)


async def test_sender_that_is_malformed_is_logged_and_leaves_the_others_up(caplog: pytest.LogCaptureFixture) -> None:
    shelf = shelf_with(service_document(), domain_document(), sender_document(displayName="Nobody"))
    shelf.put(f"{DOMAIN}/senderusernames/sales", "senderUsernames", sender_document(username="sales"))
    with caplog.at_level(logging.ERROR, "postrider"):
        domain = await directory_of(shelf).domain(DOMAIN)
    assert domain is not None
    assert list(domain.sender_usernames) == ["sales"]
    assert f"resource {SENDER} can't be used: " in caplog.text


async def test_suppression_list_that_is_malformed_keeps_its_domain_from_sending() -> None:
    """Who is on it must not get mail, so nobody does."""
    shelf = shelf_with(service_document(), domain_document())
    shelf.put(f"{DOMAIN}/suppressionlists/all", "suppressionLists", "{")
    with pytest.raises(ConfigurationMissing, match="suppressionlists/all"):
        await directory_of(shelf).domain(DOMAIN)


async def test_domain_that_is_malformed_does_not_keep_another_one_from_sending() -> None:
    """The name of a managed domain tells nothing of what it sends as, so it is looked at for every sender."""
    broken = f"{SCOPE}emailservices/email/domains/azuremanageddomain"
    shelf = shelf_with(service_document(linkedDomains=[broken, DOMAIN]), domain_document())
    shelf.put(broken, "domains", "{")
    directory = directory_of(shelf)
    [service] = await directory.services()
    assert (await directory.sending_domain(service, parse_address("news@contoso.test"))).name == "contoso.test"
    with pytest.raises(ConfigurationMissing, match="azuremanageddomain"):  # it may be that one, so nothing final is said
        await directory.sending_domain(service, parse_address("donotreply@1.postrider.test"))


async def test_service_of_a_sender_is_found_behind_one_whose_domain_is_malformed() -> None:
    broken, other = f"{SCOPE}emailservices/email/domains/azuremanageddomain", f"{SCOPE}communicationservices/a"
    shelf = shelf_with(service_document(), domain_document())
    shelf.put(other, "communicationServices", service_document(other, linkedDomains=[broken]))
    shelf.put(broken, "domains", "{")
    directory = directory_of(shelf)
    services = await directory.services()
    found = await service_of_sender(directory, services, parse_address("news@contoso.test"))
    assert found.resource_id == SERVICE
    with pytest.raises(ConfigurationMissing, match="azuremanageddomain"):
        await service_of_sender(directory, services, parse_address("donotreply@1.postrider.test"))
