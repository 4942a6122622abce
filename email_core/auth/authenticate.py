"""Bearer tokens: the admin token of the installation first, then those of Entra.

The admin token is for the local world and for the first steps of an installation that has no tenant yet. Access keys are
another scheme, see `hmac_access_key`.
"""

from __future__ import annotations

import hmac

from email_core.auth.entra import EntraTokens
from email_core.auth.jwks import Fetch
from email_core.auth.principal import Grant, Principal, PrincipalKind, Role
from email_core.auth.roles import parse_roles
from email_core.auth.token_refused import IssuerUnavailable, TokenRefused
from email_core.clock import Clock
from email_core.settings import Settings

__all__ = ["Authenticator", "IssuerUnavailable", "TokenRefused", "is_bearer"]

SCHEME = "bearer"
MOST_TOKEN = 32 * 1024  # characters; Entra's have two to eight thousand, and the Functions host takes 32 KiB of headers

_ADMIN = Principal(PrincipalKind.ADMIN_TOKEN, key_name="admin-token", name="admin token", grants=(Grant(Role.ADMIN),))


def is_bearer(authorization: str) -> bool:
    """Whether an Authorization header has the bearer scheme (RFC 6750 section 2.1)."""
    return authorization.partition(" ")[0].lower() == SCHEME


class Authenticator:
    """Says who a bearer token is of. Raises SettingsError when the settings of roles, tenants or authority are wrong."""

    def __init__(self, settings: Settings, clock: Clock, *, fetch: Fetch | None = None) -> None:
        self._admin_token = settings.admin_token.encode()
        self._entra = EntraTokens(settings, parse_roles(settings.roles), clock, fetch)

    async def bearer(self, authorization: str, now: float) -> Principal:
        """The caller with this Authorization header; `now` is in seconds since the epoch.

        Raises TokenRefused for whatever is no good token, and IssuerUnavailable when the issuer's keys can't be had.
        """
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != SCHEME or not token:
            raise TokenRefused("there is no 'Authorization: Bearer TOKEN'")
        if len(token) > MOST_TOKEN:
            raise TokenRefused(f"the token has {len(token)} characters, more than {MOST_TOKEN}")
        if self._admin_token and hmac.compare_digest(token.encode(errors="replace"), self._admin_token):
            return _ADMIN
        return await self._entra.principal(token, now)
