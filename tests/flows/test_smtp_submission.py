"""Mail submitted by SMTP: accepted, stored, signed and delivered as what comes by HTTP."""

from __future__ import annotations

import asyncio
import email
import email.policy
import smtplib
from email.message import EmailMessage

import pytest

from tests.kit.pipeline import DOMAIN, Pipeline
from tests.kit.receiver import Receiver
from tests.kit.smtp_relay import MESSAGE, SENDER, RunningRelay, add_user, encoded, plain

pytestmark = pytest.mark.peers


def message(subject: str = "A test", **fields: str) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = SENDER, "ann@example.test", subject
    for name, value in fields.items():
        made[name.replace("_", "-")] = value
    made.set_content("Hello.\n.\n..two dots\n")
    return made


@pytest.mark.parametrize("name", ["submission", "tls"])
async def test_message_of_smtplib_is_accepted_signed_and_delivered(
    relay: RunningRelay, pipeline: Pipeline, sink: Receiver, name: str
) -> None:
    def send() -> dict[str, tuple[int, bytes]]:
        trusting = relay.files.trusting()
        if name == "tls":
            client: smtplib.SMTP = smtplib.SMTP_SSL("localhost", relay.port("tls"), context=trusting, timeout=20)
        else:
            client = smtplib.SMTP("localhost", relay.port(), timeout=20)
            client.starttls(context=trusting)
        with client:
            client.login(relay.user, relay.password)
            return client.send_message(message(), SENDER, ["ann@example.test", "bob@example.test"])

    assert await asyncio.to_thread(send) == {}
    await pipeline.drain()
    [received] = sink.received
    assert set(received.recipients) == {"ann@example.test", "bob@example.test"}
    assert received.content.startswith(b"DKIM-Signature:")
    assert b"\r\nHello.\r\n.\r\n..two dots\r\n" in received.content
    assert b"Date: " in received.content and b"Message-ID: " in received.content


async def test_raw_utf8_of_a_client_that_knows_no_smtputf8_arrives_encoded_and_latin_1_is_told_what_to_do(
    relay: RunningRelay, pipeline: Pipeline, sink: Receiver
) -> None:
    raw = f'From: "Büro, Köln" <{SENDER}>\r\nTo: Jörg <ann@example.test>\r\nSubject: Grüße\r\n\r\nHello.\r\n'

    def send(content: bytes) -> tuple[int, bytes]:
        with smtplib.SMTP("localhost", relay.port(), timeout=20) as client:
            client.starttls(context=relay.files.trusting())
            client.login(relay.user, relay.password)
            client.mail(SENDER)
            client.rcpt("ann@example.test")
            return client.data(content)

    code, text = await asyncio.to_thread(send, raw.encode("latin-1"))
    assert (code, text) == (
        554,
        b"5.6.0 The From field has octets that are neither ASCII nor UTF-8: Latin-1, perhaps. "
        b"Encode its text (RFC 2047), or send UTF-8.",
    )
    code, text = await asyncio.to_thread(send, raw.encode())
    assert code == 250, text
    await pipeline.drain()
    [received] = sink.received
    assert received.content.isascii()
    arrived = email.message_from_bytes(received.content, policy=email.policy.default)
    assert (arrived["Subject"], arrived["To"]) == ("Grüße", "Jörg <ann@example.test>")
    assert arrived["From"].addresses[0].display_name == "Büro, Köln"


async def test_reply_names_the_operation_that_can_be_asked_for(relay: RunningRelay, pipeline: Pipeline) -> None:
    client = await relay.in_data()
    await client.send(MESSAGE + b".\r\n")
    reply = await client.reply()
    assert reply.startswith("250 2.0.0 Ok: queued as ")
    row = await pipeline.services.spool.read(f"{pipeline.service.key}:{reply.split()[-1]}", with_content=False)
    assert row is not None
    assert (row.facts.door, row.facts.sender, [entry.address for entry in row.ledger.entries]) == (
        "smtp", SENDER, ["ann@example.test"]
    )  # fmt: skip


