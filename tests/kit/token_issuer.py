"""A token issuer as Entra is one: OpenID metadata, JWKS, and client credentials, over HTTP or HTTPS on loopback.

Tokens of version 1 and 2, of applications and of people, and whatever a test wants to be wrong with them.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ACS = "https://communication.azure.com/"
LIFETIME = 3600  # seconds


@dataclass(frozen=True)
class SigningKey:
    """A private key of the issuer under its name."""

    name: str
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    algorithm: str = "RS256"

    def public(self) -> dict[str, Any]:
        """Its entry in the JWKS, as Entra writes them: without `alg`."""
        key: Any = self.private.public_key()
        jwk = (RSAAlgorithm if isinstance(self.private, rsa.RSAPrivateKey) else ECAlgorithm).to_jwk(key, as_dict=True)
        return {key: value for key, value in jwk.items() if key != "key_ops"} | {"kid": self.name, "use": "sig"}


@dataclass
class Client:
    """An application that may ask for tokens."""

    secret: str
    roles: tuple[str, ...] = ()
    object_id: str = field(default_factory=lambda: str(uuid.uuid4()))


class TokenIssuer:
    """A running issuer for one tenant."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, host: str = "localhost") -> None:
        self.tenant = str(uuid.uuid4())
        self.keys = [rsa_key()]
        self.clients: dict[str, Client] = {}
        self.requests: list[str] = []  # paths, in their order
        self.answers: dict[str, tuple[int, bytes]] = {}  # by path: what is answered instead
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.authority = f"{'https' if tls else 'http'}://{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Be gone: nothing listens on its port any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def path(self, version: int, what: str = "/.well-known/openid-configuration") -> str:
        """A path of one of the two versions, by default that of the metadata."""
        return f"/{self.tenant}{'/v2.0' if version == 2 else ''}{what}"

    def issuer(self, version: int) -> str:
        """The `iss` of its tokens."""
        return f"https://sts.windows.net/{self.tenant}/" if version == 1 else f"{self.authority}/{self.tenant}/v2.0"

    def metadata(self, version: int) -> dict[str, Any]:
        """What discovery answers."""
        base = f"{self.authority}/{self.tenant}"
        keys = f"{base}/discovery/v2.0/keys" if version == 2 else f"{base}/discovery/keys"
        return {
            "issuer": self.issuer(version),
            "jwks_uri": keys,
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "response_types_supported": ["code", "id_token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def token(
        self, *, version: int = 2, now: float | None = None, key: SigningKey | None = None, algorithm: str = "",
        secret: Any = None, headers: Mapping[str, Any] | None = None, **claims: Any,
    ) -> str:  # fmt: skip
        """A token of an application, with other claims (None: without). `secret` signs instead of the key's own."""
        key = key or self.keys[0]
        issued = int(time.time() if now is None else now)
        application = str(claims.pop("application", uuid.uuid4()))
        object_id = claims.get("oid", str(uuid.uuid4()))
        body: dict[str, Any] = {
            "aud": ACS, "iss": self.issuer(version), "iat": issued, "nbf": issued, "exp": issued + LIFETIME,
            "tid": self.tenant, "oid": object_id, "sub": object_id, "idtyp": "app", "ver": f"{version}.0",
            "azp" if version == 2 else "appid": application,
        }  # fmt: skip
        body = {name: value for name, value in {**body, **claims}.items() if value is not None}
        return jwt.encode(
            body,
            key.private if secret is None else secret,
            algorithm=algorithm or key.algorithm,
            headers={name: value for name, value in {"kid": key.name, **(headers or {})}.items() if value is not None},
        )

    def user_token(self, *, scopes: str = "user_impersonation", name: str = "ann@contoso.test", **claims: Any) -> str:
        """A token of somebody who signed in."""
        who: dict[str, Any] = {"idtyp": None, "scp": scopes, "upn": name, "sub": "pairwise-subject"}
        return self.token(**{**who, **claims})

    def answer(self, path: str, form: Mapping[str, list[str]] | None) -> tuple[int, bytes]:
        """What is answered at a path; `form` is there for POST."""
        self.requests.append(path)
        if path in self.answers:
            return self.answers[path]
        if form is not None:
            return self._granted(path, form)
        documents: dict[str, Any] = {
            **{self.path(version): self.metadata(version) for version in (1, 2)},
            f"/{self.tenant}/discovery/keys": {"keys": [key.public() for key in self.keys]},
            f"/{self.tenant}/discovery/v2.0/keys": {"keys": [key.public() for key in self.keys]},
        }
        if path not in documents:
            return 404, b'{"error": "not found"}'
        return 200, json.dumps(documents[path]).encode()

    def _granted(self, path: str, form: Mapping[str, list[str]]) -> tuple[int, bytes]:
        asked = {name: values[0] for name, values in form.items()}
        client = self.clients.get(asked.get("client_id", ""))
        if path != f"/{self.tenant}/oauth2/v2.0/token" or asked.get("grant_type") != "client_credentials":
            return 400, b'{"error": "unsupported_grant_type"}'
        if client is None or client.secret != asked.get("client_secret"):
            return 401, b'{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret"}'
        token = self.token(
            aud=asked.get("scope", "").removesuffix("/.default"), application=asked["client_id"],
            oid=client.object_id, roles=list(client.roles),
        )  # fmt: skip
        return 200, json.dumps({"token_type": "Bearer", "expires_in": LIFETIME - 1, "access_token": token}).encode()


def rsa_key(name: str = "", *, algorithm: str = "RS256", bits: int = 2048) -> SigningKey:
    """An RSA key under a new name."""
    return SigningKey(name or uuid.uuid4().hex, rsa.generate_private_key(65537, bits), algorithm)


def ec_key(name: str = "") -> SigningKey:
    """A P-256 key under a new name."""
    return SigningKey(name or uuid.uuid4().hex, ec.generate_private_key(ec.SECP256R1()), "ES256")


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no fault of the issuer's: what it did not get, its test misses."""


def _handler(issuer: TokenIssuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            self._answer(parse_qs(body.decode()))

        def _answer(self, form: Mapping[str, list[str]] | None) -> None:
            status, body = issuer.answer(self.path.partition("?")[0], form)
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", body.decode())
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """A test that fails shows `requests`."""

    return Handler


@pytest.fixture
def issuer() -> Iterator[TokenIssuer]:
    """An issuer of the test's own over plain HTTP."""
    running = TokenIssuer()
    yield running
    running.close()
