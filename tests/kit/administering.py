"""The commands of administrators against a running local world, in process: words in, exit status and output out.

The world has a DNS: Knot, which serves the customers' zone and the platform's, and takes updates for the first.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local import cli
from tests.kit import knot, world
from tests.kit.domain_zones import served
from tests.kit.knot import Knot
from tests.kit.peers import require
from tests.kit.world import World, start_world

EMAIL_SERVICE = "local-email"  # those that a local world begins with
SERVICE = "local"
ZONE = "customers.test"
_OURS = ("POSTRIDER_", "AZURE_", "COMMUNICATION_", "SENDER_", "RECIPIENT_", "SSL_", "NO_PROXY", "no_proxy")


@dataclass(frozen=True)
class Told:
    """What a command came to."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def rows(self) -> list[list[str]]:
        """The cells of a table, without its heading."""
        return [re.split(r" {2,}", line.strip()) for line in self.out.splitlines()[1:]]


@dataclass(frozen=True)
class Commands:
    """Runs commands as a user of that world does."""

    world: World
    knot: Knot
    folder: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *words: str) -> Told:
        try:
            status = cli.main(list(words), self.folder)
        except SystemExit as ended:  # argparse
            status = int(str(ended.code))
        said = self.capsys.readouterr()
        return Told(status, said.out, said.err)

    def done(self, *words: str) -> Told:
        """As the call, for a command that must not fail."""
        told = self(*words)
        assert told.status == 0, told
        return told

    def published(self, name: str = "") -> str:
        """A domain that was added, and whose records stand in the DNS."""
        domain = name or new_domain()
        self.done("domain", "add", domain)
        self.knot.add_records(self.done("domain", "records", domain, "--format", "bind").out.splitlines())
        return domain

    def verified(self) -> str:
        """A domain that was verified."""
        domain = self.published()
        self.done("domain", "verify", domain, "--wait", "60")
        return domain


@pytest.fixture(scope="session")
def administered() -> Iterator[tuple[World, Knot]]:
    """A world whose workers notice a change at once, with its DNS."""
    for reason in (world.missing_reason(), knot.missing_reason()):
        require(not reason, reason)
    platform = ['spf TXT "v=spf1 ip4:192.0.2.1 -all"', "mx A 192.0.2.2"]
    zones = {ZONE: served([]), f"published.{ZONE}": served([]), "postrider.test": served(platform)}
    with Knot(zones) as dns:
        settings = {
            "POSTRIDER_CONFIGURATION_SECONDS": "0",
            "POSTRIDER_DNS": dns.address,
            "POSTRIDER_DNS_PORT": str(dns.port),
            "POSTRIDER_ALLOW_PRIVATE_ADDRESSES": "on",
            "POSTRIDER_ZONES": dns.zone_entry(f"published.{ZONE}"),
        }
        with start_world(settings=settings) as running:
            yield running, dns


@pytest.fixture
def command(
    administered: tuple[World, Knot], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Commands:
    """The commands with the environment of that world."""
    running, dns = administered
    for name, value in running.env.items():
        if name.startswith(_OURS):
            monkeypatch.setenv(name, value)
    return Commands(running, dns, tmp_path, capsys)


def new_domain(parent: str = ZONE) -> str:
    """A name that no other test has."""
    return f"d{uuid.uuid4().hex[:12]}.{parent}"
