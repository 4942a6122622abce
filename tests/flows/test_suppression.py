"""Suppressed recipients in the pipeline: who gets no mail, what is told of it, and that the others get theirs."""

from __future__ import annotations

import asyncio

import pytest

from email_core.delivery.spool import DELIVERIES, SUBMISSIONS, SpoolItem
from email_core.errors import StorageUnavailable
from email_core.explain.story import explain_message
from email_core.message.address import parse_address
from email_core.submission.accept import Accepted
from email_core.suppression.address_rows import digest
from email_core.suppression.address_table import read_row
from email_core.suppression.leases import DAY, HOUR, Bounce
from email_core.suppression.managed import ManagedList
from tests.kit.administration import Api
from tests.kit.pipeline import DOMAIN, Noted, Pipeline, draft_to
from tests.kit.receiver import Receiver
from tests.kit.suppression import api_of, hashed, make_list, notice, suppress

pytestmark = pytest.mark.peers

NO_USER = "550 5.1.1 no such user"
SIMULATED = "bounce@simulator.postrider.test"


async def sent(pipeline: Pipeline, *recipients: str, sender: str = "news") -> Accepted:
    """A message that was accepted and worked to its end."""
    accepted = await pipeline.accept(draft_to(*recipients, sender=parse_address(f"{sender}@{DOMAIN}")))
    await pipeline.drain()
    return accepted


async def statuses(pipeline: Pipeline, accepted: Accepted) -> dict[str, str]:
    message = await pipeline.row(accepted)
    rows = await pipeline.services.spool.envelopes(message.message) if message.facts.envelopes else [message]
    return {entry.address: str(entry.status) for row in rows for entry in row.ledger.entries}


async def story(pipeline: Pipeline, accepted: Accepted) -> str:
    row = await pipeline.row(accepted)
    envelopes = await pipeline.services.spool.envelopes(row.message) if row.facts.envelopes else []
    explanation = explain_message(row, envelopes, now=pipeline.clock.now())
    told = [step.text for step in explanation.steps] + [each.meaning + each.what_to_do for each in explanation.recipients]
    return "\n".join(told)


async def activity(pipeline: Pipeline, accepted: Accepted) -> dict[str, dict[str, object]]:
    rows = pipeline.storage.tables.query("activity", f"CorrelationId eq '{accepted.operation_id}'")
    return {str(row.values["RecipientId"]): dict(row.values) async for row in rows}


async def lease(api: Api, address: str) -> dict[str, object] | None:
    path = f"/subscriptions/{api.subscription}/providers/Microsoft.Communication/managedSuppressions"
    found = await api.get(path, query={"address": address})
    assert found.status == 200, found.body
    return next((each["properties"] for each in found.body["value"]), None)


async def test_recipient_on_the_list_of_the_domain_gets_no_mail_of_any_sender_whatever_the_case(
    pipeline: Pipeline, sink: Receiver
) -> None:
    api = api_of(pipeline)
    address_id = await suppress(api, await make_list(api, "all"), "Ann@Fabrikam.test")
    notice(pipeline)
    for sender in ("news", "DoNotReply"):
        accepted = await sent(pipeline, "aNN@FABRIKAM.test", "bob@fabrikam.test", sender=sender)
        assert await statuses(pipeline, accepted) == {"aNN@fabrikam.test": "Suppressed", "bob@fabrikam.test": "Delivered"}
        told = await story(pipeline, accepted)
        assert f"Not sent to aNN@fabrikam.test: it is on the suppression list for all senders of {DOMAIN}" in told
        assert address_id in told
    assert [message.recipients for message in sink.received] == [("bob@fabrikam.test",)] * 2


async def test_recipient_on_the_list_of_a_sender_gets_mail_of_the_others(pipeline: Pipeline, sink: Receiver) -> None:
    api = api_of(pipeline)
    await suppress(api, await make_list(api, "letters", "NEWS"), "ann@fabrikam.test")
    notice(pipeline)
    first = await sent(pipeline, "ann@fabrikam.test", sender="news")
    second = await sent(pipeline, "ann@fabrikam.test", sender="DoNotReply")
    assert await statuses(pipeline, first) == {"ann@fabrikam.test": "Suppressed"}
    assert await statuses(pipeline, second) == {"ann@fabrikam.test": "Delivered"}
    assert len(sink.received) == 1


