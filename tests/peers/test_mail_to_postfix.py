"""A message through the whole pipeline to a real Postfix, found by a real DNS server, judged by another implementation.

The DNS records are those that we tell a domain's owner and the platform's operator to publish, word for word.
"""

from __future__ import annotations

import base64
import email
import email.policy
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from email_core.data_plane.send_request import parse_send_request
from email_core.domains.records import platform_records, zone_lines
from email_core.message.address import parse_address
from email_core.message.draft import Attachment, Draft
from email_core.settings import Settings
from tests.kit import mailauth
from tests.kit.knot import Knot
from tests.kit.peers import require
from tests.kit.pipeline import DOMAIN, Pipeline, build_pipeline, draft_to
from tests.kit.postfix import Postfix

pytestmark = pytest.mark.peers

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4)


@pytest.fixture
async def pipeline(azurite: str, postfix: Postfix, knot: Knot) -> AsyncIterator[Pipeline]:
    require(not mailauth.missing_reason(), mailauth.missing_reason())

    def to_the_world(settings: Settings) -> Settings:
        return replace(settings, dns_server=knot.address, mx_port=postfix.port)

    built = await build_pipeline(azurite, routes="mx", change=to_the_world)
    settings = built.services.settings
    platform = platform_records(settings.platform_domain, bounce_domain=settings.bounce_domain, senders=["127.0.0.1"])
    knot.add_records([*zone_lines(built.records), *zone_lines(platform), *postfix.dns_records()])
    yield built
    await built.close()


async def judged(message: bytes, knot: Knot, reverse_path: str) -> dict[str, Any]:
    return await mailauth.verdict(
        message, client_ip="127.0.0.1", helo="bounce.postrider.test", mail_from=reverse_path, dns=(knot.host, knot.port)
    )


def reverse_path_of(stored: bytes) -> str:
    found = re.search(rb"^Return-Path: <(.*)>", stored, re.MULTILINE)
    assert found
    return found[1].decode()


def full_draft(recipient: str) -> Draft:
    picture = Attachment("dot.png", "image/png", PIXEL[:76] + b"\r\n" + PIXEL[76:100], 75, content_id="dot")
    note = Attachment("größe.txt", "text/plain", base64.b64encode("Füße\r\n".encode()), 8)
    return draft_to(
        recipient,
        subject="Grüße aus Postrider, with a subject long enough to be folded over more than one line of the header",
        sender=parse_address(f"news@{DOMAIN}", "Zoë, the sender"),
        cc=(parse_address(recipient.replace("user", "other"), "An Other"),),
        text="Hello.\r\n.a line that begins with a dot\r\nblanks at the end   \r\n\r\n\r\n",
        html='<p>Hello.</p><img src="cid:dot">',
        headers=(("X-Campaign", "autumn"), ("List-Unsubscribe", "<https://contoso.test/u>")),
        attachments=(note, picture),
    )


@pytest.mark.parametrize("kind", ["full", "text", "html", "hostile"])
async def test_mail_stored_by_postfix_passes_dkim_twice_spf_and_dmarc(
    pipeline: Pipeline, postfix: Postfix, knot: Knot, kind: str
) -> None:
    recipient = postfix.address("user")
    drafts = {
        "full": full_draft(recipient),
        "text": draft_to(recipient, text="Plain.\n"),
        "html": draft_to(recipient, text=None, html="<p>ä</p>\n" * 50),
        "hostile": draft_to(recipient, text=".\r\n..\r\n \t \r\n" * 200 + "\r\n" * 500 + "x" * 3000 + "\n\n\n"),
    }
    accepted = await pipeline.accept(drafts[kind])
    await pipeline.drain()
    row = await pipeline.row(accepted)
    assert {entry.status for entry in row.ledger.entries} == {"Delivered"}
    stored = await postfix.message(row.facts.message_id)
    verdict = await judged(stored, knot, reverse_path_of(stored))
    assert [(each["result"], each["algorithm"], each["aligned"]) for each in verdict["dkim"]] == [
        ("pass", "rsa-sha256", DOMAIN),
        ("pass", "ed25519-sha256", DOMAIN),
    ]
    assert (verdict["spf"]["result"], verdict["dmarc"]["result"]) == ("pass", "pass")


