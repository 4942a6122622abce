"""Bearer tokens of Microsoft Entra ID: version 1 and 2, of applications and of people.

What is checked is what RFC 8725 asks for: the algorithm is one that fits the issuer's own key (so neither `none` nor an HMAC
with the public key), and issuer, audience, tenant and times are ours. Who the token is for is all that is taken from it
before its signature fits: it chooses the keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from email_core.auth.jwks import Fetch, IssuerKey, IssuerKeys, KeyCache, why_not_fetched
from email_core.auth.principal import Principal, PrincipalKind
from email_core.auth.roles import RoleMap
from email_core.auth.token_refused import TokenRefused
from email_core.clock import Clock
from email_core.settings import Settings, SettingsError

if TYPE_CHECKING:
    from jwt.types import Options

LEEWAY = 300.0  # seconds that clocks may differ, as Microsoft's own libraries have it
MOST_ROLES = 200  # of one token
LONGEST_NAME = 256  # characters of a caller's name in the logs

# Of ACS and of Azure Resource Manager, each with and without a slash at its end: the clients of ACS ask for the scope
# `https://communication.azure.com//.default`, which makes an audience that ends with one.
AUDIENCES = ("https://communication.azure.com", "https://management.azure.com", "https://management.core.windows.net")

# Times are checked here, by the clock that everything else goes by.
_OPTIONS: Options = {
    "require": ["exp", "iss", "aud", "tid"], "verify_exp": False, "verify_nbf": False, "verify_iat": False,
}  # fmt: skip

_tenant = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


class EntraTokens:
    """Verifies tokens of the tenants of an installation. Raises SettingsError when made of settings that can't work."""

    def __init__(self, settings: Settings, roles: RoleMap, clock: Clock, fetch: Fetch | None = None) -> None:
        _check(settings)
        self._roles = roles
        self._audiences = [form for each in (*AUDIENCES, *settings.entra_audiences) for form in _with_and_without_slash(each)]
        base = settings.entra_authority
        self._caches = {
            (tenant, version): KeyCache(f"{base}/{tenant}{path}/.well-known/openid-configuration", clock, fetch)
            for tenant in map(str.lower, settings.entra_tenants)
            for version, path in ((1, ""), (2, "/v2.0"))
        }

    async def principal(self, token: str, now: float) -> Principal:
        """Who a token is of. `now` is in seconds since the epoch. Raises TokenRefused and IssuerUnavailable."""
        if not self._caches:
            raise TokenRefused("POSTRIDER_ENTRA_TENANTS is empty, so no token of Entra is taken")
        header, unverified = _unverified(token)
        name, tenant, issuer = header.get("kid"), unverified.get("tid"), unverified.get("iss")
        if not isinstance(name, str) or not isinstance(tenant, str) or not isinstance(issuer, str):
            raise TokenRefused("the token lacks kid, tid or iss")
        # Of two endpoints of a tenant, each names itself in its tokens; which one it is the metadata confirms below.
        cache = self._caches.get((tenant.lower(), 2 if issuer.rstrip("/").endswith("/v2.0") else 1))
        if cache is None:
            raise TokenRefused(f"tenant {tenant[:64]!r} is not one of POSTRIDER_ENTRA_TENANTS")
        known = await cache.with_key(name)
        claims = self._verified(token, header, known, known.keys.get(name))
        if str(claims.get("tid", "")).lower() not in known.issuer.lower().split("/"):
            raise TokenRefused("the issuer is not that of the token's tenant")
        _check_times(claims, now)
        return self._caller(claims)

    def _verified(self, token: str, header: Mapping[str, Any], known: IssuerKeys, key: IssuerKey | None) -> dict[str, Any]:
        import jwt

        if key is None:
            raise TokenRefused(f"the issuer has no key {str(header.get('kid'))[:64]!r}")
        if header.get("alg") not in key.algorithms:
            raise TokenRefused(f"algorithm {str(header.get('alg'))[:16]!r} is not one of {', '.join(key.algorithms)}")
        try:
            return jwt.decode(
                token,
                key.key,
                algorithms=key.algorithms,
                audience=self._audiences,
                issuer=known.issuer,
                options=_OPTIONS,
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise TokenRefused(f"{type(error).__name__}: {error}") from error

    def _caller(self, claims: Mapping[str, Any]) -> Principal:
        object_id = _text(claims, "oid")
        application = _text(claims, "azp") or _text(claims, "appid")
        # An app's own token is about the app itself; one without scopes that is about somebody else is an ID token, which
        # says who signed in somewhere and gives no access to anything.
        is_application = not claims.get("scp") and (claims.get("idtyp") == "app" or object_id == _text(claims, "sub"))
        if not object_id or not (is_application or _text(claims, "scp")):
            raise TokenRefused("the token is neither one of an application (idtyp app) nor one with scopes of a person (scp)")
        name = application if is_application else (_text(claims, "upn") or _text(claims, "preferred_username") or object_id)
        roles = claims.get("roles")
        app_roles = [each for each in roles[:MOST_ROLES] if isinstance(each, str)] if isinstance(roles, list) else []
        return Principal(
            kind=PrincipalKind.APPLICATION if is_application else PrincipalKind.USER,
            name=(name or object_id)[:LONGEST_NAME],
            object_id=object_id,
            tenant=_text(claims, "tid").lower(),
            grants=self._roles.grants(app_roles, object_id, application if is_application else ""),
            expires=_number(claims, "exp"),
        )


def _unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token as they are written, to be believed only once the signature fits."""
    import jwt

    try:
        complete = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise TokenRefused(f"no token: {type(error).__name__}: {error}") from error
    return complete["header"], complete["payload"]


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    expires, begins = _number(claims, "exp"), _number(claims, "nbf") if "nbf" in claims else 0.0
    if not now < expires + LEEWAY:
        raise TokenRefused(f"the token expired {now - expires:.0f} s ago")
    if not begins - LEEWAY <= now:
        raise TokenRefused(f"the token is valid in {begins - now:.0f} s only: is a clock wrong?")


def _number(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenRefused(f"{name} is no number")
    return value


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""


def _with_and_without_slash(audience: str) -> tuple[str, str]:
    bare = audience.rstrip("/")
    return bare, f"{bare}/"


def _check(settings: Settings) -> None:
    wrong = [
        f"POSTRIDER_ENTRA_TENANTS: {tenant!r} must be the id of a tenant, a GUID: `az account show` tells it as tenantId"
        for tenant in settings.entra_tenants
        if not _tenant.fullmatch(tenant)
    ]
    if why := why_not_fetched(settings.entra_authority):
        wrong.append(f"POSTRIDER_ENTRA_AUTHORITY is {settings.entra_authority!r}: {why}")
    if wrong:
        raise SettingsError("\n".join(wrong))