async def test_ehlo_offers_what_is_served_and_auth_under_tls_only(relay: RunningRelay) -> None:
    client = await relay.client()
    await client.reply()
    offered = await client.ask("EHLO client.test")
    words = [line[4:] for line in offered.splitlines()]
    assert words == [
        "smtp.postrider.test", "SIZE 31457280", "8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES", "DSN", "STARTTLS",
    ]  # fmt: skip
    await client.ask("STARTTLS")
    await client.start_tls(relay.files.trusting())
    words = [line[4:] for line in (await client.ask("EHLO client.test")).splitlines()]
    assert words[-1] == "AUTH PLAIN LOGIN XOAUTH2"
    assert "STARTTLS" not in words and "CHUNKING" not in words


async def test_one_connection_sends_several_messages_and_the_same_twice_is_two(relay: RunningRelay, pipeline: Pipeline) -> None:
    client = await relay.logged_in()
    same = MESSAGE.replace(b"Subject", b"Message-ID: <one@contoso.test>\r\nSubject")
    replies = []
    for _ in range(2):
        await client.ask(f"MAIL FROM:<{SENDER}>")
        await client.ask("RCPT TO:<ann@example.test>")
        await client.ask("DATA")
        await client.send(same + b".\r\n")
        replies.append(await client.reply())
    assert len(set(replies)) == 2
    assert len(pipeline.queues.noted) == 2
    assert (await client.ask("QUIT")).startswith("221 2.0.0")
    assert await client.is_closed()


async def test_pipelined_transaction_is_answered_in_order(relay: RunningRelay, pipeline: Pipeline) -> None:
    client = await relay.logged_in()
    await client.send(
        f"MAIL FROM:<{SENDER}> SIZE=200\r\nRCPT TO:<ann@example.test>\r\nRCPT TO:<no address>\r\nDATA\r\n".encode()
    )
    assert [(await client.reply())[:9] for _ in range(4)] == ["250 2.1.0", "250 2.1.5", "553 5.1.3", "354 End d"]
    await client.send(MESSAGE + b".\r\nNOOP\r\nQUIT\r\n")
    assert [(await client.reply())[:9] for _ in range(3)] == ["250 2.0.0", "250 2.0.0", "221 2.0.0"]
    assert len(pipeline.queues.noted) == 1


async def test_options_of_dsn_and_eai_reach_the_message(relay: RunningRelay, pipeline: Pipeline) -> None:
    client = await relay.logged_in()
    assert (await client.ask(f"MAIL FROM:<{SENDER}> RET=HDRS ENVID=QQ314159 SMTPUTF8 BODY=8BITMIME")).startswith("250")
    assert (await client.ask("RCPT TO:<jürgen@example.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;j@x.test")).startswith("250")
    await client.ask("DATA")
    await client.send(MESSAGE.replace(b"ann@", "jürgen@".encode()) + b".\r\n")
    reply = await client.reply()
    assert reply.startswith("250 "), reply
    row = await pipeline.services.spool.read(f"{pipeline.service.key}:{reply.split()[-1]}", with_content=False)
    assert row is not None
    [entry] = row.ledger.entries
    assert (row.facts.ret, row.facts.envid, entry.notify, entry.orcpt) == (
        "HDRS",
        "QQ314159",
        "SUCCESS,DELAY",
        "rfc822;j@x.test",
    )


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("MAIL FROM:<news@foreign.test>", "501 5.1.7 The specified sender domain has not been linked."),
        (f"MAIL FROM:<bob@{DOMAIN}>", "501 5.1.7 Invalid email sender username: 'bob'. Please use a username from the list"),
        ("MAIL FROM:<>", "501 5.1.7 The sender must be an address"),
        ("MAIL FROM:<news>", "553 5.1.7 The sender's address has no"),
        (f"MAIL FROM:{SENDER}", "501 5.5.4 Syntax: MAIL FROM:<address>"),
        (f"MAIL FROM:<{SENDER}> FOO=bar", "555 5.5.4 MAIL parameter not recognized: FOO"),
        (f"MAIL FROM:<{SENDER}> RET=ALL", "501 5.5.4 RET must be FULL or HDRS"),
        (f"MAIL FROM:<{SENDER}> BODY=BINARYMIME", "501 5.5.4 BODY must be"),
        (f"MAIL FROM:<{SENDER}> SIZE=many", "501 5.5.4 SIZE must be"),
        (f"MAIL FROM:<{SENDER}> SIZE=31457281", "552 5.3.4 "),
        (f"MAIL FROM:<nü@{DOMAIN}>", "550 5.6.7 "),
        ("RCPT TO:<ann@example.test>", "503 5.5.1 Send MAIL first"),
        ("DATA", "503 5.5.1 Send MAIL first"),
        ("BDAT 10 LAST", "500 5.5.2 Command not recognized"),
        ("VRFY ann", "252 2.5.2 "),
        ("VRFY nobody", "252 2.5.2 "),
        ("EXPN list", "502 5.5.1 "),
        ("HELP", "214 2.0.0 "),
        ("NOOP", "250 2.0.0 "),
        ("RSET", "250 2.0.0 "),
        ("AUTH PLAIN", "503 5.5.1 Already authenticated"),
        ("STARTTLS", "503 5.5.1 TLS is in use already"),
    ],
)
async def test_command_gets_its_reply_and_the_connection_stays(relay: RunningRelay, command: str, reply: str) -> None:
    client = await relay.logged_in()
    assert (await client.ask(command)).startswith(reply)
    assert (await client.ask(f"MAIL FROM:<{SENDER}>")).startswith("250 2.1.0")


