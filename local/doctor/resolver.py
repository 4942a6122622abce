"""DNS: whether the resolver of the settings answers the kinds of questions that delivery asks."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Any

from email_core.dns.answers import Answer, Found, NoDomain, TemporaryFailure
from local.doctor.check import Check, Finding, left_out, notice, ok, shown_time, wrong
from local.doctor.subject import Subject

_GROUP = "DNS"


async def mx(subject: Subject) -> Finding:
    if subject.offline:
        return left_out("MX", "--offline")
    return await _finding(subject, "MX", subject.resolver().mx(subject.options.probe_domain))


async def txt(subject: Subject) -> Finding:
    if subject.offline:
        return left_out("TXT", "--offline")
    return await _finding(subject, "TXT", subject.resolver().txt(subject.options.probe_domain))


async def _finding(subject: Subject, kind: str, asked: Awaitable[Answer[Any]]) -> Finding:
    from email_core.delivery.routes import MxRoute

    began = time.monotonic()
    answer = await asked
    seconds = time.monotonic() - began
    server = subject.settings().dns_server or "the system's resolver"
    needed = any(isinstance(route, MxRoute) for route in subject.routes())
    return dns_finding(kind, subject.options.probe_domain, answer, server, seconds, needed=needed)


def dns_finding(kind: str, domain: str, answer: Answer[Any], server: str, seconds: float, *, needed: bool) -> Finding:
    """What an answer says of the resolver; `needed`: a route asks the DNS for mail hosts."""
    if isinstance(answer, Found):
        return ok(kind, f"{len(answer.records)} for {domain} by {server} in {shown_time(seconds)}")
    if isinstance(answer, TemporaryFailure):
        found, remedy = f"{answer.reason}, asked of {server}, after {shown_time(seconds)}", _remedy(answer.reason, server)
    elif isinstance(answer, NoDomain):
        found = f"{server} says that {domain} does not exist"
        remedy = "if it does: another resolver (POSTRIDER_DNS); if it does not: name one that does with --probe-domain"
    else:
        return ok(kind, f"{server} answers in {shown_time(seconds)}: {domain} has none")
    if needed:
        return wrong(kind, found, remedy)
    return notice(kind, found, f"{remedy}. Your routes do not ask for mail hosts; domains will be checked by DNS")


def _remedy(reason: str, server: str) -> str:
    if "in time" in reason:
        return (
            f"is there a resolver at {server}, and does a firewall let this machine reach it (port 53, UDP and TCP)? "
            "POSTRIDER_DNS names another one as address:port"
        )
    if "REFUSED" in reason:
        return f"{server} does not serve this machine: name another resolver in POSTRIDER_DNS"
    if "SERVFAIL" in reason:
        return f"{server} cannot find it out: look into its log, or name another resolver in POSTRIDER_DNS"
    return "is there a resolver at that address? Name another one in POSTRIDER_DNS as address:port"


CHECKS = (Check(_GROUP, "MX", mx), Check(_GROUP, "TXT", txt))
