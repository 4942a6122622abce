"""The token issuer of the kit against the clients that ask Entra: azure-identity gets a token from it, which is then taken."""

from __future__ import annotations

import json
import ssl
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientSecretCredential

from email_core.auth.authenticate import Authenticator
from email_core.auth.principal import Grant, PrincipalKind, Role
from email_core.settings import Settings, StorageSettings
from tests.kit.clock import FakeClock
from tests.kit.token_issuer import Client, TokenIssuer

pytestmark = pytest.mark.peers


@pytest.fixture
def authority(tmp_path: Path) -> tuple[trustme.CA, Path]:
    ca, file = trustme.CA(), tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(file)
    return ca, file


@pytest.mark.parametrize(
    "scope",
    ["https://communication.azure.com//.default", "https://management.azure.com/.default"],
    ids=["email client", "management client"],
)
async def test_token_that_azure_identity_gets_over_https_is_taken(authority: tuple[trustme.CA, Path], scope: str) -> None:
    ca, file = authority
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    issuer = TokenIssuer(tls=context)
    application = str(uuid.uuid4())
    issuer.clients[application] = Client("the secret", roles=("Sender",))

    def credential(secret: str) -> ClientSecretCredential:
        return ClientSecretCredential(
            issuer.tenant, application, secret, authority=issuer.authority, disable_instance_discovery=True,
            connection_verify=str(file),
        )  # fmt: skip

    async def fetch(url: str) -> object:
        # The verified context of aiohttp is made when it is imported, so the authority of a test comes too late for it.
        return json.loads(issuer.answer(urlsplit(url).path, None)[1])

    try:
        token = credential("the secret").get_token(scope).token
        settings = Settings(storage=StorageSettings(), entra_tenants=(issuer.tenant,), entra_authority=issuer.authority)
        authenticator = Authenticator(settings, FakeClock(time.time()), fetch=fetch)
        principal = await authenticator.bearer(f"Bearer {token}", time.time())
        with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
            credential("another").get_token(scope)
    finally:
        issuer.close()
    assert (principal.kind, principal.name) == (PrincipalKind.APPLICATION, application)
    assert principal.grants == (Grant(Role.SENDER),)
