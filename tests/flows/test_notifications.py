"""Delivery status notifications in the pipeline: who gets one, that it comes once whatever dies, that none begets another."""

from __future__ import annotations

import email
import email.policy
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flufl.bounce import scan_message

from email_core.delivery.dsn_due import DELAYED_AFTER
from email_core.delivery.dsn_sending import NOTICES
from email_core.delivery.ledger import Entry, Ledger
from email_core.delivery.poison import PoisonKeeper
from email_core.delivery.rows import MessageFacts, SpooledRow
from email_core.delivery.spool import DELIVERIES, Spool, SpoolItem
from email_core.errors import StorageUnavailable
from email_core.message.address import parse_address
from email_core.message.dsn_options import MessageOptions, RecipientOptions
from email_core.message.mime_draft import MimeDraft, encode_mime_draft
from email_core.settings import Settings
from email_core.signing.dkim import SigningError
from email_core.submission.prepare import Prepared, Preparer
from tests.kit.mime_submission import mime, submit
from tests.kit.pipeline import DOMAIN, Noted, Pipeline, build_pipeline, draft_to
from tests.kit.receiver import Received, Receiver
from tests.kit.suppression import api_of, make_list, notice, suppress

pytestmark = pytest.mark.peers

SUBMITTER = f"news@{DOMAIN}"
NO_USER = "550 5.1.1 no such user"
LATER = "451 4.7.1 try again later"
ALL = "SUCCESS,FAILURE,DELAY"


def content(message_id: str) -> bytes:
    return (
        f"From: {SUBMITTER}\r\nTo: jane@example.org\r\nSubject: A test\r\nMessage-ID: {message_id}\r\n\r\nHello.\r\n".encode()
    )


async def submitted(pipeline: Pipeline, *entries: Entry, **facts: Any) -> str:
    """A message that came by SMTP and is signed already; its key."""
    operation_id = str(uuid.uuid4())
    name, now, message_id = f"{pipeline.service.key}:{operation_id}", pipeline.clock.now(), f"<{operation_id}@{DOMAIN}>"
    stated = MessageFacts(
        accepted_at=now, expires_at=now + pipeline.services.settings.time_to_live, door="smtp", sender=SUBMITTER, domain="/x",
        size=1000, request_hash=operation_id, status="Succeeded", message_id=message_id, bounce_domain="bounce.postrider.test",
        submitter=SUBMITTER,
    )  # fmt: skip
    draft = MimeDraft(content(message_id), parse_address(SUBMITTER), message_id)
    spool = pipeline.services.spool
    await spool.add(name, replace(stated, **facts), Ledger(entries, next_attempt_at=now), [], encode_mime_draft(draft))
    row = await spool.read(name)
    assert row is not None
    await spool.update(row, ledger=row.ledger, signed=content(message_id))
    pipeline.queues.noted.clear()
    pipeline.queues.noted.append(Noted(DELIVERIES, SpoolItem(name), 0.0))
    return name


def notifications(sink: Receiver) -> list[Received]:
    return [each for each in sink.received if each.reverse_path in ("", "<>")]


def fields_of(notification: Received) -> list[dict[str, str]]:
    message = email.message_from_bytes(notification.content, policy=email.policy.default)
    report: Any = message.get_payload()[1]  # type: ignore[index]
    return [dict(group.items()) for group in report.get_payload()]


async def test_bounce_is_told_to_the_submitter_once(pipeline: Pipeline, sink: Receiver) -> None:
    sink.replies = {"jane@example.org": [NO_USER]}
    await submitted(pipeline, Entry("jane@example.org", notify="FAILURE", orcpt="rfc822;j@example.org"), envid="QQ1")
    await pipeline.drain()

    (told,) = notifications(sink)
    assert told.recipients == (SUBMITTER,)
    about_message, about_jane = fields_of(told)
    assert about_message["Original-Envelope-Id"] == "QQ1"
    assert about_jane["Original-Recipient"] == "rfc822; j@example.org"
    assert (about_jane["Action"], about_jane["Status"]) == ("failed", "5.1.1")
    assert about_jane["Diagnostic-Code"] == f"smtp; {NO_USER}"
    message = email.message_from_bytes(told.content)
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["From"] == "Mail Delivery System <mailer-daemon@postrider.test>"
    assert "d=postrider.test" in message["DKIM-Signature"]
    assert scan_message(message) == {b"j@example.org"}
    assert b"There is no mailbox for jane@example.org" in told.content.replace(b"=\r\n", b"")
    assert b"Subject: A test" in told.content


