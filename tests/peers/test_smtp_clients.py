"""SMTP clients as they are, with nothing but what the local world tells them: swaks, msmtp, smtplib, nodemailer."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import re
import smtplib
import subprocess
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from email_core.insights.activity import ACTIVITY
from tests.flows.test_local_world import checkout, up  # noqa: F401
from tests.kit import mailauth, smtp_clients
from tests.kit.knot import Knot, txt
from tests.kit.knot import missing_reason as no_knot
from tests.kit.peers import require
from tests.kit.pipeline import Pipeline
from tests.kit.requests import get, message, post
from tests.kit.smtp_clients import CLIENTS, Letter, send
from tests.kit.smtp_relay import SENDER, RunningRelay
from tests.kit.world import ROOT, World, missing_reason, start_world

pytestmark = pytest.mark.peers

MOST_OCTETS = 200_000
EXAMPLES = ROOT / "docs" / "examples"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A world that takes small messages only, so that a large one is no burden."""
    require(not missing_reason(), missing_reason())
    with start_world(settings={"POSTRIDER_SMTP_MAX_BYTES": str(MOST_OCTETS)}) as running:
        yield running


@pytest.fixture(scope="module")
def dns(world: World) -> Iterator[Knot]:
    """A DNS with the keys that sign for the domain of the world, as its administrator is shown them."""
    require(not (no_knot() or mailauth.missing_reason()), no_knot() or mailauth.missing_reason())
    domain = world.sender.partition("@")[2]
    shown = world.run("./postrider", "domain", "records", domain, "--json")
    assert shown.returncode == 0, shown.stderr
    records = json.loads(shown.stdout)["platformRecords"]
    with Knot({"postrider.test": [f"{each['relativeName']} TXT {txt(each['value'])}" for each in records]}) as running:
        yield running


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    require(not smtp_clients.missing_reason(name), smtp_clients.missing_reason(name))
    return name


def captured(world: World, subject: str) -> tuple[EmailMessage, bytes]:
    """The mail with that subject, and its octets."""

    def has_subject(content: bytes) -> bool:
        return bool(email.message_from_bytes(content, policy=email.policy.default)["Subject"] == subject)

    raw = world.wait_for_captured(has_subject)
    return email.message_from_bytes(raw, policy=email.policy.default), raw  # type: ignore[return-value]


def envelope(world: World, raw: bytes) -> dict[str, Any]:
    [file] = [file for file in world.outbox.glob("*.eml") if file.read_bytes() == raw]
    found: dict[str, Any] = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("tls", [False, True], ids=["starttls", "implicit-tls"])
def test_client_sends_a_mail_that_arrives_whole_and_signed_and_can_be_explained(
    world: World, dns: Knot, client: str, tls: bool, tmp_path: Path
) -> None:
    letter = Letter()
    sent = send(client, world, tmp_path, letter, tls=tls)

    assert sent.status == 0, sent.said
    arrived, raw = captured(world, letter.subject)
    assert arrived["Bcc"] is None
    assert arrived["From"].addresses[0].addr_spec == world.sender
    assert arrived.get_body(("plain",)).get_content().replace("\r\n", "\n").rstrip("\n") == letter.text.rstrip("\n")  # type: ignore[union-attr]
    assert "<b>HTML</b>" in arrived.get_body(("html",)).get_content()  # type: ignore[union-attr]
    [attached] = [part for part in arrived.walk() if part.get_filename() == letter.name]
    assert attached.get_payload(decode=True).replace(b"\r\n", b"\n") == letter.attached.encode()  # type: ignore[union-attr]
    told = envelope(world, raw)
    assert sorted(told["rcpt_tos"]) == sorted(letter.recipients)
    assert letter.hidden.encode() not in raw
    verdict = mailauth.verify(
        raw, client_ip="192.0.2.25", helo="bounce.postrider.test", mail_from=told["mail_from"], dns=(dns.host, dns.port)
    )
    assert [(each["result"], each["domain"]) for each in verdict["dkim"]] == [("pass", "postrider.test")] * 2

    explained = world.run("./postrider", "explain", sent.operation_id)
    assert explained.returncode == 0, explained.stderr
    assert "UTC, by SMTP, " in explained.stdout
    assert f"Accepted by SMTP from the user {world.env['SMTP_USERNAME']} for 3 recipients" in explained.stdout
    assert letter.international in explained.stdout


