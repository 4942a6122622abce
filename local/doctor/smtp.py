"""The SMTP server, of the local world that runs here or of an installation whose settings name a certificate for it.

Nobody logs in, and no mail is sent.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from local.doctor.check import Check, Finding, left_out, notice, ok, wrong
from local.doctor.host import get
from local.doctor.ports import running_world
from local.doctor.subject import LeftOut, Subject
from local.folder import Folder

SOON = 14 * 86400.0  # seconds until the certificate ends: most that renew by themselves do so 30 days before
_SECONDS = 6.0  # for a port to answer
_MOST_LINES = 50  # of a reply
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - what a server that is reached everywhere is told
_GROUP = "SMTP server"
_CERTIFICATE = "POSTRIDER_SMTP_CERTIFICATE and POSTRIDER_SMTP_KEY"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server is: `name` must be in its certificate, and port 0 is one that it does not listen on."""

    host: str
    name: str
    ports: dict[str, int]  # submission, tls, inbound, health
    local: bool

    def at(self, port: str) -> str:
        return f"[{self.host}]:{self.ports[port]}" if ":" in self.host else f"{self.host}:{self.ports[port]}"


def place_of(subject: Subject, port: str) -> Place:
    """Where to ask for that port. Raises LeftOut when there is nothing to ask."""
    settings = subject.settings()
    place = _of_world(subject) if settings.local_world else _of_settings(subject)
    if not place.ports[port]:
        raise LeftOut(f"POSTRIDER_SMTP_{port.upper()}_PORT is 0: it does not listen there")
    if subject.offline and not _is_loopback(place.host):
        raise LeftOut("--offline")
    return place


def _of_world(subject: Subject) -> Place:
    variables = subject.world_variables()
    told = {"submission": "SMTP_PORT", "tls": "SMTP_TLS_PORT", "inbound": "SMTP_INBOUND_PORT", "health": "SMTP_HEALTH_PORT"}
    running = "POSTRIDER_ENDPOINT" in subject.environment or running_world(subject.root)
    if not running or not all(variables.get(name, "").isdecimal() for name in told.values()):
        raise LeftOut("no local world with an SMTP server is running: ./postrider up starts one")
    host = variables.get("SMTP_HOST") or "localhost"
    return Place(host, host, {name: int(variables[variable]) for name, variable in told.items()}, local=True)


def _of_settings(subject: Subject) -> Place:
    settings = subject.settings()
    if not settings.smtp_certificate:
        raise LeftOut(f"the settings name none: {_CERTIFICATE} are for the SMTP server, docs/install.md")
    name = settings.ehlo_name or f"smtp.{settings.platform_domain}"
    # A balancer that sends the header of the PROXY protocol is at the name; the server itself would not hear us without.
    host = name if settings.smtp_host in _WILDCARDS or settings.smtp_proxy_protocol else settings.smtp_host
    ports = {
        "submission": settings.smtp_submission_port, "tls": settings.smtp_tls_port, "inbound": settings.smtp_inbound_port,
        "health": settings.smtp_health_port,
    }  # fmt: skip
    return Place(host, name, ports, local=False)


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


async def submission(subject: Subject) -> Finding:
    return await _submission(subject, "submission", "submission, STARTTLS")


async def tls(subject: Subject) -> Finding:
    return await _submission(subject, "tls", "submission, TLS")


async def _submission(subject: Subject, port: str, name: str) -> Finding:
    place = place_of(subject, port)
    try:
        async with asyncio.timeout(_SECONDS):
            certificate = await _certificate(place, port, _trust(subject, place))
    except ssl.SSLError as error:
        return _tls_trouble(name, place, port, error)
    except (OSError, EOFError, ValueError) as error:  # of asyncio.timeout too
        return _silent(name, place, port, error)
    return certificate_finding(name, place, port, certificate, subject.clock.now())


async def _certificate(place: Place, port: str, context: ssl.SSLContext) -> dict[str, object]:
    """What the server shows to a client that checks it. Raises ssl.SSLError, OSError, EOFError, and ValueError for no SMTP."""
    at_once = port == "tls"
    reader, writer = await asyncio.open_connection(
        place.host, place.ports[port], ssl=context if at_once else None, server_hostname=place.name if at_once else None
    )
    try:
        _expect(await _reply(reader), "220")
        if not at_once:
            writer.write(b"EHLO localhost\r\n")
            offered = _expect(await _reply(reader), "250")
            if "STARTTLS" not in (line[4:].upper() for line in offered):
                raise ValueError("it does not offer STARTTLS")
            writer.write(b"STARTTLS\r\n")
            _expect(await _reply(reader), "220")
            await writer.start_tls(context, server_hostname=place.name)
        writer.write(b"QUIT\r\n")
        await _reply(reader)
        found = writer.get_extra_info("peercert")
        return dict(found or {})
    finally:
        writer.close()


def certificate_finding(name: str, place: Place, port: str, certificate: dict[str, object], now: float) -> Finding:
    """What a certificate that was verified means, as `SSLSocket.getpeercert` has it; `now` in seconds since the epoch."""
    left = ssl.cert_time_to_seconds(str(certificate["notAfter"])) - now
    found = f"{place.at(port)} answers, certificate for {place.name} good for {left / 86400:.0f} days"
    if left >= SOON:
        return ok(name, found)
    remedy = f"renew the files of {_CERTIFICATE}; a server that runs reads them again by itself"
    return notice(name, found, remedy if not place.local else "stop ./postrider up and start it again, which renews it")


