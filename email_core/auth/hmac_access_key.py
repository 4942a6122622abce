"""The HMAC access-key scheme of ACS: requests signed with a key of a communication service, one of its two or an extra one.

The signature covers method, path and query, date, host and the hash of the body. What the client signed as host and path
is not always what arrives, so a few forms of each are tried; none of them weakens the scheme, since each still needs the
key. Every candidate key is tried to the end, so that the time taken tells nothing about which one fits.
"""

from __future__ import annotations

import base64
import calendar
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import formatdate
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from email_core.auth.principal import Principal, PrincipalKind
from email_core.data_plane import refusals

SCHEME = "HMAC-SHA256"
ALLOWED_SKEW = 300.0  # seconds, either way; ACS names 5 minutes in its refusal
LEAST_KEY_BYTES = 16  # a key of fewer bits could be guessed from one signed request
MOST_AUTHORIZATION = 512  # characters; the longest valid value has 123
MOST_HOSTS = 4  # a client can send any number in X-Forwarded-Host, and each costs a few hashes per key

_SIGNED_HEADERS = "x-ms-date;host;x-ms-content-sha256"
_parameters = re.compile(
    r"SignedHeaders=(?P<date>x-ms-date|date);host;x-ms-content-sha256&Signature=(?P<signature>[A-Za-z0-9+/]{43}=)",
    re.ASCII | re.IGNORECASE,
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# RFC 1123 date. Early Java clients write days of the month without the leading zero.
_date = re.compile(
    rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d{{1,2}}) ({'|'.join(_MONTHS)}) (\d{{4}}) (\d\d):(\d\d):(\d\d) GMT", re.ASCII
)
_port = re.compile(r":[0-9]{1,5}\Z")


@dataclass(frozen=True, slots=True)
class AccessKey:
    """One key of a communication service. `name` is `primary`, `secondary` or that of an extra key, `secret` the decoded bytes.

    The rest is what an extra key may be restricted to, see `scoped_key`: nothing is restricted by an empty tuple or a zero.
    Raises ValueError for a secret of fewer than 16 bytes: an empty one would let anybody in.
    """

    service_key: str
    name: str
    secret: bytes = field(repr=False)
    send_only: bool = False
    domains: tuple[str, ...] = ()  # of senders, A-labels in lower case
    source_ranges: tuple[IPv4Network | IPv6Network, ...] = ()
    expires_at: float = 0.0  # seconds since the epoch

    def __post_init__(self) -> None:
        if len(self.secret) < LEAST_KEY_BYTES:
            raise ValueError(f"the {self.name} access key of {self.service_key} has fewer than {LEAST_KEY_BYTES} bytes")


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """The facts that a signature is checked against, as they came over the wire.

    `target` is path and query; `hosts` are the candidates for the public host, the most trusted first (setting,
    X-Forwarded-Host, X-Original-Host, Host); header names are in lower case.
    """

    method: str
    target: str
    hosts: Sequence[str]
    headers: Mapping[str, str]
    body: bytes


class Verified(NamedTuple):
    """Whose key fits, and which of the candidate hosts the client knows us by: Operation-Location must name that one.

    What the key is restricted to is not looked at yet.
    """

    principal: Principal
    host: str
    key: AccessKey


def verify(request: SignedRequest, keys: Sequence[AccessKey], *, now: float) -> Verified | None:
    """Which of the keys signed the request; None when it uses another scheme or none, so that another authenticator may look.

    `now` is in seconds since the epoch. Raises RequestRefused (401) when the request claims the scheme and fails it. It
    does not know `disableLocalAuth`: leave out the keys of services that have it.
    """
    authorization = request.headers.get("authorization", "")
    scheme, _, parameters = authorization[:MOST_AUTHORIZATION].partition(" ")
    if scheme.lower() != SCHEME.lower():
        return None
    match = _parameters.fullmatch(parameters) if len(authorization) < MOST_AUTHORIZATION else None
    if match is None:
        raise refusals.denied(f"Authorization is not '{SCHEME} SignedHeaders={_SIGNED_HEADERS}&Signature=<base64>'")
    date = request.headers.get(match["date"].lower(), "")
    signed_at = _seconds(date)
    if signed_at is None:
        raise refusals.denied(f"header {match['date'].lower()} is missing or is no RFC 1123 date in GMT")
    if not abs(now - signed_at) <= ALLOWED_SKEW:
        raise refusals.clock_skew(f"the request is dated {signed_at - now:+.0f} s from our clock")
    content_hash = _content_hash(request.body)
    if not _equal(request.headers.get("x-ms-content-sha256", ""), content_hash):
        raise refusals.denied("x-ms-content-sha256 is not the hash of the body that arrived")
    return _fitting_key(request, keys, date, content_hash, match["signature"])