async def test_second_sender_and_data_without_a_recipient_are_out_of_sequence(relay: RunningRelay) -> None:
    client = await relay.logged_in()
    await client.ask(f"MAIL FROM:<{SENDER}>")
    assert (await client.ask(f"MAIL FROM:<{SENDER}>")).startswith("503 5.5.1")
    assert (await client.ask("RCPT TO:<bad>")).startswith("553 5.1.3")
    assert (await client.ask("DATA")).startswith("503 5.5.1 Send RCPT first")
    assert (await client.ask("RSET")).startswith("250")
    assert (await client.ask("RCPT TO:<ann@example.test>")).startswith("503 5.5.1 Send MAIL first")


async def test_from_field_of_a_foreign_domain_is_refused_after_the_message(relay: RunningRelay, pipeline: Pipeline) -> None:
    client = await relay.in_data()
    await client.send(MESSAGE.replace(b"contoso.test", b"foreign.test") + b".\r\n")
    assert (await client.reply()).startswith("501 5.1.7 The specified sender domain has not been linked.")
    assert pipeline.queues.noted == []
    assert (await client.ask("NOOP")).startswith("250")


async def test_sender_of_another_service_is_foreign(relay: RunningRelay, pipeline: Pipeline) -> None:
    """Its domain is verified in this installation, and linked to another service."""
    other = await pipeline.provisioner.custom_domain("email", "fabrikam.test")
    assert other
    client = await relay.logged_in()
    assert (await client.ask("MAIL FROM:<DoNotReply@fabrikam.test>")).startswith("501 5.1.7 The specified sender domain")


async def test_auth_login_and_the_forms_of_acs_log_in(relay: RunningRelay, pipeline: Pipeline) -> None:
    from tests.kit.smtp_relay import APPLICATION, TENANT

    _, password = await add_user(pipeline)
    names = [f"{pipeline.service.name}{mark}{APPLICATION}{mark}{TENANT}" for mark in ".|"]
    for name, secret in [(relay.user.upper(), relay.password), *((name, password) for name in names)]:
        client = await relay.greeted()
        assert await client.ask("AUTH LOGIN") == "334 VXNlcm5hbWU6"
        assert await client.ask(encoded(name)) == "334 UGFzc3dvcmQ6"
        assert (await client.ask(encoded(secret))).startswith("235 2.7.0")
        assert (await client.ask(f"AUTH PLAIN {plain(name, secret)}")).startswith("503 5.5.1")
        await client.close()