async def inbound(subject: Subject) -> Finding:
    name, place = "reports", place_of(subject, "inbound")
    try:
        async with asyncio.timeout(_SECONDS):
            said = await _greeting(place)
    except (OSError, EOFError, ValueError) as error:
        return _silent(name, place, "inbound", error)
    return ok(name, f"{place.at('inbound')} answers: {said[4:][:80]}")


async def _greeting(place: Place) -> str:
    reader, writer = await asyncio.open_connection(place.host, place.ports["inbound"])
    try:
        said = _expect(await _reply(reader), "220")[0]
        writer.write(b"QUIT\r\n")
        await _reply(reader)
        return said
    finally:
        writer.close()


async def ready(subject: Subject) -> Finding:
    name, place = "ready", place_of(subject, "health")
    url = f"http://{place.at('health')}/ready"
    try:
        async with asyncio.timeout(_SECONDS + 2.0):  # it asks storage, for up to 5 seconds
            status, body = await get(url, subject)
    except OSError as error:  # TimeoutError is one
        if _is_loopback(place.host):
            return _silent(name, place, "health", error)
        # It is not to be published, so that it does not answer here is how it should be.
        return left_out(name, f"{url} does not answer here: ask it where the server runs")
    return ready_finding(name, url, status, body)


def ready_finding(name: str, url: str, status: int, body: str) -> Finding:
    """What `/ready` says."""
    try:
        told = json.loads(body)
        checks = {str(check): str(state) for check, state in told["checks"].items()}
        warnings = [str(each) for each in told["warnings"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        remedy = "is POSTRIDER_SMTP_HEALTH_PORT that of the SMTP server, and does no other program listen there?"
        return wrong(name, f"{url} answers {status}, and not as the SMTP server does", remedy)
    bad = {check: state for check, state in checks.items() if state != "ok"}
    if bad or status != 200:
        remedies = [_REMEDIES.get(check, "look into the log of the SMTP server") for check in bad] or ["look into its log"]
        return wrong(name, "; ".join(f"{check}: {state}" for check, state in bad.items()) or f"{status}", "; ".join(remedies))
    if warnings:
        return notice(name, "; ".join(warnings), f"mend the files of {_CERTIFICATE}; the log of the SMTP server says why")
    return ok(name, f"{', '.join(checks)}: ok, at {url}")


_REMEDIES = {
    "storage": "give the SMTP server AzureWebJobsStorage and POSTRIDER_SEALING_KEY as the functions have them; whether storage "
    "answers here is in its own lines",
    "certificate": f"put a new certificate into the files of {_CERTIFICATE}",
    "draining": "it is being stopped: start it again, unless that is what you want",
}


def _tls_trouble(name: str, place: Place, port: str, error: ssl.SSLError) -> Finding:
    why = getattr(error, "verify_message", "") or error.reason or str(error)
    found = f"{place.at(port)}: TLS: {why}"
    files = f"the files of {_CERTIFICATE}"
    if "expired" in why:
        return wrong(name, found, f"renew {files}; a server that runs reads them again by itself")
    if "mismatch" in why or "not valid for" in why:
        return wrong(name, found, f"get a certificate for {place.name} into {files}; POSTRIDER_EHLO_NAME is another name")
    if "issuer" in why or "self-signed" in why or "self signed" in why:
        chain = f"put the whole chain into {files}; for an authority of your own, SSL_CERT_FILE names a file that has it"
        return wrong(name, found, chain)
    return wrong(name, found, "is it the SMTP server, and not another program, that listens on that port?")


def _silent(name: str, place: Place, port: str, error: Exception) -> Finding:
    if isinstance(error, TimeoutError):
        why = f"no answer within {_SECONDS:g} s"
    else:
        why = "it hangs up" if isinstance(error, EOFError) else str(error)
    found = f"{place.at(port)}: {why}"
    if place.local:
        return wrong(name, found, "look into .local/log/smtp.log, and start ./postrider up anew")
    if isinstance(error, ValueError):
        setting = f"POSTRIDER_SMTP_{port.upper()}_PORT"
        return wrong(name, found, f"is it the SMTP server that listens there? {setting} names the port")
    remedy = (
        f"does `python -m smtp_relay` run, is {place.host} its address (POSTRIDER_SMTP_HOST, else POSTRIDER_EHLO_NAME), and "
        f"do firewalls let port {place.ports[port]} through?"
    )
    return wrong(name, found, f"{remedy} Many networks let nobody out on port 25" if place.ports[port] == 25 else remedy)


async def _reply(reader: asyncio.StreamReader) -> Sequence[str]:
    """The lines of a reply. Raises EOFError when there is none, and ValueError for what is none."""
    lines: list[str] = []
    while len(lines) < _MOST_LINES:
        line = (await reader.readline()).decode("ascii", "replace")
        if not line.endswith("\n"):
            raise EOFError
        lines.append(line.strip())
        if line[3:4] != "-":
            return lines
    raise ValueError("a reply without an end, so not SMTP")


def _expect(reply: Sequence[str], code: str) -> Sequence[str]:
    if not reply[-1].startswith(code):
        raise ValueError(f"it says {reply[-1][:100]!r} where {code} is right")
    return reply


def _trust(subject: Subject, place: Place) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority = Folder.of_up(subject.root).tls / "ca.pem"
    if place.local and authority.exists():
        context.load_verify_locations(authority)
    return context


CHECKS = (
    Check(_GROUP, "submission, STARTTLS", submission),
    Check(_GROUP, "submission, TLS", tls),
    Check(_GROUP, "reports", inbound),
    Check(_GROUP, "ready", ready),
)
