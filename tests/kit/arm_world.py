"""A local world for the management clients: with a DNS that tests publish records in, and an issuer of Entra's tokens."""

from __future__ import annotations

import ssl
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.kit import knot, world
from tests.kit.arm_client import AdminToken, AsyncAdminToken
from tests.kit.domain_zones import served
from tests.kit.knot import Knot
from tests.kit.peers import require
from tests.kit.token_issuer import TokenIssuer
from tests.kit.world import World, start_world

ZONE = "customers.test"
GROUP = "mailing"
CROWD = 120  # more than a page of a list


@dataclass(frozen=True)
class ArmWorld:
    """A running world, and what is around it."""

    world: World
    knot: Knot
    issuer: TokenIssuer

    @property
    def bundle(self) -> str:
        """A file with the authorities of the world and of the issuer."""
        return self.world.env["REQUESTS_CA_BUNDLE"]

    @property
    def admin_token(self) -> str:
        return self.world.env["POSTRIDER_ADMIN_TOKEN"]

    def client(self, subscription: str = "", credential: Any = None, **options: Any) -> Any:
        """The management client of the newest version, in a subscription of its own unless one is named."""
        from azure.mgmt.communication import CommunicationServiceManagementClient

        return CommunicationServiceManagementClient(
            credential or AdminToken(self.admin_token), subscription or str(uuid.uuid4()), base_url=self.world.endpoint,
            connection_verify=self.bundle, **options,
        )  # fmt: skip

    def async_client(self, subscription: str = "", **options: Any) -> Any:
        """The same for asyncio."""
        from azure.mgmt.communication.aio import CommunicationServiceManagementClient

        return CommunicationServiceManagementClient(
            AsyncAdminToken(self.admin_token), subscription or str(uuid.uuid4()), base_url=self.world.endpoint,
            connection_verify=self.bundle, **options,
        )  # fmt: skip


@pytest.fixture(scope="session")
def arm_world() -> Iterator[ArmWorld]:
    """One such world for the whole run. Its workers notice a change of a resource at once."""
    for reason in (world.missing_reason(), knot.missing_reason()):
        require(not reason, reason)
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    issuer = TokenIssuer(tls=context)
    platform = ['spf TXT "v=spf1 ip4:192.0.2.1 -all"']
    with (
        tempfile.TemporaryDirectory(prefix="issuer-") as folder,
        Knot({ZONE: served([]), "postrider.test": served(platform)}) as dns,
    ):
        file = Path(folder) / "ca.pem"
        authority.cert_pem.write_to_path(file)
        settings = {
            "POSTRIDER_CONFIGURATION_SECONDS": "0",
            "POSTRIDER_DNS": dns.address,
            "POSTRIDER_DNS_PORT": str(dns.port),
            "POSTRIDER_ALLOW_PRIVATE_ADDRESSES": "on",  # the name server is on this machine
            "POSTRIDER_ENTRA_TENANTS": issuer.tenant,
            "POSTRIDER_ENTRA_AUTHORITY": issuer.authority,
            "SSL_CERT_FILE": str(file),  # by which the functions host trusts the issuer
        }
        try:
            with start_world(settings=settings) as running:
                yield ArmWorld(running, dns, issuer)
        finally:
            issuer.close()


@pytest.fixture(scope="session")
def crowd(arm_world: ArmWorld) -> tuple[str, str]:
    """A subscription, and a domain in it (of the email service `mail` in GROUP) with CROWD sender usernames of ours."""
    subscription, domain = str(uuid.uuid4()), new_domain()
    client = arm_world.client(subscription)
    place = {"location": "global", "properties": {"dataLocation": "Europe"}}
    client.email_services.begin_create_or_update(GROUP, "mail", place).result()
    custom = {"location": "global", "properties": {"domainManagement": "CustomerManaged"}}
    client.domains.begin_create_or_update(GROUP, "mail", domain, custom).result()

    def add(name: str) -> None:
        client.sender_usernames.create_or_update(GROUP, "mail", domain, name, {"properties": {"username": name}})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, crowd_names()))
    return subscription, domain


def crowd_names() -> list[str]:
    """The sender usernames of the crowd."""
    return [f"sender{number:03}" for number in range(CROWD)]


def new_domain() -> str:
    """A name that no other test has, in the zone of the world's DNS."""
    return f"d{uuid.uuid4().hex[:12]}.{ZONE}"
