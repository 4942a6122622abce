"""Reverse-paths and Feedback-IDs that say which message they belong to and that nobody else can make (VERP with a MAC).

`b+K.OPAQUE.MAC@bounce-domain`: K names the key; OPAQUE holds the service, the operation and the envelope; MAC is the first
80 bits of an HMAC-SHA256 over both. All of it is lower-case base32 (RFC 4648 section 6), for some servers change the case of
a local part, and 59 octets long, for RFC 5321 section 4.5.3.1.1 allows 64. A bounce changes nothing unless its recipient
reads back as a token here: a forged one could suppress a victim's address.

A complaint may come back without its reverse-path, so the message has a token in its header as well: `f+K.OPAQUE.MAC`, with a
MAC of its own. A header goes wherever mail is forwarded and kept, so what is read there must not open the way of bounces.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

MAX_ENVELOPES = 1024  # what two base32 characters count
SERVICE_KEY_LENGTH = 10
SENDER_ID = "postrider"  # the last part of a Feedback-ID: Gmail wants 5 to 15 characters that stay the same

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_MAC_BYTES = 10
_VERP, _FEEDBACK = "b", "f"
_PURPOSES = {_VERP: "verp", _FEEDBACK: "feedback"}  # keep the uses of a key apart from each other and from any other
_token = re.compile(r"([bf])\+([a-z2-7])\.([a-z2-7]{10})([a-z2-7]{26})([a-z2-7]{2})\.([a-z2-7]{16})")
_service_key = re.compile(r"[a-z2-7]{10}")
_key_id = re.compile(r"[a-z2-7]")


@dataclass(frozen=True, slots=True)
class VerpToken:
    """What a genuine token says. `envelope` is 0 for a message that was not split, and in a Feedback-ID."""

    service_key: str
    operation_id: str
    envelope: int


def make_reverse_path(
    *, service_key: str, operation_id: str, envelope: int, key_id: str, key: bytes, bounce_domain: str
) -> str:
    """The reverse-path of an envelope. Raises ValueError when a part does not fit its place."""
    return f"{_made(_VERP, service_key, operation_id, envelope, key_id, key)}@{bounce_domain}"


def make_feedback_id(*, service_key: str, operation_id: str, stream: str, key_id: str, key: bytes) -> str:
    """The value of the field Feedback-ID of a message: token, service, stream and sender, as Gmail reads it.

    It says nothing that the reverse-path does not say. `stream` tells kinds of mail apart in the statistics of a provider.
    Raises ValueError when a part does not fit its place.
    """
    return f"{_made(_FEEDBACK, service_key, operation_id, 0, key_id, key)}:{service_key}:{stream}:{SENDER_ID}"


def _made(kind: str, service_key: str, operation_id: str, envelope: int, key_id: str, key: bytes) -> str:
    if not _service_key.fullmatch(service_key):
        raise ValueError(f"a service key is {SERVICE_KEY_LENGTH} characters of a-z2-7")
    if not _key_id.fullmatch(key_id):
        raise ValueError("a key id is one character of a-z2-7")
    if not 0 <= envelope < MAX_ENVELOPES:
        raise ValueError(f"an envelope number is below {MAX_ENVELOPES}")
    operation = base64.b32encode(uuid.UUID(operation_id).bytes).decode().rstrip("=").lower()
    opaque = f"{service_key}{operation}{_ALPHABET[envelope >> 5]}{_ALPHABET[envelope & 31]}"
    return f"{kind}+{key_id}.{opaque}.{_mac(key, kind, key_id, opaque)}"


def read_reverse_path(address: str, keys: Mapping[str, bytes]) -> VerpToken | None:
    """What the address says, or None when none of our keys made it. The domain is the caller's to judge.

    The time that it takes does not tell whether a key is known or how much of a MAC is right.
    """
    return _read(address.rpartition("@")[0], keys, (_VERP,))


def read_feedback_token(text: str, keys: Mapping[str, bytes]) -> VerpToken | None:
    """What a token in a report says: one of Feedback-ID, or the local part of a reverse-path. None when it is not ours."""
    return _read(text, keys, (_VERP, _FEEDBACK))


def _read(token: str, keys: Mapping[str, bytes], kinds: tuple[str, ...]) -> VerpToken | None:
    found = _token.fullmatch(token.lower())
    if not found or found[1] not in kinds:
        return None
    kind, key_id, service_key, operation, envelope, mac = found.groups()
    key = keys.get(key_id)
    expected = _mac(key or b"no such key", kind, key_id, f"{service_key}{operation}{envelope}")
    if not hmac.compare_digest(expected, mac) or key is None:
        return None
    number = _ALPHABET.index(envelope[0]) << 5 | _ALPHABET.index(envelope[1])
    decoded = uuid.UUID(bytes=base64.b32decode(f"{operation.upper()}======"))
    return VerpToken(service_key, str(decoded), number)


def _mac(key: bytes, kind: str, key_id: str, opaque: str) -> str:
    digest = hmac.new(key, f"postrider {_PURPOSES[kind]} 1 {key_id} {opaque}".encode(), hashlib.sha256).digest()
    return base64.b32encode(digest[:_MAC_BYTES]).decode().lower()
