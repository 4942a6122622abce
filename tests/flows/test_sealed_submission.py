"""Mail that is submitted with signatures of others, from the door to the receiver: verified, signed, sealed, explained."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from email_core.domains.dkim_keys import public_record
from email_core.explain.story import explain_message
from email_core.settings import Settings
from email_core.signing.dkim import sign
from tests.kit import mailauth
from tests.kit.dns_server import DnsServer, serving
from tests.kit.mime_submission import mime, submit
from tests.kit.peers import require
from tests.kit.pipeline import Pipeline, build_pipeline
from tests.kit.receiver import Receiver
from tests.unit.signing.oracle import RSA_KEY, WEEK

pytestmark = pytest.mark.peers

LARGE = 3_000_000  # octets of blanks


def quoted(text: str) -> str:
    return " ".join(f'"{text[start : start + 250]}"' for start in range(0, len(text), 250))


class World:
    """A pipeline, its DNS with the keys of all signers, and what arrived."""

    def __init__(self, pipeline: Pipeline, sink: Receiver, dns: DnsServer) -> None:
        self.pipeline, self.sink, self.dns = pipeline, sink, dns

    def foreign(self, content: bytes) -> bytes:
        """A message with the DKIM signature of another domain."""
        return sign(content, [RSA_KEY], now=self.pipeline.clock.now(), valid_for=WEEK) + content

    async def passed(self, content: bytes) -> bytes:
        """The message as it arrives when it is submitted."""
        self.accepted = await submit(self.pipeline, content)
        await self.pipeline.drain()
        return self.sink.received[-1].content

    async def judged(self, message: bytes) -> dict[str, Any]:
        return await mailauth.verdict(
            message, client_ip="192.0.2.1", helo="client.test", mail_from="a@contoso.test", dns=(self.dns.host, self.dns.port)
        )

    async def story(self) -> str:
        row = await self.pipeline.row(self.accepted)
        return "\n".join(step.text for step in explain_message(row, [], now=self.pipeline.clock.now()).steps)


@pytest.fixture
async def world(azurite: str, sink: Receiver) -> AsyncIterator[World]:
    require(not mailauth.missing_reason(), mailauth.missing_reason())
    names: dict[str, dict[str, list[str]]] = {str(RSA_KEY): {"TXT": [quoted(public_record(RSA_KEY.private_key))]}}
    async with DnsServer(serving(names, zone="test")) as dns:

        def with_dns(settings: Settings) -> Settings:
            return replace(settings, dns_server=dns.address)

        pipeline = await build_pipeline(azurite, routes=f"capture://127.0.0.1:{sink.port}", change=with_dns)
        names.update({record.name: {"TXT": [quoted(record.value)]} for record in pipeline.records if record.type == "TXT"})
        yield World(pipeline, sink, dns)
        await pipeline.close()


async def test_message_of_another_signer_arrives_sealed_and_with_its_signature_intact(world: World) -> None:
    arrived = await world.passed(world.foreign(mime(Date="Sun, 22 Nov 2026 01:19:43 +0000", Message_ID="<1@contoso.test>")))
    verdict = await world.judged(arrived)

    assert verdict["arc"]["result"] == "pass"
    assert {each["domain"]: each["result"] for each in verdict["dkim"]} == {
        "contoso.test": "pass", "football.example.com": "pass",
    }  # fmt: skip
    assert arrived.startswith(b"ARC-Seal: i=1; ")
    assert b"Authentication-Results: postrider.test;\r\n auth=pass;\r\n dkim=pass header.d=football.example.com" in arrived
    assert "was sealed (ARC) as hop 1" in await world.story()


async def test_message_that_passes_twice_has_a_chain_of_two_hops(world: World) -> None:
    content = world.foreign(mime(Date="Sun, 22 Nov 2026 01:19:43 +0000", Message_ID="<1@contoso.test>"))
    verdict = await world.judged(await world.passed(await world.passed(content)))

    assert (verdict["arc"]["result"], verdict["arc"]["instance"]) == ("pass", 2)


async def test_message_with_a_broken_chain_arrives_signed_and_with_no_new_set(world: World) -> None:
    once = await world.passed(world.foreign(mime()))
    arrived = await world.passed(once + b"A list adds a line.\r\n")
    verdict = await world.judged(arrived)

    assert (verdict["arc"]["result"], arrived.count(b"ARC-Seal:")) == ("fail", 1)
    assert verdict["dkim"][0]["result"] == "pass"
    assert "was not sealed (ARC): message signature 1: the body was changed" in await world.story()


async def test_message_without_signatures_arrives_with_ours_alone(world: World) -> None:
    arrived = await world.passed(b"Authentication-Results: postrider.test; dkim=pass header.d=bank.test\r\n" + mime())

    assert b"ARC-" not in arrived
    assert b"Authentication-Results" not in arrived
    assert world.dns.questions == []


async def test_large_and_hostile_message_is_sealed_as_any_other(world: World) -> None:
    arrived = await world.passed(world.foreign(mime((" " * 900 + "\r\n") * (LARGE // 902))))

    assert len(arrived) > LARGE
    assert (await world.judged(arrived))["arc"]["result"] == "pass"
