"""What comes back on port 25: taken at our own addresses only, written down once, and never answered."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace

import pytest

from email_core.delivery.rows import SpooledRow
from email_core.delivery.verp import make_reverse_path
from email_core.errors import StorageUnavailable, WorkerBusy
from email_core.explain.story import explain_message
from email_core.message.address import parse_address
from email_core.submission.accept import Accepted
from email_core.suppression.address_rows import digest
from email_core.suppression.managed import ManagedEntry, ManagedList
from email_core.suppression.unsubscribe_token import make_token
from smtp_relay.commands import Path
from smtp_relay.door import Visit
from smtp_relay.inbound import MESSAGES_A_MINUTE, REFUSALS_A_MINUTE, REPORTS_OF_A_MESSAGE, Inbound, InboundDoor, build_inbound
from tests.kit.pipeline import DOMAIN, Pipeline, draft_to
from tests.kit.receiver import Receiver
from tests.kit.suppression import api_of, make_list, notice, suppress
from tests.unit.returns.bounce_texts import CASES, dsn, words
from tests.unit.returns.test_arf_report import arf

pytestmark = pytest.mark.peers

GONE = "Final-Recipient: rfc822; {}\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 User unknown\n"


class Port25:
    """A client at the inbound door of a pipeline's installation."""

    def __init__(self, pipeline: Pipeline, inbound: Inbound | None = None, client: str = "192.0.2.25") -> None:
        self.pipeline = pipeline
        self.inbound = inbound or build_inbound(pipeline.services)
        self.door = InboundDoor(self.inbound, Visit("visit", client, "inbound"))

    async def rcpt(self, address: str) -> int:
        return (await self.door.rcpt(Path(address, {}))).code

    async def send(self, address: str, raw: str | bytes) -> int:
        """MAIL, RCPT and DATA; the code of the first refusal, or of the message."""
        content = raw if isinstance(raw, bytes) else raw.replace("\n", "\r\n").encode()
        self.door.reset()
        for reply in (await self.door.mail(Path("", {})), await self.door.rcpt(Path(address, {}))):
            if reply.code >= 400:
                return reply.code
        return (await self.door.message(io.BytesIO(content), len(content))).code


async def delivered(pipeline: Pipeline, sink: Receiver, *recipients: str) -> tuple[Accepted, str]:
    """A message that was delivered, and the reverse-path that it went out with."""
    accepted = await pipeline.accept(draft_to(*recipients))
    await pipeline.drain()
    return accepted, sink.received[-1].reverse_path


async def activity(pipeline: Pipeline, accepted: Accepted) -> list[dict[str, object]]:
    rows = pipeline.storage.tables.query("activity", f"CorrelationId eq '{accepted.operation_id}'")
    return [dict(row.values) async for row in rows]


async def managed(pipeline: Pipeline, address: str) -> ManagedEntry | None:
    return await ManagedList(pipeline.storage.tables).get(digest(parse_address(address)))


async def statuses(pipeline: Pipeline, accepted: Accepted, row: str = "message") -> dict[str, str]:
    return {entry.address: str(entry.status) for entry in (await pipeline.row(accepted, row)).ledger.entries}


def kinds(row: SpooledRow) -> list[str]:
    return [event.kind for event in row.timeline if event.kind in ("returned", "reported", "complaint")]