@pytest.mark.parametrize("program", ["swaks", "msmtp"])
def test_client_that_sends_raw_utf8_without_smtputf8_has_it_arrive_encoded(world: World, program: str, tmp_path: Path) -> None:
    require(not smtp_clients.missing_reason(program), smtp_clients.missing_reason(program))
    letter = Letter(raw=True)
    sent = send(program, world, tmp_path, letter)

    assert sent.status == 0, sent.said
    arrived, raw = captured(world, letter.subject)
    assert raw.partition(b"\r\n\r\n")[0].isascii() and b"\r\nSubject: =?utf-8?" in raw
    if program == "msmtp":
        assert arrived["Organization"] == "Büro für Grüße"
        assert arrived["Reply-To"] == f"Jörg Müller <{world.sender}>"


# The exit status, and the client's own word beside our reply, as the how-to tells them.
WRONG_PASSWORD = {
    "swaks": (28, "No authentication type succeeded"), "msmtp": (77, "authentication failed"),
    "smtplib": (1, "SMTPAuthenticationError"), "nodemailer": (1, "EAUTH"),
}  # fmt: skip
FOREIGN_SENDER = {
    "swaks": (23, "MAIL FROM"), "msmtp": (65, "not accepted by the server"), "smtplib": (1, "SMTPSenderRefused"),
    "nodemailer": (1, "EENVELOPE"),
}  # fmt: skip
TOO_LARGE = {
    "swaks": (26, "DATA"), "msmtp": (69, "did not accept the mail"), "smtplib": (1, "SMTPSenderRefused"),
    "nodemailer": (1, "EMESSAGE"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("shown", "reply", "attached", "changes"),
    [
        (WRONG_PASSWORD, "535 5.7.3 Authentication unsuccessful", "a", {"SMTP_PASSWORD": "wrong"}),
        (
            FOREIGN_SENDER,
            "501 5.1.7 The specified sender domain has not been linked.",
            "a",
            {"SENDER_ADDRESS": "somebody@fabrikam.example"},
        ),
        (
            TOO_LARGE,
            f"552 5.3.4 Message size exceeds fixed maximum message size of {MOST_OCTETS} octets: send less",
            "0123456789,0123456789\n" * (MOST_OCTETS // 20),
            {},
        ),
    ],
    ids=["wrong-password", "foreign-sender", "too-large"],
)
def test_client_that_is_refused_shows_our_reply(
    world: World, client: str, tmp_path: Path, shown: Any, reply: str, attached: str, changes: dict[str, str]
) -> None:
    sent = send(client, world, tmp_path, Letter(attached=attached), **changes)

    status, word = shown[client]
    assert (sent.status, word in sent.said) == (status, True), sent.said[-3000:]
    code, _, rest = reply.partition(" ")
    assert re.search(rf"{code}\D{{1,4}}{re.escape(rest)}", sent.said), sent.said[-3000:]


@pytest.mark.parametrize(
    ("needs", "command", "replied"),
    [
        ("swaks", ("bash", "smtp_swaks.sh"), True),
        ("msmtp", ("bash", "smtp_msmtp.sh"), False),
        ("smtplib", ("python3", "smtp_send.py"), False),
        ("nodemailer", ("node", "smtp_send.mjs"), True),
    ],
    ids=CLIENTS,
)  # fmt: skip
def test_example_of_the_howto_sends(world: World, tmp_path: Path, needs: str, command: tuple[str, str], replied: bool) -> None:
    require(not smtp_clients.missing_reason(needs), smtp_clients.missing_reason(needs))
    recipient = f"reader-{needs}@example.com"
    program, file = command
    done = world.run(program, str(EXAMPLES / file), HOME=str(tmp_path), RECIPIENT_ADDRESS=recipient)

    assert done.returncode == 0, done.stdout + done.stderr
    raw = world.wait_for_captured(lambda content: f"To: {recipient}".encode() in content)
    assert b"\r\nSubject: Hello from Postrider\r\n" in raw
    log = tmp_path / ".msmtp.log"
    said = done.stdout + (log.read_text() if log.exists() else "")
    assert ("Ok: queued as " in said) == (replied or log.exists())


def test_what_up_prints_is_all_that_a_client_needs(checkout: Path) -> None:  # noqa: F811
    require(not smtp_clients.missing_reason("swaks"), smtp_clients.missing_reason("swaks"))
    with up(checkout) as (command, variables):
        assert command.process.stdout
        printed = ""
        while "All as variables" not in printed:
            line = command.process.stdout.readline()
            assert line, printed
            printed += line
        found = re.search(r"SMTP +(\S+):(\d+) with STARTTLS, or (\d+) with TLS\n +user (\S+), password (\S+)\n", printed)
        assert found, printed
        sender = re.search(r"Sender +(\S+)\n", printed)
        assert sender, printed
        host, port, tls_port, user, password = found.groups()
        login = [
            "--auth",
            "PLAIN",
            "--auth-user",
            user,
            "--auth-password",
            password,
            "--from",
            sender[1],
            "--to",
            "a@example.com",
        ]
        for way in (["-p", port, "--tls"], ["-p", tls_port, "--tls-on-connect"]):
            trust = ["--tls-verify", "--tls-ca-path", variables["SSL_CERT_FILE"]]
            done = subprocess.run(
                ["swaks", "--server", host, *way, *trust, *login], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr


def told_of(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Activity rows without what is another one for each message."""
    own = ("PartitionKey", "RowKey", "TimeGenerated", "CorrelationId", "InternetMessageId", "odata.etag", "Timestamp")
    return sorted(({name: each[name] for name in each if name not in own} for each in rows), key=str)


async def test_message_by_smtp_has_the_statuses_and_activity_rows_of_one_by_http(
    relay: RunningRelay, pipeline: Pipeline, sink: Any
) -> None:
    taken, refused = "ann@fabrikam.test", "gone@fabrikam.test"
    sink.replies = {refused: ["552 5.2.2 mailbox is full"]}

    def by_smtp() -> str:
        with smtplib.SMTP("localhost", relay.port(), timeout=20) as smtp:
            smtp.starttls(context=relay.files.trusting())
            smtp.login(relay.user, relay.password)
            smtp.mail(SENDER)
            for recipient in (taken, refused):
                smtp.rcpt(recipient)
            text = f"From: {SENDER}\r\nTo: {taken}\r\nSubject: A test\r\n\r\nHello.\r\n"
            return smtp.data(text)[1].decode().split()[-1]

    posted = await post(pipeline, message(recipients={"to": [{"address": taken}, {"address": refused}]}))
    ids = [str(posted.body["id"]), await asyncio.to_thread(by_smtp)]
    await pipeline.drain()

    operations = [(await get(pipeline, each)).body for each in ids]
    assert [operation["status"] for operation in operations] == ["Succeeded", "Succeeded"]
    rows = [
        [dict(row.values) async for row in pipeline.storage.tables.query(ACTIVITY, f"CorrelationId eq '{each}'")]
        for each in ids
    ]
    assert sorted(str(row["DeliveryStatus"]) for row in rows[0]) == ["Bounced", "Delivered"]
    assert told_of(rows[1]) == told_of(rows[0])
    statuses = [
        sorted((each["address"], each["status"], each["attempts"]) for each in operation["recipients"])
        for operation in operations
    ]
    assert statuses[1] == statuses[0]


def test_examples_are_valid_bash() -> None:
    for file in sorted(EXAMPLES.glob("smtp_*.sh")):
        done = subprocess.run(["bash", "-n", file], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), file.name
