"""The signing keys of a token issuer: its OpenID metadata and JWKS, fetched over HTTPS and kept for a day.

A token names its key, so a new key is met before anybody tells of it: an unknown name makes us ask again, at most once a
minute, because anybody can write any name into a token. Readers that meet share one fetch.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from email_core import maillog
from email_core.auth.token_refused import IssuerUnavailable
from email_core.clock import Clock

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    PublicKey = RSAPublicKey | EllipticCurvePublicKey

LIFETIME = 24 * 3600.0  # seconds; Microsoft advises to look once a day
STALE_SECONDS = 6 * 3600.0  # beyond it while the issuer is away: outages are shorter, and a withdrawn key must not do for long
REFETCH_SECONDS = 60.0  # between two fetches for names of keys that are not known
RETRY_SECONDS = 10.0  # between two fetches while there are no keys at all
FETCH_SECONDS = 10.0
MOST_BYTES = 1024 * 1024  # of one document; those of Entra have some 10 KB
MOST_KEYS = 100
LEAST_RSA_BITS = 2048  # RFC 7518 section 3.3

RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256")
EC_ALGORITHMS = ("ES256",)

Fetch = Callable[[str], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A public key, and the algorithms that a signature by it may have: never one that takes it for a shared secret."""

    key: PublicKey
    algorithms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IssuerKeys:
    """What an issuer says of itself: the `iss` of its tokens, and its keys by name. `read_at` is of the monotonic clock."""

    issuer: str
    keys: Mapping[str, IssuerKey]
    read_at: float


class KeyCache:
    """The keys of one issuer, by the address of its OpenID metadata."""

    def __init__(self, metadata_url: str, clock: Clock, fetch: Fetch | None = None) -> None:
        self._metadata_url = metadata_url
        self._clock = clock
        self._fetch = fetch or fetch_json
        self._held: IssuerKeys | None = None
        self._failure = ""
        self._asked_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def with_key(self, name: str) -> IssuerKeys:
        """The issuer and its keys, asked for again when the name is not among them; it may be missing all the same.

        Raises IssuerUnavailable when nothing was ever learned, or what was learned is too old.
        """
        held = self._usable()
        if held is not None and name in held.keys and self._age(held) < LIFETIME:
            return held
        if held is not None and name in held.keys and self._failure:
            self._start()  # beside the readers: the issuer is away, and each would wait for it in vain
            return held
        if (asking := self._start()) is not None:
            # A task of its own, and shielded: a reader that gives up takes nothing from the others.
            await asyncio.shield(asking)
            held = self._usable()
        if held is None:
            raise IssuerUnavailable(self._failure or f"{self._metadata_url} was not read yet")
        return held

    def _start(self) -> asyncio.Task[None] | None:
        """The fetch that goes on, or is begun when it is time for one; None when it is not."""
        if self._asking is None:
            pause = REFETCH_SECONDS if self._held is not None else RETRY_SECONDS
            if self._clock.monotonic() - self._asked_at < pause:
                return None
            self._asked_at = self._clock.monotonic()
            self._asking = asyncio.create_task(self._ask())
        return self._asking

    async def _ask(self) -> None:
        try:
            self._held = await self._read()
            self._failure = ""
        except IssuerUnavailable as error:
            self._failure = str(error)
            maillog.fault("token-issuer", error=error)
        finally:
            self._asking = None

    async def _read(self) -> IssuerKeys:
        metadata = _members(await self._fetch(self._metadata_url), self._metadata_url)
        issuer, keys_url = metadata.get("issuer"), metadata.get("jwks_uri")
        if not isinstance(issuer, str) or not isinstance(keys_url, str):
            raise IssuerUnavailable(f"{self._metadata_url} names no issuer and jwks_uri")
        keys = public_keys(_members(await self._fetch(keys_url), keys_url))
        if not keys:
            raise IssuerUnavailable(f"{keys_url} has no key that tokens may be signed with")
        return IssuerKeys(issuer, keys, self._clock.monotonic())

    def _age(self, held: IssuerKeys) -> float:
        return self._clock.monotonic() - held.read_at

    def _usable(self) -> IssuerKeys | None:
        held = self._held
        return held if held is not None and self._age(held) < LIFETIME + STALE_SECONDS else None


def public_keys(document: Mapping[str, Any]) -> dict[str, IssuerKey]:
    """The keys of a JWKS (RFC 7517 section 5) that verify signatures, by name; keys of any other kind are left out."""
    keys: dict[str, IssuerKey] = {}
    entries = document.get("keys")
    for entry in entries[:MOST_KEYS] if isinstance(entries, list) else ():
        name = entry.get("kid") if isinstance(entry, dict) else None
        if isinstance(name, str) and name and (key := _public_key(entry)) is not None:
            keys[name] = key
    return keys


def _public_key(entry: dict[str, Any]) -> IssuerKey | None:
    from jwt.algorithms import ECAlgorithm, RSAAlgorithm
    from jwt.exceptions import PyJWTError

    if entry.get("use", "sig") != "sig" or "d" in entry:  # RFC 7517 section 4.2; a private key is nobody's to show
        return None
    try:
        match entry.get("kty"):
            case "RSA":
                rsa: Any = RSAAlgorithm.from_jwk(entry)
                algorithms = RSA_ALGORITHMS if rsa.key_size >= LEAST_RSA_BITS else ()
                key = IssuerKey(rsa, _narrowed(algorithms, entry))
            case "EC" if entry.get("crv") == "P-256":
                ec: Any = ECAlgorithm.from_jwk(entry)
                key = IssuerKey(ec, _narrowed(EC_ALGORITHMS, entry))
            case _:
                return None
    except (PyJWTError, ValueError, TypeError):
        return None  # a key that can't be read is none; the others do
    return key if key.algorithms else None


def _narrowed(algorithms: tuple[str, ...], entry: Mapping[str, Any]) -> tuple[str, ...]:
    """RFC 7517 section 4.4: a key may say which one it is for."""
    named = entry.get("alg")
    return algorithms if named is None else tuple(name for name in algorithms if name == named)


def why_not_fetched(url: str) -> str:
    """Why an address is not asked for keys; empty when it may be. Who can change the answer makes tokens."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "it is no URL"
    if parts.scheme == "https" and host:
        return ""
    if parts.scheme == "http" and (host == "localhost" or _is_loopback(host)):
        return ""
    return "it must begin with https:// (http:// only for this very machine)"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def fetch_json(url: str) -> Any:
    """The JSON document at an address. Raises IssuerUnavailable, which names the address."""
    import aiohttp

    if why := why_not_fetched(url):
        raise IssuerUnavailable(f"{url} is not asked for keys: {why}")
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            # A redirect would lead away from the address that was checked.
            session.get(url, headers=headers, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise IssuerUnavailable(f"{url} answered {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_chunked(64 * 1024):
                body += chunk
                if len(body) > MOST_BYTES:
                    raise IssuerUnavailable(f"{url} answered with more than {MOST_BYTES} bytes")
        return msgspec.json.decode(body)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RecursionError) as error:
        raise IssuerUnavailable(f"{url} can't be read: {type(error).__name__} {error}") from error


def _members(document: Any, url: str) -> Mapping[str, Any]:
    if not isinstance(document, dict):
        raise IssuerUnavailable(f"{url} answered with no JSON object")
    return document
