"""DKIM keys: made, loaded, judged, and the record that publishes each (RFC 6376 section 3.6.1, RFC 8463 section 4)."""

from __future__ import annotations

import base64

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

DkimPrivateKey = RSAPrivateKey | Ed25519PrivateKey

# RFC 8301 section 3.2: signers use at least 1024 bits and should use 2048; verifiers need not take more than 4096.
LEAST_RSA_BITS = 1024
ADVISED_RSA_BITS = 2048
MOST_RSA_BITS = 4096


class DkimKeyError(ValueError):
    """Not a private key that mail may be signed with; the text names the rule and the remedy, and shows nothing of the key."""


def generate_rsa(bits: int = ADVISED_RSA_BITS) -> bytes:
    """A new RSA key as PKCS #8 DER. Raises DkimKeyError below 2048 and above 4096 bits."""
    if not ADVISED_RSA_BITS <= bits <= MOST_RSA_BITS:
        raise DkimKeyError(f"a new RSA key has {ADVISED_RSA_BITS} to {MOST_RSA_BITS} bits, not {bits}")
    return _private_bytes(rsa.generate_private_key(public_exponent=65537, key_size=bits))


def generate_ed25519() -> bytes:
    """A new Ed25519 key as PKCS #8 DER."""
    return _private_bytes(Ed25519PrivateKey.generate())


def load_private_key(der: bytes, *, was_sealed: bool = False) -> DkimPrivateKey:
    """The key of unencrypted DER (PKCS #8, or PKCS #1 for RSA). Raises DkimKeyError for anything else, or a weak key.

    `was_sealed`: the bytes are those that we sealed, of a key that was tried before, so its primes are not tested again.
    That takes 35 ms, in which a worker does nothing else.
    """
    try:
        key = load_der_private_key(der, password=None, unsafe_skip_rsa_key_validation=was_sealed)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The cause is OpenSSL's, of no help to the reader, and stays out of the traceback with the bytes it looked at.
        raise DkimKeyError("not an unencrypted private key in DER (PKCS #8); convert a PEM file with `openssl pkcs8`") from None
    if not isinstance(key, DkimPrivateKey):
        raise DkimKeyError("a DKIM key is RSA or Ed25519, and this is another kind; make one of 2048 bits")
    check_strength(key)
    return key


def check_strength(key: DkimPrivateKey) -> str:
    """A warning for the key's owner, or an empty string. Raises DkimKeyError for an RSA key below 1024 bits."""
    if isinstance(key, Ed25519PrivateKey):
        return ""
    if key.key_size < LEAST_RSA_BITS:
        raise DkimKeyError(
            f"an RSA key of {key.key_size} bits counts as no signature anywhere (RFC 8301); make one of 2048 bits"
        )
    if key.key_size < ADVISED_RSA_BITS:
        return (
            f"an RSA key of {key.key_size} bits is weak and some receivers distrust it (RFC 8301); rotate to one of 2048 bits"
        )
    if key.key_size > MOST_RSA_BITS:
        return f"receivers need not verify an RSA key of {key.key_size} bits (RFC 8301); rotate to one of 2048 bits"
    return ""


def public_record(key: DkimPrivateKey) -> str:
    """The TXT value that publishes the public half, such as `v=DKIM1; k=rsa; p=MIIB...`."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        # As a SubjectPublicKeyInfo, which is what everyone publishes (RFC 6376 section 3.6.1 with erratum 3017).
        published = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return f"v=DKIM1; k=rsa; p={base64.b64encode(published).decode()}"
    # RFC 8463 section 4.2: the bare 32 bytes.
    return f"v=DKIM1; k=ed25519; p={base64.b64encode(public.public_bytes_raw()).decode()}"


def _private_bytes(key: DkimPrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
