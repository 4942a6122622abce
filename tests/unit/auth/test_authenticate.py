"""Bearer tokens against an issuer that is asked over HTTP as Entra is: which are taken, and each way in which one is not."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from email_core.auth.authenticate import Authenticator, TokenRefused
from email_core.auth.entra import AUDIENCES
from email_core.auth.principal import Grant, Principal, PrincipalKind, Role
from email_core.settings import Secret, Settings, SettingsError, StorageSettings
from tests.kit.clock import FakeClock
from tests.kit.token_issuer import TokenIssuer, ec_key, rsa_key

ADMIN_TOKEN = Secret("an admin token of more than thirty-two characters")
EVERYTHING = (Grant(Role.ADMIN),)


def settings_of(issuer: TokenIssuer, **changes: Any) -> Settings:
    settings = Settings(
        storage=StorageSettings(), entra_tenants=(issuer.tenant,), entra_authority=issuer.authority, admin_token=ADMIN_TOKEN
    )
    return replace(settings, **changes)


@dataclass
class Door:
    """An authenticator and its clock, which shows the time of this machine until it is moved."""

    authenticator: Authenticator
    clock: FakeClock

    async def take(self, token: str, scheme: str = "Bearer") -> Principal:
        return await self.authenticator.bearer(f"{scheme} {token}", self.clock.now())

    async def refuse(self, token: str, scheme: str = "Bearer") -> str:
        """Why a token is refused, in the words of the log."""
        with pytest.raises(TokenRefused) as refused:
            await self.take(token, scheme)
        return refused.value.reason


def door_of(issuer: TokenIssuer, **changes: Any) -> Door:
    clock = FakeClock(time.time())
    return Door(Authenticator(settings_of(issuer, **changes), clock), clock)


@pytest.fixture
def door(issuer: TokenIssuer) -> Door:
    return door_of(issuer)


# --- the admin token --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_admin_token_may_do_everything(door: Door, scheme: str) -> None:
    principal = await door.take(ADMIN_TOKEN, scheme)
    assert (principal.kind, principal.grants) == (PrincipalKind.ADMIN_TOKEN, EVERYTHING)
    assert principal.name


@pytest.mark.parametrize("token", [ADMIN_TOKEN[:-1], f"{ADMIN_TOKEN}x", ADMIN_TOKEN.upper(), "ü" * 40])
async def test_admin_token_with_another_character_is_refused(door: Door, token: str) -> None:
    assert "no token" in await door.refuse(token)


async def test_admin_token_that_is_not_set_lets_nobody_in(issuer: TokenIssuer) -> None:
    assert await door_of(issuer, admin_token=Secret(""), entra_tenants=()).refuse("x")


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Basic YTpi", "HMAC-SHA256 x", str(ADMIN_TOKEN)])
async def test_bearer_of_another_scheme_or_nothing_is_refused(door: Door, authorization: str) -> None:
    with pytest.raises(TokenRefused):
        await door.authenticator.bearer(authorization, door.clock.now())


# --- tokens of Entra that are taken -----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
async def test_token_of_an_application_names_it_with_its_roles(issuer: TokenIssuer, door: Door, version: int) -> None:
    application, object_id = str(uuid.uuid4()), str(uuid.uuid4())
    expires = int(time.time()) + 1800
    token = issuer.token(version=version, application=application, oid=object_id, roles=["Sender"], exp=expires)
    assert await door.take(token) == Principal(
        PrincipalKind.APPLICATION, name=application, object_id=object_id, tenant=issuer.tenant, grants=(Grant(Role.SENDER),),
        expires=expires,
    )  # fmt: skip


async def test_token_without_idtyp_whose_subject_is_the_application_itself_is_one_of_an_application(
    issuer: TokenIssuer, door: Door
) -> None:
    assert (await door.take(issuer.token(idtyp=None))).kind is PrincipalKind.APPLICATION


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("claim", ["upn", "preferred_username"])
async def test_token_of_a_person_names_the_person(issuer: TokenIssuer, door: Door, version: int, claim: str) -> None:
    names = {"upn": None, claim: "ann@contoso.test"}
    principal = await door.take(issuer.user_token(version=version, roles=["Reader"], **names))
    assert (principal.kind, principal.name) == (PrincipalKind.USER, "ann@contoso.test")
    assert principal.grants == (Grant(Role.READER),)


@pytest.mark.parametrize("slash", ["", "/"], ids=["no slash", "slash"])
@pytest.mark.parametrize("audience", AUDIENCES)
async def test_token_for_an_audience_of_acs_or_arm_is_taken(issuer: TokenIssuer, door: Door, audience: str, slash: str) -> None:
    assert (await door.take(issuer.token(aud=audience + slash))).tenant == issuer.tenant


@pytest.mark.parametrize("audience", ["api://postrider", "7e6d4f0e-3f52-4fd7-a3f7-5a3c2f6f1b22"])
async def test_token_for_an_audience_of_the_settings_is_taken(issuer: TokenIssuer, audience: str) -> None:
    token = issuer.token(aud=audience)
    assert await door_of(issuer, entra_audiences=(audience,)).take(token)
    assert "InvalidAudience" in await door_of(issuer).refuse(token)


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256"])
async def test_token_signed_with_an_rsa_algorithm_is_taken(issuer: TokenIssuer, door: Door, algorithm: str) -> None:
    assert await door.take(issuer.token(algorithm=algorithm))


async def test_token_signed_with_an_elliptic_curve_is_taken(issuer: TokenIssuer, door: Door) -> None:
    issuer.keys.insert(0, ec_key())
    assert await door.take(issuer.token())


async def test_token_of_any_of_several_tenants_is_taken(issuer: TokenIssuer) -> None:
    assert await door_of(issuer, entra_tenants=(str(uuid.uuid4()), issuer.tenant.upper())).take(issuer.token())


@pytest.mark.parametrize("seconds", [-299, 3600 + 299], ids=["before nbf", "after exp"])
async def test_token_within_five_minutes_of_its_time_is_taken(issuer: TokenIssuer, door: Door, seconds: int) -> None:
    token = issuer.token(now=door.clock.now())
    door.clock.advance(seconds)
    assert await door.take(token)


# --- tokens that are not ----------------------------------------------------------------------------------------------


def with_alg(token: str, algorithm: str, signature: str) -> str:
    header, body, _ = token.split(".")
    members = json.loads(base64.urlsafe_b64decode(header + "=="))
    members["alg"] = algorithm
    return ".".join((base64.urlsafe_b64encode(json.dumps(members).encode()).decode().rstrip("="), body, signature))


def _signed_with_the_public_key(issuer: TokenIssuer) -> str:
    """Algorithm confusion: HMAC with what everybody can read. PyJWT itself refuses to make it, so it is made by hand."""
    import hmac

    public = issuer.keys[0].private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    unsigned = with_alg(issuer.token(), "HS256", "").rstrip(".")
    signature = base64.urlsafe_b64encode(hmac.digest(public, unsigned.encode(), "sha256")).decode().rstrip("=")
    return f"{unsigned}.{signature}"


BAD_TOKENS: dict[str, tuple[Callable[[TokenIssuer], str], str]] = {
    "expired": (lambda i: i.token(now=time.time() - 3600 - 301), "expired"),
    "not yet valid": (lambda i: i.token(now=time.time() + 302), "valid in"),
    "no expiry": (lambda i: i.token(exp=None), "MissingRequiredClaim"),
    "expiry that is text": (lambda i: i.token(exp="never"), "no number"),
    "unsigned": (lambda i: i.token().rpartition(".")[0] + ".", "InvalidSignature"),
    "alg none": (lambda i: with_alg(i.token(), "none", ""), "algorithm 'none'"),
    "alg None": (lambda i: with_alg(i.token(), "None", ""), "algorithm 'None'"),
    "HS256 with the public key": (_signed_with_the_public_key, "algorithm 'HS256'"),
    "HS256 with a short secret": (
        lambda i: i.token(secret=b"a secret of thirty-two characters", algorithm="HS256"),
        "algorithm 'HS256'",
    ),
    "another key under a known name": (lambda i: i.token(key=rsa_key(i.keys[0].name)), "InvalidSignature"),
    "a key that is not the issuer's": (lambda i: i.token(key=rsa_key()), "has no key"),
    "changed body": (lambda i: _with_other_body(i.token(), roles=["Admin"]), "InvalidSignature"),
    "wrong audience": (lambda i: i.token(aud="https://graph.microsoft.com"), "InvalidAudience"),
    "audience that begins like ours": (lambda i: i.token(aud="https://communication.azure.com.evil.test"), "InvalidAudience"),
    "no audience": (lambda i: i.token(aud=None), "MissingRequiredClaim"),
    "wrong issuer": (lambda i: i.token(iss="https://issuer.test/v2.0"), "InvalidIssuer"),
    "issuer of another tenant": (lambda i: i.token(iss=i.issuer(2).replace(i.tenant, str(uuid.uuid4()))), "InvalidIssuer"),
    "issuer of the other version": (lambda i: i.token(version=2, iss=i.issuer(1) + "v2.0"), "InvalidIssuer"),
    "no issuer": (lambda i: i.token(iss=None), "lacks"),
    "wrong tenant": (lambda i: i.token(tid=str(uuid.uuid4())), "not one of POSTRIDER_ENTRA_TENANTS"),
    "no tenant": (lambda i: i.token(tid=None), "lacks"),
    "no key name": (lambda i: i.token(headers={"kid": None}), "lacks kid"),
    "unknown critical header": (lambda i: i.token(headers={"crit": ["x"], "x": 1}), "critical"),
    "an ID token of somebody": (lambda i: i.user_token(scp=None), "neither"),
    "no object id": (lambda i: i.token(oid=None, sub="x"), "neither"),
    "no JWT": (lambda i: "abc", "no token"),
    "five parts": (lambda i: i.token() + ".a.b", "no token"),
    "a body that is no object": (lambda i: _with_body(i.token(), b"[1]"), "no token"),
    "deep JSON": (lambda i: _with_body(i.token(), b"[" * 20_000), "no token"),
    "very long": (lambda i: "a" * 33_000, "more than"),
}


def _with_body(token: str, body: bytes) -> str:
    header, _, signature = token.split(".")
    return ".".join((header, base64.urlsafe_b64encode(body).decode().rstrip("="), signature))


def _with_other_body(token: str, **claims: Any) -> str:
    body = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return _with_body(token, json.dumps({**body, **claims}).encode())


@pytest.mark.parametrize("situation", BAD_TOKENS)
async def test_token_that_is_wrong_is_refused_for_that_reason(issuer: TokenIssuer, door: Door, situation: str) -> None:
    assert await door.take(issuer.token())
    make, reason = BAD_TOKENS[situation]
    token = make(issuer)
    refused = await door.refuse(token)
    assert reason in refused
    assert token not in refused


async def test_token_of_a_tenant_that_nobody_named_asks_no_issuer(issuer: TokenIssuer) -> None:
    assert "not one of" in await door_of(issuer, entra_tenants=(str(uuid.uuid4()),)).refuse(issuer.token())
    assert issuer.requests == []


async def test_token_while_no_tenant_is_set_is_refused(issuer: TokenIssuer) -> None:
    assert "POSTRIDER_ENTRA_TENANTS is empty" in await door_of(issuer, entra_tenants=()).refuse(issuer.token())


async def test_token_of_an_issuer_that_names_another_tenant_is_refused(issuer: TokenIssuer, door: Door) -> None:
    foreign = f"https://issuer.test/{uuid.uuid4()}/v2.0"
    issuer.answers[issuer.path(2)] = (200, json.dumps({**issuer.metadata(2), "issuer": foreign}).encode())
    assert "not that of the token's tenant" in await door.refuse(issuer.token(iss=foreign))


# --- roles ------------------------------------------------------------------------------------------------------------


async def test_token_with_roles_of_other_apps_has_no_grants(issuer: TokenIssuer, door: Door) -> None:
    assert (await door.take(issuer.token(roles=["Mail.Send", "Owner", 7]))).grants == ()
    assert (await door.take(issuer.token(roles="Admin"))).grants == ()


async def test_token_of_a_named_application_has_the_role_of_the_setting(issuer: TokenIssuer) -> None:
    application, scope = str(uuid.uuid4()), f"/subscriptions/{uuid.uuid4()}/resourceGroups/Mail"
    door = door_of(issuer, roles=(f"{application}=Sender@{scope}",))
    principal = await door.take(issuer.token(application=application.upper()))
    assert principal.grants == (Grant(Role.SENDER, scope.lower()),)


async def test_token_of_a_person_has_no_role_by_the_program_that_it_was_made_with(issuer: TokenIssuer) -> None:
    application, person = str(uuid.uuid4()), str(uuid.uuid4())
    door = door_of(issuer, roles=(f"{application}=Admin", f"{person}=Reader"))
    principal = await door.take(issuer.user_token(application=application, oid=person))
    assert principal.grants == (Grant(Role.READER),)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"roles": ("ann=Owner",)}, "POSTRIDER_ROLES"),
        ({"entra_tenants": ("contoso.onmicrosoft.com",)}, "POSTRIDER_ENTRA_TENANTS"),
        ({"entra_authority": "http://login.example"}, "POSTRIDER_ENTRA_AUTHORITY"),
        ({"entra_authority": "login.example"}, "POSTRIDER_ENTRA_AUTHORITY"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_authenticator_of_a_wrong_setting_stops_the_start(issuer: TokenIssuer, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        Authenticator(settings_of(issuer, **changes), FakeClock())
