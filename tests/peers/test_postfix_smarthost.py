"""A Postfix that has us as its smarthost: what programs of its machine hand to `sendmail` goes out by us, or comes back."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from email_core.settings import Settings
from tests.kit.knot import Knot
from tests.kit.peers import require
from tests.kit.pipeline import DOMAIN, Pipeline, build_pipeline
from tests.kit.postfix import Postfix
from tests.kit.postfix_smarthost import HOST_NAME, Office, no_smarthost_client, office
from tests.kit.smtp_relay import SENDER, RelayFiles, RunningRelay, add_user, running_relay
from tests.kit.storage_proxy import Fault, Rule, StorageProxy
from tests.kit.world import World

pytestmark = pytest.mark.peers

QUEUED = r"to=<{recipient}>, relay=localhost\[127\.0\.0\.1\]:\d+, .*status=sent \(250 2\.0\.0 Ok: queued as ([0-9a-f-]{{36}})\)"


@pytest.fixture(autouse=True)
def postfix_is_here() -> None:
    require(not no_smarthost_client(), no_smarthost_client())


def text(*fields: str, to: str = "reader@example.com") -> str:
    return "\n".join([f"From: Zoe <zoe@{HOST_NAME}>", f"To: {to}", *fields, "", "The printer is out of paper.", ""])


def variables(relay: RunningRelay) -> dict[str, str]:
    """What `./postrider up` would tell of this server."""
    return {
        "SMTP_HOST": "localhost",
        "SMTP_PORT": str(relay.port()),
        "SMTP_USERNAME": relay.user,
        "SMTP_PASSWORD": relay.password,
        "SENDER_ADDRESS": SENDER,
        "SSL_CERT_FILE": str(relay.files.authority),
    }


@asynccontextmanager
async def office_of(relay: RunningRelay) -> AsyncIterator[Office]:
    context = office(variables(relay))
    made = await asyncio.to_thread(context.__enter__)
    try:
        yield made
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


@pytest.fixture
async def machine(relay: RunningRelay) -> AsyncIterator[Office]:
    """A machine whose mail goes out by `relay`."""
    async with office_of(relay) as made:
        yield made


def parsed(content: bytes) -> Any:
    return email.message_from_bytes(content, policy=email.policy.default)


@pytest.fixture
def office_of_the_world(world: World) -> Iterator[Office]:
    with office(world.env) as made:
        yield made


def test_local_mail_goes_out_by_the_local_world_and_its_log_has_our_id(world: World, office_of_the_world: Office) -> None:
    recipient = "reader-of-postfix@example.com"
    fields = ("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Bcc: hidden-of-postfix@example.com")
    office_of_the_world.submit(text(*fields, to=recipient), "-t")
    operation = office_of_the_world.logged(QUEUED.format(recipient=recipient))[1]

    log = office_of_the_world.postfix.log()
    assert "Verified TLS connection established to localhost" in log
    captured = world.wait_for_captured(lambda content: f"To: {recipient}".encode() in content)
    assert captured.startswith(b"DKIM-Signature:")
    assert b"hidden-of-postfix" not in captured
    arrived = parsed(captured)
    assert (arrived["Subject"], arrived["From"]) == ("Grüße", f"Zoe <{world.sender}>")
    office_of_the_world.submit(text("Subject: Grüße", to="others@example.com"), "jörg-of-postfix@example.com")
    office_of_the_world.logged(QUEUED.format(recipient="jörg-of-postfix@example.com"))
    explained = world.run("./postrider", "explain", operation)
    assert explained.returncode == 0, explained.stderr
    assert "Accepted by SMTP from the user local for 2 recipients" in explained.stdout


async def test_mail_that_we_refuse_comes_back_to_its_sender_with_our_words(machine: Office) -> None:
    await asyncio.to_thread(machine.submit, text("Sender: boss@contoso.test", "Subject: Forged"), "reader@example.com")
    bounce = parsed(await machine.postfix.message(lambda content: b"\nSubject: Undelivered Mail" in content, 30.0))

    assert bounce["To"] == f"zoe@{HOST_NAME}"
    [report] = [part for part in bounce.walk() if part.get_content_type() == "message/delivery-status"]
    status = report.get_payload()[1]
    assert (status["Action"], status["Status"]) == ("failed", "5.7.1")
    assert "The Sender field names neither the sender of From nor that of MAIL FROM" in " ".join(
        status["Diagnostic-Code"].split()
    )


async def test_sender_that_is_not_ours_comes_back_with_what_is_not_linked(machine: Office) -> None:
    await asyncio.to_thread(machine.submit, text("Subject: Foreign"), "-f", "zoe@fabrikam.example", "reader@example.com")
    await machine.has_logged(
        r"status=bounced \(host localhost\S+ said: 501 5\.1\.7 The specified sender domain has not been linked\."
    )


async def test_mail_that_is_too_large_comes_back_and_is_not_sent_to_us(
    pipeline: Pipeline, relay_files: RelayFiles, caplog: pytest.LogCaptureFixture
) -> None:
    user, password = await add_user(pipeline)
    async with running_relay(pipeline.services, relay_files, max_bytes=20_000) as relay:
        relay.user, relay.password = user, password
        async with office_of(relay) as machine:
            await asyncio.to_thread(machine.submit, text("Subject: Large") + "0123456789\n" * 2000, "reader@example.com")
            await machine.has_logged(r"status=bounced \(message size \d+ exceeds size limit 20000 of server localhost")
    assert "5.3.4" not in caplog.text


async def test_storage_that_is_away_keeps_the_mail_in_the_queue_until_it_is_back(azurite: str, relay_files: RelayFiles) -> None:
    async with StorageProxy(azurite) as proxy:
        pipeline = await build_pipeline(proxy.connection_string, routes="capture://127.0.0.1:9")
        user, password = await add_user(pipeline)
        async with running_relay(pipeline.services, relay_files) as relay:
            relay.user, relay.password = user, password
            async with office_of(relay) as machine:
                proxy.rules = [Rule("tables.insert", Fault.DROPPED, "messages", times=None)]
                await asyncio.to_thread(machine.submit, text("Subject: Later"), "reader@example.com")
                await machine.has_logged(
                    r"status=deferred \(host localhost\S+ said: 451 4\.3\.0 The message cannot be stored right now"
                )
                proxy.rules = []
                await asyncio.to_thread(machine.flush)
                found = await machine.has_logged(QUEUED.format(recipient="reader@example.com"))
                row = await pipeline.services.spool.read(f"{pipeline.service.key}:{found[1]}", with_content=False)
                assert row is not None and row.facts.door == "smtp"
        await pipeline.close()


async def test_wrong_password_keeps_the_mail_in_the_queue_until_it_is_right(machine: Office, relay: RunningRelay) -> None:
    await asyncio.to_thread(machine.configure, SMTP_PASSWORD="wrong")
    await asyncio.to_thread(machine.submit, text("Subject: Wrong"), "reader@example.com")
    await machine.has_logged(
        r"status=deferred \(SASL authentication failed; server localhost\S+ said: 535 5\.7\.3 Authentication unsuccessful"
    )
    await asyncio.to_thread(machine.configure)
    await asyncio.to_thread(machine.flush)
    await machine.has_logged(QUEUED.format(recipient="reader@example.com"))


@pytest.fixture
async def world_of_dsn(azurite: str, relay_files: RelayFiles) -> AsyncIterator[tuple[Pipeline, Office, Postfix]]:
    """The receiver has the mailboxes of the recipients and of our sender."""
    with Postfix("rcpt.test", DOMAIN) as receiver, Knot() as knot:
        knot.add_records(receiver.dns_records())

        def to_the_receiver(settings: Settings) -> Settings:
            return replace(settings, dns_server=knot.address, mx_port=receiver.port)

        pipeline = await build_pipeline(azurite, routes="mx", change=to_the_receiver)
        user, password = await add_user(pipeline)
        async with running_relay(pipeline.services, relay_files) as relay:
            relay.user, relay.password = user, password
            async with office_of(relay) as machine:
                yield pipeline, machine, receiver
        await pipeline.close()


async def test_notifications_that_sendmail_asks_for_reach_the_sender(world_of_dsn: tuple[Pipeline, Office, Postfix]) -> None:
    pipeline, machine, receiver = world_of_dsn
    asked = ("-N", "success,failure", "-V", "printer-7")
    await asyncio.to_thread(machine.submit, text("Subject: DSN"), *asked, "user@rcpt.test", "bounce@rcpt.test")
    operation = (await machine.has_logged(QUEUED.format(recipient="user@rcpt.test")))[1]
    row = await pipeline.services.spool.read(f"{pipeline.service.key}:{operation}", with_content=False)
    assert row is not None
    assert (row.facts.envid, row.facts.submitter) == ("printer-7", SENDER)
    assert {entry.notify for entry in row.ledger.entries} == {"SUCCESS,FAILURE"}
    await pipeline.drain()

    statuses = {}
    for action in ("failed", "relayed"):
        raw = await receiver.message(lambda content, action=action: f"\nAction: {action}\n".encode() in content, 30.0)  # type: ignore[misc]
        told = parsed(raw)
        assert told["Delivered-To"] == SENDER
        [report] = [part for part in told.walk() if part.get_content_type() == "message/delivery-status"]
        about_message, about_recipient = report.get_payload()
        assert about_message["Original-Envelope-Id"] == "printer-7"
        statuses[about_recipient["Final-Recipient"]] = about_recipient["Status"]
    assert statuses == {"rfc822; bounce@rcpt.test": "5.1.1", "rfc822; user@rcpt.test": "2.0.0"}
