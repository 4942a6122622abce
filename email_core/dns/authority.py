"""Looks into the DNS that ask the zone's own name servers, so that nobody waits for a cache to forget.

The name servers of a zone, and their addresses, are found through the recursive resolver. Where none of them can be asked, the
resolver's own answer counts, and the look says so. A domain's owner chooses the servers, and is a stranger: private addresses
are not asked, and no server can keep a look for more than some seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from email_core.dns import exchange
from email_core.dns.answers import Found
from email_core.dns.looks import (
    MOST_ALIASES,
    Look,
    LookStatus,
    Trouble,
    Unanswered,
    failed_look,
    follow,
    host_text,
    look_at,
)
from email_core.dns.private_addresses import why_refused
from email_core.dns.resolver import DnsResolver
from email_core.settings import Settings

if TYPE_CHECKING:
    import dns.message
    import dns.name

LIFETIME = 6.0  # seconds for one look at the zone's own servers, aliases and all; then the resolver has its turn
REMEMBERED = 60.0  # seconds for which the servers of a zone are known
GIVEN_UP = 10.0  # seconds for which it is known that they can't be found: the looks of one round share that
MOST_ZONES = 500  # that are remembered
MOST_HOSTS = 4  # name servers whose addresses are looked up; two of them are asked
MOST_STEPS = 8  # up towards the root, and down through referrals

Asked = tuple["dns.message.Message", str]


class _Zone(NamedTuple):
    name: dns.name.Name
    addresses: tuple[str, ...]


class ZoneServers:
    """Looks. One for each worker; no method raises."""

    def __init__(
        self,
        resolver: DnsResolver,
        *,
        port: int = 53,
        allow_private: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`port` is that of the zones' name servers; those of the resolver know their own."""
        self._resolver = resolver
        self._port = port
        self._allow_private = allow_private
        self._monotonic = monotonic
        self._zones: OrderedDict[dns.name.Name, tuple[float, _Zone | Unanswered]] = OrderedDict()

    @classmethod
    def from_settings(cls, settings: Settings) -> ZoneServers:
        """As the settings want it. Raises SettingsError."""
        resolver = DnsResolver(settings.dns_server, lifetime=exchange.TIMEOUT)
        return cls(resolver, port=settings.dns_port, allow_private=settings.allow_private_addresses)

    async def zone(self, name: str) -> str:
        """The zone that a name is in, as far as it can be found out; empty otherwise."""
        try:
            async with asyncio.timeout(LIFETIME):
                return host_text((await self._zone_of(_parsed(name))).name)
        except (Unanswered, TimeoutError):
            return ""

    async def look(self, name: str, kind: str, *, turn: int = 0) -> Look:
        """What the servers of the zone say, or the resolver in their place. Each `turn` begins with another of the servers."""

        async def ask(name: dns.name.Name, kind: str) -> Asked:
            return await self._ask_zone(name, kind, turn)

        try:
            async with asyncio.timeout(LIFETIME):
                seen = await self._walk(name, kind, ask)
        except TimeoutError:
            seen = failed_look(name, kind, Trouble.TIMED_OUT, f"the name servers of {name} take too long")
        if not seen.failed or seen.trouble is Trouble.LOOP:
            return seen
        other = await self.recursive_look(name, kind)
        if other.failed:
            return seen
        return replace(other, reason=f"the resolver answered, for the zone's own servers did not: {seen.reason}")

    async def recursive_look(self, name: str, kind: str) -> Look:
        """What the recursive resolver says, from its cache when it has it there: `ttl` is then what is left of it."""
        try:
            async with asyncio.timeout(LIFETIME):
                return await self._walk(name, kind, self._ask_resolver)
        except TimeoutError:
            return failed_look(name, kind, Trouble.TIMED_OUT, f"the resolver takes too long over {name} {kind}")

    async def _walk(self, name: str, kind: str, ask: Callable[[dns.name.Name, str], Awaitable[Asked]]) -> Look:
        import dns.rdatatype

        aliases: list[str] = []
        try:
            current = start = _parsed(name)
        except Unanswered as error:
            return Look(name, kind, LookStatus.NO_DOMAIN, reason=str(error))
        try:
            while True:
                response, server = await ask(current, kind)
                followed = follow(response, current, dns.rdatatype.from_text(kind))
                if set(followed.aliases) & {*aliases, host_text(start)} or len(aliases) + len(followed.aliases) > MOST_ALIASES:
                    return failed_look(name, kind, Trouble.LOOP, f"{name} is an alias that leads nowhere", aliases)
                aliases += followed.aliases
                # What a server says of the end of a chain that leaves its zone means nothing, so the end is asked for.
                if followed.rrset is not None or not followed.aliases:
                    return look_at(name, response, kind, aliases, followed, server)
                current = followed.end
        except Unanswered as error:
            return failed_look(name, kind, error.trouble, str(error), aliases)

    async def _ask_zone(self, name: dns.name.Name, kind: str, turn: int) -> Asked:
        zone = await self._zone_of(name)
        for _ in range(MOST_STEPS):
            first = turn % len(zone.addresses)
            addresses, unfit = (*zone.addresses[first:], *zone.addresses[:first]), _lame(name, zone.name)
            response, server = await exchange.ask(addresses, self._port, name, kind, recursive=False, unfit=unfit)
            below = _referral(response, name, zone.name)
            if below is None:
                return response, server
            zone = await self._zone_at(*below)
        raise Unanswered(Trouble.LOOP, f"the servers of {host_text(zone.name)} refer to others without end")

    async def _ask_resolver(self, name: dns.name.Name, kind: str) -> Asked:
        servers, port = self._resolver.servers()
        return await exchange.ask(servers, port, name, kind, recursive=True)

    async def _zone_of(self, name: dns.name.Name) -> _Zone:
        """The zone that holds a name, or one above it whose servers will refer to it. Raises Unanswered."""
        known = self._remembered(name)
        if isinstance(known, Unanswered):
            raise Unanswered(known.trouble, str(known))
        if known is not None:
            return known
        try:
            return await self._find_zone(name)
        except Unanswered as error:
            self._remember(name, error, GIVEN_UP)
            raise

    async def _find_zone(self, name: dns.name.Name) -> _Zone:
        import dns.rdataclass
        import dns.rdatatype

        current = name
        for _ in range(MOST_STEPS):
            # A top-level domain is nobody's, and its servers are not ours to ask.
            if len(current) < 3:
                break
            response, _server = await self._ask_resolver(current, "NS")
            found = response.get_rrset(response.answer, current, dns.rdataclass.IN, dns.rdatatype.NS)
            if found is not None:
                return await self._zone_at(current, [rdata.target for rdata in found])
            below = _referral(response, current, None)
            if below is not None:
                return await self._zone_at(*below)
            current = _zone_above(response, current)
        raise Unanswered(Trouble.UNREACHABLE, f"no name servers are known for {host_text(name)}")

    async def _zone_at(self, name: dns.name.Name, hosts: list[dns.name.Name]) -> _Zone:
        addresses, refused = await self._addresses(hosts[:MOST_HOSTS])
        if not addresses:
            why = refused or "they have no address"
            raise Unanswered(Trouble.UNREACHABLE, f"the name servers of {host_text(name)} can't be asked: {why}")
        zone = _Zone(name, addresses)
        self._remember(name, zone, REMEMBERED)
        return zone

    def _remember(self, name: dns.name.Name, zone: _Zone | Unanswered, seconds: float) -> None:
        self._zones[name] = (self._monotonic() + seconds, zone)
        self._zones.move_to_end(name)
        if len(self._zones) > MOST_ZONES:
            self._zones.popitem(last=False)

    async def _addresses(self, hosts: list[dns.name.Name]) -> tuple[tuple[str, ...], str]:
        """One address of each host first, so that the two that are asked are of two hosts; and why others were refused."""
        answers = await asyncio.gather(*(self._resolver.addresses(host_text(host)) for host in hosts))
        found = [list(answer.records) for answer in answers if isinstance(answer, Found)]
        ordered = [addresses[turn] for turn in range(MOST_HOSTS) for addresses in found if turn < len(addresses)]
        if self._allow_private:
            return tuple(dict.fromkeys(ordered)), ""
        refused = {address: why_refused(address) for address in ordered}
        why = next((f"{address} is {why}" for address, why in refused.items() if why), "")
        return tuple(address for address, why in refused.items() if not why), why

    def _remembered(self, name: dns.name.Name) -> _Zone | Unanswered | None:
        now = self._monotonic()
        while len(name) > 2:
            ends_at, zone = self._zones.get(name, (0.0, None))
            if zone is not None and ends_at > now:
                return zone
            name = name.parent()
        return None


