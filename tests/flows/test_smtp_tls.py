"""TLS and AUTH against real handshakes on loopback."""

from __future__ import annotations

import asyncio
import base64
import ssl

import pytest

from email_core.delivery.outcome import Disposition, Stage
from email_core.delivery.smtp_connection import NO_LOG_IN
from tests.kit.couriers import SHORT_TIMEOUTS, attempt, courier, only, story
from tests.kit.server_tls import ServerTls, server_tls
from tests.kit.smtp_receiver import BROKEN_TLS, DROP, STALL, Say, Script, SmtpReceiver

__all__ = ["server_tls"]

ZONE = {"example.test": {"MX": [(10, "mx.example.test")]}, "mx.example.test": {"A": ["127.0.0.1"]}}
PASSWORD = "pa:ss@word"


def smarthost(receiver: SmtpReceiver, options: str = "", *, host: str = "localhost") -> str:
    return f"smarthost://user:pa%3Ass%40word@{host}:{receiver.port}{options}"


async def test_mx_with_a_certificate_that_nobody_signed_is_delivered_encrypted(server_tls: ServerTls) -> None:
    async with SmtpReceiver(tls=server_tls.server("other.test")) as receiver:
        sender = courier(zone=ZONE, mx_port=receiver.port)
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is Disposition.DELIVERED
    [facts] = story(report, "tls")
    assert (facts["version"], facts["verified"]) == ("TLSv1.3", False)
    # What was said in plain before does not count: EHLO comes again (RFC 3207 section 4.2).
    assert [command.partition(" ")[0] for command in receiver.encrypted_commands[:2]] == ["EHLO", "MAIL"]


@pytest.mark.parametrize(
    "script",
    [
        {"STARTTLS": BROKEN_TLS},
        {"STARTTLS": "454 4.7.0 TLS not available"},
        {"STARTTLS": STALL},
    ],
    ids=["broken", "refused", "stalls"],
)
async def test_mx_with_broken_starttls_gets_the_mail_in_plain_on_a_new_connection(
    server_tls: ServerTls, script: Script
) -> None:
    async with SmtpReceiver(script, tls=server_tls.server("mx.example.test")) as receiver:
        sender = courier(zone=ZONE, mx_port=receiver.port, timeouts=SHORT_TIMEOUTS)
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is Disposition.DELIVERED
    assert receiver.connections == 2
    assert len(receiver.messages) == 1
    assert len(story(report, "plain")) >= 1


async def test_mx_whose_handshake_is_slow_does_not_get_the_mail_in_plain_for_our_haste(server_tls: ServerTls) -> None:
    zone = {"example.test": {"MX": [(10, "mx.example.test")]}, "mx.example.test": {"A": ["127.0.0.1", "127.0.0.1"]}}
    async with SmtpReceiver({"STARTTLS": STALL}, tls=server_tls.server("mx.example.test")) as receiver:
        sender = courier(zone=zone, mx_port=receiver.port, impatience_seconds=0.2)
        report = await sender.attempt_delivery(attempt(impatient=True))
        await sender.close()
    assert report.handed_over
    assert "MAIL" not in receiver.verbs()


async def test_mx_whose_handshake_failed_is_not_asked_for_tls_again(server_tls: ServerTls) -> None:
    async with SmtpReceiver({"STARTTLS": BROKEN_TLS}, tls=server_tls.server("x.test")) as receiver:
        sender = courier(zone=ZONE, mx_port=receiver.port, timeouts=SHORT_TIMEOUTS)
        await sender.attempt_delivery(attempt())
        await sender.close()
        asked = receiver.verbs().count("STARTTLS")
        await sender.attempt_delivery(attempt())
        await sender.close()
    assert asked == receiver.verbs().count("STARTTLS") == 1
    assert len(receiver.messages) == 2


async def test_mx_that_refuses_our_handshake_only_after_it_gets_the_mail_in_plain(server_tls: ServerTls) -> None:
    """In TLS 1.3 a client learns that its certificate was wanted when it reads for the first time."""
    context = server_tls.server("mx.example.test")
    context.verify_mode = ssl.CERT_REQUIRED
    async with SmtpReceiver(tls=context) as receiver:
        sender = courier(zone=ZONE, mx_port=receiver.port)
        report = await sender.attempt_delivery(attempt())
        await sender.close()
        again = await sender.attempt_delivery(attempt())
        await sender.close()
    assert [only(each).disposition for each in (report, again)] == [Disposition.DELIVERED] * 2
    assert receiver.verbs().count("STARTTLS") == 1  # and it is remembered
    assert story(report, "plain")