async def test_bounce_of_a_delivered_message_is_in_ledger_timeline_activity_and_managed_list(
    pipeline: Pipeline, sink: Receiver
) -> None:
    accepted, path = await delivered(pipeline, sink, "gone@fabrikam.test")
    pipeline.clock.advance(3600)
    assert await Port25(pipeline).send(path, dsn(GONE.format("gone@fabrikam.test"))) == 250
    row = await pipeline.row(accepted)
    [entry] = row.ledger.entries
    assert (entry.status, entry.reply, entry.hard_bounce) == ("Bounced", "550 5.1.1 User unknown", True)
    assert kinds(row) == ["returned"]
    told = explain_message(row, [], now=pipeline.clock.now())
    assert any("came back" in step.text and "550 5.1.1 User unknown" in step.text for step in told.steps)
    recorded = await activity(pipeline, accepted)
    assert sorted((each["DeliveryStatus"], each["IsHardBounce"]) for each in recorded) == [
        ("Bounced", "true"), ("Delivered", "false"),
    ]  # fmt: skip
    held = await managed(pipeline, "gone@fabrikam.test")
    assert held is not None
    assert (held.lease.bounce_class, held.lease.source) == ("invalid_recipient", row.message)
    again = await pipeline.accept(draft_to("gone@fabrikam.test"))
    await pipeline.drain()
    assert await statuses(pipeline, again) == {"gone@fabrikam.test": "Suppressed"}
    assert len(sink.received) == 1  # and nothing was sent in answer


async def test_same_bounce_twice_changes_nothing_more(pipeline: Pipeline, sink: Receiver) -> None:
    accepted, path = await delivered(pipeline, sink, "gone@fabrikam.test")
    port = Port25(pipeline)
    assert await port.send(path, dsn(GONE.format("gone@fabrikam.test"))) == 250
    before, lease = await pipeline.row(accepted), await managed(pipeline, "gone@fabrikam.test")
    recorded = await activity(pipeline, accepted)
    pipeline.clock.advance(60)
    assert await port.send(path, dsn(GONE.format("gone@fabrikam.test"))) == 250
    assert await pipeline.row(accepted) == before
    assert await managed(pipeline, "gone@fabrikam.test") == lease
    assert await activity(pipeline, accepted) == recorded
    assert pipeline.queues.noted == []


async def test_two_workers_that_take_the_same_bounce_at_once_count_it_once(pipeline: Pipeline, sink: Receiver) -> None:
    accepted, path = await delivered(pipeline, sink, "gone@fabrikam.test")
    raw = dsn(GONE.format("gone@fabrikam.test"))
    ports = [Port25(pipeline) for _ in range(4)]
    assert await asyncio.gather(*(port.send(path, raw) for port in ports)) == [250] * 4
    held = await managed(pipeline, "gone@fabrikam.test")
    assert held is not None and held.lease.bounces == 1
    assert kinds(await pipeline.row(accepted)) == ["returned"]


async def test_forged_reverse_path_is_refused_at_rcpt(pipeline: Pipeline, sink: Receiver) -> None:
    _, path = await delivered(pipeline, sink, "ann@fabrikam.test")
    local, _, domain = path.partition("@")
    forged = make_reverse_path(
        service_key=pipeline.service.key, operation_id="6f0b8f1e-2d9e-4f57-9a3c-0c6a5b2f7e11", envelope=0,
        key_id=local[2], key=b"a key that is not ours", bounce_domain=domain,
    )  # fmt: skip
    port = Port25(pipeline)
    changed = ("b" if local[-1] == "a" else "a").join((local[:-1], ""))
    for address in (
        forged, f"{changed}@{domain}", f"{local}@else.test", f"{local}@x.{domain}", local, "", f"@{domain}",
        f"postmaster@{domain}", f"unsubscribe+{'a' * 52}@{domain}", f"complaints+{'a' * 17}@{domain}",
    ):  # fmt: skip
        assert await port.rcpt(address) == 550, address
    # In capitals, quoted, with a source route, with the dot of the root: all of them name the same mailbox.
    for address in (path.upper(), f'"{local}"@{domain}', f"@relay.test,@other.test:{path}", f"{path}."):
        assert await port.rcpt(address) == 250, address