@dataclass(frozen=True, slots=True)
class Turned:
    """Looks that begin with another of a zone's servers than others do: a second opinion. See ZoneServers."""

    servers: ZoneServers
    turn: int

    async def zone(self, name: str) -> str:
        """See ZoneServers."""
        return await self.servers.zone(name)

    async def look(self, name: str, kind: str) -> Look:
        """See ZoneServers."""
        return await self.servers.look(name, kind, turn=self.turn)

    async def recursive_look(self, name: str, kind: str) -> Look:
        """See ZoneServers."""
        return await self.servers.recursive_look(name, kind)


def _parsed(name: str) -> dns.name.Name:
    import dns.exception
    import dns.name

    try:
        return dns.name.from_text(name)
    except (dns.exception.DNSException, UnicodeError):
        raise Unanswered(Trouble.UNUSABLE, "no such name can be in the DNS") from None


def _lame(name: dns.name.Name, zone: dns.name.Name) -> Callable[[dns.message.Message], str]:
    """A lame server, which does not hold its zone or lost it, often says that there is nothing: that is no answer. One that
    holds the zone has authority, or refers to a zone below."""
    import dns.flags

    def unfit(response: dns.message.Message) -> str:
        fits = response.flags & dns.flags.AA or _referral(response, name, zone) is not None
        return "" if fits else f"an answer with no authority over {host_text(zone)}"

    return unfit


def _referral(
    response: dns.message.Message, name: dns.name.Name, zone: dns.name.Name | None
) -> tuple[dns.name.Name, list[dns.name.Name]] | None:
    """The zone below that a server without an answer refers to, and its name servers."""
    import dns.rcode
    import dns.rdatatype

    if response.answer or response.rcode() != dns.rcode.NOERROR:
        return None
    for rrset in response.authority:
        down = zone is None or (rrset.name != zone and rrset.name.is_subdomain(zone))
        if rrset.rdtype == dns.rdatatype.NS and name.is_subdomain(rrset.name) and down and len(rrset.name) > 2:
            return rrset.name, [rdata.target for rdata in rrset]
    return None


def _zone_above(response: dns.message.Message, name: dns.name.Name) -> dns.name.Name:
    """Where to ask next for a name that has no NS: the SOA of an empty answer names the zone (RFC 2308 section 3)."""
    import dns.rdatatype

    for rrset in response.authority:
        if rrset.rdtype == dns.rdatatype.SOA and name.is_subdomain(rrset.name) and rrset.name != name:
            return rrset.name
    return name.parent()
