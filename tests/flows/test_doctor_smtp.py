"""The doctor on the SMTP server: a real one with certificates of all kinds, others in its place, and none."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from email_core.sealing import Sealer
from local.doctor import smtp
from local.doctor.check import Finding, State
from local.doctor.run import findings_of
from smtp_relay.inbound import InboundDoor, build_inbound
from tests.kit.doctor import subject_of
from tests.kit.free_ports import free_port
from tests.kit.pipeline import Pipeline
from tests.kit.smtp_receiver import SmtpReceiver
from tests.kit.smtp_relay import HOST_NAME, RelayFiles, RunningRelay, running_relay

pytestmark = pytest.mark.peers

NAMES = ["submission, STARTTLS", "submission, TLS", "reports", "ready"]


@pytest.fixture
async def server(pipeline: Pipeline, relay_files: RelayFiles) -> AsyncIterator[RunningRelay]:
    """One with all of its ports, and a certificate for a while."""
    relay_files.write(not_after=datetime.now(UTC) + timedelta(days=60))
    inbound = partial(InboundDoor, build_inbound(pipeline.services))
    async with running_relay(pipeline.services, relay_files, inbound=inbound) as running:
        yield running


def settings_of(server: RunningRelay) -> dict[str, str]:
    """The settings of an installation with that server."""
    ports = {
        f"POSTRIDER_SMTP_{name.upper()}_PORT": str(server.port(name)) for name in ("submission", "tls", "inbound", "health")
    }
    return {
        "POSTRIDER_SMTP_HOST": "127.0.0.1", "POSTRIDER_EHLO_NAME": HOST_NAME,
        "POSTRIDER_SMTP_CERTIFICATE": str(server.files.certificate), "POSTRIDER_SMTP_KEY": str(server.files.key),
        "SSL_CERT_FILE": str(server.files.authority), **ports,
    }  # fmt: skip


async def examined(
    monkeypatch: pytest.MonkeyPatch, root: Path, settings: Mapping[str, str], *arguments: str
) -> dict[str, Finding]:
    subject = subject_of(monkeypatch, root, settings, *arguments)
    return {check.name: found for check in smtp.CHECKS for found in await findings_of(check, subject)}


async def test_server_that_works_is_ok_on_all_of_its_ports(
    server: RunningRelay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = await examined(monkeypatch, tmp_path, settings_of(server), "--offline")
    assert {name: finding.state for name, finding in found.items()} == dict.fromkeys(NAMES, State.OK), found
    for name, port in (("submission, STARTTLS", "submission"), ("submission, TLS", "tls")):
        assert found[name].found == f"127.0.0.1:{server.port(port)} answers, certificate for {HOST_NAME} good for 60 days"
    assert found["reports"].found.startswith(f"127.0.0.1:{server.port('inbound')} answers: {HOST_NAME}")


@pytest.mark.parametrize(
    ("days", "changes", "state", "found", "remedy"),
    [
        (9, {}, State.NOTICE, "good for 9 days", "renew the files of POSTRIDER_SMTP_CERTIFICATE"),
        (-1, {}, State.WRONG, "TLS: certificate has expired", "renew the files of POSTRIDER_SMTP_CERTIFICATE"),
        (60, {"POSTRIDER_EHLO_NAME": "mx.contoso.test"}, State.WRONG, "mx.contoso.test", "a certificate for mx.contoso.test"),
        (60, {"SSL_CERT_FILE": "/dev/null"}, State.WRONG, "issuer certificate", "put the whole chain into the files"),
    ],
    ids=["ends-soon", "expired", "other-name", "unknown-authority"],
)
async def test_certificate_that_clients_do_not_trust_for_long_is_told_with_what_to_do(
    pipeline: Pipeline, relay_files: RelayFiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    days: int, changes: dict[str, str], state: State, found: str, remedy: str,
) -> None:  # fmt: skip
    now = datetime.now(UTC)
    pipeline.clock.advance(-3 * 86400)  # else it would not begin with one that has expired
    relay_files.write(not_before=now - timedelta(days=5), not_after=now + timedelta(days=days, hours=1))
    async with running_relay(
        pipeline.services, relay_files, inbound=partial(InboundDoor, build_inbound(pipeline.services))
    ) as server:
        findings = await examined(monkeypatch, tmp_path, {**settings_of(server), **changes})
    for name in NAMES[:2]:
        assert (findings[name].state, found in findings[name].found) == (state, True), findings[name]
        assert remedy in findings[name].remedy


async def test_server_that_is_not_ready_is_told_with_what_it_misses(
    server: RunningRelay, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = Sealer.from_setting(base64.b64encode(b"another installation's one key..").decode())
    monkeypatch.setattr(pipeline.services.directory, "_sealer", other)
    found = (await examined(monkeypatch, tmp_path, settings_of(server)))["ready"]
    assert (found.state, "storage: POSTRIDER_SEALING_KEY does not open" in found.found) == (State.WRONG, True)
    assert "POSTRIDER_SEALING_KEY as the functions have" in found.remedy


async def test_certificate_files_that_cannot_be_used_are_a_notice(
    server: RunningRelay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.files.key.write_bytes(b"no key")
    server.server.relay.certificates.look()
    found = (await examined(monkeypatch, tmp_path, settings_of(server)))["ready"]
    assert (found.state, "certificate before still is" in found.found) == (State.NOTICE, True)


async def test_server_that_does_not_run_is_wrong_on_each_port(
    server: RunningRelay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = settings_of(server)
    dead = {name: str(free_port()) for name in settings if name.endswith("_PORT")}
    found = await examined(monkeypatch, tmp_path, {**settings, **dead})
    assert {finding.state for finding in found.values()} == {State.WRONG}
    assert all("does `python -m smtp_relay` run" in finding.remedy for finding in found.values())


async def test_other_servers_in_its_place_are_wrong_and_told(
    server: RunningRelay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = settings_of(server)
    async with SmtpReceiver() as plain, SmtpReceiver({"greeting": "554 5.7.1 not you"}) as refusing:
        found = await examined(
            monkeypatch, tmp_path,
            {
                **settings, "POSTRIDER_SMTP_SUBMISSION_PORT": str(plain.port),
                "POSTRIDER_SMTP_INBOUND_PORT": str(refusing.port),
                "POSTRIDER_SMTP_TLS_PORT": settings["POSTRIDER_SMTP_SUBMISSION_PORT"],
            },
        )  # fmt: skip
    assert "it does not offer STARTTLS" in found[NAMES[0]].found
    assert "TLS: " in found[NAMES[1]].found and "another program" in found[NAMES[1]].remedy
    assert "554 5.7.1 not you" in found["reports"].found
    assert [found[name].state for name in NAMES] == [*[State.WRONG] * 3, State.OK]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "the settings name none: POSTRIDER_SMTP_CERTIFICATE"),
        ({"POSTRIDER_LOCAL": "on"}, "no local world with an SMTP server is running"),
        (
            {"POSTRIDER_SMTP_CERTIFICATE": "/tls/tls.crt", "POSTRIDER_SMTP_KEY": "/tls/tls.key"},
            "--offline",
        ),
    ],
    ids=["none", "no-world", "offline"],
)
async def test_server_that_is_not_there_to_be_asked_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: dict[str, str], why: str
) -> None:
    found = await examined(monkeypatch, tmp_path, settings, "--offline")
    assert {finding.state for finding in found.values()} == {State.LEFT_OUT}
    assert all(why in finding.found for finding in found.values())


async def test_port_that_it_is_told_not_to_listen_on_is_left_out(
    server: RunningRelay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = {**settings_of(server), "POSTRIDER_SMTP_INBOUND_PORT": "0"}
    found = await examined(monkeypatch, tmp_path, settings)
    assert (found["reports"].state, found["ready"].state) == (State.LEFT_OUT, State.OK)
