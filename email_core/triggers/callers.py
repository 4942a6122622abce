"""Who calls the data plane, whether that caller may, and which communication services the call can be for.

An access key names its service. A token doesn't: the host that was called does, or the domain that mail is sent from. What a
caller may not see is answered as what is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from email_core.auth.authenticate import IssuerUnavailable, TokenRefused, is_bearer
from email_core.auth.client_address import is_private
from email_core.auth.hmac_access_key import AccessKey, SignedRequest, verify
from email_core.auth.principal import Principal, Role
from email_core.auth.scoped_key import check_key, check_reading
from email_core.data_plane import refusals
from email_core.domains.sending import CommunicationService
from email_core.services import Services
from email_core.triggers.http_exchange import BUSY_SECONDS, Exchange

SENDING = (Role.SENDER,)
READING = (Role.SENDER, Role.READER)  # who sends may know what became of it


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller that may do what it asks for on each of the `services`, of which there is at least one.

    `host` is the public host that the client knows us by: Operation-Location must name that one. `key` is the access key,
    None for a token.
    """

    principal: Principal
    host: str
    services: tuple[CommunicationService, ...]
    key: AccessKey | None = None


async def authenticate(services: Services, exchange: Exchange, roles: Sequence[Role]) -> Caller:
    """The caller of an operation that one of these roles may do. Raises RequestRefused (401, 403, 503)."""
    known = await services.directory.services()
    candidates = [service for service in known if service.host_name in exchange.host_names] or list(known)
    if is_bearer(exchange.headers.get("authorization", "")):
        return await _by_token(services, exchange, candidates, roles)
    return _by_key(services, exchange, candidates, roles)


def _by_key(
    services: Services, exchange: Exchange, candidates: Sequence[CommunicationService], roles: Sequence[Role]
) -> Caller:
    """A host that belongs to one service is asked with that service's keys alone; on a host that serves several, the key that
    verifies names the service.
    """
    by_key = {service.key: service for service in candidates if not service.local_auth_disabled}
    keys = [key for service in by_key.values() for key in service.access_keys]
    request = SignedRequest(exchange.method, exchange.target, exchange.hosts, exchange.headers, exchange.body)
    now = services.clock.now()
    verified = verify(request, keys, now=now)
    if verified is None:
        raise refusals.denied("the request has no Authorization header of a scheme that is accepted here")
    check_key(verified.key, client_address=exchange.client_address, now=now)
    if Role.READER in roles:
        check_reading(verified.key)
    reached = _reached([by_key[verified.principal.service_key]], exchange)
    return Caller(verified.principal, verified.host, reached, verified.key)


async def _by_token(
    services: Services, exchange: Exchange, candidates: Sequence[CommunicationService], roles: Sequence[Role]
) -> Caller:
    try:
        principal = await services.authenticator.bearer(exchange.headers.get("authorization", ""), services.clock.now())
    except TokenRefused as refused:
        raise refusals.denied_token(refused.reason) from refused
    except IssuerUnavailable as error:
        raise refusals.service_unavailable(BUSY_SECONDS, f"the issuer of tokens: {error}") from error
    within = [service for service in candidates if any(principal.may(role, service.resource_id) for role in roles)]
    if not within:
        raise _lacks_role(principal, roles)
    return Caller(principal, exchange.hosts[0] if exchange.hosts else "", _reached(within, exchange))


def _reached(found: Sequence[CommunicationService], exchange: Exchange) -> tuple[CommunicationService, ...]:
    """Those that may be called from where the client is. A client whose address is not known is not in a private network."""
    private = is_private(exchange.client_address)
    reached = tuple(service for service in found if private or service.is_public)
    if not reached:
        where = exchange.client_address or "an unknown address"
        raise refusals.public_network_access_disabled(f"called from {where}, and {found[0].resource_id} is not public")
    return reached


def _lacks_role(principal: Principal, roles: Sequence[Role]) -> Exception:
    needed = " or ".join((*(role.value for role in roles), Role.ADMIN.value))
    held = ", ".join(sorted({grant.role.value for grant in principal.grants}))
    has = f"has the role {held}, but not this one here" if held else "has no role"
    name = refusals.visible(principal.name)
    return refusals.forbidden(f"It takes the role {needed} for this communication service; '{name}' {has}.", "Authorization")