async def test_report_at_a_mail_from_domain_is_taken_while_it_is_one_and_after_for_what_was_sent_from_there(
    pipeline: Pipeline, sink: Receiver
) -> None:
    before, path = await delivered(pipeline, sink, "ann@fabrikam.test")
    local, _, platform = path.partition("@")
    at_mail_from = f"{local}@bounce.{DOMAIN}"
    port = Port25(pipeline)
    assert await port.rcpt(at_mail_from) == 550  # it is none yet, and this message did not go out with it
    row = await pipeline.row(before)
    facts = replace(row.facts, bounce_domain=f"bounce.{DOMAIN}")
    await pipeline.services.spool.update(row, ledger=row.ledger, facts=facts)
    service = f"communicationServices/{pipeline.service.name}"
    assert (await api_of(pipeline).patch(service, {"properties": {"linkedDomains": []}})).status == 200
    notice(pipeline)
    assert await port.rcpt(at_mail_from) == 250
    assert [await port.rcpt(f"{local}@{name}") for name in (f"x.bounce.{DOMAIN}", f"other.{DOMAIN}", DOMAIN)] == [550] * 3
    assert await port.rcpt(f"{local}@{platform}") == 250
    assert await port.send(at_mail_from, dsn(GONE.format("ann@fabrikam.test"))) == 250
    assert await statuses(pipeline, before) == {"ann@fabrikam.test": "Bounced"}


async def test_forged_report_touches_only_the_message_that_its_reverse_path_names(pipeline: Pipeline, sink: Receiver) -> None:
    victim, _ = await delivered(pipeline, sink, "victim@else.test")
    accepted, path = await delivered(pipeline, sink, "mallory@fabrikam.test", "bob@fabrikam.test")
    assert await Port25(pipeline).send(path, dsn(GONE.format("victim@else.test"))) == 250
    assert await statuses(pipeline, victim) == {"victim@else.test": "Delivered"}
    assert set((await statuses(pipeline, accepted)).values()) == {"Delivered"}
    assert await managed(pipeline, "victim@else.test") is None
    assert kinds(await pipeline.row(accepted)) == ["reported"]


async def test_bounce_of_one_envelope_of_a_message_that_was_split_touches_that_one(pipeline: Pipeline, sink: Receiver) -> None:
    accepted, _ = await delivered(pipeline, sink, "ann@fabrikam.test", "bob@other.test")
    path = next(each.reverse_path for each in sink.received if "bob@other.test" in each.recipients)
    assert await Port25(pipeline).send(path, dsn(GONE.format("bob@other.test"))) == 250
    assert await statuses(pipeline, accepted, "envelope:002") == {"bob@other.test": "Bounced"}
    assert await statuses(pipeline, accepted, "envelope:001") == {"ann@fabrikam.test": "Delivered"}


async def test_delay_is_told_and_changes_no_status(pipeline: Pipeline, sink: Receiver) -> None:
    accepted, path = await delivered(pipeline, sink, "ann@fabrikam.test")
    assert await Port25(pipeline).send(path, CASES["postfix-delayed"].raw) == 250
    assert await statuses(pipeline, accepted) == {"ann@fabrikam.test": "Delivered"}
    row = await pipeline.row(accepted)
    assert kinds(row) == ["reported"]
    assert any(
        "later" in step.text for step in explain_message(row, [], now=pipeline.clock.now()).steps if step.kind == "reported"
    )
    assert len(await activity(pipeline, accepted)) == 1


async def test_out_of_office_and_other_mail_is_taken_and_dropped(pipeline: Pipeline, sink: Receiver) -> None:
    accepted, path = await delivered(pipeline, sink, "ann@fabrikam.test")
    before = await pipeline.row(accepted)
    port = Port25(pipeline)
    for form in ("out-of-office-exchange", "out-of-office-vacation", "read-receipt", "reply-of-a-person", "empty"):
        assert await port.send(path, CASES[form].raw) == 250, form
    assert await pipeline.row(accepted) == before
    assert (len(sink.received), pipeline.queues.noted) == (1, [])


async def test_report_about_a_report_ends_here(pipeline: Pipeline, sink: Receiver) -> None:
    accepted, path = await delivered(pipeline, sink, "ann@fabrikam.test")
    port = Port25(pipeline)
    looped = dsn(GONE.format("ann@fabrikam.test"))
    for _ in range(5):  # each returned within the next one
        looped = dsn(GONE.format("ann@fabrikam.test"), human=looped)
        assert await port.send(path, looped) == 250
    assert kinds(await pipeline.row(accepted)) == ["returned"]
    assert (len(sink.received), pipeline.queues.noted) == (1, [])


