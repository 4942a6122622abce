"""What logs in by SMTP: names in the formats of ACS, and passwords that are kept as a hash.

A name is either `RESOURCE.APPLICATION.TENANT` (or with `|`), as ACS had it first, or the username of an SmtpUsername resource,
which may look like an e-mail address.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from functools import cache

COST, BLOCK, PARALLEL = 2**14, 8, 1  # scrypt (RFC 7914) with 16 MiB and some 50 ms, which is what a log-in may cost
_SALT_BYTES = 16
_HASH_BYTES = 32
_PASSWORD_BYTES = 32  # random: 43 characters of base64url
_MOST_PASSWORD = 1024  # octets of what is tried
_MOST_MEMORY = 64 * 1024 * 1024

_GUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_resource_login = re.compile(
    rf"(?P<resource>[-\w]{{1,63}})(?P<mark>[.|])(?P<application>{_GUID})(?P=mark)(?P<tenant>{_GUID})", re.ASCII | re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class SmtpLogin:
    """A name that somebody logs in with: either `username`, in lower case, or the other three."""

    username: str = ""
    resource: str = ""
    application: str = ""
    tenant: str = ""


def parse_login(text: str) -> SmtpLogin:
    """A name as it came. Names and ids are compared without case, as ARM does."""
    name = text.strip()
    found = _resource_login.fullmatch(name)
    if found is None:
        return SmtpLogin(username=name.casefold())
    return SmtpLogin(
        resource=found["resource"].lower(), application=found["application"].lower(), tenant=found["tenant"].lower()
    )


def new_password() -> str:
    """A password that nobody can guess, of 43 letters, digits, hyphens and underscores; a hyphen is never the first.

    Programs such as swaks are given it as an argument, and would take it for an option.
    """
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    return new_password() if password.startswith("-") else password


def hash_password(password: str) -> str:
    """What is kept of a password: `scrypt$N$R$P$SALT$HASH`. It takes some 50 ms, so not on the event loop."""
    salt = secrets.token_bytes(_SALT_BYTES)
    derived = _derived(password, salt, COST, BLOCK, PARALLEL)
    encoded = (base64.b64encode(part).decode() for part in (salt, derived))
    return "$".join(("scrypt", str(COST), str(BLOCK), str(PARALLEL), *encoded))


def verify_password(password: str, stored: str) -> bool:
    """Whether a password is the one that was hashed. Empty for a user that is not there, or has none: False, after as long.

    It takes some 50 ms, so not on the event loop.
    """
    parts = _parts(stored)
    cost, block, parallel, salt, expected = parts or _dummy()
    fits = hmac.compare_digest(_derived(password, salt, cost, block, parallel), expected)
    return fits and parts is not None and len(password.encode(errors="replace")) <= _MOST_PASSWORD


def _derived(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    octets = password.encode(errors="replace")[:_MOST_PASSWORD]
    return hashlib.scrypt(octets, salt=salt, n=cost, r=block, p=parallel, maxmem=_MOST_MEMORY, dklen=_HASH_BYTES)


def _parts(stored: str) -> tuple[int, int, int, bytes, bytes] | None:
    kind, *rest = stored.split("$")
    if kind != "scrypt" or len(rest) != 5:
        return None
    try:
        salt, derived = (base64.b64decode(part, validate=True) for part in rest[3:])
        return int(rest[0]), int(rest[1]), int(rest[2]), salt, derived
    except (ValueError, binascii.Error):
        return None


@cache
def _dummy() -> tuple[int, int, int, bytes, bytes]:
    """What the password of nobody is compared with."""
    return COST, BLOCK, PARALLEL, secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_HASH_BYTES)