def authorization_headers(method: str, path_and_query: str, host: str, body: bytes, key: bytes, now: float) -> dict[str, str]:
    """The headers that sign a request, as the official clients make them. `host` includes a port that is not the default."""
    date, content_hash = formatdate(now, usegmt=True), _content_hash(body)
    signature = _signature(key, method.upper(), path_and_query, date, host, content_hash)
    return {
        "x-ms-date": date,
        "x-ms-content-sha256": content_hash,
        "Authorization": f"{SCHEME} SignedHeaders={_SIGNED_HEADERS}&Signature={signature}",
    }


def _fitting_key(request: SignedRequest, keys: Sequence[AccessKey], date: str, content_hash: str, signature: str) -> Verified:
    method = request.method.upper()
    hosts = list(dict.fromkeys(host for host in request.hosts if host))[:MOST_HOSTS]
    forms = [(host, form, target) for host in hosts for form in _host_forms(host) for target in _target_forms(request.target)]
    fitting: Verified | None = None
    for public_host, form, target in forms:
        for key in keys:
            fits = _equal(_signature(key.secret, method, target, date, form, content_hash), signature)
            if fits and fitting is None:
                fitting = Verified(Principal(PrincipalKind.ACCESS_KEY, key.service_key, key.name), public_host, key)
    if fitting is None:
        asked = refusals.visible(f"{method} {request.target} at {', '.join(hosts) or 'no host'}", 300)
        raise refusals.denied(f"none of {len(keys)} keys fits {asked}")
    return fitting


def _host_forms(host: str) -> list[str]:
    """A host as a client may have signed it.

    Clients differ over default ports: Python signs what its endpoint says, JavaScript and .NET leave 443 and 80 out, and
    Java leaves every port out.
    """
    bare = _port.sub("", host)
    forms = [host, bare]
    if bare == host:
        forms += [f"{host}:443", f"{host}:80"]
    return list(dict.fromkeys([*forms, *(form.lower() for form in forms)]))


def _target_forms(target: str) -> list[str]:
    """Path and query as a client may have signed it.

    The Functions host hands on a re-encoded path, in which `%3A` has become `:`; a client's own library may have encoded
    the `:` of `/emails:send` after it was signed.
    """
    path, mark, query = target.partition("?")
    decoded = target.replace("%3A", ":").replace("%3a", ":")
    return list(dict.fromkeys([target, decoded, f"{path.replace(':', '%3A')}{mark}{query}"]))


def _signature(key: bytes, method: str, target: str, date: str, host: str, content_hash: str) -> str:
    string_to_sign = f"{method}\n{target}\n{date};{host};{content_hash}"
    return base64.b64encode(hmac.digest(key, string_to_sign.encode(errors="replace"), "sha256")).decode()


def _content_hash(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def _equal(one: str, other: str) -> bool:
    # As bytes, because compare_digest raises for strings that are not ASCII.
    return hmac.compare_digest(one.encode(errors="replace"), other.encode(errors="replace"))


def _seconds(date: str) -> float | None:
    """Seconds since the epoch of an RFC 1123 date, or None when it is none. Repeated headers arrive as `a, b` and are none."""
    match = _date.fullmatch(date)
    if match is None:
        return None
    day, month, year, hour, minute, second = match.groups()
    try:
        moment = datetime(int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second))
    except ValueError:
        return None
    return float(calendar.timegm(moment.timetuple()))
