"""Mail that a real Postfix takes with 250 and returns later: what becomes of it, and that nobody else can do the same."""

from __future__ import annotations

import email
import email.policy
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from email_core.delivery.verp import make_reverse_path
from email_core.explain.explanation import Explanation
from email_core.explain.text import Look, message_text
from tests.kit.knot import Knot
from tests.kit.peers import require
from tests.kit.postfix import missing_reason
from tests.kit.requests import explanation, get
from tests.kit.returning_postfix import BOUNCE_DOMAIN, DOMAIN, Returning, returning
from tests.kit.smtp_relay import SENDER, RelayFiles
from tests.kit.suppression import api_of
from tests.unit.returns.bounce_texts import dsn

pytestmark = pytest.mark.peers

GONE, FULL, MOVED = f"gone@{DOMAIN}", f"full@{DOMAIN}", f"moved@{DOMAIN}"


@pytest.fixture
async def mail(azurite: str, knot: Knot, relay_files: RelayFiles) -> AsyncIterator[Returning]:
    require(not missing_reason(), missing_reason())
    async with returning(azurite, knot, relay_files) as running:
        yield running


async def explained(mail: Returning, operation: str) -> str:
    """What `./postrider explain` prints."""
    answer = await explanation(mail.pipeline, operation)
    assert answer.status == 200
    return " ".join(message_text(msgspec.convert(answer.body, Explanation), Look(width=1000)).split())


async def told(mail: Returning, operation: str) -> list[tuple[object, object]]:
    """The rows of the activity log: status, and whether it was a hard bounce."""
    rows = mail.pipeline.storage.tables.query("activity", f"CorrelationId eq '{operation}'")
    return sorted([(row.values["DeliveryStatus"], row.values["IsHardBounce"]) async for row in rows], key=str)


async def listed(mail: Returning, address: str) -> list[dict[str, Any]]:
    """The entries of the managed list that its API shows for an address."""
    api = api_of(mail.pipeline)
    path = f"/subscriptions/{api.subscription}/providers/Microsoft.Communication/managedSuppressions"
    answer = await api.get(path, query={"address": address})
    assert answer.status == 200
    return [entry["properties"] for entry in answer.body["value"]]


async def status(mail: Returning, operation: str) -> dict[str, Any]:
    """The first recipient, as the operation has it."""
    [recipient] = (await get(mail.pipeline, operation)).body["recipients"]
    return dict(recipient)


@pytest.mark.parametrize(
    ("door", "address", "reply"),
    [
        ("http", f"bounce@{DOMAIN}", f"550 5.1.1 <bounce@{DOMAIN}>: Recipient address rejected: no such user here"),
        ("smtp", GONE, f'550 5.1.1 unknown user: "{GONE}"'),
        ("smtp", f"gönne@{DOMAIN}", f'550 5.1.1 unknown user: "g?nne@{DOMAIN}"'),
        ("http", MOVED, f"550 5.1.1 <bounce@{DOMAIN}>: Recipient address rejected: no such user here"),
    ],
    ids=["http-refused-behind", "smtp-no-mailbox", "smtp-utf8", "http-alias"],
)
async def test_hard_bounce_of_postfix_is_told_everywhere_and_suppresses_the_next_send(
    mail: Returning, caplog: pytest.LogCaptureFixture, door: str, address: str, reply: str
) -> None:
    caplog.set_level(logging.INFO)
    operation = await mail.send(door, address)
    [came] = await mail.until_came()
    assert came.reverse_path == ""

    recipient = await status(mail, operation)
    assert (recipient["status"], recipient["lastReply"]) == ("Bounced", reply)
    story = await explained(mail, operation)
    taken, returned = story.index("250 2.0.0 Ok: queued as"), story.index(f"The mail to {address} was taken, and came back")
    assert taken < returned
    assert f"from mx.rcpt.test: {reply} (invalid_recipient: there is no such mailbox)." in story[returned:]
    assert await told(mail, operation) == [("Bounced", "true"), ("Delivered", "false")]
    log = [record.getMessage() for record in caplog.records if operation in record.getMessage()]
    assert any("outcome" in line and "Bounced" in line and "class=invalid_recipient" in line for line in log), log
    [held] = await listed(mail, address)
    assert (held["reason"], held["leaseHours"]) == ("invalid_recipient", 24)

    again = await mail.send(door, address)
    assert (await status(mail, again))["status"] == "Suppressed"
    assert "managed" in await explained(mail, again)
    log = mail.postfix.log().splitlines()
    assert len([line for line in log if "from=<b+" in line and "queue active" in line]) == len(mail.came) == 1