async def test_message_whose_recipients_are_all_suppressed_fails_with_the_code_of_acs_and_is_recorded(
    pipeline: Pipeline, sink: Receiver
) -> None:
    api = api_of(pipeline)
    path = await make_list(api, "all")
    recipients = ("ann@fabrikam.test", "bob@other.test")
    for recipient in recipients:
        await suppress(api, path, recipient)
    notice(pipeline)
    accepted = await sent(pipeline, *recipients)
    row = await pipeline.row(accepted)
    assert (row.facts.status, row.facts.error_code) == ("Failed", "EmailDroppedAllRecipientsSuppressed")
    assert await statuses(pipeline, accepted) == dict.fromkeys(recipients, "Suppressed")
    assert [(entry.tries, entry.reply) for entry in row.ledger.entries] == [
        (0, f"on the suppression list for all senders of {DOMAIN}")
    ] * 2
    assert [event.kind for event in row.timeline] == ["accepted", "suppressed", "suppressed"]
    recorded = await activity(pipeline, accepted)
    assert {address: each["DeliveryStatus"] for address, each in recorded.items()} == dict.fromkeys(recipients, "Suppressed")
    assert sink.asked == []


async def test_message_that_splits_settles_the_suppressed_once_and_sends_to_the_rest(
    pipeline: Pipeline, sink: Receiver
) -> None:
    api = api_of(pipeline)
    path = await make_list(api, "all")
    for address in ("no@a.test", "no@c.test"):
        await suppress(api, path, address)
    notice(pipeline)
    accepted = await pipeline.accept(draft_to("yes@a.test", "no@a.test", "yes@b.test", "no@c.test"))
    steps = await pipeline.drain()
    assert await statuses(pipeline, accepted) == {
        "yes@a.test": "Delivered", "no@a.test": "Suppressed", "yes@b.test": "Delivered", "no@c.test": "Suppressed",
    }  # fmt: skip
    assert [step.queue for step in steps].count(DELIVERIES) == 2  # nobody works the envelope without anybody
    assert sorted(sink.asked) == ["yes@a.test", "yes@b.test"]
    assert (await pipeline.row(accepted)).facts.status == "Succeeded"
    recorded = await activity(pipeline, accepted)
    assert {address: each["DeliveryStatus"] for address, each in recorded.items()} == await statuses(pipeline, accepted)
    rows = await pipeline.services.spool.envelopes((await pipeline.row(accepted)).message)
    assert [row.ledger.next_attempt_at for row in rows] == [0.0] * 3


async def test_message_of_which_one_domain_is_left_is_delivered_at_once(pipeline: Pipeline, sink: Receiver) -> None:
    api = api_of(pipeline)
    await suppress(api, await make_list(api, "all"), "no@b.test")
    notice(pipeline)
    accepted = await pipeline.accept(draft_to("yes@a.test", "no@b.test"))
    assert [step.queue for step in await pipeline.drain()] == [SUBMISSIONS]
    assert await statuses(pipeline, accepted) == {"yes@a.test": "Delivered", "no@b.test": "Suppressed"}
    assert sink.asked == ["yes@a.test"]


async def test_message_that_is_deferred_is_not_looked_up_again_and_the_suppressed_stay_so(
    pipeline: Pipeline, sink: Receiver
) -> None:
    api = api_of(pipeline)
    path = await make_list(api, "all")
    address_id = await suppress(api, path, "no@a.test")
    notice(pipeline)
    sink.replies = {"later@a.test": ["451 4.3.0 later", "250 2.1.5 now"]}
    accepted = await pipeline.accept(draft_to("later@a.test", "no@a.test"))
    await pipeline.step()
    assert (await api.delete(f"{path}/suppressionListAddresses/{address_id}")).status == 200
    await suppress(api, path, "later@a.test")
    await pipeline.drain()
    assert await statuses(pipeline, accepted) == {"later@a.test": "Delivered", "no@a.test": "Suppressed"}


