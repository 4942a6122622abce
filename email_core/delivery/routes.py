"""Routes: by which way mail leaves, as an ordered list that an operator writes.

    POSTRIDER_ROUTES = smarthost://user:password@smtp.example.com:587, smarthost://backup.example.com, mx

`mx` delivers to the receivers themselves; `smarthost://` gives the mail to a relay; `capture://host:port` gives it to a
sink that keeps it. The next route is tried when a route cannot be used at all, never after a receiver said no to a recipient.
Test recipients have a route of their own that leads nowhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias
from urllib.parse import parse_qsl, unquote

from email_core.settings import Secret, SettingsError

SETTING = "POSTRIDER_ROUTES"
SIMULATOR_DOMAIN = "simulator.postrider.test"

SUBMISSION_PORT = 587  # RFC 6409
IMPLICIT_TLS_PORT = 465  # RFC 8314 section 3.3


class TlsMode(StrEnum):
    """What a route wants of TLS."""

    OPPORTUNISTIC = "opportunistic"  # STARTTLS when it is offered, unverified; plain rather than no delivery (RFC 7435)
    REQUIRED = "required"  # STARTTLS with a certificate that verifies, or no delivery
    IMPLICIT = "implicit"  # TLS from the first byte, with a certificate that verifies (RFC 8314)
    OFF = "off"


@dataclass(frozen=True, slots=True)
class MxRoute:
    """To the mail exchangers of the recipient's domain."""

    name: str = "mx"


@dataclass(frozen=True, slots=True)
class SmarthostRoute:
    """To a relay, which delivers further. A capture sink is a relay that keeps everything."""

    host: str
    port: int
    tls: TlsMode
    username: str = ""
    password: Secret = field(default=Secret(""), repr=False)
    capture: bool = False

    @property
    def name(self) -> str:
        """For the timeline and the log; without user and password."""
        return f"{'capture' if self.capture else 'smarthost'}://{_bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class SimulatorRoute:
    """To nobody: the test recipients."""

    name: str = "simulator"


Route: TypeAlias = MxRoute | SmarthostRoute


class RouteError(SettingsError):
    """A route is written wrong. The text names the setting, the entry, the rule and the remedy, and never a secret."""


def parse_routes(text: str) -> tuple[Route, ...]:
    """The routes in order. Raises RouteError."""
    entries = [entry.strip() for entry in text.split(",")]
    routes = tuple(_route(number, entry) for number, entry in enumerate(entries, start=1) if entry)
    if not routes:
        raise RouteError(f"{SETTING} is empty: write mx, smarthost://user:password@host:587 or capture://host:port")
    return routes


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its very name: nobody listens on the way there."""
    return host == "localhost" or host == "::1" or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


_url = re.compile(
    r"(smarthost|capture)://(?:([^@]*)@)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?/?(?:\?([a-z0-9=&-]*))?"
)
_credentials = re.compile(r"[A-Za-z0-9._~!$&'()*+;=%-]+(?::[A-Za-z0-9._~!$&'()*+;=%:-]*)?")


def _route(number: int, entry: str) -> Route:
    # An entry may hold a password anywhere, above all when it is written wrong, so no error quotes any of it.
    where = f"{SETTING}, entry {number}"
    if entry == "mx":
        return MxRoute()
    found = _url.fullmatch(entry)
    if not found:
        raise RouteError(
            f"{where}: is none of mx, smarthost://user:password@host:port?tls=required and capture://host:port; "
            "write reserved characters of user and password in percent-encoding, a comma as %2C and an at sign as %40"
        )
    kind, credentials, host, port_text, query = found.groups()
    if credentials is not None and not _credentials.fullmatch(credentials):
        raise RouteError(f"{where}: user and password must be in percent-encoding: : is %3A, / is %2F, @ is %40, % is %25")
    username, _, password = (unquote(part) for part in (credentials or "").partition(":"))
    if any(ord(character) < 32 or ord(character) == 127 for character in username + password):
        raise RouteError(f"{where}: user and password must not have control characters")
    port = int(port_text or 0)
    if port > 65535 or (port == 0 and port_text):
        raise RouteError(f"{where}: a port is a number from 1 to 65535")
    host = host.strip("[]").lower().rstrip(".")
    if kind == "capture":
        return _capture(where, host, port, query, has_credentials=credentials is not None)
    tls = _tls_mode(where, query, port=port, has_credentials=bool(username))
    _check_credentials(where, host, username, password, tls)
    return SmarthostRoute(
        host, port or (IMPLICIT_TLS_PORT if tls is TlsMode.IMPLICIT else SUBMISSION_PORT), tls, username, Secret(password)
    )


def _capture(where: str, host: str, port: int, query: str | None, *, has_credentials: bool) -> SmarthostRoute:
    if has_credentials or query:
        raise RouteError(f"{where}: a capture sink takes neither a user nor options: write capture://host:port")
    if not port:
        raise RouteError(f"{where}: a capture sink needs its port: write capture://host:port")
    return SmarthostRoute(host, port, TlsMode.OFF, capture=True)


def _tls_mode(where: str, query: str | None, *, port: int, has_credentials: bool) -> TlsMode:
    options = dict(parse_qsl(query or "", keep_blank_values=True))
    if options.keys() - {"tls"}:
        raise RouteError(f"{where}: the only option is tls, as in smarthost://host:port?tls=required")
    if "tls" not in options:
        if port == IMPLICIT_TLS_PORT:
            return TlsMode.IMPLICIT
        return TlsMode.REQUIRED if has_credentials else TlsMode.OPPORTUNISTIC
    try:
        return TlsMode(options["tls"])
    except ValueError:
        raise RouteError(f"{where}: tls must be one of {', '.join(TlsMode)}") from None


def _check_credentials(where: str, host: str, username: str, password: str, tls: TlsMode) -> None:
    if bool(username) != bool(password):
        raise RouteError(f"{where}: give both a user and a password, or neither")
    if not username or tls in (TlsMode.REQUIRED, TlsMode.IMPLICIT):
        return
    if tls is TlsMode.OFF and is_loopback(host):
        return
    raise RouteError(
        f"{where}: with tls={tls} the password could be read on the way: use tls=required or tls=implicit; "
        "tls=off with a password is only for a host on this machine (127.0.0.1, ::1, localhost)"
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
