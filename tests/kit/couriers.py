"""Couriers for tests: real sockets on loopback, a fake DNS, short time-outs, no randomness."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from email_core.clock import Clock, SystemClock
from email_core.delivery.attempt import Attempt, Courier
from email_core.delivery.destinations import Destinations
from email_core.delivery.outcome import AttemptReport, Outcome
from email_core.delivery.time_budget import StageTimeouts
from email_core.message.address import parse_address
from email_core.settings import Settings, StorageSettings
from tests.kit.dns_zone import Zone, ZoneResolver

MESSAGE = b"From: news@contoso.test\r\nTo: ann@example.test\r\nSubject: Hello\r\n\r\n.One dot\r\n..Two\r\nEnd\r\n"
REVERSE_PATH = "b+a.opaque.mac@bounce.postrider.test"

SHORT = 0.3  # seconds; long enough for loopback, short enough to wait for
SHORT_TIMEOUTS = StageTimeouts(
    dns=SHORT, connect=SHORT, banner=SHORT, ehlo=SHORT, tls=SHORT, auth=SHORT, mail=SHORT, rcpt=SHORT, data=SHORT,
    block=SHORT, final_dot=SHORT, reset=SHORT,
)  # fmt: skip
PATIENT_TIMEOUTS = StageTimeouts(**dict.fromkeys(StageTimeouts.__dataclass_fields__, 10.0))


def settings_for_tests(**changes: Any) -> Settings:
    return replace(Settings(storage=StorageSettings(), allow_private_addresses=True, ehlo_name="mail.contoso.test"), **changes)


def courier(
    routes: str = "mx",
    *,
    zone: Zone | None = None,
    clock: Clock | None = None,
    timeouts: StageTimeouts = PATIENT_TIMEOUTS,
    destinations: Destinations | None = None,
    **settings: Any,
) -> Courier:
    """A courier; `settings` change fields of the settings."""
    return Courier(
        settings_for_tests(routes=routes, **settings),
        clock or SystemClock(),
        ZoneResolver(zone or {}),
        timeouts=timeouts,
        destinations=destinations,
        random=lambda: 0.5,
    )


def attempt(*recipients: str, **fields: Any) -> Attempt:
    """An attempt for these recipients, of MESSAGE unless told otherwise."""
    chosen = {"message": MESSAGE, "reverse_path": REVERSE_PATH, **fields}
    return Attempt(recipients=tuple(parse_address(each) for each in recipients or ("ann@example.test",)), **chosen)


def only(report: AttemptReport) -> Outcome:
    """The outcome of the one recipient."""
    [outcome] = report.outcomes
    return outcome


def story(report: AttemptReport, kind: str) -> list[dict[str, object]]:
    """The facts of the events of one kind."""
    return [event.facts for event in report.timeline if event.kind == kind]


def commands(report: AttemptReport) -> list[str]:
    """The SMTP commands of the timeline, first words only."""
    return [str(facts["command"]).partition(" ")[0] for facts in story(report, "smtp")]