async def test_lookup_that_storage_does_not_answer_makes_the_message_wait_and_sends_nothing(
    pipeline: Pipeline, sink: Receiver
) -> None:
    api = api_of(pipeline)
    await suppress(api, await make_list(api, "all"), "ann@fabrikam.test")
    notice(pipeline)
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test", "bob@fabrikam.test"))
    [noted] = pipeline.queues.noted
    pipeline.queues.noted.clear()
    tables = pipeline.storage.tables
    get = tables.get

    async def away(table: str, *keys: str, **options: object) -> object:
        if table == "suppressions":
            raise StorageUnavailable("no answer")
        return await get(table, *keys, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "get", away)
        with pytest.raises(StorageUnavailable):
            await pipeline.work(noted)
    assert sink.asked == []
    assert (await pipeline.row(accepted)).ledger.claim_until == 0.0
    await pipeline.work(noted, dequeue_count=2)
    await pipeline.drain()
    assert await statuses(pipeline, accepted) == {"ann@fabrikam.test": "Suppressed", "bob@fabrikam.test": "Delivered"}


async def test_lookup_is_one_point_read_for_each_recipient_side_by_side(pipeline: Pipeline) -> None:
    recipients = [f"r{number}@fabrikam.test" for number in range(50)]
    await sent(pipeline, "warm@fabrikam.test")
    tables, most, now = pipeline.storage.tables, 0, 0
    get = tables.get

    async def counted(table: str, *keys: str, **options: object) -> object:
        nonlocal most, now
        now += table == "suppressions"
        most = max(most, now)
        try:
            return await get(table, *keys, **options)  # type: ignore[arg-type]
        finally:
            now -= table == "suppressions"

    pipeline.storage.round_trips.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "get", counted)
        await sent(pipeline, *recipients)
    assert pipeline.storage.round_trips["tables.get"] == 1 + len(recipients)
    assert most == len(recipients)


async def test_address_that_does_not_exist_is_held_back_and_each_message_makes_it_longer(
    pipeline: Pipeline, sink: Receiver
) -> None:
    api = api_of(pipeline)
    sink.replies = {"gone@fabrikam.test": [NO_USER]}
    first = await sent(pipeline, "gone@fabrikam.test")
    assert await statuses(pipeline, first) == {"gone@fabrikam.test": "Bounced"}
    begun = await lease(api, "GONE@fabrikam.test")
    assert begun is not None
    assert (begun["leaseHours"], begun["reason"], begun["reply"]) == (24, "invalid_recipient", NO_USER)
    assert (begun["sourceMessageId"], begun["sourceServiceKey"]) == (first.operation_id, pipeline.service.key)
    hours = []
    for _ in range(5):
        pipeline.clock.advance(HOUR)
        again = await sent(pipeline, "Gone@fabrikam.test")
        row = await pipeline.row(again)
        assert (row.facts.error_code, row.ledger.entries[0].hard_bounce) == ("EmailDroppedAllRecipientsSuppressed", True)
        held = await lease(api, "gone@fabrikam.test")
        assert held is not None
        hours.append(held["leaseHours"])
    assert hours == [48, 96, 7 * 24, 14 * 24, 14 * 24]
    assert sink.asked == ["gone@fabrikam.test"]
    assert "A server said at" in (told := await story(pipeline, again)) and "there is no such mailbox" in told
    assert hashed("gone@fabrikam.test") in told
    recorded = await activity(pipeline, again)
    assert recorded["Gone@fabrikam.test"]["IsHardBounce"] == "true"


async def test_address_whose_lease_is_over_is_tried_again_and_a_bounce_restarts(pipeline: Pipeline, sink: Receiver) -> None:
    api = api_of(pipeline)
    sink.replies = {"gone@fabrikam.test": [NO_USER, NO_USER, "250 2.1.5 here again"]}
    await sent(pipeline, "gone@fabrikam.test")
    await sent(pipeline, "gone@fabrikam.test")
    pipeline.clock.advance(48 * HOUR + 1)
    assert await lease(api, "gone@fabrikam.test") is None
    second = await sent(pipeline, "gone@fabrikam.test")
    assert await statuses(pipeline, second) == {"gone@fabrikam.test": "Bounced"}
    restarted = await lease(api, "gone@fabrikam.test")
    assert restarted is not None
    assert (restarted["leaseHours"], restarted["bounces"], restarted["withheldMessages"]) == (24, 2, 0)
    pipeline.clock.advance(DAY + 1)
    third = await sent(pipeline, "gone@fabrikam.test")
    assert await statuses(pipeline, third) == {"gone@fabrikam.test": "Delivered"}


