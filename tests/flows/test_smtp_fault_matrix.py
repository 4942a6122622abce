"""Every fault at every stage, by MX and by smarthost: each cell of the table is a test.

A cell is tried with another host behind the one that fails, and with none. Beside what becomes of whom, the story must be
told in order, nobody may get the message twice unless that is flagged, and a connection that failed is not used again.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from email_core.delivery.attempt import Courier
from email_core.delivery.ledger import Entry, Ledger, settled
from email_core.delivery.outcome import AttemptReport, Disposition, Stage, TimelineEvent
from tests.flows.smtp_fault_table import (
    CERTIFICATES,
    CERTIFICATES_TABLE,
    RECIPIENTS,
    STAGES_TABLE,
    TIMEOUT,
    Case,
    Cell,
    cases,
)
from tests.kit.couriers import PATIENT_TIMEOUTS, attempt, courier, story
from tests.kit.dead_ports import refusing_port, silent_port
from tests.kit.server_tls import ServerTls, server_tls
from tests.kit.smtp_receiver import EXTENSIONS, Script, SmtpReceiver

__all__ = ["server_tls"]

TABLES = [STAGES_TABLE, CERTIFICATES_TABLE]
RUN_SECONDS = 20.0
ALERT_PROTOCOL_VERSION = b"\x15\x03\x01\x00\x02\x02\x46"  # how a server without TLS 1.2 answers (RFC 5246 section 7.2.2)
LOST = {
    "drop": "connection lost",
    "reset": "connection lost: Connection reset by peer",
    "stall": f"no answer within {TIMEOUT} s",
    "slow": f"no answer within {TIMEOUT} s",
    "junk": "not an SMTP reply",
    "noend": "not an SMTP reply",
    "early": "the server said more than it was asked",
}


@dataclass
class Tried:
    """An attempt that was made; `receivers` are the hosts in their order, without one that could not be connected to."""

    report: AttemptReport
    receivers: list[SmtpReceiver]

    @property
    def dispositions(self) -> tuple[Disposition, ...]:
        return tuple(outcome.disposition for outcome in self.report.outcomes)

    @property
    def steps(self) -> list[str]:
        return [step(event) for event in self.report.timeline]

    def copies(self, recipient: str) -> int:
        """How many messages for that recipient are somewhere."""
        return sum(recipients.count(recipient) for receiver in self.receivers for recipients in receiver.kept)


def step(event: TimelineEvent) -> str:
    return str(event.facts["command"]).partition(" ")[0] if event.kind == "smtp" else event.kind


@pytest.fixture
def certificate(server_tls: ServerTls, monkeypatch: pytest.MonkeyPatch) -> ServerTls:
    server_tls.trust(monkeypatch)
    return server_tls


@pytest.mark.parametrize("case", list(cases()), ids=str)
async def test_fault_at_a_stage_comes_to_what_the_table_says(case: Case, certificate: ServerTls) -> None:
    followed, alone = await asyncio.gather(tried(case, certificate, hosts=2), tried(case, certificate, hosts=1))

    assert followed.dispositions == case.dispositions
    assert followed.steps == expected_steps(case, followed=True)
    other = followed.receivers[-1]
    assert (other.connections, other.kept) == ((1, [RECIPIENTS]) if case.cell is Cell.NEXT else (0, []))
    assert alone.dispositions == ((Disposition.DEFERRED,) * 3 if case.cell is Cell.NEXT else case.dispositions)
    assert alone.steps == expected_steps(case, followed=False)
    for attempted in (followed, alone):
        check_each_recipient(case, attempted)
        check_words(case, attempted)
        check_what_follows(case, attempted)


def check_each_recipient(case: Case, attempted: Tried) -> None:
    """Who is not delivered to knows why, and nobody gets two without being told."""
    for outcome in attempted.report.outcomes:
        assert outcome.indeterminate is (case.cell is Cell.TWICE)
        if outcome.disposition is not Disposition.DELIVERED:
            assert (outcome.stage, outcome.bounce_class) == (case.stage, case.bounce_class)
            assert outcome.reply is not None or outcome.reason
        has_it = outcome.disposition is Disposition.DELIVERED or outcome.indeterminate
        assert attempted.copies(outcome.recipient) == has_it


def check_words(case: Case, attempted: Tried) -> None:
    """The event that failed says how, and no event has bytes that no text may have."""
    assert all(
        str(fact).replace("\n", " ").isprintable() for event in attempted.report.timeline for fact in event.facts.values()
    )
    failing = [event for event in attempted.report.timeline if step(event) == case.noticed.step]
    if not failing or (case.cell is Cell.OK and case.place.key != "RSET"):
        return
    facts = failing[case.noticed.position if case.noticed.step == "RCPT" else 0].facts
    if case.replied:
        assert str(case.say)[:9] == str(facts["reply"])[:9]
    elif case.place.key == "RSET" and case.fault in ("500", "odd", "early"):
        assert str(facts["reply"]).startswith("250 2.0.0 ok" if case.fault == "odd" else "250 ")
    else:
        assert str(facts["failed"]).startswith(expected_reason(case))
        last = attempted.report.outcomes[-1]
        if last.indeterminate:
            assert last.reason == f"{facts['failed']}; the receiver may have the message"
            [doubt] = story(attempted.report, "indeterminate")
            assert doubt == {"recipients": list(RECIPIENTS), "stage": "final-dot", "why": last.reason}


def check_what_follows(case: Case, attempted: Tried) -> None:
    """Who is deferred is tried again, and who may have it already is flagged."""
    ledger = Ledger(tuple(Entry(recipient) for recipient in RECIPIENTS))
    settlement = settled(
        ledger, attempted.report, now=0.0, accepted_at=0.0, expires_at=86400.0, pauses=(60.0,), random=lambda: 0.5
    )
    assert (settlement.retry_at is not None) is (Disposition.DEFERRED in attempted.dispositions)
    assert [entry.possible_duplicate for entry in settlement.ledger.entries] == [case.cell is Cell.TWICE] * 3


@pytest.mark.parametrize("seen", list(CERTIFICATES))
@pytest.mark.parametrize("route", ["mx", "relay"])
async def test_certificate_that_does_not_verify_keeps_mail_from_smarthosts_only(
    seen: str, route: str, server_tls: ServerTls, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = CERTIFICATES[seen][route == "relay"]
    if seen != "nobody we know signed it":
        server_tls.trust(monkeypatch)
    name = "other.test" if seen == "for another name" else "localhost"
    context = server_tls.server(name, not_after=datetime(2020, 1, 1, tzinfo=UTC) if seen == "expired" else None)
    script: Script = {"handshake": ALERT_PROTOCOL_VERSION} if "TLS 1.1" in seen else {}
    case = Case("TLS handshake", "drop", cell, route)
    async with world(case, script, context, hosts=1) as (routes, zone, port, [receiver]), SmtpReceiver() as last:
        routes = routes if route == "mx" else f"{routes},smarthost://127.0.0.1:{last.port}?tls=off"
        sender = courier(routes, zone=zone, mx_port=port)
        report = await sender.attempt_delivery(attempt(*RECIPIENTS))
        await sender.close()
    assert {outcome.disposition for outcome in report.outcomes} == {Disposition.DELIVERED}
    assert last.kept == ([RECIPIENTS] if cell is Cell.NEXT else [])
    assert len(story(report, "plain")) == (2 if cell is Cell.PLAIN else 0)
    assert [facts["verified"] for facts in story(report, "tls")] == ([False] if cell is Cell.OK else [])
    assert not any(command.startswith("AUTH") for command in receiver.commands)


def expected_reason(case: Case) -> str:
    match case.place.key, case.fault:
        case "", "reset":
            return "Connection refused"
        case "", _:
            return f"no connection within {TIMEOUT} s"
        case ".", "stall" | "slow":
            return f"no answer to the final dot within {TIMEOUT} s"
        case "handshake", "junk":
            return "TLS: wrong version number"
        case _:
            return LOST[case.fault]


def expected_steps(case: Case, *, followed: bool) -> list[str]:
    """The timeline, event by event. `followed`: there is another host."""
    start = ["route", "mx"] if case.route == "mx" else ["route"]
    log_in = ["AUTH"] if case.route == "relay" else []
    ready = ["connect", "(greeting)", "EHLO", *(["tls", "EHLO"] if case.tls else []), *log_in]
    rest = ["MAIL", "RCPT", "RCPT", "RCPT", "DATA", "(message"]
    place = case.noticed
    if place.step == "STARTTLS":
        broken = ["connect", "(greeting)", "EHLO", "STARTTLS"]
    else:
        steps = [*ready, *rest]
        broken = steps[: steps.index(place.step) + place.position + 1] if place.step in steps else []
    match case.cell:
        case Cell.NEXT if followed:
            return [*start, *broken, *(["route"] if case.route == "relay" else []), *ready, *rest]
        case Cell.NEXT:
            return [*start, *broken, *["rule"] * 3]
        case Cell.PLAIN:  # said once when it is decided, and once when STARTTLS is offered again
            return [*start, *broken, "plain", "connect", "(greeting)", "EHLO", "plain", *rest]
        case Cell.TWICE:
            return [*start, *broken, "indeterminate", "rule"]
        case Cell.FAILED:
            return [*start, *broken, "rule", "RSET"]
        case Cell.OK:
            return [*start, *ready, *rest]
    if case.place.key == "RSET":
        return [*start, *ready, "MAIL", *["RCPT", "rule"] * 3, "RSET"]
    return [*start, *broken, "rule", *[*ready, *rest][len(broken) :]]


async def tried(case: Case, tls: ServerTls, *, hosts: int) -> Tried:
    """Make the attempt, within its time, and see that connections which failed are closed."""
    timeouts = replace(PATIENT_TIMEOUTS, **{case.place.time_out: TIMEOUT})
    script: Script = {case.place.key: case.say} if case.place.key else {}
    if case.place.key == "RSET":
        script = {**script, "RCPT": "550 5.1.1 no such user"}
    async with world(case, script, tls.server("localhost"), hosts=hosts) as (routes, zone, port, receivers):
        sender = courier(routes, zone=zone, timeouts=timeouts, run_seconds=RUN_SECONDS, mx_port=port)
        async with asyncio.timeout(RUN_SECONDS):
            report = await sender.attempt_delivery(attempt(*RECIPIENTS))
        await check_connections(case, sender, receivers)
    return Tried(report, receivers)


async def check_connections(case: Case, sender: Courier, receivers: list[SmtpReceiver]) -> None:
    failed = case.cell in (Cell.NEXT, Cell.PLAIN, Cell.TWICE)
    closing = (
        case.fault == "421"
        or (case.fault == "early" and not case.tls)
        or (case.place.key == "RSET" and case.fault not in ("500", "odd"))
    )
    conversations = [conversation for receiver in receivers for conversation in receiver.conversations]
    if case.place.stage is not Stage.CONNECT and case.place.key != "QUIT" and (failed or closing):
        await asyncio.wait_for(asyncio.shield(conversations[0]), 5)
    else:
        assert not any(conversation.done() for conversation in conversations)  # it waits for the next message
    await sender.close()
    for conversation in conversations:
        await asyncio.wait_for(asyncio.shield(conversation), 5)
    if case.place.key == "QUIT":
        assert receivers[0].verbs()[-1] == "QUIT"


@contextlib.asynccontextmanager
async def world(
    case: Case, script: Script, tls: ssl.SSLContext, *, hosts: int
) -> AsyncIterator[tuple[str, dict[str, dict[str, list[object]]], int, list[SmtpReceiver]]]:
    """Routes, zone, MX port and receivers: one that fails and, with `hosts` 2, one that does not."""
    context = tls if case.tls else None
    extensions = EXTENSIONS if case.route == "mx" else (*EXTENSIONS, "AUTH PLAIN")
    dead = case.place.stage is Stage.CONNECT
    async with contextlib.AsyncExitStack() as stack:
        receivers: list[SmtpReceiver] = []
        ports: list[int] = []
        scripts = [script, {}][-hosts:] if dead else [script, {}][:hosts]
        for each in scripts[1:] if dead else scripts:
            host = "127.0.0.1" if case.route == "relay" else f"127.0.0.{len(receivers) + 1 + dead}"
            port = receivers[0].port if receivers and case.route == "mx" else 0
            receiver = SmtpReceiver(each, extensions=extensions, tls=context, host=host, port=port)
            receivers.append(await stack.enter_async_context(receiver))
            ports.append(receivers[-1].port)
        if dead:
            no_server = refusing_port if case.fault == "reset" else silent_port
            shared = receivers[0].port if receivers and case.route == "mx" else 0
            ports.insert(0, stack.enter_context(no_server(port=shared)))
        zone = {
            "example.test": {"MX": [(10 * number, f"mx{number}.example.test") for number in range(1, hosts + 1)]},
            **{f"mx{number}.example.test": {"A": [f"127.0.0.{number}"]} for number in range(1, hosts + 1)},
        }
        name, options = ("localhost", "") if case.tls else ("127.0.0.1", "?tls=off")
        relays = ",".join(f"smarthost://user:secret@{name}:{port}{options}" for port in ports)
        yield ("mx" if case.route == "mx" else relays), zone, ports[0], receivers