async def test_mail_with_everything_arrives_as_it_was_meant(pipeline: Pipeline, postfix: Postfix) -> None:
    draft = full_draft(postfix.address("user"))
    accepted = await pipeline.accept(draft)
    await pipeline.drain()
    row = await pipeline.row(accepted)
    message = email.message_from_bytes(await postfix.message(row.facts.message_id), policy=email.policy.default)
    assert message["Subject"] == draft.subject
    assert message["From"].addresses[0].display_name == "Zoë, the sender"
    assert message["X-Campaign"] == "autumn"
    assert message.get_body(("plain",)).get_content().replace("\n", "\r\n") == draft.text  # type: ignore[union-attr]
    assert "cid:dot" in message.get_body(("html",)).get_content()  # type: ignore[union-attr]
    [note] = list(message.iter_attachments())
    assert (note.get_filename(), note.get_payload(decode=True)) == ("größe.txt", "Füße\r\n".encode())
    connect = next(event.facts for event in row.timeline if event.kind == "tls")
    assert str(connect["version"]).startswith("TLSv1.")


async def test_recipients_answered_differently_by_postfix_each_get_their_own_end(pipeline: Pipeline, postfix: Postfix) -> None:
    recipients = [postfix.address(local) for local in ("user", "bounce", "defer", "full")]
    accepted = await pipeline.accept(draft_to(*recipients))
    await pipeline.step()
    row = await pipeline.row(accepted)
    found = {entry.address.partition("@")[0]: (entry.status, entry.code, entry.bounce_class) for entry in row.ledger.entries}
    assert found["user"][:2] == ("Delivered", 250)
    assert found["bounce"] == ("Bounced", 550, "invalid_recipient")
    assert found["defer"][:2] == ("Deferred", 450)
    assert found["full"][1:] == (552, "mailbox_full")
    [retry] = pipeline.queues.noted
    assert 48 <= retry.delay <= 72
    assert row.ledger.open_addresses == tuple(entry.address for entry in row.ledger.entries if entry.status == "Deferred")


async def test_domain_that_does_not_exist_or_takes_no_mail_bounces_at_once(pipeline: Pipeline, knot: Knot) -> None:
    knot.add_records(["nullmx.test MX 0 ."])
    accepted = await pipeline.accept(draft_to("user@nullmx.test", "user@nowhere-at-all.test"))
    await pipeline.drain()
    ends = [(await pipeline.row(accepted, name)).ledger.entries[0] for name in ("envelope:001", "envelope:002")]
    assert [(entry.status, entry.enhanced) for entry in ends] == [("Bounced", "5.1.10"), ("Bounced", "5.1.2")]


async def test_request_of_an_official_client_survives_to_the_wire(pipeline: Pipeline, postfix: Postfix) -> None:
    body = (
        b'{"senderAddress":"news@contoso.test","content":{"subject":"Gr\\u00fc\\u00dfe","html":"<b>\\ud83d\\ude00</b>"},'
        b'"recipients":{"to":[],"bcc":[{"address":"user@rcpt.test","displayName":"User"}]}}'
    )
    accepted = await pipeline.accept(parse_send_request(body, max_recipients=50))
    await pipeline.drain()
    message_id = (await pipeline.row(accepted)).facts.message_id
    message = email.message_from_bytes(await postfix.message(message_id), policy=email.policy.default)
    assert message["Subject"] == "Grüße"
    assert message["To"] == "undisclosed-recipients:;"
    assert "\N{GRINNING FACE}" in message.get_body(("html",)).get_content()  # type: ignore[union-attr]