@pytest.mark.parametrize(
    "reply",
    [
        "550 5.7.1 your address is on our block list",
        "552 5.2.2 mailbox full",
        "550 5.7.26 unauthenticated mail",
        "554 5.7.1 message refused as spam",
        "550 no",
        "550 5.1.2 no such domain",
    ],
    ids=["block", "full", "unauthenticated", "spam", "bare code", "domain"],
)
async def test_refusal_that_is_not_about_the_address_begins_no_lease(pipeline: Pipeline, sink: Receiver, reply: str) -> None:
    sink.replies = {"ann@fabrikam.test": [reply]}
    accepted = await sent(pipeline, "ann@fabrikam.test")
    assert (await pipeline.row(accepted)).ledger.finished
    row = await read_row(pipeline.storage.tables, hashed("ann@fabrikam.test"))
    assert row.lease is None


async def test_test_recipient_that_bounces_is_never_held_back(pipeline: Pipeline) -> None:
    for _ in range(2):
        accepted = await sent(pipeline, SIMULATED)
        assert await statuses(pipeline, accepted) == {SIMULATED: "Bounced"}
    assert await lease(api_of(pipeline), SIMULATED) is None


async def test_lease_that_cannot_be_written_costs_no_outcome(
    pipeline: Pipeline, sink: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    sink.replies = {"gone@fabrikam.test": [NO_USER]}
    accepted = await pipeline.accept(draft_to("gone@fabrikam.test"))

    async def away(*_: object, **__: object) -> object:
        raise StorageUnavailable("no answer")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("email_core.suppression.managed.read_row", away)
        await pipeline.drain()
    assert await statuses(pipeline, accepted) == {"gone@fabrikam.test": "Bounced"}
    assert "fault where=managed-list" in caplog.text
    assert (await activity(pipeline, accepted))["gone@fabrikam.test"]["DeliveryStatus"] == "Bounced"


async def test_run_that_died_after_its_bounce_tells_a_bounce_and_no_suppression(pipeline: Pipeline, sink: Receiver) -> None:
    """The lease is written last, so this takes a lease that the message began before: it must not hold back its own."""
    sink.replies = {"gone@fabrikam.test": [NO_USER]}
    accepted = await pipeline.accept(draft_to("gone@fabrikam.test"))
    [noted] = pipeline.queues.noted
    pipeline.queues.noted.clear()
    settler = pipeline.services.preparer.settler

    class Died(BaseException):
        pass

    async def die(*_: object, **__: object) -> None:
        raise Died

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(settler), "settle", die)
        with pytest.raises(Died):
            await pipeline.work(noted)
    row = await pipeline.row(accepted)
    bounce = Bounce(row.message, 0, pipeline.clock.now(), "invalid_recipient")
    await ManagedList(pipeline.storage.tables).bounced(parse_address("gone@fabrikam.test"), bounce)
    pipeline.clock.advance(pipeline.services.settings.claim_seconds + 1)
    await pipeline.work(Noted(SUBMISSIONS, SpoolItem(row.message), 0.0), dequeue_count=2)
    assert await statuses(pipeline, accepted) == {"gone@fabrikam.test": "Bounced"}


async def test_messages_50_at_once_to_one_held_address_extend_its_lease_one_by_one(pipeline: Pipeline, sink: Receiver) -> None:
    sink.replies = {"gone@fabrikam.test": [NO_USER]}
    await sent(pipeline, "gone@fabrikam.test")
    for _ in range(50):
        await pipeline.accept(draft_to("gone@fabrikam.test"))
    noted = list(pipeline.queues.noted)
    pipeline.queues.noted.clear()
    await asyncio.gather(*map(pipeline.work, noted))
    row = await read_row(pipeline.storage.tables, digest(parse_address("gone@fabrikam.test")))
    assert row.lease is not None
    assert (row.lease.withheld, row.lease.step) == (50, 4)
    assert len(sink.asked) == 1
