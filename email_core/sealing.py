"""Secrets at rest, sealed with AES-256-GCM as `v1.<key id>.<base64url of nonce and ciphertext>`.

The context, such as the resource id of the row that holds the value, is authenticated with it: a sealed value that is
moved to another row does not open there. Keys rotate without a stop: the first one seals, all of them open.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SETTING = "POSTRIDER_SEALING_KEY"
KEY_BYTES = 32  # AES-256
NONCE_BYTES = 12  # NIST SP 800-38D section 8.2.2: random 96-bit nonces are safe for 2**32 seals under one key
VERSION = "v1"

_TAG_BYTES = 16
_HOW_TO_MAKE_ONE = "make one with `openssl rand -base64 32`"


class SealingError(Exception):
    """A key is missing or malformed, or a sealed value does not open. The text says what to do, and holds no secret."""


class Sealer:
    """Seals and opens secrets. Raises SealingError when there is no key, or one is not of 32 bytes."""

    def __init__(self, *keys: bytes) -> None:
        if not keys:
            raise SealingError(f"{SETTING} is empty, so secrets can't be kept: {_HOW_TO_MAKE_ONE}")
        for number, key in enumerate(keys, 1):
            if len(key) != KEY_BYTES:
                raise SealingError(f"key {number} of {SETTING} has {len(key)} bytes and must have 32: {_HOW_TO_MAKE_ONE}")
        self._keys = keys
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._sealing_key_id = _key_id(keys[0])

    @classmethod
    def from_setting(cls, setting: str) -> Sealer:
        """A sealer with the keys of the setting: base64 of 32 bytes each, separated by commas, the one that seals first."""
        keys = [_decoded_key(text.strip(), number) for number, text in enumerate(setting.split(","), 1)]
        return cls(*keys) if setting.strip() else cls()

    def __repr__(self) -> str:
        return f"Sealer(seals with {self._sealing_key_id}, opens {', '.join(self._ciphers)})"

    def seal(self, plaintext: bytes, *, context: str) -> str:
        """The sealed form, which opens with the same context only."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        cipher = self._ciphers[self._sealing_key_id]
        sealed = nonce + cipher.encrypt(nonce, plaintext, _associated_data(self._sealing_key_id, context))
        return f"{VERSION}.{self._sealing_key_id}.{base64.urlsafe_b64encode(sealed).decode().rstrip('=')}"

    def open(self, sealed: str, *, context: str) -> bytes:
        """The plaintext. Raises SealingError when the value is malformed, changed, of another context, or of a key not here."""
        version, _, rest = sealed.partition(".")
        key_id, dot, encoded = rest.partition(".")
        if version != VERSION or not dot:
            raise SealingError(f"the value for {context} is not a sealed one ({VERSION}.<key id>.<text>): store it again")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise SealingError(
                f"the value for {context} was sealed with key {key_id[:16]!r}, and {SETTING} has {', '.join(self._ciphers)}: "
                "append the old key to the setting after a comma, or store the secret again"
            )
        try:
            blob = _decoded(encoded)
            return cipher.decrypt(blob[:NONCE_BYTES], blob[NONCE_BYTES:], _associated_data(key_id, context))
        except (InvalidTag, binascii.Error) as error:
            raise SealingError(
                f"the value for {context} does not open with key {key_id}: it was changed, or moved from another row; "
                "store the secret again"
            ) from error

    def derived_keys(self, purpose: str) -> dict[str, bytes]:
        """Keys of 32 bytes for MACs of one purpose, by an id of one character of a-z2-7; the one that makes new MACs first.

        They rotate with the sealing keys and keep their ids. Raises SealingError when two keys have the same id.
        """
        derived: dict[str, bytes] = {}
        for number, key in enumerate(dict.fromkeys(self._keys), 1):
            secret = hmac.digest(key, f"postrider derived key: {purpose}".encode(), "sha256")
            key_id = base64.b32encode(hmac.digest(secret, b"id", "sha256")).decode().lower()[0]
            if key_id in derived:
                raise SealingError(
                    f"key {number} of {SETTING} happens to have the short id of one before it, and MACs could not tell them "
                    f"apart: replace the newest key by another ({_HOW_TO_MAKE_ONE})"
                )
            derived[key_id] = secret
        return derived


def _key_id(key: bytes) -> str:
    """Eight hexadecimal digits that name a key and tell nothing about it."""
    return hmac.digest(key, b"postrider sealing key id", "sha256").hex()[:8]


def _associated_data(key_id: str, context: str) -> bytes:
    return f"{VERSION}.{key_id}.{context}".encode()


def _decoded_key(text: str, number: int) -> bytes:
    try:
        # Both alphabets of RFC 4648 are taken: tools that make keys differ.
        return binascii.a2b_base64(text.replace("-", "+").replace("_", "/").encode(), strict_mode=True)
    except ValueError:
        # The cause would quote the key in a traceback.
        raise SealingError(f"key {number} of {SETTING} is not base64 of 32 bytes: {_HOW_TO_MAKE_ONE}") from None


def _decoded(encoded: str) -> bytes:
    """Strict base64url without padding; binascii.Error when it is not, or too short to hold a nonce and a tag."""
    if not encoded.isascii() or "+" in encoded or "/" in encoded or "=" in encoded:
        raise binascii.Error("not base64url")
    padded = encoded.replace("-", "+").replace("_", "/") + "=" * (-len(encoded) % 4)
    blob = binascii.a2b_base64(padded.encode(), strict_mode=True)
    if len(blob) < NONCE_BYTES + _TAG_BYTES:
        raise binascii.Error("too short")
    return blob
