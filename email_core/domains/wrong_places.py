"""Where a record ends up that was not published at its name: the mistakes that DNS editors invite."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from email_core.domains.dns_faults import DnsFault
from email_core.domains.records import DnsRecord, Purpose

_MOST_NAME = 253  # RFC 1035 section 2.3.4
_DOMAINKEY = "._domainkey."
AT_DOMAIN = (Purpose.DOMAIN, Purpose.SPF)  # their records stand at the domain itself


@dataclass(frozen=True, slots=True)
class Place:
    """A name, and what it means when the record is found there."""

    name: str
    fault: DnsFault


def wrong_places(record: DnsRecord, domain: str, zones: tuple[str, ...], organisation: str) -> list[Place]:
    """The likely ones, each name once and the right one never. `zones` are the domain's zone and what may be taken for it."""
    places: dict[str, Place] = {}
    for place in _places(record, domain, zones, organisation):
        if place.name != record.name and len(place.name) <= _MOST_NAME:
            places.setdefault(place.name, place)
    return list(places.values())


def relative_name(name: str, zone: str) -> str:
    """The name as an editor of the zone wants it; the whole name when it is not in the zone."""
    if name == zone:
        return "@"
    return name.removesuffix(f".{zone}") if zone else name


def _places(record: DnsRecord, domain: str, zones: tuple[str, ...], organisation: str) -> Iterator[Place]:
    for zone in zones:
        if zone and (record.name == zone or record.name.endswith(f".{zone}")):
            yield Place(f"{record.name}.{zone}", DnsFault.ZONE_APPENDED)
    above = domain.partition(".")[2]
    has_parent = bool(organisation) and domain != organisation
    if record.purpose in AT_DOMAIN:
        if has_parent:
            yield Place(above, DnsFault.AT_PARENT)
        return
    yield Place(domain, DnsFault.AT_APEX)
    if _DOMAINKEY in record.name:
        selector = record.name.partition(_DOMAINKEY)[0]
        yield Place(f"{selector}.{domain}", DnsFault.NO_DOMAINKEY)
        yield Place(f"{selector}.domainkey.{domain}", DnsFault.WRONG_NAME)
        yield Place(f"_domainkey.{domain}", DnsFault.WRONG_NAME)
        if has_parent:
            yield Place(f"{selector}{_DOMAINKEY}{above}", DnsFault.AT_PARENT)
    if record.purpose is Purpose.DMARC:
        yield Place(f"dmarc.{domain}", DnsFault.WRONG_NAME)
