"""The whole pipeline against real storage and a real SMTP receiver: accept, prepare, deliver, settle."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace

import pytest

from email_core.delivery.spool import DELIVERIES, SUBMISSIONS, SpoolItem
from email_core.errors import DomainNotLinked, OperationReused, SenderUnknown
from email_core.message.address import parse_address
from email_core.settings import Settings
from tests.kit.pipeline import DOMAIN, Noted, Pipeline, build_pipeline, draft_to
from tests.kit.receiver import Receiver

pytestmark = pytest.mark.peers
HOUR = 3600.0


async def statuses(pipeline: Pipeline, accepted: object, name: str = "message") -> dict[str, str]:
    row = await pipeline.row(accepted, name)  # type: ignore[arg-type]
    return {entry.address: str(entry.status) for entry in row.ledger.entries}


async def test_message_one_recipient_is_delivered_signed_at_the_first_attempt(pipeline: Pipeline, sink: Receiver) -> None:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    steps = await pipeline.drain()
    assert [step.queue for step in steps] == [SUBMISSIONS]
    assert await statuses(pipeline, accepted) == {"ann@fabrikam.test": "Delivered"}
    [message] = sink.received
    assert message.content.count(b"DKIM-Signature:") == 2
    assert message.recipients == ("ann@fabrikam.test",)
    assert message.reverse_path.startswith("b+")


async def test_message_one_recipient_costs_two_round_trips_at_accept_and_four_and_a_lookup_after(pipeline: Pipeline) -> None:
    trips = pipeline.storage.round_trips
    await pipeline.accept(draft_to("warm@fabrikam.test"))  # reads the configuration into the cache, as a warm worker has it
    await pipeline.drain()
    trips.clear()
    await pipeline.accept(draft_to("ann@fabrikam.test"))
    accept = dict(trips)
    trips.clear()
    await pipeline.drain()
    assert accept == {"tables.insert": 1, "queues.enqueue": 1}
    # One of the two reads is the lookup of the suppression lists, of which there is one for each recipient.
    assert dict(trips) == {"tables.get": 2, "tables.merge": 2, "tables.upsert": 1}


async def test_message_status_is_running_then_succeeded(pipeline: Pipeline) -> None:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    assert (await pipeline.row(accepted)).facts.status == "Running"
    await pipeline.drain()
    assert (await pipeline.row(accepted)).facts.status == "Succeeded"


async def test_recipients_a_third_each_only_the_deferred_are_tried_again(pipeline: Pipeline, sink: Receiver) -> None:
    sink.replies = {
        "later@fabrikam.test": ["451 4.3.0 later", "451 4.3.0 later", "250 2.1.5 now"],
        "no@fabrikam.test": ["550 5.1.1 no such user"],
    }
    accepted = await pipeline.accept(draft_to("ok@fabrikam.test", "later@fabrikam.test", "no@fabrikam.test"))
    await pipeline.drain()
    assert await statuses(pipeline, accepted) == {
        "ok@fabrikam.test": "Delivered",
        "later@fabrikam.test": "Delivered",
        "no@fabrikam.test": "Bounced",
    }
    assert sorted(sink.asked) == ["later@fabrikam.test"] * 3 + ["no@fabrikam.test", "ok@fabrikam.test"]
    first, second = sink.received
    assert first.recipients == ("ok@fabrikam.test",)
    assert second.recipients == ("later@fabrikam.test",)
    assert first.content == second.content  # a retry sends the same bytes
    assert first.reverse_path == second.reverse_path


async def test_recipient_deferred_is_tried_on_schedule_and_expires(pipeline: Pipeline, sink: Receiver) -> None:
    sink.replies = {"later@fabrikam.test": ["451 4.3.0 not now"]}
    accepted = await pipeline.accept(draft_to("later@fabrikam.test"))
    start = pipeline.clock.now()
    steps = await pipeline.drain()
    row = await pipeline.row(accepted)
    [entry] = row.ledger.entries
    assert (entry.status, entry.reply) == ("Expired", "451 4.3.0 not now")
    # The one that would have come next is 6 hours and their jitter later, and too late.
    assert 72 * HOUR - 7.2 * HOUR <= pipeline.clock.now() - start <= 72 * HOUR
    pauses = [step.delay for step in steps[1:9]]
    for pause, wanted in zip(pauses, (60, 300, 900, 1800, HOUR, 2 * HOUR, 4 * HOUR, 6 * HOUR), strict=True):
        assert wanted * 0.79 <= pause <= wanted * 1.21
    assert [step.item.attempt for step in steps] == list(range(len(steps)))
    assert row.timeline[-1].kind == "expired"


async def test_recipient_refused_ends_with_its_class_and_is_remembered_as_hard_bounce(
    pipeline: Pipeline, sink: Receiver
) -> None:
    sink.replies = {"no@fabrikam.test": ["550 5.1.1 no such user"]}
    accepted = await pipeline.accept(draft_to("no@fabrikam.test"))
    await pipeline.drain()
    [entry] = (await pipeline.row(accepted)).ledger.entries
    assert (entry.status, entry.bounce_class, entry.hard_bounce) == ("Bounced", "invalid_recipient", True)
    assert (entry.code, entry.enhanced) == (550, "5.1.1")


async def test_timeline_tells_route_commands_and_replies(pipeline: Pipeline) -> None:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    await pipeline.drain()
    row = await pipeline.row(accepted)
    kinds = [event.kind for event in row.timeline]
    assert kinds[:2] == ["accepted", "signed"]
    text = repr(row.timeline)
    for part in ("EHLO", "MAIL FROM", "RCPT TO", "DATA", "250 2.0.0 taken", "capture"):
        assert part in text
    assert "Hello." not in text


async def test_recipients_of_several_domains_split_into_envelopes(pipeline: Pipeline, sink: Receiver) -> None:
    sink.replies = {"later@b.test": ["451 4.3.0 later", "250 2.1.5 now"]}
    accepted = await pipeline.accept(draft_to("x@a.test", "y@a.test", "later@b.test", "z@c.test"))
    steps = await pipeline.drain()
    assert [step.queue for step in steps].count(DELIVERIES) == 4
    assert (await pipeline.row(accepted)).facts.envelopes == 3
    assert await statuses(pipeline, accepted, "envelope:001") == {"x@a.test": "Delivered", "y@a.test": "Delivered"}
    assert await statuses(pipeline, accepted, "envelope:002") == {"later@b.test": "Delivered"}
    assert await statuses(pipeline, accepted, "envelope:003") == {"z@c.test": "Delivered"}
    assert len({message.content for message in sink.received}) == 1
    assert len({message.reverse_path for message in sink.received}) == 3


async def test_recipient_named_twice_gets_it_once_and_bcc_is_not_on_the_wire(pipeline: Pipeline, sink: Receiver) -> None:
    hidden = parse_address("hidden@fabrikam.test")
    draft = draft_to("ann@fabrikam.test", "Ann@Fabrikam.test", cc=(parse_address("ann@fabrikam.test"),), bcc=(hidden,))
    await pipeline.accept(draft)
    await pipeline.drain()
    assert sorted(sink.asked) == ["ann@fabrikam.test", "hidden@fabrikam.test"]
    assert b"hidden@" not in b"".join(message.content for message in sink.received)


async def test_item_worked_twice_sends_once(pipeline: Pipeline, sink: Receiver) -> None:
    await pipeline.accept(draft_to("ann@fabrikam.test"))
    [noted] = pipeline.queues.noted
    await asyncio.gather(*(pipeline.work(noted) for _ in range(5)))
    await pipeline.drain()
    assert len(sink.received) == 1


async def test_equal_requests_200_in_parallel_are_one_message(pipeline: Pipeline, sink: Receiver) -> None:
    operation_id = str(uuid.uuid4())
    draft = draft_to("ann@fabrikam.test")
    answers = await asyncio.gather(*(pipeline.accept(draft, operation_id=operation_id) for _ in range(200)))
    assert {answer.operation_id for answer in answers} == {operation_id}
    assert [answer.replay for answer in answers].count(False) == 1
    await pipeline.drain(most=300)
    assert len(sink.received) == 1


async def test_operation_id_with_another_request_is_refused(pipeline: Pipeline, sink: Receiver) -> None:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"), request_hash="one")
    with pytest.raises(OperationReused):
        await pipeline.accept(draft_to("bob@fabrikam.test"), operation_id=accepted.operation_id, request_hash="two")
    await pipeline.drain()
    assert [message.recipients for message in sink.received] == [("ann@fabrikam.test",)]


@pytest.mark.parametrize(("sender", "error"), [("news@other.test", DomainNotLinked), (f"sales@{DOMAIN}", SenderUnknown)])
async def test_sender_that_may_not_send_is_refused_and_stores_nothing(
    pipeline: Pipeline, sender: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await pipeline.accept(draft_to("ann@fabrikam.test", sender=parse_address(sender)))
    assert pipeline.queues.noted == []


async def test_item_without_its_message_is_put_back_for_far_longer_than_a_write_takes_then_dropped(pipeline: Pipeline) -> None:
    await pipeline.work(Noted(SUBMISSIONS, SpoolItem(f"{pipeline.service.key}:{uuid.uuid4()}"), 0.0))
    delays = [step.delay for step in await pipeline.drain()]
    assert delays[:5] == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert (len(delays), max(delays)) == (12, 300.0)


async def test_run_that_died_is_taken_over_when_its_claim_ends_and_flagged(pipeline: Pipeline, sink: Receiver) -> None:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    [noted] = pipeline.queues.noted
    pipeline.queues.noted.clear()
    await _die_before_settling(pipeline, noted)
    await pipeline.work(noted, dequeue_count=2)
    [put_back] = pipeline.queues.noted
    assert put_back.delay == pytest.approx(pipeline.services.settings.claim_seconds, abs=5)
    await pipeline.drain()
    [entry] = (await pipeline.row(accepted)).ledger.entries
    assert (entry.status, entry.possible_duplicate) == ("Delivered", True)
    assert len(sink.received) == 2


async def _die_before_settling(pipeline: Pipeline, noted: Noted) -> None:
    class Died(BaseException):
        pass

    async def die(*_: object, **__: object) -> None:
        raise Died

    preparer = pipeline.services.preparer
    with pytest.raises(Died), pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(preparer.settler), "settle", die)
        await preparer.prepare(noted.item, dequeue_count=1)


async def test_content_beyond_the_inline_limit_goes_to_a_blob_and_out(pipeline: Pipeline, sink: Receiver) -> None:
    sink.replies = {"later@fabrikam.test": ["451 4.3.0 later", "250 2.1.5 now"]}
    text = "0123456789" * 7 + "\r\n"
    accepted = await pipeline.accept(draft_to("later@fabrikam.test", text=text * 6000))
    await pipeline.drain()
    assert await statuses(pipeline, accepted) == {"later@fabrikam.test": "Delivered"}
    assert sink.received[0].content.endswith(text.encode() * 6000)
    assert (await pipeline.row(accepted)).signed_blob


async def test_message_that_cannot_be_signed_waits_and_goes_out_once_it_can(pipeline: Pipeline, sink: Receiver) -> None:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    resource_id = pipeline.provisioner.domain_id("email", DOMAIN).lower()
    domain = await pipeline.services.directory.domain(resource_id)
    assert domain is not None
    directory = pipeline.services.directory

    async def without_keys(_: str) -> object:
        return replace(domain, signing_keys=())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directory, "domain", without_keys)
        await pipeline.step()
    assert sink.received == []
    [noted] = pipeline.queues.noted
    assert (noted.queue, noted.item.attempt) == (SUBMISSIONS, 1)
    assert (await pipeline.row(accepted)).facts.status == "Running"
    await pipeline.drain()
    assert await statuses(pipeline, accepted) == {"ann@fabrikam.test": "Delivered"}


async def test_receiver_that_stalls_is_handed_over_to_deliveries(azurite: str) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    def hurried(settings: Settings) -> Settings:
        return replace(settings, impatience_seconds=0.2, run_seconds=0.5)

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pipeline = await build_pipeline(azurite, routes=f"capture://127.0.0.1:{port}", change=hurried)
    try:
        accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
        await pipeline.step()
        [noted] = pipeline.queues.noted
        assert (noted.queue, noted.item.attempt, noted.delay) == (DELIVERIES, 1, 1.0)
        [entry] = (await pipeline.row(accepted)).ledger.entries
        assert (entry.status, entry.tries) == ("Pending", 0)
        await pipeline.step()
        [entry] = (await pipeline.row(accepted)).ledger.entries
        assert (entry.status, entry.tries) == ("Deferred", 1)
    finally:
        await pipeline.close()
        server.close()


async def test_message_to_suppressed_recipients_alone_fails_with_the_code_of_acs(pipeline: Pipeline) -> None:
    accepted = await pipeline.accept(draft_to("suppressed@simulator.postrider.test", "suppressed+two@simulator.postrider.test"))
    await pipeline.drain()
    row = await pipeline.row(accepted)
    assert (row.facts.status, row.facts.error_code) == ("Failed", "EmailDroppedAllRecipientsSuppressed")
    assert {entry.status for entry in row.ledger.entries} == {"Suppressed"}


async def test_message_to_one_suppressed_recipient_among_others_succeeds(pipeline: Pipeline) -> None:
    accepted = await pipeline.accept(draft_to("suppressed@simulator.postrider.test", "delivered@simulator.postrider.test"))
    await pipeline.drain()
    row = await pipeline.row(accepted)
    assert (row.facts.status, [str(entry.status) for entry in row.ledger.entries]) == ("Succeeded", ["Suppressed", "Delivered"])


async def test_poison_item_ends_its_message_as_failed_and_is_kept(pipeline: Pipeline) -> None:
    accepted = await pipeline.accept(draft_to("ann@fabrikam.test"))
    item = SpoolItem(f"{pipeline.service.key}:{accepted.operation_id}")
    item_id = str(uuid.uuid4())
    await pipeline.services.poison_keeper.keep(SUBMISSIONS, item_id, item.encode(), dequeue_count=8)
    row = await pipeline.row(accepted)
    assert (row.facts.status, row.facts.error_code) == ("Failed", "EmailDropped")
    assert row.ledger.entries[0].status == "Failed"
    kept = await pipeline.storage.tables.get("poison", SUBMISSIONS, item_id)
    assert kept is not None
    assert kept.values["item"] == item.encode()


async def test_poison_item_that_is_no_item_is_kept(pipeline: Pipeline) -> None:
    item_id = str(uuid.uuid4())
    await pipeline.services.poison_keeper.keep(SUBMISSIONS, item_id, "not json", dequeue_count=8)
    kept = await pipeline.storage.tables.get("poison", SUBMISSIONS, item_id)
    assert kept is not None
    assert kept.values["item"] == "not json"
