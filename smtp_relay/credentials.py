"""Who logs in: an SMTP username with its password, a name in the form of ACS, or either with a token of Entra."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from email_core.auth.authenticate import TokenRefused
from email_core.auth.client_address import is_private
from email_core.auth.entra import LEEWAY
from email_core.auth.principal import Principal, PrincipalKind, Role
from email_core.auth.smtp_credential import SmtpLogin, parse_login, verify_password
from email_core.delivery.capacity import Capacity
from email_core.domains.documents import Limit, SmtpUsernameDocument
from email_core.domains.resource_store import ResourceStore
from email_core.domains.sending import CommunicationService
from email_core.domains.smtp_names import SmtpNames
from email_core.management.resource_id import SMTP_USERNAMES, ResourceId, parse_resource_id
from email_core.services import Services

LONGEST_NAME = 320  # octets
MOST_ACCOUNTS = 4  # whose password is tried, of one application; each costs 50 ms
MOST_AT_ONCE = 4  # passwords that are tried at the same time; each takes 16 MiB
PATIENCE = 10.0  # seconds for a turn


class LoginRefused(Exception):
    """Nobody with these credentials may log in. The text is for the log alone, and quotes no secret."""


@dataclass(frozen=True, slots=True)
class Submitter:
    """Somebody who logged in at `since` (monotonic), and the communication service that mail is sent for.

    `account` is the SMTP username that it was, with its `limits`; a token with a name in the form of ACS has none. `stored` is
    the hash of its password, empty with a token, which holds until `expires`, in seconds since the epoch.
    """

    service: CommunicationService
    user: str
    since: float = 0.0
    account: ResourceId | None = None
    stored: str = ""
    expires: float = math.inf
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class _Account:
    service: CommunicationService
    document: SmtpUsernameDocument


class Credentials:
    """Checks them. Both ways raise LoginRefused, StorageUnavailable, and WorkerBusy or IssuerUnavailable."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._store = ResourceStore(services.storage.tables)
        self._names = SmtpNames(services.storage.tables, self._store, services.clock)
        self._turns = Capacity("log-ins", most=MOST_AT_ONCE, most_bytes=0, patience=PATIENCE)

    async def by_password(self, name: str, password: str, client: str) -> Submitter:
        """Whose password it is."""
        accounts = await self._accounts(_checked(name))
        usable = [each for each in accounts if not each.service.local_auth_disabled]
        # One is always tried, so that a name that is not there takes as long as one that is.
        stored = [each.document.password for each in usable[:MOST_ACCOUNTS]] or [""]
        # A thread goes on when its client goes away, so its turn lasts as long as it does.
        fits = await asyncio.shield(self._tried(password, stored))
        found = next((account for account, fit in zip(usable, fits, strict=False) if fit), None)
        if found is None:
            if accounts and not usable:
                raise LoginRefused("local authentication is disabled for its service")
            raise LoginRefused("wrong password" if accounts else "no such user")
        _check_reach(found.service, client)
        return replace(self._submitter(found.service, found.document), stored=found.document.password)

    async def _tried(self, password: str, stored: Sequence[str]) -> list[bool]:
        async with self._turns.place(0):
            return await asyncio.to_thread(lambda: [verify_password(password, each) for each in stored])

    async def by_token(self, name: str, token: str, client: str) -> Submitter:
        """Whose token of Entra it is; the caller must be the application of the name, and have the role Sender."""
        login = _checked(name)
        try:
            caller = await self._services.authenticator.bearer(f"Bearer {token}", self._services.clock.now())
        except TokenRefused as refused:
            raise LoginRefused(refused.reason) from refused
        for service, application, tenant, document in await self._services_of(login):
            if _is_caller(caller, application, tenant) and caller.may(Role.SENDER, service.resource_id):
                _check_reach(service, client)
                return replace(self._submitter(service, document, name.strip()), expires=caller.expires)
        raise LoginRefused(f"{caller.name} is not the application of that name, or lacks the role Sender")

    async def renewed(self, submitter: Submitter, client: str) -> Submitter:
        """Somebody who logged in a while ago, as of now: connections are kept, and passwords and services change meanwhile."""
        known = await self._services.directory.services()
        service = next((each for each in known if each.key == submitter.service.key), None)
        if service is None:
            raise LoginRefused("its service is gone")
        if self._services.clock.now() >= submitter.expires + LEEWAY:
            raise LoginRefused("its token has expired meanwhile")
        _check_reach(service, client)
        now = self._services.clock.monotonic()
        if submitter.account is None or now - submitter.since < self._services.settings.configuration_seconds:
            return replace(submitter, service=service)
        resource = await self._store.get(submitter.account, SmtpUsernameDocument)
        if resource is None:
            raise LoginRefused("its SMTP username is gone")
        document = resource.document
        if submitter.stored and (document.password != submitter.stored or service.local_auth_disabled):
            raise LoginRefused("its password is another one now, or is gone")
        return replace(submitter, service=service, user=document.username, since=now, limits=document.limits)

    def _submitter(self, service: CommunicationService, document: SmtpUsernameDocument | None, name: str = "") -> Submitter:
        now = self._services.clock.monotonic()
        if document is None:
            return Submitter(service, name, now)
        return Submitter(service, document.username, now, parse_resource_id(document.id), limits=document.limits)

    async def _services_of(self, login: SmtpLogin) -> list[tuple[CommunicationService, str, str, SmtpUsernameDocument | None]]:
        """What a name stands for: services, each with the application and the tenant that may use it under that name.

        The last is the SMTP username when it is one.
        """
        if not login.username:
            return [(service, login.application, login.tenant, None) for service in await self._named(login.resource)]
        found = [(each.service, each.document) for each in await self._accounts(login)]
        return [(service, document.entra_application_id, document.tenant_id, document) for service, document in found]

    async def _accounts(self, login: SmtpLogin) -> list[_Account]:
        if login.username:
            return await self._account_of(login.username)
        accounts = []
        for service in await self._named(login.resource):
            parent = parse_resource_id(service.resource_id)
            async for each in self._store.children(parent, SMTP_USERNAMES, SmtpUsernameDocument):
                document = each.document
                if (document.entra_application_id.lower(), document.tenant_id.lower()) == (login.application, login.tenant):
                    accounts.append(_Account(service, document))
        return accounts

    async def _account_of(self, username: str) -> list[_Account]:
        owner = await self._names.owner(username)
        services = await self._services.directory.services()
        if owner is None or owner[0].parent is None:
            return []
        key = owner[0].parent.key
        return [_Account(service, owner[1]) for service in services if parse_resource_id(service.resource_id).key == key]

    async def _named(self, resource: str) -> Sequence[CommunicationService]:
        """Services of that name, of which there may be one in each resource group."""
        return [service for service in await self._services.directory.services() if service.name.lower() == resource]


def _checked(name: str) -> SmtpLogin:
    if not name.strip() or len(name.encode(errors="replace")) > LONGEST_NAME:
        raise LoginRefused(f"a name of {len(name)} characters")
    return parse_login(name)


def _is_caller(caller: Principal, application: str, tenant: str) -> bool:
    if caller.kind is PrincipalKind.ADMIN_TOKEN:
        return True
    same = (caller.name.lower(), caller.tenant.lower()) == (application.lower(), tenant.lower())
    return caller.kind is PrincipalKind.APPLICATION and same


def _check_reach(service: CommunicationService, client: str) -> None:
    if not service.is_public and not is_private(client):
        raise LoginRefused(f"{service.resource_id} is not public, and the client is at {client or 'an unknown address'}")
