"""DKIM signatures (RFC 6376, RFC 8463) over composed messages, made with OpenSSL.

Always relaxed/relaxed, always with `t=` and `x=`, and never with `l=`, which would let anyone append to a signed message.
The hash of the body is made once for all keys. Hashing and RSA release the interpreter lock, so a large message may be
signed in a thread beside the event loop. Which fields are signed: `OVER_SIGNED` and `SIGNED_WHEN_PRESENT`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from email_core.signing.canonical import NotAHeader, canonical_body, canonical_fields
from email_core.signing.signature_field import signature_field

# Listed in h= once more than they occur, so that a field added on the way breaks the signature instead of showing the
# recipient another sender, subject, structure or unsubscribe link (RFC 6376 section 8.15; RFC 8058 section 4 for the last two).
OVER_SIGNED = (
    b"from",
    b"to",
    b"cc",
    b"subject",
    b"date",
    b"reply-to",
    b"message-id",
    b"mime-version",
    b"content-type",
    b"list-unsubscribe",
    b"list-unsubscribe-post",
)

# Listed as often as they occur: RFC 6376 section 5.4.1, and what receivers or mail programs act on. Forwarders may add
# these rightfully. Feedback-ID only counts at Gmail when it is signed. Trace fields are never signed (section 5.4).
SIGNED_WHEN_PRESENT = (
    b"sender",
    b"in-reply-to",
    b"references",
    b"content-transfer-encoding",
    b"content-language",
    b"auto-submitted",
    b"importance",
    b"x-priority",
    b"feedback-id",
    b"list-id",
    b"list-help",
    b"list-subscribe",
    b"list-post",
    b"list-owner",
    b"list-archive",
    b"resent-date",
    b"resent-from",
    b"resent-to",
    b"resent-cc",
    b"resent-message-id",
)

LEAST_RSA_BITS = 1024  # RFC 8301 section 3.2: verifiers take nothing below as signed
MOST_SECONDS = 10**12 - 1  # RFC 6376 section 3.5: t= and x= have at most 12 digits

_NAME = r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
_dns_name = re.compile(_NAME)


class SigningError(Exception):
    """The message can't be signed as it is, or with these keys. It waits; it is never sent unsigned."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and where its public half is published: `selector._domainkey.domain`, both in lower-case A-labels.

    Raises SigningError when a name is no DNS name, or the key is of another kind or below 1024 bits.
    """

    domain: str
    selector: str
    private_key: RSAPrivateKey | Ed25519PrivateKey = field(repr=False)

    def __post_init__(self) -> None:
        for name, value in (("domain", self.domain), ("selector", self.selector)):
            if len(value) > 253 or not _dns_name.fullmatch(value):
                raise SigningError(f"the {name} of a signing key must be a DNS name in lower-case A-labels; it is {value!r}")
        if isinstance(self.private_key, RSAPrivateKey):
            if self.private_key.key_size < LEAST_RSA_BITS:
                raise SigningError(f"the RSA key of {self} has {self.private_key.key_size} bits; make one of 2048")
        elif not isinstance(self.private_key, Ed25519PrivateKey):
            raise SigningError(f"the key of {self} is neither RSA nor Ed25519")

    def __str__(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def algorithm(self) -> str:
        """The value of the a= tag: `rsa-sha256` or `ed25519-sha256`."""
        return "rsa-sha256" if isinstance(self.private_key, RSAPrivateKey) else "ed25519-sha256"


def sign(message: bytes, keys: Sequence[SigningKey], *, now: float, valid_for: float) -> bytes:
    """The DKIM-Signature fields to put before the message, one for each key in their order, each ending in CRLF.

    `now` is in seconds since the epoch, `valid_for` in seconds: they become t= and x=. Raises SigningError when there is
    no key, a line break is not CRLF, the header is malformed, or there is not exactly one From.
    """
    if not keys:
        raise SigningError("there is no key to sign with: the domain needs at least one active selector")
    signed_at, expires_at = int(now), int(now + valid_for)
    if not 0 <= signed_at < expires_at <= MOST_SECONDS:  # RFC 6376 section 3.5: x= is greater than t=
        raise SigningError(f"a signature made at {signed_at} can't expire at {expires_at}")
    if not message.count(b"\r\n") == message.count(b"\n") == message.count(b"\r"):
        # A hop that mends the line break would break the signature; one that keeps it can be smuggled through.
        raise SigningError("the message has a CR or LF that is not part of a CRLF")
    header, body = _header_and_body(message)
    names, signed_fields = _signed_fields(header)
    body_hash = base64.b64encode(hashlib.sha256(canonical_body(body)).digest())
    return b"".join(_signature(key, names, signed_fields, body_hash, signed_at, expires_at) for key in keys)


def _header_and_body(message: bytes) -> tuple[bytes, bytes]:
    end = message.find(b"\r\n\r\n")
    if end >= 0:
        return message[: end + 2], message[end + 4 :]
    if message.endswith(b"\r\n"):
        return message, b""
    raise SigningError("the message has no empty line after its header")


def _signed_fields(header: bytes) -> tuple[list[bytes], bytes]:
    """The names for h=, and the canonical fields that they stand for: the last of a name first (RFC 6376 section 5.4.2)."""
    try:
        fields = canonical_fields(header)
    except NotAHeader as error:
        raise SigningError(str(error)) from error
    by_name: dict[bytes, list[bytes]] = {}
    for name, canonical in reversed(fields):
        by_name.setdefault(name, []).append(canonical)
    if len(by_name.get(b"from", ())) != 1:
        # RFC 5322 section 3.6. With several, programs disagree about which one to show.
        raise SigningError(f"the message has {len(by_name.get(b'from', ()))} From fields, and must have one")
    names: list[bytes] = []
    signed: list[bytes] = []
    for name in OVER_SIGNED:
        present = by_name.get(name, [])
        names += [name] * (len(present) + 1)
        signed += present
    for name in SIGNED_WHEN_PRESENT:
        present = by_name.get(name, [])
        names += [name] * len(present)
        signed += present
    return names, b"".join(signed)


def _signature(
    key: SigningKey, names: list[bytes], signed_fields: bytes, body_hash: bytes, signed_at: int, expires_at: int
) -> bytes:
    tags = [
        b" v=1;",
        b" a=%b;" % key.algorithm.encode(),
        b" c=relaxed/relaxed;",
        b" d=%b;" % key.domain.encode(),
        b" s=%b;" % key.selector.encode(),
        b" t=%d;" % signed_at,
        b" x=%d;" % expires_at,
        b" h=%b:" % names[0],
        *(b"%b:" % name for name in names[1:-1]),
        b"%b;" % names[-1],
        b" bh=%b;" % body_hash,
    ]
    return signature_field(b"DKIM-Signature", tags, key.private_key, signed_fields)
