"""`./postrider domain verify`: have the records of a domain looked for, the one that proves who owns it first.

The looking is done by the installation, and goes on there whoever watches it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local import arm_scope
from local.administering import tell
from local.arm_client import DONE, REFUSED, ArmClient
from local.domain_view import REQUIRED, VERIFIED, detail_lines, moment
from local.table import printable

UNDER_WAY = ("VerificationRequested", "VerificationInProgress")
FAILED = "VerificationFailed"
_OWNER = "Domain"
_SOON = 5.0  # seconds; a look that is as near is waited for, a later one is had now
_POLL_SECONDS = (0.3, 3.0)  # at first, and at last
_CANCEL_SECONDS = 30.0


def waiting_records(domain: Mapping[str, Any]) -> list[str]:
    """The records that are looked for."""
    return [kind for kind, detail in _details(domain).items() if detail["status"] in UNDER_WAY]


def verify(client: ArmClient, options: argparse.Namespace) -> int:
    """The exit status: 0 what was asked for is verified, 1 it is not."""
    domain = arm_scope.domain(client, options, options.name)
    if not _details(domain):
        return tell(options, domain, lambda: [f"{options.name}: verified, for it is managed by the platform"])
    wanted = options.record or [kind for kind in _details(domain) if kind in REQUIRED or not _is_verified(domain, kind)]
    run = _Run(client, options, domain["id"], wanted)
    domain = run.to_the_end(domain)
    verified = run.verified(domain)
    tell(options, domain, lambda: _ending(options, domain, wanted, verified=verified))
    return DONE if verified else REFUSED


@dataclass
class _Run:
    """One run of the command; `told` is what was said of each record last."""

    client: ArmClient
    options: argparse.Namespace
    path: str
    wanted: Sequence[str]
    told: dict[str, str] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)

    def to_the_end(self, domain: dict[str, Any]) -> dict[str, Any]:
        """Ask for each record once it may be asked for, and look until all is decided, or nobody waits any longer."""
        deadline = time.monotonic() + self.options.wait if self.options.wait is not None else None
        pause = _POLL_SECONDS[0]
        try:
            while True:
                if self._ask(domain):
                    domain = self.client.get(self.path)
                self._tell(domain)
                if self.options.no_wait or self._decided(domain) or (deadline is not None and time.monotonic() > deadline):
                    return domain
                time.sleep(pause)
                pause = min(1.5 * pause, _POLL_SECONDS[1])
                domain = self.client.get(self.path)
        except KeyboardInterrupt:
            return domain  # the installation goes on looking

    def verified(self, domain: Mapping[str, Any]) -> bool:
        """Whether what counts of the wanted records is verified: all of them when they were named, else the required ones."""
        counting = [kind for kind in self.wanted if self.options.record or kind in REQUIRED]
        return all(_is_verified(domain, kind) for kind in counting)

    def _ask(self, domain: Mapping[str, Any]) -> bool:
        """Ask for what may be asked for and was not yet; whether there was anything."""
        # All others but DMARC are refused before it is known who owns the domain.
        first = [] if _is_verified(domain, _OWNER) else [_OWNER]
        free = [kind for kind in self.wanted if not first or kind in ("Domain", "DMARC")]
        due = [kind for kind in dict.fromkeys([*first, *free]) if kind not in self.asked and not _is_verified(domain, kind)]
        for kind in due:
            self._restart(kind, _details(domain)[kind])
            self.client.wait(self.client.call("POST", f"{self.path}/initiateVerification", {"verificationType": kind}))
            self.asked.add(kind)
        return bool(due)

    def _restart(self, kind: str, detail: Mapping[str, Any]) -> None:
        """Call off a look that is far away, so that one that is asked for now is had now."""
        if detail["status"] not in UNDER_WAY or not detail.get("nextCheckAt") or not _is_far(detail):
            return
        self.client.wait(self.client.call("POST", f"{self.path}/cancelVerification", {"verificationType": kind}))
        deadline = time.monotonic() + _CANCEL_SECONDS
        while _details(self.client.get(self.path))[kind]["status"] not in ("NotStarted", FAILED, VERIFIED):
            if time.monotonic() > deadline:
                return
            time.sleep(_POLL_SECONDS[0])

    def _decided(self, domain: Mapping[str, Any]) -> bool:
        """Whether there is nothing left to wait for."""
        if self._fails(domain, _OWNER):
            return True
        return all(self._is_decided(domain, kind) for kind in self.wanted)

    def _is_decided(self, domain: Mapping[str, Any], kind: str) -> bool:
        if _is_verified(domain, kind) or self._fails(domain, kind):
            return True
        # What is advice is looked at once, and not waited for.
        advice = kind not in REQUIRED and not self.options.record
        return advice and kind in self.asked and bool(_details(domain)[kind].get("checkedAt"))

    def _fails(self, domain: Mapping[str, Any], kind: str) -> bool:
        return kind in self.asked and _details(domain)[kind]["status"] == FAILED

    def _tell(self, domain: Mapping[str, Any]) -> None:
        """Say of each record what is new of it."""
        if self.options.json:
            return
        for kind, detail in _details(domain).items():
            if kind not in (*self.wanted, _OWNER):
                continue
            text = "\n".join(detail_lines(kind, {**detail, "nextCheckAt": None}))
            if self.told.get(kind) == text:
                continue
            self.told[kind] = text
            print("\n".join(detail_lines(kind, detail)), flush=True)


def _ending(options: argparse.Namespace, domain: Mapping[str, Any], wanted: Sequence[str], *, verified: bool) -> list[str]:
    name = domain["properties"]["fromSenderDomain"]
    if verified:
        ready = "" if options.record else f". Let a service send from it: ./postrider domain link {name}"
        return [f"{name}: verified{ready}"]
    missing = [kind for kind in wanted if not _is_verified(domain, kind)]
    lines = [f"{name}: not verified yet: {', '.join(missing)}"]
    if any(detail["status"] in UNDER_WAY for detail in _details(domain).values()):
        lines.append(f"The installation goes on looking. ./postrider domain show {printable(name)} tells what it finds.")
    return lines


def _details(domain: Mapping[str, Any]) -> dict[str, Any]:
    return domain["properties"].get("verificationDetails") or {}


def _is_verified(domain: Mapping[str, Any], kind: str) -> bool:
    return bool(_details(domain).get(kind, {}).get("status") == VERIFIED)


def _is_far(detail: Mapping[str, Any]) -> bool:
    return moment(detail["nextCheckAt"]) > time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(time.time() + _SOON))