async def test_mail_bomb_on_one_reverse_path_fills_nothing(pipeline: Pipeline, sink: Receiver) -> None:
    accepted, path = await delivered(pipeline, sink, "ann@fabrikam.test")
    codes = []
    workers = [Port25(pipeline) for _ in range(11)]  # each of which knows nothing of what the others took
    for number in range(110):
        port = workers[number // 10]
        fields = (
            f"Final-Recipient: rfc822; ann@fabrikam.test\nAction: delayed\nStatus: 4.4.1\nRemote-MTA: dns; mx{number}.test\n"
        )
        codes.append(await port.send(path, dsn(fields)))
    assert set(codes) == {250}
    assert len(kinds(await pipeline.row(accepted))) == 100


async def test_worker_that_took_a_hundred_reports_of_a_message_refuses_more(pipeline: Pipeline, sink: Receiver) -> None:
    accepted, path = await delivered(pipeline, sink, "ann@fabrikam.test")
    port = Port25(pipeline)
    for _ in range(100):
        port.inbound.reports.take(f"{pipeline.service.key}:{accepted.operation_id}")
    assert await port.rcpt(path) == 550


async def test_client_that_guesses_addresses_has_to_wait(pipeline: Pipeline) -> None:
    port = Port25(pipeline)
    codes = [await port.rcpt("guess@bounce.postrider.test") for _ in range(REFUSALS_A_MINUTE + 1)]
    assert (set(codes[:-1]), codes[-1]) == ({550}, 450)
    assert await Port25(pipeline, port.inbound, client="198.51.100.7").rcpt("guess@bounce.postrider.test") == 550
    pipeline.clock.advance(61)
    assert await port.rcpt("guess@bounce.postrider.test") == 550


async def test_client_that_sends_too_much_is_told_before_it_sends_more(pipeline: Pipeline, sink: Receiver) -> None:
    _, path = await delivered(pipeline, sink, "ann@fabrikam.test")
    port = Port25(pipeline)
    for _ in range(MESSAGES_A_MINUTE):
        port.inbound.messages.take("192.0.2.25")
    assert (await port.door.mail(Path("", {}))).code == 450
    pipeline.clock.advance(61)
    assert await port.send(path, CASES["postfix"].raw) == 250


async def test_bounce_that_waits_for_the_ledger_counts_once_though_other_recipients_were_tried_meanwhile(
    pipeline: Pipeline, sink: Receiver
) -> None:
    accepted, path = await delivered(pipeline, sink, "gone@fabrikam.test")
    raw, spool = dsn(GONE.format("gone@fabrikam.test")), pipeline.services.spool
    row = await pipeline.row(accepted)

    async def taken(self: object, row: SpooledRow, **changes: object) -> SpooledRow:
        raise WorkerBusy("a run came in between")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(spool), "update", taken)
        with pytest.raises(WorkerBusy):
            await Port25(pipeline).send(path, raw)
    await spool.update(row, ledger=replace(row.ledger, attempt=row.ledger.attempt + 1))
    assert await Port25(pipeline).send(path, raw) == 250
    held = await managed(pipeline, "gone@fabrikam.test")
    assert held is not None and held.lease.bounces == 1


async def test_what_came_is_counted_by_kind_and_by_what_became_of_it(pipeline: Pipeline, sink: Receiver) -> None:
    _, path = await delivered(pipeline, sink, "ann@fabrikam.test")
    port = Port25(pipeline)
    for form in ("postfix", "postfix", "out-of-office-vacation", "read-receipt", "spam-to-the-address"):
        await port.send(path, CASES[form].raw)
    counted = {
        (kind, became): port.inbound.counters.value("inbound_total", kind=kind, became=became)
        for kind, became in (("report", "changed"), ("report", "known"), ("auto-reply", "dropped"), ("unreadable", "dropped"))
    }
    assert counted == {
        ("report", "changed"): 1, ("report", "known"): 1, ("auto-reply", "dropped"): 2, ("unreadable", "dropped"): 1,
    }  # fmt: skip


