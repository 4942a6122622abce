"""TLS towards receivers and relays: decided here, obeyed by the session.

| mode          | STARTTLS not offered | handshake fails                         | certificate                  |
|---------------|----------------------|-----------------------------------------|------------------------------|
| opportunistic | plain                | one more try on a new connection, plain | not looked at                |
| required      | this host is no use  | this host is no use                     | verified for the host's name |
| implicit      | -                    | this host is no use                     | verified for the host's name |
| off           | plain                | -                                       | -                            |

Opportunistic does not look at certificates because most receivers' would not verify, and any encryption keeps out those
who only listen (RFC 7435).
"No use" defers: mail waits, and another host or route may take it. It never goes out with less than its route asks for.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum
from functools import cache

from email_core.delivery.routes import TlsMode, is_loopback

REMEMBER_BROKEN = 3 * 86400.0  # seconds; as KumoMTA
MAX_REMEMBERED = 10_000  # hosts


class TlsStep(StrEnum):
    """What the session does once it knows what the server offers."""

    STARTTLS = "starttls"
    PLAIN = "plain"
    REFUSE = "refuse"


class BrokenTls:
    """The hosts whose handshake failed, for three days each, in the memory of this worker."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._until: OrderedDict[str, float] = OrderedDict()

    def remember(self, host: str) -> None:
        """The handshake of that host failed just now."""
        self._until[host] = self._monotonic() + REMEMBER_BROKEN
        self._until.move_to_end(host)
        if len(self._until) > MAX_REMEMBERED:
            self._until.popitem(last=False)

    def forget(self, host: str) -> None:
        """Try TLS with that host again: it demands it."""
        self._until.pop(host, None)

    def __contains__(self, host: object) -> bool:
        return self._until.get(str(host), 0.0) > self._monotonic()


def next_step(mode: TlsMode, *, offered: bool, broken: bool) -> TlsStep:
    """What to do after EHLO on a connection that is still plain. `broken`: the handshake of this host failed lately."""
    if mode is TlsMode.OFF:
        return TlsStep.PLAIN
    if mode is TlsMode.OPPORTUNISTIC:
        return TlsStep.STARTTLS if offered and not broken else TlsStep.PLAIN
    return TlsStep.STARTTLS if offered else TlsStep.REFUSE


def may_fall_back_to_plain(mode: TlsMode) -> bool:
    """Whether a failed handshake may be followed by one try without TLS."""
    return mode is TlsMode.OPPORTUNISTIC


def may_authenticate(mode: TlsMode, *, encrypted: bool, host: str) -> bool:
    """Whether a password may go over the connection: over TLS, or in plain to this very machine when that was asked for."""
    return (encrypted and mode is not TlsMode.OPPORTUNISTIC) or (mode is TlsMode.OFF and is_loopback(host))


def context_for(mode: TlsMode) -> ssl.SSLContext:
    """The TLS settings of a mode; TLS 1.2 at the least (RFC 8996 buried the older ones)."""
    return _unverified() if mode is TlsMode.OPPORTUNISTIC else _verified()


@cache
def _verified() -> ssl.SSLContext:
    # The system's authorities, or those that SSL_CERT_FILE names. Loading them takes milliseconds: once a worker.
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@cache
def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
