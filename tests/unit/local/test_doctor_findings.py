"""What the doctor makes of answers: of storage, of the DNS, of relays and mail hosts, and of the functions host."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from email_core.delivery.outcome import Reply, Stage
from email_core.delivery.probe import RelayProbe
from email_core.delivery.routes import SmarthostRoute, TlsMode, parse_routes
from email_core.dns.answers import Answer, Found, MxRecord, NoDomain, NoRecords, TemporaryFailure
from email_core.errors import StorageRefused, StorageUnavailable
from email_core.storage.account import Account, Identity
from local.doctor.host import health_finding
from local.doctor.resolver import dns_finding
from local.doctor.routes import SOON, greeting_finding, relay_finding, shut_finding
from local.doctor.storage import storage_trouble

NOW = 1_790_000_000.0
AZURE = Account(*(f"https://example.{service}.core.windows.net" for service in ("table", "queue", "blob")), Identity())
LOCAL = Account("http://127.0.0.1:10002/a", "http://127.0.0.1:10001/a", "http://127.0.0.1:10000/a", Identity())
REFUSED = StorageUnavailable("tables.get: ServiceRequestError: Cannot connect to host x ssl:default [Connection refused]")


@pytest.mark.parametrize(
    ("error", "account", "found", "remedy"),
    [
        (REFUSED, LOCAL, "no answer from http://127.0.0.1:10002: Connection refused", "start ./postrider up"),
        (REFUSED, AZURE, "no answer from https://example.table", "firewall"),
        (StorageUnavailable("no answer within 8 s"), AZURE, "within 8 s", "firewall"),
        (StorageUnavailable("tables.get: CredentialUnavailableError: none"), AZURE, "no identity", "az login"),
        (StorageRefused("get", 403, "AuthenticationFailed", ""), AZURE, "403 AuthenticationFailed", "copy it anew"),
        (StorageRefused("get", 401, "NoAuthenticationInformation", ""), AZURE, "refuses with 401", "clock"),
        (
            StorageRefused("get", 403, "AuthorizationPermissionMismatch", ""),
            AZURE,
            "Mismatch",
            "Storage Table Data Contributor",
        ),
        (StorageRefused("get", 403, "AuthorizationFailure", ""), AZURE, "AuthorizationFailure", "firewall"),
        (StorageRefused("get", 400, "InvalidUri", ""), AZURE, "400 InvalidUri", "an account of Azure Storage"),
    ],
)
def test_storage_that_does_not_answer_is_told_apart_from_one_that_refuses(
    error: Exception, account: Account, found: str, remedy: str
) -> None:
    said, do = storage_trouble(error, "tables", account)
    assert found in said
    assert remedy in do


@pytest.mark.parametrize(
    ("answer", "state", "found", "remedy"),
    [
        (Found((MxRecord(10, "mx.example.test"),), 60.0), "ok", "1 for example.test by 192.0.2.53:53", ""),
        (NoRecords(), "ok", "has none", ""),
        (NoDomain(), "wrong", "does not exist", "--probe-domain"),
        (TemporaryFailure("no answer to example.test MX in time"), "wrong", "in time", "port 53, UDP and TCP"),
        (TemporaryFailure("example.test MX: REFUSED"), "wrong", "REFUSED", "does not serve this machine"),
        (TemporaryFailure("example.test MX: SERVFAIL"), "wrong", "SERVFAIL", "its log"),
        (TemporaryFailure("example.test MX: [Errno 111] Connection refused"), "wrong", "refused", "is there a resolver"),
    ],
)
def test_dns_answers_are_told_apart(answer: Answer[MxRecord], state: str, found: str, remedy: str) -> None:
    finding = dns_finding("MX", "example.test", answer, "192.0.2.53:53", 0.02, needed=True)
    assert finding.state == state
    assert found in finding.found
    assert remedy in finding.remedy
    if state == "wrong":
        assert dns_finding("MX", "example.test", answer, "192.0.2.53:53", 0.02, needed=False).state == "notice"


RELAY = SmarthostRoute("relay.example.test", 587, TlsMode.REQUIRED, "user")
READY = RelayProbe(0.03, tls="TLSv1.3", certificate_names=("relay.example.test",), certificate_ends=NOW + 90 * 86400)


def failed(stage: Stage, reason: str, reply: Reply | None = None, **more: object) -> RelayProbe:
    return replace(READY, stage=stage, reason=reason, reply=reply, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("probe", "found", "remedy"),
    [
        (failed(Stage.CONNECT, "Connection refused"), "no connection: Connection refused", "host and port"),
        (failed(Stage.CONNECT, "no connection within 8 s"), "no connection within 8 s", "firewall"),
        (failed(Stage.CONNECT, "[Errno -2] Name or service not known"), "not known", "correct the host name"),
        (failed(Stage.BANNER, "refused the connection", Reply(554, "5.7.1", "go away")), "554 5.7.1 go away", "its operator"),
        (failed(Stage.STARTTLS, "TLS: the certificate does not verify: certificate has expired"), "expired", "see the clock"),
        (failed(Stage.STARTTLS, "TLS: the certificate does not verify: Hostname mismatch, x"), "mismatch", "names it"),
        (failed(Stage.STARTTLS, "TLS: the certificate does not verify: unable to get local issuer certificate"),
         "issuer", "SSL_CERT_FILE"),
        (failed(Stage.STARTTLS, "does not offer STARTTLS, which this route requires", tls=""), "STARTTLS", "587 or 465"),
        (failed(Stage.STARTTLS, "TLS: wrong version number", tls=""), "wrong version", "tls=implicit"),
        (failed(Stage.AUTH, "did not accept user and password", Reply(535, "5.7.8", "who?")), "password: 535 5.7.8 who?",
         "correct user and password in the entry smarthost://relay.example.test:587 of POSTRIDER_ROUTES"),
        (failed(Stage.AUTH, "did not accept user and password", Reply(454, "4.7.0", "busy")), "454", "may take it later"),
        (failed(Stage.AUTH, "offers no AUTH method that we have (PLAIN, LOGIN)", auth_methods=("xoauth2",)),
         "it offers xoauth2", "allow PLAIN or LOGIN"),
        (failed(Stage.AUTH, "offers no AUTH method that we have (PLAIN, LOGIN)"), "it offers none", "no log-in on this port"),
    ],
)  # fmt: skip
def test_relay_that_cannot_be_used_is_told_with_its_remedy(probe: RelayProbe, found: str, remedy: str) -> None:
    finding = relay_finding(RELAY, probe, NOW)
    assert finding.state == "wrong"
    assert found in finding.found
    assert remedy in finding.remedy


def test_relay_that_can_be_used_shows_tls_certificate_and_log_in() -> None:
    finding = relay_finding(RELAY, replace(READY, logged_in=True), NOW)
    assert finding.state == "ok"
    assert finding.found == ("answers in 30 ms, TLSv1.3, certificate for relay.example.test good for 90 days, log-in accepted")


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        (replace(READY, certificate_ends=NOW + SOON - 60), "good for 14 days"),
        (replace(READY, tls="", certificate_ends=0.0, plain_because="TLS: handshake failure"), "in plain, for TLS: handshake"),
    ],
)
def test_relay_with_weak_tls_is_a_notice(probe: RelayProbe, words: str) -> None:
    finding = relay_finding(RELAY, probe, NOW)
    assert finding.state == "notice"
    assert words in finding.found


def test_sink_that_is_away_is_that_of_the_local_world() -> None:
    [sink] = parse_routes("capture://127.0.0.1:2525")
    assert isinstance(sink, SmarthostRoute)
    finding = relay_finding(sink, failed(Stage.CONNECT, "Connection refused"), NOW)
    assert "./postrider up" in finding.remedy


@pytest.mark.parametrize(("needed", "state"), [(True, "wrong"), (False, "notice")])
def test_port_25_that_is_shut_matters_where_a_route_needs_it(needed: bool, state: str) -> None:
    finding = shut_finding("port 25", ["mx.example.test", "mx.example.test"], "no connection within 4 s", needed=needed)
    assert finding.state == state
    assert finding.found.startswith("shut: mx.example.test: no connection within 4 s")
    assert ("not needed by your routes" in finding.found) is not needed
    assert "smarthost" in finding.remedy
    assert "Azure" in finding.remedy


@pytest.mark.parametrize(("code", "needed", "state"), [(220, True, "ok"), (554, True, "wrong"), (421, False, "notice")])
def test_greeting_of_a_mail_host_is_read(code: int, needed: bool, state: str) -> None:
    finding = greeting_finding("port 25", "mx.example.test", Reply(code, "", "hello"), needed=needed)
    assert finding.state == state
    assert f"mx.example.test says {code} hello" in finding.found


@pytest.mark.parametrize(
    ("status", "body", "state", "words"),
    [
        (200, {"checks": {"settings": "ok", "tables": "ok"}}, "ok", "settings, tables: ok"),
        (503, {"checks": {"settings": "ok", "tables": "storage does not answer"}}, "wrong", "tables: storage does not answer"),
        (200, {"state": "Running"}, "wrong", "not as Postrider does"),
        (404, [], "wrong", "not as Postrider does"),
    ],
)
def test_health_of_the_functions_host_is_read(status: int, body: object, state: str, words: str) -> None:
    finding = health_finding("health", "http://localhost:7071/health", status, json.dumps(body))
    assert finding.state == state
    assert words in finding.found


def test_health_that_is_not_json_is_told() -> None:
    assert health_finding("health", "http://localhost:7071/health", 200, "<html>").state == "wrong"