@pytest.mark.parametrize("late", [1, 9])
async def test_report_within_the_tolerance_of_clocks_behind_a_claim_is_asked_to_come_later(
    pipeline: Pipeline, sink: Receiver, late: float
) -> None:
    accepted, path = await delivered(pipeline, sink, "ann@fabrikam.test")
    row = await pipeline.row(accepted)
    held = replace(row.ledger, claim_until=pipeline.clock.now() - late, claim_token="other")
    await pipeline.services.spool.update(row, ledger=held)
    with pytest.raises(WorkerBusy):
        await Port25(pipeline).send(path, dsn(GONE.format("ann@fabrikam.test")))


async def test_report_while_a_run_has_the_message_is_asked_to_come_later(pipeline: Pipeline, sink: Receiver) -> None:
    accepted, path = await delivered(pipeline, sink, "ann@fabrikam.test")
    row = await pipeline.row(accepted)
    held = replace(row.ledger, claim_until=pipeline.clock.now() + 60, claim_token="other")
    await pipeline.services.spool.update(row, ledger=held)
    with pytest.raises(WorkerBusy):
        await Port25(pipeline).send(path, dsn(GONE.format("ann@fabrikam.test")))
    assert await statuses(pipeline, accepted) == {"ann@fabrikam.test": "Delivered"}


async def test_report_that_storage_does_not_take_is_asked_to_come_later_and_counts_once_then(
    pipeline: Pipeline, sink: Receiver
) -> None:
    accepted, path = await delivered(pipeline, sink, "gone@fabrikam.test")
    raw, tables = dsn(GONE.format("gone@fabrikam.test")), pipeline.storage.tables
    merge = tables.merge

    async def away(table: str, *keys: object, **options: object) -> str:
        if table == "messages":
            raise StorageUnavailable("no answer")
        return await merge(table, *keys, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "merge", away)
        with pytest.raises(StorageUnavailable):
            await Port25(pipeline).send(path, raw)
    assert await Port25(pipeline).send(path, raw) == 250
    held = await managed(pipeline, "gone@fabrikam.test")
    assert held is not None and held.lease.bounces == 1
    assert await statuses(pipeline, accepted) == {"gone@fabrikam.test": "Bounced"}


async def test_merge_whose_answer_was_lost_is_told_of_once(pipeline: Pipeline, sink: Receiver) -> None:
    accepted, path = await delivered(pipeline, sink, "gone@fabrikam.test")
    spool = pipeline.services.spool
    update = spool.update

    async def lost(row: SpooledRow, **changes: object) -> SpooledRow:
        await update(row, **changes)  # type: ignore[arg-type]
        return await update(row, **changes)  # type: ignore[arg-type]  # the client's own retry meets its first try

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(spool), "update", lambda self, row, **changes: lost(row, **changes))
        assert await Port25(pipeline).send(path, dsn(GONE.format("gone@fabrikam.test"))) == 250
    assert kinds(await pipeline.row(accepted)) == ["returned"]
    assert sorted(str(each["DeliveryStatus"]) for each in await activity(pipeline, accepted)) == ["Bounced", "Delivered"]


