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
from email_core.errors import ConfigurationMissing, DomainNotLinked, SenderUnknown
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
        if found := re.fullmatch(r"kind eq '(\w+)'", filter):
            rows = [values for values in self._rows.values() if values["kind"] == found[1]]
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
        "domainManagement": "CustomerManaged",
        "fromSenderDomain": "contoso.test",
        "verificationStates": dict.fromkeys(("Domain", "SPF", "DKIM", "DKIM2"), "Verified"),
        "signingDomain": "contoso.test",
        "selectors": [selector()],
    }
    return {name: value for name, value in (document | changes).items() if value is not None}


def shelf_with(service: object, domain: object, sender: object = None) -> Shelf:
    shelf = Shelf()
    shelf.put(SERVICE, "communicationServices", service)
    shelf.put(DOMAIN, "domains", domain)
    shelf.put(SENDER, "senderUsernames", sender or {"username": "News", "displayName": "The news"})
    return shelf


def directory_of(shelf: Shelf, clock: FakeClock | None = None) -> Directory:
    return Directory(shelf, SEALER, clock or FakeClock(), LIFETIME)  # type: ignore[arg-type]


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
    shelf.put(PLATFORM_ID, "platform", {"id": PLATFORM_ID, "signingDomain": "postrider.test", "selectors": selectors})
    domain = await directory_of(shelf).domain(DOMAIN)
    assert domain is not None
    assert [key.domain for key in domain.signing_keys] == ["postrider.test"]


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
    "no states": domain_document(verificationStates=None),
    "no selectors": domain_document(selectors=None),
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


async def test_sender_that_is_malformed_is_missing_configuration_and_named() -> None:
    directory = directory_of(shelf_with(service_document(), domain_document(), {"displayName": "Nobody"}))
    with pytest.raises(ConfigurationMissing, match=re.escape(SENDER)):
        await directory.domain(DOMAIN)
