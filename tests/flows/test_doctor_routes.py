"""The doctor on the ways out: relays in real conversations, and mail hosts on a port that is open or shut."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from email_core.dns.resolver import DnsResolver
from local.doctor import clock, routes
from local.doctor.check import Finding, State
from local.doctor.resolver import mx, txt
from local.doctor.run import findings_of
from tests.kit.dns_server import Answering, DnsServer, failing, records
from tests.kit.doctor import subject_of
from tests.kit.free_ports import free_port
from tests.kit.server_tls import ServerTls, server_tls
from tests.kit.smtp_receiver import BROKEN_TLS, STALL, Script, SmtpReceiver

__all__ = ["server_tls"]

PASSWORD = "pa:ss@word"
AUTH = ["AUTH PLAIN LOGIN"]


def smarthost(port: int, options: str = "", host: str = "localhost") -> str:
    return f"smarthost://user:pa%3Ass%40word@{host}:{port}{options}"


async def relay(monkeypatch: pytest.MonkeyPatch, root: Path, route: str, *arguments: str) -> Finding:
    """The line of the one route of an installation."""
    [finding] = await routes.relays(subject_of(monkeypatch, root, {"POSTRIDER_ROUTES": route}, *arguments))
    return finding


async def test_smarthost_that_takes_the_log_in_is_ok_and_gets_no_mail(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server_tls: ServerTls
) -> None:
    server_tls.trust(monkeypatch)
    async with SmtpReceiver(tls=server_tls.server("localhost"), extensions=AUTH) as receiver:
        finding = await relay(monkeypatch, tmp_path, smarthost(receiver.port))
        await receiver.ended.wait()
    assert finding.state is State.OK
    assert "TLSv1.3, certificate for localhost good for " in finding.found
    assert finding.found.endswith("log-in accepted")
    assert receiver.verbs() == ["EHLO", "STARTTLS", "EHLO", "AUTH", "QUIT"]


async def test_smarthost_with_a_wrong_password_is_told_with_the_setting_and_never_shows_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server_tls: ServerTls
) -> None:
    server_tls.trust(monkeypatch)
    script: Script = {"AUTH": f"535 5.7.8 {PASSWORD} is not the password of user"}
    async with SmtpReceiver(script, tls=server_tls.server("localhost"), extensions=AUTH) as receiver:
        finding = await relay(monkeypatch, tmp_path, smarthost(receiver.port))
    assert finding.state is State.WRONG
    assert "did not accept user and password: 535 5.7.8 *** is not the password of user" in finding.found
    assert f"correct user and password in the entry smarthost://localhost:{receiver.port} of POSTRIDER_ROUTES" in finding.remedy
    assert PASSWORD not in repr(finding)


@pytest.mark.parametrize(
    ("script", "extensions", "found", "remedy"),
    [
        ({"AUTH": "454 4.7.0 try later"}, AUTH, "454 4.7.0 try later", "may take it later"),
        ({}, ["AUTH XOAUTH2"], "it offers xoauth2", "allow PLAIN or LOGIN"),
        ({}, [], "it offers none", "no log-in on this port"),
        ({"greeting": "554 5.7.1 not from there"}, AUTH, "554 5.7.1 not from there", "its operator knows why"),
        ({"EHLO": "421 4.7.0 busy"}, AUTH, "421 4.7.0 busy", "its operator knows why"),
        ({"greeting": b"HTTP/1.1 400 Bad Request\r\n"}, AUTH, "not an SMTP reply", "is it the right host"),
        ({"STARTTLS": BROKEN_TLS}, AUTH, "TLS: ", "TLS from the first byte"),
    ],
    ids=["temporary", "xoauth2", "no auth", "greeting", "ehlo", "not smtp", "broken tls"],
)
async def test_smarthost_that_does_not_take_us_is_told_with_its_words(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    server_tls: ServerTls,
    script: Script,
    extensions: list[str],
    found: str,
    remedy: str,
) -> None:
    server_tls.trust(monkeypatch)
    async with SmtpReceiver(script, tls=server_tls.server("localhost"), extensions=extensions) as receiver:
        finding = await relay(monkeypatch, tmp_path, smarthost(receiver.port))
    assert finding.state is State.WRONG
    assert found in finding.found
    assert remedy in finding.remedy


@pytest.mark.parametrize(
    ("name", "trusted", "days", "found", "remedy"),
    [
        ("localhost", False, 90, "does not verify", "SSL_CERT_FILE"),
        ("other.test", True, 90, "does not verify", "as its certificate names it"),
        ("localhost", True, -1, "expired", "see the clock"),
    ],
)
async def test_smarthost_whose_certificate_does_not_verify_is_told_why(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    server_tls: ServerTls,
    name: str,
    trusted: bool,
    days: int,
    found: str,
    remedy: str,
) -> None:
    if trusted:
        server_tls.trust(monkeypatch)
    context = server_tls.server(name, not_after=datetime.now(UTC) + timedelta(days=days))
    async with SmtpReceiver(tls=context, extensions=AUTH) as receiver:
        finding = await relay(monkeypatch, tmp_path, smarthost(receiver.port))
    assert finding.state is State.WRONG
    assert found in finding.found
    assert remedy in finding.remedy
    assert "AUTH" not in receiver.verbs()


async def test_smarthost_whose_certificate_ends_soon_is_a_notice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server_tls: ServerTls
) -> None:
    server_tls.trust(monkeypatch)
    context = server_tls.server("localhost", not_after=datetime.now(UTC) + timedelta(days=3, minutes=5))
    async with SmtpReceiver(tls=context, implicit_tls=True, extensions=AUTH) as receiver:
        finding = await relay(monkeypatch, tmp_path, smarthost(receiver.port, "?tls=implicit"))
    assert finding.state is State.NOTICE
    assert "good for 3 days, log-in accepted" in finding.found


async def test_relay_with_broken_tls_where_plain_will_do_is_a_notice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server_tls: ServerTls
) -> None:
    async with SmtpReceiver({"STARTTLS": BROKEN_TLS}, tls=server_tls.server("localhost")) as receiver:
        finding = await relay(monkeypatch, tmp_path, f"smarthost://localhost:{receiver.port}")
    assert finding.state is State.NOTICE
    assert "in plain, for TLS" in finding.found


async def test_relay_that_stalls_is_told_in_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(routes, "SECONDS", 0.2)
    async with SmtpReceiver({"greeting": STALL}) as receiver:
        finding = await relay(monkeypatch, tmp_path, f"smarthost://127.0.0.1:{receiver.port}?tls=off")
    assert finding.state is State.WRONG
    assert "no answer within 0.2 s" in finding.found


async def test_routes_each_have_a_line_in_their_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shut = free_port()
    async with SmtpReceiver() as receiver:
        names = [f"capture://127.0.0.1:{shut}", f"capture://127.0.0.1:{receiver.port}", "mx", "smarthost://relay.invalid:587"]
        subject = subject_of(monkeypatch, tmp_path, {"POSTRIDER_ROUTES": ",".join(names)}, "--offline")
        findings = await routes.relays(subject)
    assert [(finding.name, finding.state) for finding in findings] == list(
        zip(names, [State.WRONG, State.OK, State.OK, State.LEFT_OUT], strict=True)
    )
    assert findings[0].found == "no connection: Connection refused"


async def port_25(monkeypatch: pytest.MonkeyPatch, root: Path, mx_port: int, route: str = "mx", **zone: list[str]) -> Finding:
    """The line of port 25, with a DNS that has these records for every name."""
    async with DnsServer(records(**zone)) as server:
        settings = {
            "POSTRIDER_ROUTES": route, "POSTRIDER_DNS": server.address, "POSTRIDER_MX_PORT": str(mx_port),
            "POSTRIDER_ALLOW_PRIVATE_ADDRESSES": "on",
        }  # fmt: skip
        subject = subject_of(monkeypatch, root, settings, "--probe-domain", "example.test")
        check = next(check for check in routes.CHECKS if check.make is routes.port_25)
        [finding] = await findings_of(check, subject)
    return finding


async def test_port_25_that_is_open_shows_the_greeting_and_nothing_is_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with SmtpReceiver() as receiver:
        finding = await port_25(monkeypatch, tmp_path, receiver.port, MX=["10 mx.example.test."], A=["127.0.0.1"])
        await receiver.ended.wait()
    assert finding.state is State.OK
    assert finding.found == f"open: mx.example.test port {receiver.port} says 220 receiver.invalid ESMTP"
    assert receiver.verbs() == ["QUIT"]


@pytest.mark.parametrize(
    ("route", "state"),
    [("mx", State.WRONG), ("smarthost://relay.invalid", State.NOTICE), ("smarthost://r.invalid,mx", State.WRONG)],
)
async def test_port_25_that_is_shut_is_wrong_only_where_a_route_needs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, route: str, state: State
) -> None:
    zone = {"MX": ["10 mx.example.test.", "20 mx2.example.test."], "A": ["127.0.0.1"]}
    shut = free_port()
    finding = await port_25(monkeypatch, tmp_path, shut, route, **zone)
    assert finding.state is state
    assert finding.found.startswith(f"shut: mx.example.test port {shut}, mx2.example.test port {shut}: Connection refused")
    assert "smarthost on port 587 or 465" in finding.remedy


async def test_port_25_whose_first_hosts_are_away_is_open_by_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with SmtpReceiver() as receiver:
        finding = await port_25(monkeypatch, tmp_path, receiver.port, MX=["10 mx.example.test."], A=["127.0.0.2", "127.0.0.1"])
    assert finding.state is State.OK


async def test_port_25_without_a_known_mail_host_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    finding = await port_25(monkeypatch, tmp_path, free_port(), MX=["0 ."])
    assert finding.state is State.LEFT_OUT
    assert "null MX" in finding.found


async def test_dns_that_answers_is_ok_even_where_there_is_no_record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with DnsServer(records(MX=["10 mx.example.test."])) as server:
        settings = {"POSTRIDER_DNS": server.address, "POSTRIDER_ROUTES": "mx"}
        subject = subject_of(monkeypatch, tmp_path, settings, "--probe-domain", "example.test")
        found = [await mx(subject), await txt(subject)]
    assert [finding.state for finding in found] == [State.OK, State.OK]
    assert found[0].found.startswith(f"1 for example.test by {server.address} in ")
    assert "example.test has none" in found[1].found


def silent(query: dns.message.Message) -> None:
    """Nobody ever answers."""


@pytest.mark.parametrize(
    ("answering", "found", "remedy"),
    [
        (silent, "no answer to example.test MX in time", "firewall"),
        (failing(dns.rcode.REFUSED), "REFUSED", "does not serve this machine"),
        (failing(dns.rcode.SERVFAIL), "SERVFAIL", "cannot find it out"),
        (failing(dns.rcode.NXDOMAIN), "says that example.test does not exist", "--probe-domain"),
    ],
    ids=["silence", "refused", "servfail", "nxdomain"],
)
async def test_dns_that_does_not_help_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answering: Answering, found: str, remedy: str
) -> None:
    async with DnsServer(answering) as server:
        settings = {"POSTRIDER_DNS": server.address, "POSTRIDER_ROUTES": "mx"}
        subject = subject_of(monkeypatch, tmp_path, settings, "--probe-domain", "example.test")
        subject._resolver = DnsResolver(server.address, lifetime=0.3)
        finding = await mx(subject)
    assert finding.state is State.WRONG
    assert found in finding.found
    assert server.address in finding.found
    assert remedy in finding.remedy


async def test_time_server_that_is_away_leaves_the_line_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = f"127.0.0.1:{free_port()}"
    finding = await clock.against_time_server(subject_of(monkeypatch, tmp_path, {}, "--time-server", server))
    assert finding.state is State.LEFT_OUT
    assert server in finding.found


async def test_time_server_whose_name_is_unknown_leaves_the_line_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with DnsServer(records()) as server:
        subject = subject_of(monkeypatch, tmp_path, {"POSTRIDER_DNS": server.address}, "--time-server", "time.example.test")
        check = next(check for check in clock.CHECKS if check.make is clock.against_time_server)
        [finding] = await findings_of(check, subject)
    assert (finding.state, finding.found) == (State.LEFT_OUT, "time.example.test has no address in the DNS")


async def test_offline_asks_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with DnsServer(records(A=["127.0.0.1"], MX=["10 mx.example.test."])) as server:
        settings = {"POSTRIDER_ROUTES": "mx,smarthost://relay.example.test", "POSTRIDER_DNS": server.address}
        subject = subject_of(monkeypatch, tmp_path, settings, "--offline")
        made = await asyncio.gather(
            mx(subject), txt(subject), routes.port_25(subject), clock.against_time_server(subject), routes.relays(subject)
        )
    flat = [finding for each in made for finding in (each if isinstance(each, list) else [each])]
    assert [finding.state for finding in flat if finding.name != "mx"] == [State.LEFT_OUT] * 5
    assert server.questions == []