async def test_complaint_suppresses_for_ninety_days_and_leaves_delivered(pipeline: Pipeline, sink: Receiver) -> None:
    accepted, path = await delivered(pipeline, sink, "ann@fabrikam.test")
    inbound = build_inbound(pipeline.services)
    raw = arf(
        f"Feedback-Type: abuse\nOriginal-Mail-From: <{path}>\nOriginal-Rcpt-To: ann@fabrikam.test", returned="Subject: x\n"
    )
    for _ in range(2):
        assert await Port25(pipeline, inbound).send(inbound.complaint_addresses[0], raw) == 250
    row = await pipeline.row(accepted)
    assert (await statuses(pipeline, accepted), kinds(row)) == ({"ann@fabrikam.test": "Delivered"}, ["complaint"])
    held = await managed(pipeline, "ann@fabrikam.test")
    assert held is not None
    assert (held.lease.bounce_class, round(held.lease.until - pipeline.clock.now())) == ("complaint", 90 * 24 * 3600)
    reasons = [str(each["FailureReason"]) for each in await activity(pipeline, accepted)]
    assert sorted(reasons) == ["", "complaint"]
    pipeline.clock.advance(89 * 24 * 3600)
    again = await pipeline.accept(draft_to("ann@fabrikam.test"))
    await pipeline.drain()
    assert await statuses(pipeline, again) == {"ann@fabrikam.test": "Suppressed"}
    told = explain_message(await pipeline.row(again), [], now=pipeline.clock.now())
    assert any("called" in step.text and "spam" in step.text for step in told.steps)


async def test_complaint_is_shown_to_administrators_and_can_be_taken_off(pipeline: Pipeline, sink: Receiver) -> None:
    _, path = await delivered(pipeline, sink, "ann@fabrikam.test")
    await Port25(pipeline).send(path, arf("Feedback-Type: abuse\nOriginal-Rcpt-To: ann@fabrikam.test", returned="Subject: x\n"))
    api = api_of(pipeline)
    base = f"/subscriptions/{api.subscription}/providers/Microsoft.Communication/managedSuppressions"
    [entry] = (await api.get(base, query={"address": "ann@fabrikam.test"})).body["value"]
    assert (entry["properties"]["reason"], entry["properties"]["leaseHours"]) == ("complaint", 90 * 24)
    assert (await api.delete(f"{base}/{entry['name']}")).status == 200
    accepted, _ = await delivered(pipeline, sink, "ann@fabrikam.test")
    assert await statuses(pipeline, accepted) == {"ann@fabrikam.test": "Delivered"}


async def test_complaint_without_a_recipient_is_that_of_the_only_one(pipeline: Pipeline, sink: Receiver) -> None:
    _, path = await delivered(pipeline, sink, "ann@fabrikam.test")
    assert (
        await Port25(pipeline).send(path, arf("Feedback-Type: abuse\nOriginal-Rcpt-To: redacted", returned="Subject: x\n"))
        == 250
    )
    assert await managed(pipeline, "ann@fabrikam.test") is not None


@pytest.mark.parametrize("word", ["not-spam", "auth-failure", "other"])
async def test_feedback_that_is_no_complaint_suppresses_nobody(pipeline: Pipeline, sink: Receiver, word: str) -> None:
    accepted, path = await delivered(pipeline, sink, "ann@fabrikam.test")
    raw = arf(f"Feedback-Type: {word}\nOriginal-Rcpt-To: ann@fabrikam.test", returned="Subject: x\n")
    assert await Port25(pipeline).send(path, raw) == 250
    assert await managed(pipeline, "ann@fabrikam.test") is None
    assert kinds(await pipeline.row(accepted)) == ["complaint"]


async def test_forged_complaint_suppresses_nobody(pipeline: Pipeline, sink: Receiver) -> None:
    await delivered(pipeline, sink, "ann@fabrikam.test")
    inbound = build_inbound(pipeline.services)
    returned = "Return-Path: <b+a.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaa@bounce.postrider.test>\n"
    raw = arf("Feedback-Type: abuse\nOriginal-Rcpt-To: ann@fabrikam.test", returned=returned)
    assert await Port25(pipeline, inbound).send(inbound.complaint_addresses[0], raw) == 250
    assert await managed(pipeline, "ann@fabrikam.test") is None


