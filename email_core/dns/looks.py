"""What was seen in the DNS at one name, in enough detail to explain what is wrong there.

`answers.py` has what delivery needs to know; a look also keeps how a TXT was cut into strings, which aliases were gone
through, who answered, and for how long others may go on believing it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import dns.message
    import dns.name
    import dns.rdatatype
    import dns.rrset

MOST_RECORDS = 1000  # of one answer; a hostile zone can hold thousands, and that of a large company some hundred TXT
MOST_ALIASES = 8  # as resolvers do (BIND 11, Unbound 11, Knot Resolver 12), and longer than anybody needs


class LookStatus(StrEnum):
    """What a look came to."""

    FOUND = "found"
    NO_RECORDS = "no records"  # the name exists, without records of that type
    NO_DOMAIN = "no domain"  # the name does not exist, or cannot
    FAILED = "temporary failure"


class Trouble(StrEnum):
    """Why a look failed. None of these says that there is no record."""

    TIMED_OUT = "time-out"
    SERVER_FAILURE = "SERVFAIL"
    REFUSED = "REFUSED"
    LOOP = "loop"
    UNREACHABLE = "unreachable"
    UNUSABLE = "unusable answer"


class Unanswered(Exception):
    """Nobody gave an answer that can be used. `args[0]` says so for people."""

    def __init__(self, trouble: Trouble, reason: str) -> None:
        super().__init__(reason)
        self.trouble = trouble


@dataclass(frozen=True, slots=True)
class Look:
    """Records of a type at a name. Names are in lower case without the last dot.

    `records` are TXT values with their strings joined, `10 host` for MX, host names and addresses; `strings` are those of
    each TXT. `aliases` are the targets of the CNAMEs that were followed, in order; `alias_beside` is the target of a CNAME
    that stands beside the records. `ttl` is in seconds, also of the answer that there is nothing. `server` gave the answer,
    and `authoritative` is what it said of itself. `reason` says what failed, or why somebody else was asked.
    """

    name: str
    type: str
    status: LookStatus
    records: tuple[str, ...] = ()
    strings: tuple[tuple[str, ...], ...] = ()
    aliases: tuple[str, ...] = ()
    alias_beside: str = ""
    ttl: float = 0.0
    server: str = ""
    authoritative: bool = False
    trouble: Trouble | None = None
    reason: str = ""

    @property
    def failed(self) -> bool:
        """Whether nothing is known."""
        return self.status is LookStatus.FAILED


class Followed(NamedTuple):
    """How far a response leads: the aliases that it has, the name at their end, and the records there if it has them."""

    aliases: tuple[str, ...]
    end: dns.name.Name
    rrset: dns.rrset.RRset | None
    alias_beside: str


def host_text(name: dns.name.Name) -> str:
    """A name as text, in lower case and without the last dot; the root is empty."""
    return "" if len(name) == 1 else name.to_text(omit_final_dot=True).lower()


def follow(response: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> Followed:
    """Follow the aliases of a response from a name on. Raises Unanswered for a loop."""
    import dns.rdataclass
    import dns.rdatatype

    aliases: list[str] = []
    while True:
        found = response.get_rrset(response.answer, name, dns.rdataclass.IN, kind)
        alias = response.get_rrset(response.answer, name, dns.rdataclass.IN, dns.rdatatype.CNAME)
        if found is not None or alias is None or kind == dns.rdatatype.CNAME:
            beside = alias is not None and kind != dns.rdatatype.CNAME
            return Followed(tuple(aliases), name, found, host_text(alias[0].target) if alias and beside else "")
        name = alias[0].target
        if len(aliases) >= MOST_ALIASES or host_text(name) in aliases:
            raise Unanswered(Trouble.LOOP, f"a chain of CNAMEs that leads nowhere: {' -> '.join(aliases[:3])}")
        aliases.append(host_text(name))


def look_at(
    name: str, response: dns.message.Message, kind: str, aliases: Sequence[str], followed: Followed, server: str
) -> Look:
    """The look that a response is, whose aliases were followed to their end."""
    import dns.flags
    import dns.rcode

    beside = followed.alias_beside
    authoritative = bool(response.flags & dns.flags.AA)
    chain = tuple(aliases)
    if followed.rrset is None:
        exists = response.rcode() != dns.rcode.NXDOMAIN
        status = LookStatus.NO_RECORDS if exists else LookStatus.NO_DOMAIN
        ttl = _negative_ttl(response)
        return Look(name, kind, status, aliases=chain, ttl=ttl, server=server, authoritative=authoritative)
    # Servers turn the order from answer to answer; what is told of a record must not change with it.
    # By a key that is made once for each: dnspython's own comparison makes it anew each time, which takes thousands a quarter
    # of a second.
    rdatas = sorted(followed.rrset, key=lambda rdata: rdata.to_digestable())[:MOST_RECORDS]
    strings = tuple(tuple(_text(part) for part in rdata.strings) for rdata in rdatas) if kind == "TXT" else ()
    records = tuple(_joined(rdata) for rdata in rdatas) if kind == "TXT" else tuple(_shown(rdata, kind) for rdata in rdatas)
    return Look(
        name, kind, LookStatus.FOUND, records, strings, chain, beside, float(followed.rrset.ttl), server, authoritative
    )  # fmt: skip


def failed_look(name: str, kind: str, trouble: Trouble, reason: str, aliases: Sequence[str] = ()) -> Look:
    """A look that came to nothing."""
    return Look(name, kind, LookStatus.FAILED, aliases=tuple(aliases), trouble=trouble, reason=reason)


def _negative_ttl(response: dns.message.Message) -> float:
    # RFC 2308 section 5: the lesser of the SOA's own TTL and its last field.
    import dns.rdatatype

    for rrset in response.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            return float(min(rrset.ttl, rrset[0].minimum))
    return 0.0


def _joined(rdata: object) -> str:
    # RFC 7208 section 3.3, RFC 6376 section 3.6.2.2: without anything between.
    return _text(b"".join(rdata.strings))  # type: ignore[attr-defined]


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def _shown(rdata: object, kind: str) -> str:
    if kind == "MX":
        return f"{rdata.preference} {host_text(rdata.exchange)}"  # type: ignore[attr-defined]
    if kind in ("CNAME", "NS"):
        return host_text(rdata.target)  # type: ignore[attr-defined]
    return str(rdata)
