"""POSTRIDER_ZONES: the DNS zones that this installation may write, and which of them holds a name.

An entry is `azure://SUBSCRIPTION/RESOURCE_GROUP/ZONE` for Azure DNS, with the app's own identity, or
`rfc2136://KEYNAME:SECRET@HOST[:PORT]/ZONE[?algorithm=hmac-sha256]` for a server that takes updates (RFC 2136) signed with TSIG
(RFC 8945). SECRET is base64 as BIND and Knot write it. Errors name an entry by its number and show nothing of the secret.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from email_core.management.resource_id import ResourceIdError, check_group, check_subscription
from email_core.settings import Settings, SettingsError

SETTING = "POSTRIDER_ZONES"
PORT = 53
LEAST_SECRET = 16  # bytes; a shorter one could be found by trying
# RFC 8945 section 6 without what it advises against: MD5, SHA-1 and shortened MACs.
ALGORITHMS = ("hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512")

_AZURE_FORM = "azure://SUBSCRIPTION/RESOURCE_GROUP/ZONE"
_UPDATE_FORM = "rfc2136://KEYNAME:SECRET@HOST[:PORT]/ZONE[?algorithm=hmac-sha256]"
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_name = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_host = re.compile(r"\[(?P<six>[0-9A-Fa-f:.]+)\](?::(?P<six_port>\d+))?|(?P<host>[A-Za-z0-9._-]+)(?::(?P<port>\d+))?")


class ZoneSettingError(SettingsError):
    """An entry of POSTRIDER_ZONES is wrong; the text names it by number, with the rule and the remedy."""


@dataclass(frozen=True, slots=True)
class AzureZone:
    """A zone of Azure DNS. `number` is that of its entry in the setting, from 1."""

    number: int
    zone: str
    subscription: str
    resource_group: str


@dataclass(frozen=True, slots=True)
class UpdateZone:
    """A zone whose server takes updates. `host` is a name or an IP address, `secret` the bytes of the TSIG key."""

    number: int
    zone: str
    host: str
    port: int
    key_name: str
    secret: bytes = field(repr=False)
    algorithm: str = "hmac-sha256"


ZoneSetting = AzureZone | UpdateZone


def parse_zones(entries: Sequence[str]) -> tuple[ZoneSetting, ...]:
    """The zones of the setting. Raises ZoneSettingError with a line for each entry that is wrong."""
    zones: list[ZoneSetting] = []
    wrong: list[str] = []
    for number, entry in enumerate(entries, 1):
        try:
            zones.append(_parsed(entry, number))
        except ZoneSettingError as error:
            wrong.append(str(error))
    for zone in zones:
        first = next(each for each in zones if each.zone == zone.zone)
        if first is not zone:
            wrong.append(f"entries {first.number} and {zone.number} of {SETTING} are both for {zone.zone}: leave one out")
    if wrong:
        raise ZoneSettingError("\n".join(wrong))
    return tuple(zones)


def check_zones(settings: Settings) -> None:
    """Raises SettingsError for zones that can't be, at the start of a worker: no record of any domain could be made of them."""
    parse_zones(settings.zones)
    names = {
        "POSTRIDER_DKIM_ZONE": (settings.dkim_zone, "dkim.example.com"),
        "POSTRIDER_SPF_INCLUDE": (settings.spf_include, "spf.example.com"),
        "POSTRIDER_PLATFORM_DOMAIN": (settings.platform_domain, "mail.example.com"),
    }
    for setting, (name, example) in names.items():
        if name and (len(name) > 253 or not _name.fullmatch(name)):
            raise SettingsError(f"{setting} must be a domain name in A-labels, as in {example}; it is {name!r}")


def zone_holding(name: str, zones: Iterable[ZoneSetting]) -> ZoneSetting | None:
    """The zone that a name (lower case, without last dot) is in: the longest one that it ends with. None: no zone of ours."""
    holding = [zone for zone in zones if name == zone.zone or name.endswith(f".{zone.zone}")]
    return max(holding, key=lambda zone: len(zone.zone), default=None)


def _parsed(entry: str, number: int) -> ZoneSetting:
    scheme, _, rest = entry.partition("://")
    match scheme.lower():
        case "azure":
            return _azure(rest, number)
        case "rfc2136":
            return _update(rest, number)
    # What stands there is not shown: it may be a secret that was pasted at the wrong place.
    raise _error(number, f"begins with azure:// or rfc2136://: write {_AZURE_FORM} or {_UPDATE_FORM}")


def _azure(rest: str, number: int) -> AzureZone:
    parts = rest.strip("/").split("/")
    if len(parts) != 3:
        raise _error(number, f"has three parts after azure://: write {_AZURE_FORM}")
    subscription, group, zone = parts
    try:
        return AzureZone(number, _zone(zone, number), check_subscription(subscription), check_group(group))
    except ResourceIdError as error:
        raise _error(number, f"is {_AZURE_FORM}, and {error}") from None


def _update(rest: str, number: int) -> UpdateZone:
    # Base64 has "/" and may not be percent-encoded, so the key ends at the last "@", which it never holds.
    key, at, place = rest.rpartition("@")
    key_name, colon, secret = key.partition(":")
    if not at or not colon:
        raise _error(number, f"names its key before an @: write {_UPDATE_FORM}")
    key_name = unquote(key_name).lower().rstrip(".")
    if not _name.fullmatch(key_name):
        raise _error(number, "has a key name that is no DNS name: write it as in the configuration of the server")
    server, slash, zone_and_query = place.partition("/")
    found = _host.fullmatch(server)
    if not slash or found is None:
        raise _error(number, f"names a host and a zone after the @: write {_UPDATE_FORM}")
    port = int(found["six_port"] or found["port"] or PORT)
    if not 1 <= port <= 65535:
        raise _error(number, "has a port that is none: write one from 1 to 65535, or none for 53")
    zone, _, query = zone_and_query.partition("?")
    return UpdateZone(
        number=number,
        zone=_zone(zone, number),
        host=found["six"] or found["host"],
        port=port,
        key_name=key_name,
        secret=_secret(unquote(secret), number),
        algorithm=_algorithm(query, number),
    )


def _secret(text: str, number: int) -> bytes:
    try:
        secret = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise _error(number, "has a secret that is not base64: copy it from the key of the server as it stands there") from None
    if len(secret) < LEAST_SECRET:
        raise _error(number, f"has a secret of fewer than {LEAST_SECRET} bytes: make a new key, as with `tsig-keygen`")
    return secret


def _algorithm(query: str, number: int) -> str:
    options = dict(parse_qsl(query, keep_blank_values=True))
    algorithm = options.pop("algorithm", "hmac-sha256").lower().rstrip(".")
    if options or algorithm not in ALGORITHMS:
        raise _error(number, f"may have ?algorithm= after the zone, with one of {', '.join(ALGORITHMS)}, and nothing else")
    return algorithm


def _zone(text: str, number: int) -> str:
    zone = text.lower().rstrip(".")
    if len(zone) > 253 or not _name.fullmatch(zone):
        raise _error(number, "ends with the name of a zone, as in example.com; beyond ASCII it is written as A-labels (xn--)")
    return zone


def _error(number: int, rule: str) -> ZoneSettingError:
    return ZoneSettingError(f"entry {number} of {SETTING} {rule}")
