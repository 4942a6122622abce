"""The records of a domain in the forms that people publish them with: JSON, lines of a zone file, Bicep, Terraform.

Bicep and Terraform are for Azure DNS (Microsoft.Network/dnsZones, API 2018-05-01), which keeps all values of a name and type as
one record set. So is each resource here: deploying one replaces the set that is there, and a comment says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from email_core.domains.records import DnsRecord, RecordError, name_in_zone, zone_lines

AZURE_API = "2018-05-01"

_MOST_STRING = 255  # RFC 1035 section 3.3.14: octets of one character-string of a TXT record


class Format(StrEnum):
    """What records can be exported as."""

    JSON = "json"
    BIND = "bind"
    BICEP = "bicep"
    TERRAFORM = "terraform"


@dataclass(frozen=True, slots=True)
class RecordGroup:
    """All values of one name and type. `name` is relative to the zone, `@` at its apex; `ttl` is in seconds."""

    name: str
    type: str
    values: tuple[str, ...]
    ttl: int


def record_groups(records: Iterable[DnsRecord], zone: str) -> list[RecordGroup]:
    """The records as record sets, in the order in which each comes first. Raises RecordError for one outside of the zone."""
    found: dict[tuple[str, str], RecordGroup] = {}
    for record in records:
        key = name_in_zone(record.name, zone), record.type
        before = found.get(key, RecordGroup(*key, (), record.ttl))
        found[key] = RecordGroup(*key, (*before.values, record.value), min(before.ttl, record.ttl))
    return list(found.values())


def as_json(records: Iterable[DnsRecord], zone: str) -> list[dict[str, object]]:
    """The records as objects: purpose, type, name, the name within the zone, value and ttl."""
    return [
        {
            "purpose": str(record.purpose),
            "type": record.type,
            "name": record.name,
            "relativeName": name_in_zone(record.name, zone),
            "value": record.value,
            "ttl": record.ttl,
        }
        for record in records
    ]


def as_bind(records: Iterable[DnsRecord]) -> str:
    """The records as lines of a zone file, with absolute names."""
    return "".join(f"{line}\n" for line in zone_lines(records))


def as_bicep(records: Iterable[DnsRecord], zone: str) -> str:
    """The records as a Bicep file for the resource group of the zone. Raises RecordError for one outside of the zone."""
    groups = record_groups(records, zone)
    names = _identifiers(groups, lambda group: f"{group.type.lower()}_{group.name}")
    blocks = [
        "// For the resource group of the zone: az deployment group create --resource-group GROUP --template-file FILE\n"
        "// A record set of the same name and type is replaced by the one here: add the values to it that have to stay.\n"
        f"param zoneName string = {_bicep(zone)}\n",
        f"resource zone 'Microsoft.Network/dnsZones@{AZURE_API}' existing = {{\n  name: zoneName\n}}\n",
    ]
    for name, group in zip(names, groups, strict=True):
        lines = [
            f"resource {name} 'Microsoft.Network/dnsZones/{group.type}@{AZURE_API}' = {{",
            "  parent: zone",
            f"  name: {_bicep(group.name)}",
            "  properties: {",
            f"    TTL: {group.ttl}",
            *(f"    {line}" for line in _bicep_values(group)),
            "  }",
            "}",
        ]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def as_terraform(records: Iterable[DnsRecord], zone: str) -> str:
    """The records as resources of the provider azurerm. Raises RecordError for one outside of the zone."""
    groups = record_groups(records, zone)
    names = _identifiers(groups, lambda group: group.name)
    blocks = [
        "# A record set of the same name and type has to be imported first, and the values added that have to stay.\n"
        f'variable "zone_name" {{\n  type    = string\n  default = {_hcl(zone)}\n}}\n',
        'variable "resource_group_name" {\n  type        = string\n  description = "The resource group of the zone"\n}\n',
    ]
    for name, group in zip(names, groups, strict=True):
        lines = [
            f'resource "azurerm_dns_{group.type.lower()}_record" "{name}" {{',
            f"  name                = {_hcl(group.name)}",
            "  zone_name           = var.zone_name",
            "  resource_group_name = var.resource_group_name",
            f"  ttl                 = {group.ttl}",
            *(f"  {line}" if line else "" for line in _hcl_values(group)),
            "}",
        ]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def text_strings(value: str) -> list[str]:
    """A TXT value cut into the character-strings that it is kept as, each of at most 255 octets."""
    strings, current, size = [], "", 0
    for character in value:
        octets = len(character.encode())
        if size + octets > _MOST_STRING:
            strings.append(current)
            current, size = "", 0
        current, size = current + character, size + octets
    return [*strings, current]


def _identifiers(groups: Sequence[RecordGroup], text: Callable[[RecordGroup], str]) -> list[str]:
    """A name for each, of letters, digits and underscores, as both languages take it, and each once for its type."""
    used: set[tuple[str, str]] = set()
    names = []
    for group in groups:
        plain = re.sub(r"[^a-z0-9]+", "_", text(group).replace("@", "apex").lower()).strip("_") or "record"
        plain = plain if plain[0].isalpha() else f"r_{plain}"
        name, number = plain, 2
        while (group.type, name) in used:
            name, number = f"{plain}_{number}", number + 1
        used.add((group.type, name))
        names.append(name)
    return names


def _bicep_values(group: RecordGroup) -> list[str]:
    match group.type:
        case "TXT":
            blocks = []
            for value in group.values:
                strings = [f"      {_bicep(text)}" for text in text_strings(value)]
                blocks += ["  {", "    value: [", *strings, "    ]", "  }"]
            return ["TXTRecords: [", *blocks, "]"]
        case "MX":
            pairs = [value.split() for value in group.values]
            blocks = [f"  {{ preference: {preference}, exchange: {_bicep(host)} }}" for preference, host in pairs]
            return ["MXRecords: [", *blocks, "]"]
        case "CNAME":
            return ["CNAMERecord: {", f"  cname: {_bicep(group.values[0])}", "}"]
        case "A" | "AAAA":
            member = "ipv4Address" if group.type == "A" else "ipv6Address"
            blocks = [f"  {{ {member}: {_bicep(value)} }}" for value in group.values]
            return [f"{group.type}Records: [", *blocks, "]"]
    raise RecordError(f"records of type {group.type} can't be written as Bicep: publish {group.name} by hand")


def _hcl_values(group: RecordGroup) -> list[str]:
    match group.type:
        case "TXT":
            # In one piece: the provider cuts it.
            return [line for value in group.values for line in ("", "record {", f"  value = {_hcl(value)}", "}")]
        case "MX":
            lines = []
            for preference, host in (value.split() for value in group.values):
                lines += ["", "record {", f"  preference = {preference}", f"  exchange   = {_hcl(host)}", "}"]
            return lines
        case "CNAME":
            return [f"record              = {_hcl(group.values[0])}"]
        case "A" | "AAAA":
            return [f"records             = [{', '.join(map(_hcl, group.values))}]"]
    raise RecordError(f"records of type {group.type} can't be written for Terraform: publish {group.name} by hand")


def _bicep(text: str) -> str:
    """A string of Bicep: quotes, backslashes and the beginning of an interpolation escaped."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\${")
    return "'" + "".join(c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in escaped) + "'"


def _hcl(text: str) -> str:
    """A string of HCL: quotes, backslashes and the beginnings of templates escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "$${").replace("%{", "%%{")
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'