async def test_submitter_by_smtp_who_asked_is_told_of_a_bounce_that_came_later(mail: Returning) -> None:
    operation = await mail.send("smtp", GONE, notify="FAILURE")
    await mail.until_came()
    await mail.pipeline.drain()
    stored = await mail.postfix.message(lambda raw: f"Delivered-To: {SENDER}".encode() in raw)
    report = email.message_from_bytes(stored, policy=email.policy.default)
    assert (report["Return-Path"], report["Auto-Submitted"]) == ("<>", "auto-replied")
    [status_part] = [part for part in report.walk() if part.get_content_type() == "message/delivery-status"]
    fields = str(status_part)
    assert f"Final-Recipient: rfc822; {GONE}" in fields and "Action: failed" in fields and "Status: 5.1.1" in fields
    assert operation in stored.decode()
    await mail.pipeline.drain()
    assert len(mail.came) == 1


async def test_soft_bounce_of_postfix_is_told_and_does_not_suppress(mail: Returning) -> None:
    operation = await mail.send("http", FULL)
    await mail.until_came()
    assert (await status(mail, operation))["status"] == "Bounced"
    assert "552 5.2.2 " in (story := await explained(mail, operation))
    assert f"The mail to {FULL} was taken, and came back from mx.rcpt.test" in story and "mailbox_full" in story
    assert await told(mail, operation) == [("Bounced", "false"), ("Delivered", "false")]
    assert await listed(mail, FULL) == []
    again = await mail.send("http", FULL)
    await mail.until_came(2)
    assert (await status(mail, again))["status"] == "Bounced"  # it went out, and came back again


async def test_bounce_of_one_recipient_leaves_the_other_delivered(mail: Returning) -> None:
    operation = await mail.send("smtp", f"user@{DOMAIN}", GONE)
    await mail.until_came()
    assert (await mail.entry(operation, f"user@{DOMAIN}")).status == "Delivered"
    assert (await mail.entry(operation, GONE)).status == "Bounced"
    # Both have seen the reverse-path, so that either could have written this about the other.
    assert await listed(mail, f"user@{DOMAIN}") == await listed(mail, GONE) == []
    assert "leads to no entry on the managed list" in await explained(mail, operation)


async def test_delay_notice_of_postfix_is_told_and_bounces_nobody(mail: Returning) -> None:
    operation = await mail.send("http", address := f"defer@{DOMAIN}")
    [came] = await mail.until_came()
    assert b"Action: delayed" in came.content
    assert (await status(mail, operation))["status"] == "Delivered"
    assert await mail.kinds(operation) == ["reported"]
    assert "450 4.2.0" in (story := await explained(mail, operation)) and "It changes nothing here." in story
    assert await told(mail, operation) == [("Delivered", "false")]
    assert await listed(mail, address) == []


async def test_success_report_of_postfix_is_told_and_bounces_nobody(mail: Returning) -> None:
    operation = await mail.send("smtp", address := f"user@{DOMAIN}", notify="SUCCESS")
    [came] = await mail.until_came()
    assert b"Action: delivered" in came.content
    assert (await status(mail, operation))["status"] == "Delivered"
    assert await mail.kinds(operation) == ["reported"]
    assert await listed(mail, address) == []


