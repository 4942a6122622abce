"""The hosts that take a domain's mail, in the order in which to try them (RFC 5321 section 5.1).

Only addresses that were looked at here are ever connected to, so that a name which resolves anew a moment later cannot
lead elsewhere.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from email_core.delivery.outcome import Reply
from email_core.dns.answers import Found, MxRecord, NoDomain, NoRecords, TemporaryFailure
from email_core.dns.private_addresses import why_refused
from email_core.dns.resolver import Resolver

MX_ADDRESS_CAP = 5  # as Postfix and chasquid; keeps one attempt short
_LOOKUP_CAP = 10  # exchangers whose addresses are asked for; a hostile zone can name thousands


@dataclass(frozen=True, slots=True)
class MxHost:
    """A mail exchanger and its usable addresses, IPv4 before IPv6.

    Large receivers want more of an IPv6 sender (a PTR and SPF for that very address), and a machine without an IPv6 route
    would spend its first try on finding out.
    """

    name: str
    addresses: tuple[str, ...]
    preference: int = 0


@dataclass(frozen=True, slots=True)
class MxHosts:
    """Where to deliver: at least one host. `implicit`: the domain has no MX and takes its mail itself."""

    hosts: tuple[MxHost, ...]
    implicit: bool = False


@dataclass(frozen=True, slots=True)
class MxFailure:
    """Why there is nowhere to deliver, as the reply that a receiver would give: 4yz when that may change by itself."""

    reply: Reply
    reason: str


async def find_mx_hosts(
    domain: str, resolver: Resolver, *, allow_private: bool, random: Callable[[], float]
) -> MxHosts | MxFailure:
    """The hosts of a domain, equal preferences shuffled by `random`, at most MX_ADDRESS_CAP addresses together."""
    answer = await resolver.mx(domain)
    if isinstance(answer, TemporaryFailure):
        return _failure(451, "4.4.3", f"DNS: {answer.reason}")
    if isinstance(answer, NoDomain):
        return _failure(550, "5.1.2", f"the domain {domain} does not exist")
    if isinstance(answer, NoRecords):
        # RFC 5321 section 5.1: a domain without MX is its own mail exchanger.
        return await _with_addresses([MxRecord(0, domain)], resolver, allow_private=allow_private, implicit=True)
    if all(not record.host for record in answer.records):
        return _failure(556, "5.1.10", f"the domain {domain} says that it takes no mail (null MX)")  # RFC 7505 section 3
    ordered = sorted((record.preference, random(), record) for record in answer.records if record.host)
    return await _with_addresses([record for _, _, record in ordered], resolver, allow_private=allow_private, implicit=False)


async def _with_addresses(
    records: Sequence[MxRecord], resolver: Resolver, *, allow_private: bool, implicit: bool
) -> MxHosts | MxFailure:
    hosts: list[MxHost] = []
    room = MX_ADDRESS_CAP
    failed = refused = ""
    for record in records[:_LOOKUP_CAP]:
        # A target that is a CNAME (forbidden by RFC 2181 section 10.3, and common) is followed like any other name.
        answer = await resolver.addresses(record.host)
        if isinstance(answer, TemporaryFailure):
            failed = failed or answer.reason
        if not isinstance(answer, Found):
            continue
        usable = []
        for address in sorted(answer.records, key=_is_ipv6):
            why = "" if allow_private else why_refused(address)
            if why:
                refused = refused or f"{record.host} is at {address}, {why}"
            else:
                usable.append(address)
        if usable:
            hosts.append(MxHost(record.host, tuple(usable[:room]), record.preference))
            room -= len(usable[:room])
        if room == 0:
            break
    if hosts:
        return MxHosts(tuple(hosts), implicit)
    if failed:
        return _failure(451, "4.4.3", f"DNS: {failed}")
    if refused:
        return _failure(550, "5.4.4", f"no mail host has a public address: {refused}")
    names = ", ".join(record.host for record in records[:3])
    return _failure(550, "5.4.4", f"no mail host has an address: {names}")


def _is_ipv6(address: str) -> bool:
    return isinstance(ipaddress.ip_address(address), ipaddress.IPv6Address)


def _failure(code: int, enhanced: str, reason: str) -> MxFailure:
    return MxFailure(Reply(code, enhanced, reason), reason)
