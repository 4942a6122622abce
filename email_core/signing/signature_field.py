"""A header field that holds tags and ends with a signature over what it was told and over itself (RFC 6376 section 3.7)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

LINE_LENGTH = 78  # RFC 5322 section 2.1.1, without the CRLF

_rsa_padding = PKCS1v15()
_sha256 = hashes.SHA256()


def signature_field(name: bytes, tags: Iterable[bytes], key: RSAPrivateKey | Ed25519PrivateKey, signed: bytes) -> bytes:
    """The field with its CRLF. Each tag begins with a space and ends with a semicolon; b= comes after them.

    `signed` are the canonical fields that come before this one in what is signed.
    """
    value = _folded(name, tags) + b"\r\n b="
    # The field signs itself with an empty b= and without its CRLF (RFC 6376 section 3.7). A fold is one space here, as
    # the relaxed algorithm makes of it; nothing else in the value would change.
    signed += b"%b:%b" % (name.lower(), value.replace(b"\r\n ", b" ").lstrip(b" "))
    if isinstance(key, RSAPrivateKey):
        signature = key.sign(signed, _rsa_padding, _sha256)
    else:
        # RFC 8463 section 3: PureEdDSA over the SHA-256 hash.
        signature = key.sign(hashlib.sha256(signed).digest())
    return b"%b:%b%b\r\n" % (name, value, _broken(base64.b64encode(signature), len(b" b=")))


def _folded(name: bytes, tags: Iterable[bytes]) -> bytes:
    """The tags joined, with a fold before each that would not fit its line; RFC 6376 section 3.5 allows one at each of them."""
    folded = bytearray()
    column = len(name) + 1
    for tag in tags:
        if column + len(tag) > LINE_LENGTH:
            tag = tag.lstrip(b" ")
            folded += b"\r\n "
            column = 1
        folded += tag
        column += len(tag)
    return bytes(folded)


def _broken(text: bytes, column: int) -> bytes:
    """Base64 folded anywhere, the first line beginning at a column."""
    first = LINE_LENGTH - column
    rest = range(first, len(text), LINE_LENGTH - 1)
    return b"\r\n ".join([text[:first], *(text[start : start + LINE_LENGTH - 1] for start in rest)])