@pytest.mark.parametrize(
    ("second_ehlo", "connections"),
    [(DROP, 2), (STALL, 2), ("421 4.3.2 busy", 1), (["502 5.5.1 what", DROP], 1)],
    ids=["drops", "stalls", "answers", "answers and drops"],
)
async def test_mx_that_is_silent_after_the_handshake_is_tried_in_plain_and_one_that_speaks_is_not(
    server_tls: ServerTls, second_ehlo: Say | list[Say], connections: int
) -> None:
    offer = "250-mx\n250 STARTTLS"
    later = second_ehlo if isinstance(second_ehlo, list) else [second_ehlo]
    script: Script = {"EHLO": [offer, later[0], offer], "HELO": later[-1]}
    async with SmtpReceiver(script, tls=server_tls.server("mx.example.test")) as receiver:
        sender = courier(zone=ZONE, mx_port=receiver.port, timeouts=SHORT_TIMEOUTS)
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert receiver.connections == connections
    assert only(report).disposition is (Disposition.DELIVERED if connections == 2 else Disposition.DEFERRED)


async def test_mx_that_hangs_up_in_plain_too_is_offered_tls_at_the_next_attempt(server_tls: ServerTls) -> None:
    offer = "250-mx\n250 STARTTLS"
    script: Script = {"EHLO": [offer, DROP, DROP, offer, "250 mx"]}
    async with SmtpReceiver(script, tls=server_tls.server("mx.example.test")) as receiver:
        sender = courier(zone=ZONE, mx_port=receiver.port)
        first = await sender.attempt_delivery(attempt())
        second = await sender.attempt_delivery(attempt())
        await sender.close()
    assert [only(each).disposition for each in (first, second)] == [Disposition.DEFERRED, Disposition.DELIVERED]
    assert len(story(second, "tls")) == 1


async def test_smarthost_that_fails_after_the_handshake_never_gets_the_mail_in_plain(
    server_tls: ServerTls, monkeypatch: pytest.MonkeyPatch
) -> None:
    server_tls.trust(monkeypatch)
    context = server_tls.server("localhost")
    context.verify_mode = ssl.CERT_REQUIRED
    async with SmtpReceiver(tls=context, extensions=["AUTH PLAIN"]) as receiver:
        sender = courier(smarthost(receiver))
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is Disposition.DEFERRED
    assert receiver.verbs() == ["EHLO", "STARTTLS"]


async def test_mx_that_demands_tls_after_a_failed_handshake_defers_and_gets_it_the_next_time(server_tls: ServerTls) -> None:
    script: Script = {
        "STARTTLS": [BROKEN_TLS, "220 ok"],
        "MAIL": ["530 5.7.0 Must issue a STARTTLS command first", "250 ok"],
    }
    async with SmtpReceiver(script, tls=server_tls.server("x.test")) as receiver:
        sender = courier(zone=ZONE, mx_port=receiver.port, timeouts=SHORT_TIMEOUTS)
        first = await sender.attempt_delivery(attempt())
        await sender.close()
        second = await sender.attempt_delivery(attempt())
        await sender.close()
    assert (only(first).disposition, only(first).bounce_class) == (Disposition.DEFERRED, "tls_required")
    assert only(second).disposition is Disposition.DELIVERED
    assert len(story(second, "tls")) == 1


async def test_smarthost_with_credentials_logs_in_over_verified_tls(
    server_tls: ServerTls, monkeypatch: pytest.MonkeyPatch
) -> None:
    server_tls.trust(monkeypatch)
    async with SmtpReceiver(tls=server_tls.server("localhost"), extensions=["AUTH LOGIN PLAIN", "SIZE"]) as receiver:
        sender = courier(smarthost(receiver))
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is Disposition.DELIVERED
    token = base64.b64encode(f"\0user\0{PASSWORD}".encode()).decode()
    assert f"AUTH PLAIN {token}" in receiver.encrypted_commands
    assert story(report, "tls")[0]["verified"] is True
    assert "AUTH PLAIN ***" in [facts["command"] for facts in story(report, "smtp")]
    assert token not in repr(report)
    assert PASSWORD not in repr(report)