async def test_bounce_to_a_forged_reverse_path_is_refused_and_changes_nothing(mail: Returning) -> None:
    operation = await mail.send("http", f"user@{DOMAIN}")
    forged = make_reverse_path(
        service_key=mail.pipeline.service.key, operation_id=operation, envelope=0, key_id="x", key=b"a guess",
        bounce_domain=BOUNCE_DOMAIN,
    )  # fmt: skip
    before = await mail.row(operation)
    assert f"b+x.{mail.pipeline.service.key}" in forged and any("b+x." in str(event) for event in before.timeline)
    await mail.mail(forged, GONE, f"From: a@{DOMAIN}\nSubject: x\n\nPostfix makes a bounce of it by itself.\n")
    [came] = await mail.until_came(code=550)
    assert (came.reverse_path, came.recipients) == ("", (forged,))
    report = dsn(f"Final-Recipient: rfc822; user@{DOMAIN}\nAction: failed\nStatus: 5.1.1\n")
    await mail.mail("", forged, report)
    await mail.until_came(2, code=550)

    assert await mail.row(operation) == before
    assert await listed(mail, f"user@{DOMAIN}") == await listed(mail, GONE) == []
    assert "said: 550 5.7.1 Only reports about mail of ours are taken here" in mail.postfix.log()


async def test_report_at_ones_own_reverse_path_says_nothing_of_the_recipient_of_another_message(mail: Returning) -> None:
    victim, other = f"user@{DOMAIN}", f"other@{DOMAIN}"
    operation = await mail.send("http", victim)
    before = await mail.row(operation)
    own = await mail.send("http", other, GONE)
    [came] = await mail.until_came()
    report = dsn(f"Final-Recipient: rfc822; {victim}\nOriginal-Recipient: rfc822;{victim}\nAction: failed\nStatus: 5.1.1\n")
    await mail.mail("", came.recipients[0], report.replace("original-1@contoso.test", f"{operation}@contoso.test"))
    await mail.until_came(2)

    assert await mail.row(operation) == before
    assert await listed(mail, victim) == []
    assert ((await mail.entry(own, other)).status, (await mail.row(own)).timeline[-1].kind) == ("Delivered", "reported")
    assert (await status(mail, await mail.send("http", victim)))["status"] == "Delivered"


async def test_bounce_that_is_sent_again_changes_nothing_more(mail: Returning) -> None:
    operation = await mail.send("http", GONE)
    [came] = await mail.until_came()
    before, held = await mail.row(operation), await listed(mail, GONE)
    for _ in range(2):
        await mail.mail("", came.recipients[0], came.content)
    await mail.until_came(3)
    assert await mail.row(operation) == before
    assert await listed(mail, GONE) == held
    assert await told(mail, operation) == [("Bounced", "true"), ("Delivered", "false")]


async def test_bounce_that_comes_while_a_run_has_the_message_is_taken_at_the_next_try(mail: Returning) -> None:
    operation = await mail.send("http", f"user@{DOMAIN}")
    row = await mail.row(operation)
    free = row.ledger
    await mail.pipeline.services.spool.update(row, ledger=replace(free, claim_until=mail.pipeline.clock.now() + 300))
    path = mail.reverse_path(row)
    await mail.mail("", path, dsn(f"Final-Recipient: rfc822; user@{DOMAIN}\nAction: failed\nStatus: 5.1.1\n"))

    async def put_off() -> bool:
        return "status=deferred" in mail.postfix.log()

    await mail.until(put_off, "a report that was put off")
    assert "said: 451 4.3.2 " in mail.postfix.log()
    await mail.pipeline.services.spool.update(await mail.row(operation), ledger=free)
    await mail.until_came()
    assert (await status(mail, operation))["status"] == "Bounced"


async def test_bounce_with_the_whole_of_a_large_message_is_taken(azurite: str, knot: Knot, relay_files: RelayFiles) -> None:
    require(not missing_reason(), missing_reason())
    parameters = {"bounce_size_limit": "8000000", "smtpd_discard_ehlo_keywords": "dsn"}  # so that RET=HDRS can't be said
    async with returning(azurite, knot, relay_files, **parameters) as mail:
        operation = await mail.send("smtp", GONE, lines=30_000)
        [came] = await mail.until_came()
        assert came.size > 2_000_000
        assert (await status(mail, operation))["status"] == "Bounced"
        assert len(await listed(mail, GONE)) == 1
