"""dkimpy as the oracle: an outside implementation that reads the same messages and verifies what we sign.

dkimpy is quadratic on long runs of blanks, so nothing with such a run may be given to it.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from types import SimpleNamespace

import dkim
import dkim.canonicalization
import dkim.crypto
import dkim.util
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from email_core.domains.dkim_keys import load_private_key, public_record
from email_core.signing.dkim import SigningKey

GOLDEN = Path(__file__).parents[2] / "golden" / "dkim"
NOW = 1_790_000_000.0
WEEK = 7 * 86400.0
DOMAIN = "football.example.com"


def golden_key(name: str) -> SigningKey:
    """A key of the golden cases, `rsa` or `ed25519`; its selector is its name."""
    der = base64.b64decode((GOLDEN / "keys" / f"{name}.key").read_text())
    return SigningKey(domain=DOMAIN, selector=name, private_key=load_private_key(der))


RSA_KEY = golden_key("rsa")
ED25519_KEY = golden_key("ed25519")
BOTH_KEYS = (RSA_KEY, ED25519_KEY)


def zone_of(*keys: SigningKey) -> dict[bytes, bytes]:
    """The TXT records that publish the keys, as dkimpy asks for them."""
    return {f"{key}.".encode(): public_record(key.private_key).encode() for key in keys}


def dkimpy_verifies(message: bytes, index: int, zone: dict[bytes, bytes]) -> bool:
    """Whether dkimpy accepts the signature at an index, counted from the top; False too when it refuses to look at it."""
    try:
        return bool(dkim.DKIM(message).verify(idx=index, dnsfunc=lambda name, timeout=5: zone.get(name, b"")))
    except dkim.DKIMException:
        return False


def dkimpy_canonical(message: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The relaxed fields and body of a message, as dkimpy makes them."""
    fields, body = dkim.rfc822_parse(message)
    relaxed = dkim.canonicalization.Relaxed
    canonical = relaxed.canonicalize_headers(fields)
    return [(name, name + b":" + value) for name, value in canonical], relaxed.canonicalize_body(body)


def dkimpy_rsa_signature(signed_message: bytes, key: SigningKey) -> str:
    """The b= value that dkimpy's own RSA makes over the input of the topmost signature field."""
    fields, _ = dkim.rfc822_parse(signed_message)
    field = next((name, value) for name, value in fields if name.lower() == b"dkim-signature")
    tags = dkim.util.parse_tag_value(field[1])
    listed = [name.strip() for name in tags[b"h"].split(b":")]
    relaxed = dkim.canonicalization.Relaxed
    hasher = dkim.HashThrough(hashlib.sha256())
    dkim.hash_headers(hasher, relaxed, relaxed.canonicalize_headers(fields), listed, field, tags)
    assert isinstance(key.private_key, RSAPrivateKey)
    der = key.private_key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    signature = dkim.crypto.RSASSA_PKCS1_v1_5_sign(hasher, dkim.crypto.parse_pem_private_key(der))
    return base64.b64encode(signature).decode()


@pytest.fixture(scope="module")
def dkimpy_at_now():
    """dkimpy's clock at NOW, so that t= and x= of fixed signatures are neither early nor late."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dkim, "time", SimpleNamespace(time=lambda: NOW))
        yield
