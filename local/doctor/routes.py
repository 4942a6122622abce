"""The ways out: each smarthost and sink as far as its log-in, and whether port 25 is open for the way to mail hosts."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from local.doctor.check import Check, Finding, left_out, notice, ok, shown_time, wrong
from local.doctor.subject import LeftOut, Subject

if TYPE_CHECKING:
    from email_core.delivery.outcome import Reply
    from email_core.delivery.probe import RelayProbe
    from email_core.delivery.routes import SmarthostRoute

SECONDS = 8.0  # for a relay, all of it; a delivery waits longer, but a person who sends codes to log in with should not
_GREETING_SECONDS = 4.0  # with the DNS before it still less than a check may take
MOST_HOSTS = 3  # of the probe domain; one that answers shows that the port is open
SOON = 14 * 86400.0  # seconds until a relay's certificate ends
_GROUP = "Routes"
_SETTING = "POSTRIDER_ROUTES"


async def relays(subject: Subject) -> list[Finding]:
    """A line for each route of the settings."""
    from email_core.delivery.routes import SmarthostRoute

    tries = [
        _relay(route, subject) if isinstance(route, SmarthostRoute) else _mx_route()
        for route in subject.routes()
    ]  # fmt: skip
    return list(await asyncio.gather(*tries))


async def _mx_route() -> Finding:
    return ok("mx", "needs port 25 and the DNS: see their lines")


async def _relay(route: SmarthostRoute, subject: Subject) -> Finding:
    from email_core.delivery.probe import probe_relay
    from email_core.delivery.routes import is_loopback

    if subject.offline and not is_loopback(route.host):
        return left_out(route.name, "--offline")
    settings = subject.settings()
    ehlo_name = settings.ehlo_name or settings.bounce_domain
    probe = await probe_relay(route, ehlo_name, subject.clock, seconds=SECONDS)
    return relay_finding(route, probe, subject.clock.now())


def relay_finding(route: SmarthostRoute, probe: RelayProbe, now: float) -> Finding:
    """What a try of a relay means for those who send by it."""
    if probe.reason:
        return wrong(route.name, _trouble(probe), _remedy(route, probe))
    steps = [f"answers in {shown_time(probe.seconds)}"]
    if probe.tls:
        names = f" for {', '.join(probe.certificate_names[:3])}" if probe.certificate_names else ""
        days = (probe.certificate_ends - now) / 86400
        steps.append(f"{probe.tls}, certificate{names} good for {days:.0f} days" if probe.certificate_ends
                     else f"{probe.tls}, certificate not looked at")  # fmt: skip
    if probe.logged_in:
        steps.append("log-in accepted")
    if route.capture:
        steps.append("keeps what it gets")
    found = ", ".join(steps)
    if probe.plain_because:
        return notice(
            route.name,
            f"{found}; in plain, for {probe.plain_because}",
            f"have the relay's TLS mended; with ?tls=required in {_SETTING} mail waits instead of going out in plain",
        )
    if 0 < probe.certificate_ends < now + SOON:
        return notice(route.name, found, "tell the relay's operator: mail waits here once its certificate has ended")
    return ok(route.name, found)


def _trouble(probe: RelayProbe) -> str:
    said = f": {' '.join(str(probe.reply).split())[:200]}" if probe.reply else ""
    if probe.stage == "auth" and "no AUTH method" in probe.reason:
        said = f"; it offers {', '.join(probe.auth_methods) or 'none'}"
    reason = probe.reason
    if probe.stage == "connect" and not reason.startswith("no connection"):
        reason = f"no connection: {reason}"
    return f"{reason}{said}" if probe.tls or probe.stage in ("connect", "starttls") else f"{reason}{said} (no TLS)"


def _remedy(route: SmarthostRoute, probe: RelayProbe) -> str:
    entry = f"the entry {route.name} of {_SETTING}"
    match probe.stage:
        case "connect" if route.capture:
            return f"the sink of a local world runs with ./postrider up; for another one, correct {entry}"
        case "connect" if "not known" in probe.reason or "No address" in probe.reason or "resolution" in probe.reason:
            return f"correct the host name in {entry}; if it is right, see the lines of DNS"
        case "connect":
            return f"is host and port right in {entry}, and may this machine connect there (firewall, network rules)?"
        case "starttls":
            return _tls_remedy(route, probe.reason, entry)
        case "auth" if probe.reply is not None and 400 <= probe.reply.code < 500:
            return f"the relay may take it later; when it goes on, correct user and password in {entry}"
        case "auth" if probe.reply is not None:
            return (
                f"correct user and password in {entry}, reserved characters in percent-encoding (@ is %40, : is %3A); "
                "some relays want a password made for programs, or have to be told to allow SMTP for the account"
            )
        case "auth" if "no AUTH method" not in probe.reason:
            return f"the relay broke off at the log-in; when it goes on, ask its operator, or correct {entry}"
        case "auth" if probe.auth_methods:
            return f"have the relay allow PLAIN or LOGIN over TLS for this account, or use another relay in {_SETTING}"
        case "auth":
            return f"the relay takes no log-in on this port: try port 587 or 465 in {entry}, or leave user and password out"
        case _:
            return f"the relay refuses this machine or is busy: its operator knows why; is it the right host in {entry}?"


def _tls_remedy(route: SmarthostRoute, reason: str, entry: str) -> str:
    if "expired" in reason or "not yet valid" in reason:
        return "the certificate's time is over or to come: see the clock; if that is right, tell the relay's operator"
    if "mismatch" in reason or "not valid for" in reason:
        return f"write the host in {entry} as its certificate names it"
    if "issuer" in reason or "self-signed" in reason or "self signed" in reason:
        return "trust its authority: SSL_CERT_FILE names a file of authorities; with a relay on the Internet, ask its operator"
    if "does not offer STARTTLS" in reason:
        return f"use a port with TLS in {entry} (587 or 465); without a log-in, ?tls=opportunistic sends in plain"
    return f"is this a port with TLS from the first byte (465, ?tls=implicit) or with STARTTLS (587)? Correct {entry}"


async def port_25(subject: Subject) -> Finding:
    """Whether a mail host can be reached at all. Nothing is said to it but QUIT."""
    from email_core.delivery.mx_hosts import MxFailure, find_mx_hosts
    from email_core.delivery.probe import greeting_of
    from email_core.delivery.routes import MxRoute
    from email_core.delivery.smtp_wire import WireFault

    settings, domain = subject.settings(), subject.options.probe_domain
    name, where = "port 25", "" if settings.mx_port == 25 else f" port {settings.mx_port}"
    if subject.offline:
        return left_out(name, "--offline")
    needed = any(isinstance(route, MxRoute) for route in subject.routes())
    found = await find_mx_hosts(
        domain, subject.resolver(), allow_private=settings.allow_private_addresses, random=random.random
    )
    if isinstance(found, MxFailure):
        raise LeftOut(f"no mail host of {domain} is known: {found.reason}; --probe-domain names another one")
    hops = [(host.name, address) for host in found.hosts for address in host.addresses][:MOST_HOSTS]
    tries = [greeting_of(address, settings.mx_port, seconds=_GREETING_SECONDS) for _, address in hops]
    results = await asyncio.gather(*tries, return_exceptions=True)
    faults: list[WireFault] = []
    for (host, _), result in zip(hops, results, strict=True):
        if isinstance(result, WireFault):
            faults.append(result)
        elif isinstance(result, BaseException):
            raise result
        else:
            return greeting_finding(name, f"{host}{where}", result, needed=needed)
    return shut_finding(name, [f"{host}{where}" for host, _ in hops], faults[0].ours, needed=needed)


def greeting_finding(name: str, host: str, greeting: Reply, *, needed: bool) -> Finding:
    """What a mail host's first words mean."""
    said = f"{host} says {' '.join(str(greeting).split())[:100]}"
    if greeting.code < 400:
        return ok(name, f"open: {said}")
    remedy = (
        "the port is open, but that host does not want this machine: has its address a reverse name that leads back to it, "
        "and is it on a block list? A smarthost sends from an address with a good name"
    )
    return wrong(name, said, remedy) if needed else notice(name, said, f"not needed by your routes; for mx, {remedy}")


def shut_finding(name: str, hosts: list[str], reason: str, *, needed: bool) -> Finding:
    """No mail host could be reached."""
    found = f"shut: {', '.join(dict.fromkeys(hosts))}: {reason}"
    remedy = (
        f"send by a smarthost on port 587 or 465 ({_SETTING}=smarthost://user:password@host). Most networks, and most "
        "subscriptions of Azure, let nobody out on port 25; docs/howto/operate.md, Send for real"
    )
    if needed:
        return wrong(name, found, remedy)
    return notice(name, f"{found}; not needed by your routes", f"nothing has to be done; to send by mx, {remedy}")


CHECKS = (
    Check(_GROUP, "routes", relays, seconds=SECONDS + 2.0),
    Check(_GROUP, "port 25", port_25, seconds=15.0),
)