def leaving(pipeline: Pipeline, inbound: Inbound, address: str) -> str:
    key_id, key = next(iter(inbound.unsubscribe_keys.items()))
    domain = pipeline.provisioner.domain_id("email", DOMAIN)
    token = make_token(domain_id=domain, recipient=parse_address(address), key_id=key_id, key=key)
    return f"unsubscribe+{token}@{pipeline.services.settings.bounce_domain}"


async def on_list(pipeline: Pipeline, name: str = "unsubscribed") -> list[tuple[str, str]]:
    path = f"emailServices/email/domains/{DOMAIN}/suppressionLists/{name}/suppressionListAddresses"
    answer = await api_of(pipeline).get(path)
    return (
        []
        if answer.status == 404
        else [(each["properties"]["email"], each["properties"]["notes"]) for each in answer.body["value"]]
    )


@pytest.mark.parametrize(
    ("subject", "sender"),
    [
        ("unsubscribe ann@fabrikam.test", "Ann <other.address@else.test>"),
        ("=?utf-8?q?unsubscribe_ann=40fabrikam=2Etest?=", "other@else.test"),
        ("unsubscribe", "Ann <Ann@Fabrikam.test>"),
        ("", "ann@fabrikam.test"),
    ],
)
async def test_unsubscribe_mail_puts_its_recipient_on_the_list_of_the_domain(
    pipeline: Pipeline, sink: Receiver, subject: str, sender: str
) -> None:
    inbound = build_inbound(pipeline.services)
    address = leaving(pipeline, inbound, "ann@fabrikam.test")
    for _ in range(2):
        assert await Port25(pipeline, inbound).send(address, words("", sender=sender, subject=subject)) == 250
    [(listed, notes)] = await on_list(pipeline)
    assert (listed.lower(), notes) == ("ann@fabrikam.test", "unsubscribed by mail")
    notice(pipeline)
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    await pipeline.drain()
    assert await statuses(pipeline, accepted) == {"ann@fabrikam.test": "Suppressed"}
    assert sink.received == []


async def test_unsubscribe_mail_of_apples_button_is_a_wish(pipeline: Pipeline) -> None:
    inbound = build_inbound(pipeline.services)
    address = leaving(pipeline, inbound, "ann@fabrikam.test")
    head = "Auto-Submitted: auto-replied\nX-Apple-Unsubscribe: true\n"  # as Mail of macOS 14 sends it
    raw = words("Apple Mail sent this email to unsubscribe.", sender="ann@fabrikam.test", subject="unsubscribe", head=head)
    assert await Port25(pipeline, inbound).send(address, raw) == 250
    assert [listed for listed, _ in await on_list(pipeline)] == ["ann@fabrikam.test"]


async def test_unsubscribe_mail_counts_while_no_service_sends_from_the_domain(pipeline: Pipeline) -> None:
    inbound = build_inbound(pipeline.services)
    address = leaving(pipeline, inbound, "ann@fabrikam.test")
    service = f"communicationServices/{pipeline.service.name}"
    assert (await api_of(pipeline).patch(service, {"properties": {"linkedDomains": []}})).status == 200
    notice(pipeline)
    assert await Port25(pipeline, inbound).send(address, words("", sender="ann@fabrikam.test", subject="unsubscribe")) == 250
    assert [listed for listed, _ in await on_list(pipeline)] == ["ann@fabrikam.test"]


async def test_mail_bomb_on_one_unsubscribe_address_is_refused(pipeline: Pipeline) -> None:
    inbound = build_inbound(pipeline.services)
    address = leaving(pipeline, inbound, "ann@fabrikam.test")
    codes = [
        await Port25(pipeline, inbound, client=f"192.0.2.{number}").send(
            address, words("", sender="else@else.test", subject="no")
        )
        for number in range(REPORTS_OF_A_MESSAGE + 1)
    ]
    assert (set(codes[:-1]), codes[-1]) == ({250}, 550)


