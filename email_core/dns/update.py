"""Changing a zone by dynamic updates (RFC 2136), signed with TSIG (RFC 8945), on dnspython.

An update carries prerequisites, so a record set changes only as it was read. A prerequisite alone also tells what the zone
itself holds, where a question would be answered from a wildcard.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, cast

from email_core.dns.zone_edit import RecordSet, ZoneChanged, ZoneRefused, ZoneUnavailable

if TYPE_CHECKING:
    import dns.message
    import dns.name
    import dns.rdata
    import dns.rdatatype
    import dns.rdtypes.ANY.TXT
    import dns.update

SECONDS = 10.0  # for one exchange
_STRING = 255  # octets of one character-string (RFC 1035 section 3.3.14)

_WHY = {
    "REFUSED": "its access list does not let our key change these names: allow the key to update the zone",
    "NOTAUTH": "it is not the primary server of this zone, or does not know the key: name the primary server",
    "NOTZONE": "the name is in another zone there, which was delegated: name that zone",
    "NOTIMP": "it takes no updates: allow them, or name a server that does",
    "FORMERR": "it could not read the update",
}


class UpdateServer:
    """A `ZoneEditor` for one zone of a server that takes updates."""

    def __init__(
        self, zone: str, host: str, port: int, *, key_name: str, secret: bytes, algorithm: str, seconds: float = SECONDS
    ) -> None:
        """`zone` is absolute, without the last dot; `secret` are the bytes of the TSIG key."""
        self.zone = zone
        self._host = host
        self._port = port
        self._key_name = key_name
        self._secret = secret
        self._algorithm = algorithm
        self._seconds = seconds
        self._address = ""

    async def read(self, name: str, record_type: str) -> RecordSet:
        """See ZoneEditor."""
        import dns.rdatatype

        wanted = dns.rdatatype.from_text(record_type)
        found, ttl = await self._ask(name, wanted)
        at_apex = name == self.zone
        if found and not at_apex and not await self._holds(name, wanted):
            found, ttl = (), 0
        cname, others = "", False
        if not found and not at_apex:
            aliases = () if wanted == dns.rdatatype.CNAME else (await self._ask(name, dns.rdatatype.CNAME))[0]
            if aliases and await self._holds(name, dns.rdatatype.CNAME):
                cname = _text(aliases[0])
            others = await self._holds(name, None)
        return RecordSet(name, record_type, tuple(_text(rdata) for rdata in found), ttl, cname, others, found)

    async def replace(self, before: RecordSet, values: tuple[str, ...], ttl: int) -> None:
        """See ZoneEditor."""
        import dns.name
        import dns.rcode
        import dns.rdatatype

        name, wanted = dns.name.from_text(before.name), dns.rdatatype.from_text(before.type)
        native = cast("tuple[dns.rdata.Rdata, ...]", before.native)
        update = self._update()
        if native:
            # All of them: the server changes nothing when the set is another one by now (RFC 2136 section 2.4.2).
            update.present(name, *native)
        else:
            update.absent(name, wanted)
        removed = [rdata for value, rdata in zip(before.values, native, strict=True) if value not in values]
        added = [_rdata(value, before.type) for value in values if value not in before.values]
        if removed:
            update.delete(name, *removed)
        if added:
            update.add(name, before.ttl if len(removed) < len(native) else ttl, *added)
        answer = await self._exchange(update)
        if answer.rcode() in (dns.rcode.NXRRSET, dns.rcode.YXRRSET, dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN):
            raise ZoneChanged(f"{before.name} {before.type} of {self._where} was changed meanwhile")
        self._check(answer)
        # A server drops, without a word, what may not be beside a CNAME (RFC 2136 section 3.4.2.2).
        after, _ = await self._ask(before.name, wanted)
        if set(values) - {_text(rdata) for rdata in after}:
            raise ZoneRefused(
                f"{self._where} took the update of {before.name} {before.type} and does not show it",
                f"the server took the update of {before.name} and does not show it: look whether a CNAME stands at that name",
            )

    async def close(self) -> None:
        """Nothing: each exchange has its own connection."""

    @property
    def _where(self) -> str:
        return f"zone {self.zone} at {self._host} port {self._port} (key {self._key_name})"

    async def _ask(self, name: str, wanted: dns.rdatatype.RdataType) -> tuple[tuple[dns.rdata.Rdata, ...], int]:
        """The records of one type at a name, and their TTL."""
        import dns.flags
        import dns.message
        import dns.name
        import dns.rcode
        import dns.rdataclass

        owner = dns.name.from_text(name)
        question = dns.message.make_query(owner, wanted, flags=0)
        question.use_tsig(self._keyring(), algorithm=self._algorithm)
        answer = await self._exchange(question)
        if answer.rcode() == dns.rcode.NXDOMAIN:
            return (), 0
        self._check(answer)
        if not answer.flags & dns.flags.AA:
            raise ZoneRefused(
                f"{self._where} does not answer for {name} with authority",
                f"the server is not one of the zone {self.zone}: name the server that holds it",
            )
        found = answer.get_rrset(answer.answer, owner, dns.rdataclass.IN, wanted)
        return (tuple(found), int(found.ttl)) if found is not None else ((), 0)

    async def _holds(self, name: str, wanted: dns.rdatatype.RdataType | None) -> bool:
        """Whether the zone has records of a type, or of any, at a name: an update that is only a prerequisite."""
        import dns.name
        import dns.rcode

        update = self._update()
        owner = dns.name.from_text(name)
        update.present(owner) if wanted is None else update.present(owner, wanted)
        answer = await self._exchange(update)
        if answer.rcode() in (dns.rcode.NXRRSET, dns.rcode.NXDOMAIN):
            return False
        self._check(answer)
        return True

    def _update(self) -> dns.update.UpdateMessage:
        import dns.update

        return dns.update.UpdateMessage(self.zone, keyring=self._keyring(), keyalgorithm=self._algorithm)

    def _keyring(self) -> dict[dns.name.Name, bytes]:
        import dns.name

        return {dns.name.from_text(self._key_name): self._secret}

    async def _exchange(self, message: dns.message.Message) -> dns.message.Message:
        import dns.asyncquery
        import dns.exception
        import dns.rcode
        import dns.tsig

        try:
            async with asyncio.timeout(self._seconds):
                address = self._address or await self._resolved()
                answer = await dns.asyncquery.tcp(message, address, port=self._port)
        except dns.tsig.PeerBadTime as error:
            raise ZoneUnavailable(f"{self._where}: the clocks differ by more than the server allows: {error}") from error
        except (dns.tsig.PeerError, dns.tsig.BadSignature, dns.tsig.BadKey) as error:
            raise ZoneRefused(
                f"{self._where}: {type(error).__name__}: {error}",
                "the server does not take the key: its name, secret and algorithm have to be those of the server",
            ) from error
        except dns.exception.FormError as error:
            # RFC 8945 section 5.3: an answer without a signature may be anybody's, so what it says does not count.
            raise ZoneRefused(
                f"{self._where}: {error}",
                "the answer was not signed, as that of a server that does not hold the zone: name the zone's primary server",
            ) from error
        except TimeoutError as error:
            raise ZoneUnavailable(f"{self._where} gave no answer within {self._seconds:g} s") from error
        except (OSError, EOFError, dns.exception.DNSException) as error:
            raise ZoneUnavailable(f"{self._where}: {type(error).__name__}: {error}") from error
        return answer

    async def _resolved(self) -> str:
        found = await asyncio.get_running_loop().getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        self._address = str(found[0][4][0])
        return self._address

    def _check(self, answer: dns.message.Message) -> None:
        import dns.rcode

        rcode = dns.rcode.to_text(answer.rcode())
        if rcode == "SERVFAIL":
            raise ZoneUnavailable(f"{self._where} answered SERVFAIL")
        if rcode != "NOERROR":
            why = _WHY.get(rcode, "see its log")
            raise ZoneRefused(f"{self._where} answered {rcode}: {why}", f"the server answered {rcode}: {why}")


def _text(rdata: dns.rdata.Rdata) -> str:
    """A record's value as our records have it."""
    import dns.rdatatype

    if rdata.rdtype == dns.rdatatype.TXT:
        return b"".join(cast("dns.rdtypes.ANY.TXT.TXT", rdata).strings).decode("utf-8", "replace")
    text = rdata.to_text()
    return text.lower().removesuffix(".") if rdata.rdtype in (dns.rdatatype.CNAME, dns.rdatatype.MX) else text


def _rdata(value: str, record_type: str) -> dns.rdata.Rdata:
    import dns.rdata
    import dns.rdataclass
    import dns.rdatatype
    from dns.rdtypes.ANY.TXT import TXT

    kind = dns.rdatatype.from_text(record_type)
    if record_type == "TXT":
        octets = value.encode()
        strings = [octets[start : start + _STRING] for start in range(0, max(len(octets), 1), _STRING)]
        return TXT(dns.rdataclass.IN, kind, strings)
    return dns.rdata.from_text(dns.rdataclass.IN, kind, f"{value}." if record_type in ("CNAME", "MX") else value)