async def test_smarthost_with_login_only_logs_in(server_tls: ServerTls, monkeypatch: pytest.MonkeyPatch) -> None:
    server_tls.trust(monkeypatch)
    script: Script = {"AUTH": ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 2.7.0 welcome"]}
    async with SmtpReceiver(script, tls=server_tls.server("localhost"), extensions=["AUTH LOGIN"]) as receiver:
        sender = courier(smarthost(receiver))
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is Disposition.DELIVERED
    secret = base64.b64encode(PASSWORD.encode()).decode()
    assert secret in receiver.commands
    assert secret not in repr(report)


async def test_smarthost_with_implicit_tls_is_spoken_to_in_tls_from_the_start(
    server_tls: ServerTls, monkeypatch: pytest.MonkeyPatch
) -> None:
    server_tls.trust(monkeypatch)
    context = server_tls.server("localhost")
    async with SmtpReceiver(tls=context, implicit_tls=True, extensions=["AUTH PLAIN"]) as receiver:
        sender = courier(smarthost(receiver, "?tls=implicit"))
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is Disposition.DELIVERED
    assert "STARTTLS" not in receiver.verbs()
    assert receiver.encrypted_commands == receiver.commands


@pytest.mark.parametrize("options", ["", "?tls=implicit"])
async def test_smarthost_whose_certificate_is_for_another_name_never_sees_the_password(
    server_tls: ServerTls, monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    server_tls.trust(monkeypatch)
    context = server_tls.server("other.test")
    async with SmtpReceiver(tls=context, implicit_tls=bool(options), extensions=["AUTH PLAIN"]) as receiver:
        sender = courier(smarthost(receiver, options))
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is Disposition.DEFERRED
    assert only(report).bounce_class == "tls_required"
    assert "certificate does not verify" in only(report).reason
    assert set(receiver.verbs()) <= {"EHLO", "STARTTLS"}


async def test_smarthost_that_stops_offering_starttls_never_sees_the_password() -> None:
    async with SmtpReceiver(extensions=["AUTH PLAIN"]) as receiver:
        sender = courier(smarthost(receiver))
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).stage is Stage.STARTTLS
    assert only(report).disposition is Disposition.DEFERRED
    assert "AUTH" not in receiver.verbs()


async def test_smarthost_that_refuses_the_password_defers_and_shows_no_secret(
    server_tls: ServerTls, monkeypatch: pytest.MonkeyPatch
) -> None:
    server_tls.trust(monkeypatch)
    token = base64.b64encode(f"\0user\0{PASSWORD}".encode()).decode()
    script: Script = {"AUTH": f"535 5.7.8 wrong: {token}"}
    async with SmtpReceiver(script, tls=server_tls.server("localhost"), extensions=["AUTH PLAIN"]) as receiver:
        sender = courier(smarthost(receiver))
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert (only(report).disposition, only(report).stage) == (Disposition.DEFERRED, Stage.AUTH)
    assert token not in repr(report)


async def test_smarthost_with_no_method_of_ours_defers(
    server_tls: ServerTls, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server_tls.trust(monkeypatch)
    async with SmtpReceiver(tls=server_tls.server("localhost"), extensions=["AUTH XOAUTH2 GSSAPI"]) as receiver:
        sender = courier(smarthost(receiver))
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).stage is Stage.AUTH
    assert only(report).reason == NO_LOG_IN
    assert "AUTH xoauth2, gssapi" in caplog.text


async def test_smarthost_on_this_machine_may_be_logged_in_to_in_plain_when_asked_for() -> None:
    async with SmtpReceiver(extensions=["AUTH PLAIN"]) as receiver:
        sender = courier(smarthost(receiver, "?tls=off", host="127.0.0.1"))
        report = await sender.attempt_delivery(attempt())
        await sender.close()
    assert only(report).disposition is Disposition.DELIVERED
    assert "AUTH" in receiver.verbs()


async def test_bytes_sent_in_plain_before_the_handshake_are_not_read_as_encrypted_replies(server_tls: ServerTls) -> None:
    """STARTTLS injection: what follows the 220 in the same packet must not answer the EHLO that comes after it."""
    context = server_tls.server("mx.example.test")

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx\r\n")
        await reader.readline()
        writer.write(b"250-mx\r\n250 STARTTLS\r\n")
        await reader.readline()
        writer.write(b"220 go\r\n250-injected\r\n250 SIZE 1\r\n")
        try:
            await writer.start_tls(context)
            await reader.readline()
            writer.write(b"250 mx\r\n")
            await reader.readline()
            writer.write(b"421 4.3.2 enough\r\n")
        except (ssl.SSLError, ConnectionError):
            return  # the client saw through it earlier than that
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    sender = courier(zone=ZONE, mx_port=server.sockets[0].getsockname()[1], timeouts=SHORT_TIMEOUTS)
    report = await sender.attempt_delivery(attempt())
    await sender.close()
    server.close()
    assert only(report).bounce_class != "too_big"
    assert not any("injected" in str(event.facts) for event in report.timeline)
