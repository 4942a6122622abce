"""ARC as another implementation sees it: mailauth judges what we seal, and we extend what mailauth sealed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from email_core.dns.resolver import DnsResolver
from email_core.domains.dkim_keys import public_record
from email_core.signing.dkim import sign
from email_core.submission.authenticity import authenticity, signed_and_sealed
from tests.kit import mailauth
from tests.kit.dns_server import DnsServer, serving
from tests.kit.peers import require
from tests.unit.signing.oracle import BOTH_KEYS, DOMAIN, ED25519_KEY, GOLDEN, RSA_KEY, WEEK

pytestmark = pytest.mark.peers

FULL = (GOLDEN / "10-unsubscribe-and-list.msg").read_bytes()


def quoted(text: str) -> str:
    """A TXT record in the form of a zone file, in strings of at most 255 octets."""
    return " ".join(f'"{text[start : start + 250]}"' for start in range(0, len(text), 250))


@pytest.fixture
async def dns() -> AsyncIterator[DnsServer]:
    require(not mailauth.missing_reason(), mailauth.missing_reason())
    names = {str(key): {"TXT": [quoted(public_record(key.private_key))]} for key in BOTH_KEYS}
    async with DnsServer(serving(names, zone=DOMAIN)) as server:
        yield server


async def hop(message: bytes, dns: DnsServer) -> bytes:
    """A message that is submitted to us, as it leaves."""
    now = time.time()
    found = await authenticity(message, DnsResolver(dns.address), now=now)
    signed, _ = signed_and_sealed(message, found, BOTH_KEYS, authserv_id="postrider.test", now=now, valid_for=WEEK)
    return signed


async def judged(message: bytes, dns: DnsServer) -> dict[str, Any]:
    return await mailauth.verdict(
        message, client_ip="192.0.2.1", helo="client.test", mail_from=f"a@{DOMAIN}", dns=(dns.host, dns.port)
    )


def foreign() -> bytes:
    return sign(FULL, [ED25519_KEY], now=time.time(), valid_for=WEEK) + FULL


async def test_message_that_passed_through_us_has_arc_pass(dns: DnsServer) -> None:
    verdict = await judged(await hop(foreign(), dns), dns)

    assert (verdict["arc"]["result"], verdict["arc"]["instance"]) == ("pass", 1)
    assert [each["result"] for each in verdict["dkim"]] == ["pass"] * 3  # both of ours and the one that it brought


async def test_message_that_passed_through_us_twice_has_arc_pass(dns: DnsServer) -> None:
    verdict = await judged(await hop(await hop(foreign(), dns), dns), dns)

    assert (verdict["arc"]["result"], verdict["arc"]["instance"]) == ("pass", 2)


async def test_chain_of_another_forwarder_is_extended_and_passes(dns: DnsServer, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(RSA_KEY.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    theirs = await asyncio.to_thread(
        mailauth.seal, foreign(), dns=(dns.host, dns.port), domain=DOMAIN, selector=RSA_KEY.selector, key=key
    )
    verdict = await judged(await hop(theirs, dns), dns)

    assert (verdict["arc"]["result"], verdict["arc"]["instance"]) == ("pass", 2)


async def test_chain_that_was_broken_on_the_way_is_not_extended(dns: DnsServer) -> None:
    broken = (await hop(foreign(), dns)).replace(b"\r\nSubject: ", b"\r\nSubject: [list] ")
    verdict = await judged(await hop(broken, dns), dns)

    assert (verdict["arc"]["result"], verdict["arc"]["instance"]) == ("fail", 1)
    assert [each["result"] for each in verdict["dkim"]][:2] == ["pass", "pass"]  # ours are new
