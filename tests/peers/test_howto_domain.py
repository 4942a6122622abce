"""The how-to for administrators: from nothing to mail of a domain of one's own, and what happens when a record is lost."""

from __future__ import annotations

import email
import email.policy
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.kit import mailauth
from tests.kit.knot import Knot, txt
from tests.kit.knot import missing_reason as no_knot
from tests.kit.peers import require
from tests.kit.world import ROOT, World, missing_reason, start_world

pytestmark = [pytest.mark.peers, pytest.mark.timeout(240)]

DOMAIN = "contoso.test"
RECIPIENT = "reader@fabrikam.example"
CLIENT_IP = "192.0.2.25"
EXAMPLES = ROOT / "docs" / "examples"

# What the platform's own zone holds: the SPF record that customers include, and that of the domain that bounces come back to.
PLATFORM = [
    f"spf 60 TXT {txt(f'v=spf1 ip4:{CLIENT_IP} -all')}",
    f"bounce 60 TXT {txt('v=spf1 include:spf.postrider.test -all')}",
]


@pytest.fixture
def knot() -> Iterator[Knot]:
    reason = no_knot() or mailauth.missing_reason() or missing_reason()
    require(not reason, reason)
    zone = ["@ 60 NS ns1", "ns1 60 A 127.0.0.1"]
    with Knot({DOMAIN: zone, "postrider.test": [*zone, *PLATFORM]}) as running:
        yield running


@pytest.fixture
def world(knot: Knot) -> Iterator[World]:
    settings = {
        "POSTRIDER_DNS": knot.address,
        "POSTRIDER_DNS_PORT": str(knot.port),
        "POSTRIDER_ALLOW_PRIVATE_ADDRESSES": "on",  # the name server is on this machine
        "POSTRIDER_ZONES": knot.zone_entry(DOMAIN),
        "POSTRIDER_GRACE_HOURS": "0",
        "POSTRIDER_REVERIFY_SPREAD_MINUTES": "0",
        "POSTRIDER_CONFIGURATION_SECONDS": "1",
    }
    with start_world(settings=settings) as running:
        yield running


def run(world: World, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = world.run(sys.executable, str(EXAMPLES / script), *arguments, timeout=120.0)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{world.said()}"
    return done


def test_howto_from_nothing_to_verified_mail_and_from_a_lost_record_to_a_refusal(world: World, knot: Knot) -> None:
    said = run(world, "administer.py", DOMAIN, RECIPIENT).stdout

    for kind in ("Domain", "SPF", "DKIM", "DKIM2", "DMARC"):
        assert f"{kind}: Verified" in said
    raw = world.wait_for_captured(lambda message: b"From a domain of our own" in message)
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert message["From"] == f"The News <news@{DOMAIN}>"
    verdict = mailauth.verify(
        raw, client_ip=CLIENT_IP, helo="bounce.postrider.test", mail_from="b@bounce.postrider.test", dns=(knot.host, knot.port)
    )
    assert {signature["result"] for signature in verdict["dkim"]} == {"pass"}
    assert {signature["domain"] for signature in verdict["dkim"]} == {DOMAIN}
    assert verdict["dmarc"]["result"] == "pass"

    knot.delete_records(DOMAIN, "TXT")  # the proof of ownership, and SPF
    warned = run(world, "watch_domain.py", DOMAIN, RECIPIENT, "Warning").stdout
    assert "Sending: Warning" in warned
    assert "Sent:" in warned
    assert "record-lost" in world.said()

    refused = run(world, "watch_domain.py", DOMAIN, RECIPIENT, "Paused").stdout
    assert "Refused: DomainNotLinked" in refused
    assert DOMAIN in refused.partition("Refused:")[2]
    assert "sending-paused" in world.said()
