"""Trying a way out without sending: as far as a relay's log-in, or a mail host's greeting, and then QUIT.

The connection is made by the code that delivers, with the TLS and the credentials of the route; MAIL is never said.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace

from email_core.clock import Clock
from email_core.delivery import tls_policy
from email_core.delivery.outcome import Reply, Stage
from email_core.delivery.reply import parse_reply
from email_core.delivery.routes import SmarthostRoute
from email_core.delivery.run import HostUnusable, Run, TlsFailed
from email_core.delivery.smtp_connection import Connection, NextHop, open_connection
from email_core.delivery.smtp_wire import SmtpWire
from email_core.delivery.time_budget import OutOfTime, StageTimeouts, TimeBudget
from email_core.delivery.transcript import Transcript

NO_METHOD = "offers no AUTH method that we have (PLAIN, LOGIN)"


@dataclass(frozen=True, slots=True)
class RelayProbe:
    """How far a relay let us come. `reason` is empty when it would take mail; else it is why not, at `stage`.

    `reply` is what the relay said to that: it may speak of our account, so it is for the operator alone. `plain_because`:
    TLS was tried and failed, and this route sends in plain then. `certificate_ends` is in seconds since the epoch, 0 for
    a certificate that was not looked at; `seconds` is how long all of it took.
    """

    seconds: float
    tls: str = ""
    certificate_names: tuple[str, ...] = ()
    certificate_ends: float = 0.0
    plain_because: str = ""
    auth_methods: tuple[str, ...] = ()
    logged_in: bool = False
    stage: Stage | None = None
    reason: str = ""
    reply: Reply | None = None


async def probe_relay(route: SmarthostRoute, ehlo_name: str, clock: Clock, *, seconds: float) -> RelayProbe:
    """Connect as for a delivery, encrypt, log in where the route says so, and hang up, within `seconds`."""
    began = clock.monotonic()
    budget = TimeBudget(clock, StageTimeouts(), run_seconds=seconds * 100, patience=seconds)
    run = Run(clock, budget, Transcript(clock), ehlo_name)
    # Without the credentials until the log-in: what the relay says to it then comes with its reply.
    hop = NextHop(route.host, route.host, route.port, route.tls)
    connection: Connection | None = None
    unusable: HostUnusable | None = None
    seen = RelayProbe(0.0)
    try:
        connection, plain_because = await _open(hop, run)
        seen = replace(_seen(connection), plain_because=plain_because)
        if route.username:
            connection.hop = replace(hop, username=route.username, password=route.password)
            await connection.log_in(run)
    except OutOfTime as out:
        unusable = HostUnusable(out.stage, f"no answer within {seconds:.3g} s")
    except HostUnusable as error:
        unusable = error
    finally:
        if connection is not None:
            connection.wire.hang_up()
    return replace(
        seen,
        seconds=clock.monotonic() - began,
        logged_in=bool(route.username) and unusable is None,
        stage=unusable.stage if unusable else None,
        reason=_reason(unusable) if unusable else "",
        reply=unusable.reply if unusable else None,
    )


async def greeting_of(address: str, port: int, *, seconds: float) -> Reply:
    """Connect, read the greeting and hang up. Raises WireFault when there is no SMTP server to be reached in time."""
    wire = await SmtpWire.connect(address, port, timeout=seconds)
    raw = await wire.greeting(timeout=seconds)
    wire.hang_up()
    return parse_reply(raw.code, raw.text.split("\n"))


async def _open(hop: NextHop, run: Run) -> tuple[Connection, str]:
    """A connection that is ready, in plain where the route falls back to that; and why it did."""
    try:
        return await open_connection(hop, run, broken_tls=False), ""
    except TlsFailed as failed:
        if not tls_policy.may_fall_back_to_plain(hop.tls):
            raise
        return await open_connection(hop, run, broken_tls=True), failed.reason


def _reason(unusable: HostUnusable) -> str:
    """Why a host is of no use. What delivery keeps from senders about our account is said here in plain words."""
    if unusable.stage is not Stage.AUTH or not unusable.withheld:
        return unusable.reason
    return "did not accept user and password" if unusable.reply else NO_METHOD


def _seen(connection: Connection) -> RelayProbe:
    certificate = connection.wire.certificate
    return RelayProbe(
        0.0,
        tls=(connection.wire.tls_session or ("",))[0],
        certificate_names=tuple(str(value) for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"),
        certificate_ends=ssl.cert_time_to_seconds(certificate["notAfter"]) if certificate else 0.0,
        auth_methods=tuple(connection.auth_methods),
    )