async def test_bounce_without_notify_is_told(pipeline: Pipeline, sink: Receiver) -> None:
    sink.replies = {"jane@example.org": [NO_USER]}
    await submitted(pipeline, Entry("jane@example.org"))
    await pipeline.drain()

    assert len(notifications(sink)) == 1


@pytest.mark.parametrize("notify", ["NEVER", "SUCCESS", "DELAY"])
async def test_bounce_that_nobody_asked_about_is_not_told(pipeline: Pipeline, sink: Receiver, notify: str) -> None:
    sink.replies = {"jane@example.org": [NO_USER]}
    await submitted(pipeline, Entry("jane@example.org", notify=notify))
    await pipeline.drain()

    assert notifications(sink) == []


@pytest.mark.parametrize("facts", [{"door": "http"}, {"submitter": ""}, {"door": "dsn"}], ids=["http", "null-path", "dsn"])
async def test_bounce_of_what_no_smtp_client_sent_is_not_told(
    pipeline: Pipeline, sink: Receiver, facts: dict[str, str]
) -> None:
    sink.replies = {"jane@example.org": [NO_USER]}
    await submitted(pipeline, Entry("jane@example.org", notify=ALL), **facts)
    await pipeline.drain()

    assert [each for each in pipeline.worked if each.queue == NOTICES] == []
    assert sink.received == []


async def test_bounce_is_not_told_by_the_setting_never(azurite: str, sink: Receiver) -> None:
    def silent(settings: Settings) -> Settings:
        return replace(settings, smtp_dsn="never")

    pipeline = await build_pipeline(azurite, routes=f"capture://127.0.0.1:{sink.port}", change=silent)
    sink.replies = {"jane@example.org": [NO_USER]}
    await submitted(pipeline, Entry("jane@example.org", notify=ALL))
    await pipeline.drain()
    await pipeline.close()

    assert notifications(sink) == []


async def test_recipients_that_end_together_are_told_together(pipeline: Pipeline, sink: Receiver) -> None:
    sink.replies = {
        "a@example.org": [NO_USER], "b@example.org": [NO_USER], "c@example.org": [LATER, NO_USER], "d@example.org": [NO_USER],
    }  # fmt: skip
    entries = [Entry(f"{name}@example.org") for name in "abc"]
    await submitted(pipeline, *entries, Entry("d@example.org", notify="NEVER"), Entry("e@example.org"))
    await pipeline.drain()

    told = [sorted(each["Final-Recipient"] for each in fields_of(notification)[1:]) for notification in notifications(sink)]
    assert told == [["rfc822; a@example.org", "rfc822; b@example.org"], ["rfc822; c@example.org"]]


async def test_delivery_is_told_as_relayed_when_success_was_asked_for(pipeline: Pipeline, sink: Receiver) -> None:
    await submitted(pipeline, Entry("jane@example.org", notify=ALL), Entry("john@example.org", notify="FAILURE"))
    await pipeline.drain()

    (told,) = notifications(sink)
    (about_jane,) = fields_of(told)[1:]
    assert (about_jane["Action"], about_jane["Status"]) == ("relayed", "2.0.0")


async def test_delay_is_told_once_after_four_hours(pipeline: Pipeline, sink: Receiver) -> None:
    sink.replies = {"jane@example.org": [LATER]}
    await submitted(pipeline, Entry("jane@example.org", notify=ALL))
    begun = pipeline.clock.now()
    told_at: list[float] = []
    for _ in range(60):
        if await pipeline.step() is None:
            break
        if len(notifications(sink)) > len(told_at):
            told_at.append(pipeline.clock.now() - begun)

    actions = [fields_of(each)[1]["Action"] for each in notifications(sink)]
    assert actions == ["delayed", "failed"]
    assert DELAYED_AFTER <= told_at[0] < DELAYED_AFTER + 120
    delayed = fields_of(notifications(sink)[0])[1]
    assert "Will-Retry-Until" in delayed
    assert fields_of(notifications(sink)[1])[1]["Status"] == "4.4.7"


async def test_delay_that_is_over_is_not_told(pipeline: Pipeline, sink: Receiver) -> None:
    sink.replies = {"jane@example.org": [LATER, "250 2.1.5 taken"]}
    await submitted(pipeline, Entry("jane@example.org", notify="DELAY"))
    await pipeline.drain()

    assert notifications(sink) == []


