"""The public key that a DKIM key record publishes (RFC 6376 section 3.6.1, RFC 8463)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

LONGEST_RECORD = 8192  # characters; a key of 4,096 bits takes some 750
RSA_BITS = (1024, 4096)  # RFC 8301 section 3.2: what every verifier takes; beyond it a key only costs time
LARGEST_EXPONENT = 2**32  # 65,537 is what is in use

KeyRecords = Mapping[str, str | None]
"""TXT records by the names that were asked for: None where there is none. A name that nobody could answer is not in it."""


class KeyRecordError(ValueError):
    """A key record can't be used; the text says why, and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A key from the DNS. `exact_domain`: it signs for its own domain only, not for those below (flag t=s)."""

    algorithm: str
    key: RSAPublicKey | Ed25519PublicKey
    exact_domain: bool = False

    def verifies(self, digest: bytes, signature: bytes) -> bool:
        """Whether it made the signature over a SHA-256 digest."""
        try:
            if isinstance(self.key, RSAPublicKey):
                self.key.verify(signature, digest, PKCS1v15(), Prehashed(SHA256()))
            else:
                self.key.verify(signature, digest)
        except InvalidSignature:
            return False
        return True


def published_key(record: str) -> PublishedKey:
    """The key of a record. Raises KeyRecordError."""
    if len(record) > LONGEST_RECORD:
        raise KeyRecordError("the key record is too long")
    tags = {name.strip(): value.strip() for name, _, value in (tag.partition("=") for tag in record.split(";"))}
    if tags.get("v", "DKIM1") != "DKIM1":
        raise KeyRecordError("the key record has another version than DKIM1")
    if "sha256" not in _words(tags.get("h", "sha256")):
        raise KeyRecordError("the key record does not allow sha256")
    if not _words(tags.get("s", "*")) & {"*", "email"}:
        raise KeyRecordError("the key is not for mail")
    try:
        der = base64.b64decode("".join(tags.get("p", "").split()), validate=True)
    except (binascii.Error, ValueError):
        raise KeyRecordError("the key in the record is no base64") from None
    if not der:
        raise KeyRecordError("the key was revoked, or the record has none")
    exact = "s" in _words(tags.get("t", ""))
    kind = tags.get("k", "rsa").lower()
    if kind == "ed25519" and len(der) == 32:
        return PublishedKey("ed25519-sha256", Ed25519PublicKey.from_public_bytes(der), exact)
    if kind == "rsa":
        return PublishedKey("rsa-sha256", _rsa_key(der), exact)
    raise KeyRecordError("the key is of a kind that is not known")


def _rsa_key(der: bytes) -> RSAPublicKey:
    try:
        # RFC 6376 section 3.6.1 means a SubjectPublicKeyInfo, as its erratum says.
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyRecordError("the key in the record can't be read") from None
    if not isinstance(key, RSAPublicKey):
        raise KeyRecordError("the key in the record is not RSA")
    numbers: RSAPublicNumbers = key.public_numbers()
    if not RSA_BITS[0] <= key.key_size <= RSA_BITS[1] or numbers.e > LARGEST_EXPONENT:
        raise KeyRecordError(f"the key has {key.key_size} bits; {RSA_BITS[0]} to {RSA_BITS[1]} are taken")
    return key


def _words(value: str) -> set[str]:
    return {word.strip().lower() for word in value.split(":")}
