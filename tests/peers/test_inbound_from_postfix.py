"""What else a real Postfix brings to our port 25: complaints, wishes to be left alone, probes, and mail for nobody."""

from __future__ import annotations

import smtplib
import uuid

import pytest

from tests.kit.knot import Knot
from tests.kit.peers import require
from tests.kit.pipeline import DOMAIN as SENDING_DOMAIN
from tests.kit.postfix import missing_reason
from tests.kit.returning_postfix import BOUNCE_DOMAIN, DOMAIN, Returning, returning
from tests.kit.smtp_relay import RelayFiles
from tests.peers.test_bounces_from_postfix import explained, listed, mail, status

pytestmark = pytest.mark.peers
__all__ = ["mail"]


async def test_postfix_that_asks_for_the_sender_first_finds_our_reverse_path(
    azurite: str, knot: Knot, relay_files: RelayFiles
) -> None:
    require(not missing_reason(), missing_reason())
    parameters = {
        "smtpd_sender_restrictions": "reject_unverified_sender",
        "address_verify_map": "",
        "address_verify_poll_delay": "1s",
        "address_verify_poll_count": "10",
    }
    async with returning(azurite, knot, relay_files, **parameters) as mail:
        operation = await mail.send("http", f"user@{DOMAIN}")
        assert (await status(mail, operation))["status"] == "Delivered"
        assert "status=deliverable (250 2.1.5 Ok" in mail.postfix.log()
        assert (mail.came, await mail.kinds(operation)) == ([], [])
        with pytest.raises(smtplib.SMTPRecipientsRefused, match=r"Sender address rejected: .* said: 550 5\.7\.1 Only reports"):
            await mail.mail(f"b+x.y.z@{BOUNCE_DOMAIN}", f"user@{DOMAIN}", "From: a@example.test\n\n")


async def test_complaint_by_way_of_postfix_suppresses(mail: Returning) -> None:
    operation = await mail.send("smtp", address := f"user@{DOMAIN}")
    stored = await mail.postfix.message(lambda raw: f"Delivered-To: {address}".encode() in raw)
    report = f"""From: <abuse@{DOMAIN}>
To: {mail.inbound.complaint_addresses[0]}
Subject: FW: A test
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary=r

--r
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: Mailbox/1.0
Version: 1
Original-Rcpt-To: {address}

--r
Content-Type: message/rfc822

{stored.decode()}
--r--
"""
    await mail.mail(f"abuse@{DOMAIN}", mail.inbound.complaint_addresses[0], report)
    await mail.until_came()
    assert await mail.kinds(operation) == ["complaint"]
    [held] = await listed(mail, address)
    assert (held["reason"], held["leaseHours"]) == ("complaint", 90 * 24)
    assert (await status(mail, operation))["status"] == "Delivered"
    assert (await status(mail, await mail.send("http", address)))["status"] == "Suppressed"


async def test_unsubscribe_mail_by_way_of_postfix_puts_its_sender_on_the_list(mail: Returning) -> None:
    leaver = f"Leaver-{uuid.uuid4().hex[:8]}@{DOMAIN}"
    await mail.mail(leaver, mail.unsubscribe_address(leaver), f"From: {leaver}\nSubject: unsubscribe\n\n")
    await mail.until_came()
    mail.pipeline.clock.advance(mail.pipeline.services.settings.configuration_seconds + 1)
    again = await mail.send("http", leaver)
    assert (await status(mail, again))["status"] == "Suppressed"
    assert f"all senders of {SENDING_DOMAIN}" in await explained(mail, again)


@pytest.mark.parametrize("sender", ["", f"user@{DOMAIN}"], ids=["null-path", "somebody"])
async def test_mail_for_nobody_at_the_bounce_domain_is_refused_and_nothing_goes_out(mail: Returning, sender: str) -> None:
    strangers = [f"{local}@{BOUNCE_DOMAIN}" for local in ("postmaster", "bounce", "b+x.y.z", "unsubscribe+x", "complaints")]
    for stranger in strangers:
        await mail.mail(sender, stranger, "From: a@example.test\nSubject: x\n\nHello.\n")
    came = await mail.until_came(len(strangers), code=550)
    assert sorted(each.recipients[0] for each in came) == sorted(strangers)
    assert len(mail.came) == len(strangers)
    if sender:  # it is Postfix that tells its own user, with our words
        for stranger in strangers:
            await mail.postfix.message(lambda stored, wanted=stranger: f"<{wanted}>: host".encode() in stored)
        assert all(b"said: 550 5.7.1 Only reports" in b" ".join(each.split()) for each in mail.postfix.stored())
    assert mail.pipeline.queues.noted == []
    key = mail.pipeline.service.key
    rows = mail.pipeline.storage.tables.query("messages", f"PartitionKey ge '{key}:' and PartitionKey lt '{key};'")
    assert [row async for row in rows] == []