async def test_delay_of_a_message_that_waited_and_was_split_is_not_told_when_all_have_it(
    pipeline: Pipeline, sink: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = Preparer._signed  # the step that waits for an administrator
    waits = [True]

    async def first_waits(self: Preparer, row: SpooledRow) -> Prepared:
        if waits:
            waits.clear()
            raise SigningError("no key")
        return await signed(self, row)

    monkeypatch.setattr(Preparer, "_signed", first_waits)
    asked = RecipientOptions(frozenset(("DELAY",)))
    await submit(pipeline, mime(), ("jane@example.org", asked), ("john@example.net", asked))
    steps = await pipeline.drain()

    assert sorted(sink.asked) == ["jane@example.org", "john@example.net"]
    assert [step.queue for step in steps].count(NOTICES) == 1
    assert notifications(sink) == []


async def test_notification_that_bounces_begets_none(pipeline: Pipeline, sink: Receiver) -> None:
    sink.replies = {"jane@example.org": [NO_USER], SUBMITTER: [NO_USER]}
    await submitted(pipeline, Entry("jane@example.org", notify=ALL))
    steps = await pipeline.drain()

    assert sink.asked == ["jane@example.org", SUBMITTER]
    assert [step.queue for step in steps] == [DELIVERIES, NOTICES, DELIVERIES]
    assert sink.received == []


async def test_submitter_whose_own_address_bounced_is_told_no_more(pipeline: Pipeline, sink: Receiver) -> None:
    sink.replies = {"jane@example.org": [NO_USER, NO_USER], SUBMITTER: [NO_USER]}
    await submitted(pipeline, Entry("jane@example.org"))
    await pipeline.drain()
    await submitted(pipeline, Entry("jane@example.org"))
    steps = await pipeline.drain()

    assert sink.asked == ["jane@example.org", SUBMITTER, "jane@example.org"]
    assert [step.queue for step in steps] == [DELIVERIES, NOTICES]


async def test_suppressed_recipient_is_told_to_the_submitter(pipeline: Pipeline, sink: Receiver) -> None:
    entry = Entry("jane@example.org", status=Entry("x").status.SUPPRESSED, at=pipeline.clock.now(), reply="on the list")
    name = await submitted(pipeline, entry)
    pipeline.queues.noted[:] = [Noted(NOTICES, SpoolItem(name), 0.0)]
    await pipeline.drain()

    assert fields_of(notifications(sink)[0])[1]["Diagnostic-Code"] == "x-postrider; on the list"


async def test_message_that_our_own_fault_ended_is_told(pipeline: Pipeline, sink: Receiver) -> None:
    name = await submitted(pipeline, Entry("jane@example.org"))
    (noted,) = pipeline.queues.noted
    pipeline.queues.noted.clear()
    keeper: PoisonKeeper = pipeline.services.poison_keeper
    await keeper.keep(DELIVERIES, str(uuid.uuid4()), noted.item.encode(), dequeue_count=5)
    await pipeline.drain()

    (told,) = notifications(sink)
    assert fields_of(told)[1]["Status"] == "5.0.0"
    assert name


async def test_bounces_of_a_submission_to_two_domains_are_told_with_what_its_client_asked_for(
    pipeline: Pipeline, sink: Receiver
) -> None:
    sink.replies = {"jane@example.org": [NO_USER], "john@example.net": [NO_USER]}
    recipients = [
        ("jane@example.org", RecipientOptions(frozenset(("FAILURE",)), "rfc822;j@example.com")),
        ("john@example.net", RecipientOptions(frozenset(("NEVER",)))),
        ("joe@example.net", RecipientOptions(frozenset(("SUCCESS",)))),
    ]
    await submit(pipeline, mime("The body.\r\n"), *recipients, options=MessageOptions("FULL", "QQ1"))
    await pipeline.drain()

    told = {fields_of(each)[1]["Action"]: each for each in notifications(sink)}
    assert sorted(told) == ["failed", "relayed"]
    about_message, about_jane = fields_of(told["failed"])
    assert about_message["Original-Envelope-Id"] == "QQ1"
    assert about_jane["Original-Recipient"] == "rfc822; j@example.com"
    assert b"The body." in told["failed"].content
    assert b"The body." not in told["relayed"].content


async def test_suppressed_recipients_of_an_envelope_that_is_never_tried_are_told(pipeline: Pipeline, sink: Receiver) -> None:
    api = api_of(pipeline)
    await suppress(api, await make_list(api, "all"), "jane@example.org")
    notice(pipeline)
    await submit(pipeline, mime(), "jane@example.org", "joe@example.net")
    await pipeline.drain()

    (told,) = notifications(sink)
    assert fields_of(told)[1]["Final-Recipient"] == "rfc822; jane@example.org"
    assert b"suppression list" in told.content.replace(b"=\r\n", b"")


# --- whatever dies ----------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process dies here."""


def dying_once(monkeypatch: pytest.MonkeyPatch, name: str, when: Callable[..., bool], *, after: bool = False) -> list[str]:
    """Die once at a call of the spool, before or after what it does."""
    original, deaths = getattr(Spool, name), list[str]()

    async def call(self: Spool, *args: Any, **named: Any) -> Any:
        if not deaths and when(*args, **named):
            deaths.append(name)
            if after:
                await original(self, *args, **named)
            raise Killed
        return await original(self, *args, **named)

    monkeypatch.setattr(Spool, name, call)
    return deaths


def is_settling(*_: Any, **named: Any) -> bool:
    return bool(named["ledger"].attempt == 1)


def is_notification(*args: Any, **_: Any) -> bool:
    return bool(args[0] == DELIVERIES)


@pytest.mark.parametrize(
    ("name", "when", "after"),
    [
        ("update", is_settling, False),
        ("update", is_settling, True),
        ("add_signed", lambda *_: True, False),
        ("add_signed", lambda *_: True, True),
        ("enqueue", is_notification, False),
        ("enqueue", is_notification, True),
    ],
    ids=["before-the-merge", "after-the-merge", "before-the-notification", "after-the-notification", "before-its-item",
         "after-its-item"],
)  # fmt: skip
async def test_bounce_is_told_once_wherever_a_run_dies(
    pipeline: Pipeline, sink: Receiver, monkeypatch: pytest.MonkeyPatch, name: str, when: Callable[..., bool], after: bool
) -> None:
    sink.replies = {"jane@example.org": [NO_USER]}
    await submitted(pipeline, Entry("jane@example.org"))
    deaths = dying_once(monkeypatch, name, when, after=after)
    worked: list[Noted] = []
    while pipeline.queues.noted:
        noted = min(pipeline.queues.noted, key=lambda each: each.delay)
        pipeline.queues.noted.remove(noted)
        try:
            await pipeline.work(noted, dequeue_count=1 + worked.count(noted))
        except Killed:
            # The item becomes visible again, once the claim of its run is over.
            worked.append(noted)
            pipeline.queues.noted.append(replace(noted, delay=400.0))
        assert len(pipeline.worked) < 50

    assert deaths == [name]
    assert len(notifications(sink)) == 1


async def test_notice_that_comes_again_and_again_is_worked_once(pipeline: Pipeline, sink: Receiver) -> None:
    sink.replies = {"jane@example.org": [NO_USER]}
    name = await submitted(pipeline, Entry("jane@example.org"))
    await pipeline.drain()
    for _ in range(3):
        await pipeline.work(Noted(NOTICES, SpoolItem(name, attempt=1), 0.0))
    await pipeline.drain()

    assert len(notifications(sink)) == 1


async def test_notice_that_comes_before_its_merge_waits_and_is_given_up_in_the_end(pipeline: Pipeline) -> None:
    name = await submitted(pipeline, Entry("jane@example.org"))
    pipeline.queues.noted[:] = [Noted(NOTICES, SpoolItem(name, attempt=1), 0.0)]
    steps = await pipeline.drain()

    assert [step.item.put_backs for step in steps] == list(range(13))
    assert sum(step.delay for step in steps) > 3600


async def test_storage_away_keeps_a_notice(pipeline: Pipeline, sink: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    sink.replies = {"jane@example.org": [NO_USER]}
    await submitted(pipeline, Entry("jane@example.org"))
    await pipeline.step()
    (notice,) = pipeline.queues.noted
    pipeline.queues.noted.clear()
    with monkeypatch.context() as away:

        async def unavailable(*_: Any, **__: Any) -> None:
            raise StorageUnavailable("away")

        away.setattr(Spool, "add_signed", unavailable)
        with pytest.raises(StorageUnavailable):
            await pipeline.work(notice)
    await pipeline.work(notice)
    await pipeline.drain()

    assert len(notifications(sink)) == 1


async def test_message_of_another_door_costs_no_notice(pipeline: Pipeline, sink: Receiver) -> None:
    sink.replies = {"jane@example.org": [NO_USER]}
    await pipeline.accept(draft_to("jane@example.org"))
    steps = await pipeline.drain()

    assert NOTICES not in [step.queue for step in steps]
