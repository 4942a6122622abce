"""Who may try to log in: an address or a user with too many failures waits, twice as long after each one more.

In memory, and of a bounded number of addresses and users: what is pushed out is what failed longest ago. A user that logged in
from an address may do so again until it fails there itself, whoever guesses at it, and whoever else fails at that address: an
office behind one address would else be locked out by the one printer that has an old password.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Network, ip_address

from email_core.auth.smtp_credential import parse_login

FREE = 5  # failures that cost nothing but the time that each takes
FIRST_PAUSE = 2.0  # seconds after the next one
LONGEST_PAUSE = 900.0
MEMORY = 3600.0  # seconds after the last failure, then all is forgotten
MOST = 10_000  # addresses and users that failed, and as many pairs that did well


@dataclass(slots=True)
class _Failures:
    number: int = 0
    last: float = -math.inf
    until: float = -math.inf


class Lockout:
    """Times are of a monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._failures: OrderedDict[tuple[str, str], _Failures] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def wait(self, address: str, user: str, now: float) -> float:
        """How many seconds the user has to wait before it may try from that address; 0 when it may."""
        if (address_key(address), _user(user)) in self._known:
            return 0.0
        keys = (("address", address_key(address)), ("user", _user(user)))
        until = max((found.until for key in keys if (found := self._failures.get(key))), default=-math.inf)
        return max(until - now, 0.0)

    def failed(self, address: str, user: str, now: float) -> None:
        """Count a failure."""
        self._known.pop((address_key(address), _user(user)), None)
        for key in (("address", address_key(address)), ("user", _user(user))):
            failures = self._failures.pop(key, None)
            if failures is None or now - failures.last > MEMORY:
                failures = _Failures()
            failures.number += 1
            failures.last = now
            if failures.number > FREE:
                failures.until = now + min(FIRST_PAUSE * 2.0 ** min(failures.number - FREE - 1, 30), LONGEST_PAUSE)
            self._failures[key] = failures
            if len(self._failures) > MOST:
                self._failures.popitem(last=False)

    def succeeded(self, address: str, user: str) -> None:
        """Forget the failures of a user that logged in. Those of its address stay: it may guess at others."""
        self._failures.pop(("user", _user(user)), None)
        pair = (address_key(address), _user(user))
        self._known.pop(pair, None)
        self._known[pair] = None
        if len(self._known) > MOST:
            self._known.popitem(last=False)

    def __len__(self) -> int:
        return len(self._failures)


def address_key(address: str) -> str:
    """What connections of one client have in common: its address, or the /64 of an IPv6 one, which is one customer's."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((parsed, 64), strict=False))


def _user(user: str) -> str:
    """A user by whatever form of its name."""
    login = parse_login(user[:320])
    return login.username or f"{login.resource}.{login.application}.{login.tenant}"
