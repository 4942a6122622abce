"""The keys of an issuer: kept, asked for again when one is new, and not asked for more than that."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from dataclasses import dataclass

import pytest

from email_core.auth.authenticate import Authenticator, IssuerUnavailable, TokenRefused
from email_core.auth.jwks import LIFETIME, MOST_BYTES, REFETCH_SECONDS, STALE_SECONDS, KeyCache, public_keys, why_not_fetched
from email_core.settings import Settings, StorageSettings
from tests.kit.clock import FakeClock
from tests.kit.token_issuer import TokenIssuer, ec_key, rsa_key

FETCHES = 2  # metadata and keys


@dataclass
class Cache:
    """A cache of the issuer's keys, and the clock it goes by."""

    issuer: TokenIssuer
    clock: FakeClock
    keys: KeyCache

    async def has(self, name: str) -> bool:
        return name in (await self.keys.with_key(name)).keys


@pytest.fixture
def cache(issuer: TokenIssuer) -> Cache:
    clock = FakeClock()
    return Cache(issuer, clock, KeyCache(issuer.authority + issuer.path(2), clock))


async def test_keys_are_asked_for_once_a_day(cache: Cache) -> None:
    name = cache.issuer.keys[0].name
    for seconds in (0, 10, LIFETIME - 11):
        cache.clock.advance(seconds)
        assert await cache.has(name)
    assert len(cache.issuer.requests) == FETCHES
    cache.clock.advance(2)
    assert await cache.has(name)
    assert len(cache.issuer.requests) == 2 * FETCHES


async def test_keys_that_many_readers_want_at_once_are_fetched_once(cache: Cache) -> None:
    name = cache.issuer.keys[0].name
    assert all(await asyncio.gather(*(cache.has(name) for _ in range(50))))
    assert len(cache.issuer.requests) == FETCHES


async def test_keys_of_a_reader_that_gives_up_reach_the_others(cache: Cache) -> None:
    name = cache.issuer.keys[0].name
    impatient, patient = (asyncio.create_task(cache.has(name)) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient


async def test_key_that_is_new_is_found_after_a_rotation_and_the_old_one_is_gone(cache: Cache) -> None:
    old, new = cache.issuer.keys[0], rsa_key()
    assert await cache.has(old.name)
    cache.issuer.keys[:] = [new]
    cache.clock.advance(REFETCH_SECONDS)
    assert await cache.has(new.name)
    assert not await cache.has(old.name)


async def test_keys_with_made_up_names_do_not_hammer_the_issuer(cache: Cache) -> None:
    assert await cache.has(cache.issuer.keys[0].name)
    for second in range(120):
        assert not await cache.has(f"made up {second}")
        cache.clock.advance(1)
    assert len(cache.issuer.requests) <= 3 * FETCHES


async def test_keys_while_the_issuer_is_away_do_beyond_their_day(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "postrider")
    name = cache.issuer.keys[0].name
    assert await cache.has(name)
    cache.issuer.close()
    for seconds in (LIFETIME + 1, STALE_SECONDS - 2):
        cache.clock.advance(seconds)
        assert await cache.has(name)
    cache.clock.advance(2)
    with pytest.raises(IssuerUnavailable, match="localhost"):
        await cache.has(name)


async def test_keys_of_an_issuer_that_was_never_there_are_asked_for_every_ten_seconds(cache: Cache) -> None:
    path = cache.issuer.path(2)
    cache.issuer.answers[path] = (503, b"")
    for _ in range(25):
        with pytest.raises(IssuerUnavailable, match="503"):
            await cache.has("x")
        cache.clock.advance(1)
    assert len(cache.issuer.requests) == 3
    del cache.issuer.answers[path]
    cache.clock.advance(10)
    assert await cache.has(cache.issuer.keys[0].name)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (302, b"http://127.0.0.1:9/elsewhere", "302"),
        (500, b"", "500"),
        (200, b"no JSON", "can't be read"),
        (200, b"[]", "no JSON object"),
        (200, b"{}", "names no issuer"),
        (200, b'{"issuer": "x", "jwks_uri": "http://keys.test/"}', "https://"),
        (200, b'{"issuer": "x", "jwks_uri": "file:///etc/passwd"}', "https://"),
        (200, b'"' + b"x" * MOST_BYTES + b'"', "more than"),
        (200, b"[" * 200_000, "can't be read"),
    ],
    ids=["redirect", "error", "no JSON", "array", "empty", "keys over HTTP", "keys of a file", "too large", "deep"],
)
async def test_metadata_that_is_wrong_is_told_and_not_followed(cache: Cache, status: int, body: bytes, said: str) -> None:
    cache.issuer.answers[cache.issuer.path(2)] = (status, body)
    with pytest.raises(IssuerUnavailable, match=said):
        await cache.has("x")


