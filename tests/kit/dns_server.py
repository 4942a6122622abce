"""A tiny DNS server on loopback, UDP and TCP, that answers as a function says: for faults that no real server shows."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Mapping, Sequence

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.kit.free_ports import free_port

Answering = Callable[[dns.message.Message], dns.message.Message | None]


class DnsServer:
    """`answer` makes the response to a query, or None for silence. `questions` keeps `name type transport`."""

    def __init__(self, answer: Answering, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Name servers of one zone have one port, and addresses of their own: 127.0.0.2 and so on."""
        self._answer = answer
        self.questions: list[str] = []
        self.host = host
        self.port = port or free_port(host)

    @property
    def address(self) -> str:
        """As a setting names it."""
        return f"{self.host}:{self.port}"

    async def __aenter__(self) -> DnsServer:
        loop = asyncio.get_running_loop()
        server = self

        class Datagrams(asyncio.DatagramProtocol):
            def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
                self.transport = transport

            def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
                if (response := server.respond(data, "udp")) is not None:
                    self.transport.sendto(response, addr)

        self._udp, _ = await loop.create_datagram_endpoint(Datagrams, (self.host, self.port))
        self._tcp = await asyncio.start_server(self._stream, self.host, self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._udp.close()
        self._tcp.close()

    def respond(self, data: bytes, transport: str) -> bytes | None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        self.questions.append(f"{question.name} {dns.rdatatype.to_text(question.rdtype)} {transport}")
        response = self._answer(query)
        if response is None:
            return None
        if transport == "udp" and len(response.to_wire(max_size=65535)) > 1232:
            response = dns.message.make_response(query)
            response.flags |= dns.flags.TC
        return response.to_wire(max_size=65535)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = struct.unpack("!H", await reader.readexactly(2))[0]
        response = self.respond(await reader.readexactly(length), "tcp")
        if response is not None:
            writer.write(struct.pack("!H", len(response)) + response)
            await writer.drain()
        writer.close()


def records(**by_type: list[str]) -> Answering:
    """Every name has these records and no others."""

    def answer(query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        question = query.question[0]
        values = by_type.get(dns.rdatatype.to_text(question.rdtype), [])
        if values:
            response.answer.append(dns.rrset.from_text_list(question.name, 300, "IN", question.rdtype, values))
        return response

    return answer


def serving(names: Mapping[str, Mapping[str, Sequence[str]]], *, zone: str, authoritative: bool = True) -> Answering:
    """A zone: records by name (without the last dot) and type. A CNAME answers every question; other names do not exist."""

    def answer(query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA if authoritative else 0
        question = query.question[0]
        found = names.get(question.name.to_text(omit_final_dot=True).lower())
        asked = dns.rdatatype.to_text(question.rdtype)
        kind = next((kind for kind in (asked, "CNAME") if found and kind in found), "")
        if found and kind:
            response.answer.append(dns.rrset.from_text_list(question.name, 300, "IN", kind, found[kind]))
            return response
        if found is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        soa = f"ns.{zone}. root.{zone}. 1 3600 600 86400 60"
        response.authority.append(dns.rrset.from_text(f"{zone}.", 900, "IN", "SOA", soa))
        return response

    return answer


def failing(rcode: dns.rcode.Rcode) -> Answering:
    """Every question is answered with that code."""

    def answer(query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.set_rcode(rcode)
        return response

    return answer