async def test_unsubscribe_mail_uses_the_list_that_is_there_and_leaves_what_stands_in_it(pipeline: Pipeline) -> None:
    api, inbound = api_of(pipeline), build_inbound(pipeline.services)
    await make_list(api, "unsubscribed", "news")
    path = await make_list(api, "everybody")
    await suppress(api, path, "bob@fabrikam.test", notes="a word of ours")
    for name in ("ann", "bob"):
        address = leaving(pipeline, inbound, f"{name}@fabrikam.test")
        assert await Port25(pipeline, inbound).send(address, words("", sender=f"{name}@fabrikam.test", subject="")) == 250
    assert sorted(await on_list(pipeline, "everybody")) == [
        ("ann@fabrikam.test", "unsubscribed by mail"), ("bob@fabrikam.test", "a word of ours"),
    ]  # fmt: skip
    assert await on_list(pipeline, "unsubscribed") == []


async def test_unsubscribe_mail_for_somebody_else_changes_nothing(pipeline: Pipeline) -> None:
    inbound = build_inbound(pipeline.services)
    address = leaving(pipeline, inbound, "mallory@fabrikam.test")
    raw = words("", sender="victim@fabrikam.test", subject="unsubscribe victim@fabrikam.test")
    assert await Port25(pipeline, inbound).send(address, raw) == 250
    assert await on_list(pipeline) == []


@pytest.mark.parametrize("form", ["postfix", "out-of-office-exchange"])
async def test_answer_of_a_machine_to_an_unsubscribe_address_changes_nothing(pipeline: Pipeline, form: str) -> None:
    inbound = build_inbound(pipeline.services)
    address = leaving(pipeline, inbound, "ann@fabrikam.test")
    assert (
        await Port25(pipeline, inbound).send(
            address, CASES[form].raw.replace("From: ", "Reply-To: ann@fabrikam.test\nFrom: ", 1)
        )
        == 250
    )
    assert await on_list(pipeline) == []


async def test_unsubscribe_mails_that_meet_make_one_list(pipeline: Pipeline) -> None:
    inbound = build_inbound(pipeline.services)
    names = [f"r{number}@fabrikam.test" for number in range(6)]
    sent = [
        Port25(pipeline, inbound).send(leaving(pipeline, inbound, name), words("", sender=name, subject="")) for name in names
    ]
    assert await asyncio.gather(*sent) == [250] * 6
    assert sorted(address for address, _ in await on_list(pipeline)) == names


async def test_report_for_a_message_that_is_gone_is_taken_and_dropped(pipeline: Pipeline, sink: Receiver) -> None:
    _, path = await delivered(pipeline, sink, "ann@fabrikam.test")
    key_id, key = next(iter(pipeline.services.deliverer.verp_keys.items()))
    gone = make_reverse_path(
        service_key=pipeline.service.key, operation_id="6f0b8f1e-2d9e-4f57-9a3c-0c6a5b2f7e11", envelope=0,
        key_id=key_id, key=key, bounce_domain=path.rpartition("@")[2],
    )  # fmt: skip
    assert await Port25(pipeline).send(gone, dsn(GONE.format("ann@fabrikam.test"))) == 250


async def test_late_bounce_of_a_message_that_came_by_smtp_is_told_to_its_submitter(pipeline: Pipeline, sink: Receiver) -> None:
    accepted, path = await delivered(pipeline, sink, "gone@fabrikam.test")
    row = await pipeline.row(accepted)
    facts = replace(row.facts, door="smtp", submitter=f"news@{DOMAIN}")
    await pipeline.services.spool.update(row, ledger=row.ledger, facts=facts)
    assert await Port25(pipeline).send(path, dsn(GONE.format("gone@fabrikam.test"))) == 250
    await pipeline.drain()
    notice_sent = sink.received[-1]
    assert (notice_sent.reverse_path, notice_sent.recipients) == ("<>", (f"news@{DOMAIN}",))
    assert b"Action: failed" in notice_sent.content and b"550 5.1.1 User unknown" in notice_sent.content
    assert await Port25(pipeline).send(path, dsn(GONE.format("gone@fabrikam.test"))) == 250
    await pipeline.drain()
    assert len(sink.received) == 2