async def test_keys_that_are_none_for_signatures_are_left_out(issuer: TokenIssuer) -> None:
    good, small, curve = rsa_key("good"), rsa_key("small", bits=1024), ec_key("curve")
    entries = [
        good.public(),
        small.public(),
        curve.public(),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
        {**good.public(), "kid": "for encryption", "use": "enc"},
        {**good.public(), "kid": "private", "d": "AQAB"},
        {**good.public(), "kid": ""},
        {**good.public(), "kid": "narrow", "alg": "RS512"},
        {**good.public(), "kid": "for HMAC", "alg": "HS256"},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
        {"kty": "EC", "crv": "P-521", "kid": "another curve"},
        "no object",
    ]
    keys = public_keys({"keys": entries})
    assert {name: key.algorithms for name, key in keys.items()} == {
        "good": ("RS256", "RS384", "RS512", "PS256"),
        "curve": ("ES256",),
        "narrow": ("RS512",),
    }
    assert public_keys({"keys": None}) == {}


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("https://login.microsoftonline.com/x", True),
        ("http://localhost:8080/x", True),
        ("http://127.0.0.1/x", True),
        ("http://[::1]:80/x", True),
        ("http://login.microsoftonline.com/x", False),
        ("http://127.0.0.1.evil.test/x", False),
        ("http://localhost@evil.test/", False),
        ("ftp://localhost/x", False),
        ("https:///x", False),
        ("http://[::1", False),
        ("", False),
    ],
)
def test_address_of_keys_is_asked_over_https_or_on_this_machine(url: str, taken: bool) -> None:
    assert (why_not_fetched(url) == "") is taken


async def test_token_is_taken_before_during_and_after_a_rotation(issuer: TokenIssuer) -> None:
    clock = FakeClock(time.time())
    settings = Settings(storage=StorageSettings(), entra_tenants=(issuer.tenant,), entra_authority=issuer.authority)
    authenticator = Authenticator(settings, clock)
    old, new = issuer.keys[0], rsa_key()

    async def taken(token: str) -> bool:
        try:
            return bool(await authenticator.bearer(f"Bearer {token}", clock.now()))
        except TokenRefused:
            return False

    assert await taken(issuer.token())
    issuer.keys[:] = [old, new]
    clock.advance(REFETCH_SECONDS)
    assert await taken(issuer.token(key=new)) and await taken(issuer.token(key=old))
    issuer.keys[:] = [new]
    clock.advance(LIFETIME)
    assert await taken(issuer.token(key=new, now=clock.now()))
    assert not await taken(issuer.token(key=old, now=clock.now()))


async def test_metadata_of_the_kit_is_what_entra_has(issuer: TokenIssuer) -> None:
    """So that a test of the fetch is one of what is out there: the members that clients read are in it."""
    status, body = issuer.answer(issuer.path(2), None)
    assert status == 200
    assert {"issuer", "jwks_uri", "token_endpoint", "authorization_endpoint"} <= set(json.loads(body))
