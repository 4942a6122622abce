"""Questions to the DNS with typed answers, on dnspython.

A caller needs the `Resolver` protocol only; tests answer it from a zone written as a dict. dnspython is imported with the
first question, for it costs a cold start 80 milliseconds or more.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from email_core.dns.answers import Answer, Found, MxRecord, NoDomain, NoRecords, TemporaryFailure
from email_core.settings import SettingsError

if TYPE_CHECKING:
    import dns.asyncresolver
    import dns.rdtypes.ANY.MX
    import dns.rdtypes.ANY.TXT
    import dns.resolver

T = TypeVar("T")

LIFETIME = 5.0  # seconds for one question, all servers and tries together
LONGEST_CACHED = 300.0  # seconds, whatever the TTL: a changed MX is seen within one short retry
MAX_CACHED = 2000  # answers
MAX_RECORDS = 100  # of one answer; a hostile zone can hold thousands, and nobody needs them


class Resolver(Protocol):
    """What delivery and domain verification ask of the DNS. No question raises."""

    async def mx(self, domain: str) -> Answer[MxRecord]:
        """The mail exchangers, in the order of the answer."""

    async def addresses(self, host: str) -> Answer[str]:
        """The IP addresses, IPv4 first. What was found counts even when one of the two questions failed."""

    async def txt(self, domain: str) -> Answer[str]:
        """The TXT records, the strings of each joined (RFC 7208 section 3.3). Never from the cache: people wait for them."""


class ResolverSettingError(SettingsError):
    """POSTRIDER_DNS is not an address of a resolver."""


class DnsResolver:
    """A stub resolver: the system's servers, or the one of the setting. Found addresses and exchangers are cached."""

    def __init__(
        self, server: str = "", *, lifetime: float = LIFETIME, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`server` is host:port, host an IP address; empty means the system's. Raises ResolverSettingError."""
        self._server = _server(server) if server else None
        self._lifetime = lifetime
        self._monotonic = monotonic
        self._cache: OrderedDict[tuple[str, str], tuple[float, Found[str] | Found[MxRecord]]] = OrderedDict()
        self._resolver: dns.asyncresolver.Resolver | None = None

    async def mx(self, domain: str) -> Answer[MxRecord]:
        cached = self._cached("MX", domain)
        if cached is not None:
            return Found(tuple(record for record in cached.records if isinstance(record, MxRecord)), cached.ttl)
        answer = await self._ask(domain, "MX", _mx_record)
        self._remember("MX", domain, answer)
        return answer

    async def addresses(self, host: str) -> Answer[str]:
        cached = self._cached("A", host)
        if cached is not None:
            return Found(tuple(record for record in cached.records if isinstance(record, str)), cached.ttl)
        four, six = await asyncio.gather(self._ask(host, "A", str), self._ask(host, "AAAA", str))
        answer = _joined(four, six)
        self._remember("A", host, answer)
        return answer

    async def txt(self, domain: str) -> Answer[str]:
        return await self._ask(domain, "TXT", _txt_record)

    def servers(self) -> tuple[tuple[str, ...], int]:
        """The addresses of the recursive servers and their port, for other questions; none when the machine names none."""
        import dns.exception

        try:
            stub = self._stub()
        except (dns.exception.DNSException, OSError):
            return (), 53
        return tuple(str(server) for server in stub.nameservers), stub.port

    async def _ask(self, name: str, kind: str, convert: Callable[[object], T]) -> Answer[T]:
        import dns.exception
        import dns.name
        import dns.resolver

        try:
            question = dns.name.from_text(name)
        except (dns.exception.DNSException, UnicodeError):
            return NoDomain()  # no such name can be in the DNS
        try:
            # search=False: the machine's search list must never turn an unknown domain into a known one.
            found = await self._stub().resolve(question, kind, lifetime=self._lifetime, search=False)
        except dns.resolver.NXDOMAIN:
            return NoDomain()
        except dns.resolver.NoAnswer:
            return NoRecords()
        except (dns.exception.DNSException, OSError) as error:
            return TemporaryFailure(_reason(name, kind, error))
        records = tuple(convert(record) for record in list(found)[:MAX_RECORDS])
        return Found(records, float(found.rrset.ttl if found.rrset is not None else 0))

    def _stub(self) -> dns.asyncresolver.Resolver:
        import dns.asyncresolver

        if self._resolver is None:
            self._resolver = dns.asyncresolver.Resolver(configure=self._server is None)
            if self._server is not None:
                self._resolver.nameservers = [self._server[0]]
                self._resolver.port = self._server[1]
        return self._resolver

    def _cached(self, kind: str, name: str) -> Found[str] | Found[MxRecord] | None:
        ends_at, found = self._cache.get((kind, name), (0.0, None))
        return found if ends_at > self._monotonic() else None

    def _remember(self, kind: str, name: str, answer: Answer[str] | Answer[MxRecord]) -> None:
        # That there is nothing is asked again: somebody may just be setting it up.
        if isinstance(answer, Found):
            self._cache[kind, name] = (self._monotonic() + min(answer.ttl, LONGEST_CACHED), answer)
            self._cache.move_to_end((kind, name))
            if len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)


def _server(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        host, port = text, "53"
    try:
        address = str(ipaddress.ip_address(host.strip("[]")))
        if not 1 <= int(port) <= 65535:
            raise ValueError(port)
    except ValueError:
        raise ResolverSettingError(
            f"POSTRIDER_DNS must be the IP address of a resolver and its port, as in 127.0.0.1:5353; it is {text!r}"
        ) from None
    return address, int(port)


def _joined(four: Answer[str], six: Answer[str]) -> Answer[str]:
    found = [answer for answer in (four, six) if isinstance(answer, Found)]
    if found:
        return Found(tuple(record for answer in found for record in answer.records), min(answer.ttl for answer in found))
    failed = [answer for answer in (four, six) if isinstance(answer, TemporaryFailure)]
    if failed:
        return failed[0]
    # A name either exists or not; servers that answer NXDOMAIN for one type only are wrong about that one.
    return NoDomain() if isinstance(four, NoDomain) and isinstance(six, NoDomain) else NoRecords()


def _reason(name: str, kind: str, error: BaseException) -> str:
    import dns.resolver

    if isinstance(error, dns.resolver.LifetimeTimeout):
        return f"no answer to {name} {kind} in time"
    if isinstance(error, dns.resolver.NoNameservers):
        # Holds one (server, tcp, port, error or rcode, response) for each try.
        tries = error.kwargs.get("errors") or []
        said = str(tries[-1][3]) if tries else "no server is left to ask"
        return f"{name} {kind}: {said}"[:200]
    return f"{name} {kind}: {type(error).__name__}"


def _mx_record(record: object) -> MxRecord:
    mx: dns.rdtypes.ANY.MX.MX = record  # type: ignore[assignment]
    return MxRecord(int(mx.preference), str(mx.exchange).rstrip(".").lower())


def _txt_record(record: object) -> str:
    txt: dns.rdtypes.ANY.TXT.TXT = record  # type: ignore[assignment]
    return b"".join(txt.strings).decode("utf-8", "replace")
