"""What came by SMTP goes the way of every message: stored, signed as it is, delivered, with what was asked for it."""

from __future__ import annotations

import email
import email.policy
import tempfile
import threading
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import dkim
import pytest

from email_core.domains.documents import Limit
from email_core.errors import DomainNotLinked, LimitReached, SenderUnknown, StorageUnavailable
from email_core.message.dsn_options import MessageOptions, RecipientOptions
from email_core.message.mime_intake import read_message
from email_core.message.refusal import MessageRefused
from tests.kit.mime_submission import SENDER, mime, submit
from tests.kit.pipeline import DOMAIN, Pipeline, build_pipeline, draft_to
from tests.kit.receiver import Receiver
from tests.kit.smtp_receiver import EXTENSIONS, SmtpReceiver

pytestmark = pytest.mark.peers


@asynccontextmanager
async def delivering_to(azurite: str, extensions: tuple[str, ...]) -> AsyncIterator[tuple[Pipeline, SmtpReceiver]]:
    """A pipeline whose next hop offers these extensions, and that sends no notifications of its own."""
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(SmtpReceiver(extensions=extensions))
        built = await build_pipeline(
            azurite,
            routes=f"capture://127.0.0.1:{receiver.port}",
            change=lambda settings: replace(settings, smtp_dsn="never"),
        )
        stack.push_async_callback(built.close)
        yield built, receiver


def passes_dkim(pipeline: Pipeline, message: bytes) -> bool:
    """Whether dkimpy accepts the signature on top, by the records that the domain's owner is told to publish."""
    zone = {f"{record.name}.".encode(): record.value.encode() for record in pipeline.records if record.type == "TXT"}
    return bool(dkim.DKIM(message).verify(idx=0, dnsfunc=lambda name, timeout=5: zone.get(name, b"")))


async def statuses(pipeline: Pipeline, operation: object) -> list[str]:
    row = await pipeline.row(operation)  # type: ignore[arg-type]
    return [str(entry.status) for entry in row.ledger.entries]


async def test_mime_message_is_delivered_signed_and_otherwise_as_it_came(pipeline: Pipeline, sink: Receiver) -> None:
    content = mime("Two  blanks \t\r\n.dot\r\n\r\n\r\n", Bcc="secret@example.test", Message_ID="<kept@contoso.test>")
    accepted = await submit(pipeline, content, "ann@example.test", "secret@example.test")
    await pipeline.drain()

    assert await statuses(pipeline, accepted) == ["Delivered", "Delivered"]
    [received] = sink.received
    assert received.recipients == ("ann@example.test", "secret@example.test")
    assert received.content.endswith(content.replace(b"Bcc: secret@example.test\r\n", b""))
    assert received.content.startswith(b"DKIM-Signature: ")
    assert b"secret" not in received.content
    assert passes_dkim(pipeline, received.content)
    facts = (await pipeline.row(accepted)).facts
    assert (facts.door, facts.sender, facts.submitter) == ("smtp", SENDER, SENDER)
    assert (facts.message_id, facts.size) == ("<kept@contoso.test>", len(content))


async def test_mime_message_from_a_file_of_megabytes_is_split_by_domain(pipeline: Pipeline, sink: Receiver) -> None:
    content = mime("0123456789" * 9 + "\r\n" + "x" * 70 + "\r\n" * 20_000 + "0123456789\r\n" * 200_000)
    with tempfile.TemporaryFile() as file:
        file.write(content)
        await submit(pipeline, file, "ann@example.test", "bob@other.test")
    await pipeline.drain()

    assert sorted(each.recipients for each in sink.received) == [("ann@example.test",), ("bob@other.test",)]
    assert {each.content for each in sink.received} == {sink.received[0].content}
    assert sink.received[0].content.endswith(content)
    assert passes_dkim(pipeline, sink.received[0].content)


async def test_recipient_named_twice_gets_one_copy_with_the_first_options(pipeline: Pipeline, sink: Receiver) -> None:
    asked = RecipientOptions(frozenset(("NEVER",)), "rfc822;Ann@example.test")
    accepted = await submit(pipeline, mime(), ("Ann@example.test", asked), "ann@example.test")
    await pipeline.drain()

    [entry] = (await pipeline.row(accepted)).ledger.entries
    assert (entry.address, entry.notify, entry.orcpt) == ("Ann@example.test", "NEVER", "rfc822;Ann@example.test")
    assert [each.recipients for each in sink.received] == [("Ann@example.test",)]


@pytest.mark.parametrize("door", ["smtp", "http"])
async def test_recipients_of_two_mailboxes_that_folding_makes_one_get_a_copy_each(
    pipeline: Pipeline, sink: Receiver, door: str
) -> None:
    named = ("straße@example.test", "Strasse@example.test", "STRASSE@example.test")
    accepted = await (submit(pipeline, mime(), *named) if door == "smtp" else pipeline.accept(draft_to(*named)))
    await pipeline.drain()

    assert await statuses(pipeline, accepted) == ["Delivered", "Delivered"]
    assert sorted(address for each in sink.received for address in each.recipients) == sorted(named[:2])


async def test_suppressed_recipient_of_a_mime_message_gets_nothing(pipeline: Pipeline, sink: Receiver) -> None:
    sink.replies["gone@example.test"] = ["550 5.1.1 no such user"]
    await submit(pipeline, mime(), "gone@example.test")
    await pipeline.drain()
    accepted = await submit(pipeline, mime(), "gone@example.test", "ann@example.test")
    await pipeline.drain()

    assert await statuses(pipeline, accepted) == ["Suppressed", "Delivered"]


@pytest.mark.parametrize(
    ("mail_from", "header_from", "error"),
    [
        (f"nobody@{DOMAIN}", SENDER, SenderUnknown),
        (SENDER, f"nobody@{DOMAIN}", SenderUnknown),
        ("news@fabrikam.test", SENDER, DomainNotLinked),
        (SENDER, "Bank <news@fabrikam.test>", DomainNotLinked),
        (SENDER, "news@contoso.test.fabrikam.test", DomainNotLinked),
        (SENDER, f"{SENDER}, {SENDER}", MessageRefused),
        (SENDER, "", MessageRefused),
    ],
)
async def test_sender_of_mail_and_of_from_must_both_be_allowed(
    pipeline: Pipeline, mail_from: str, header_from: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await submit(pipeline, mime(From=header_from), mail_from=mail_from)

    assert pipeline.queues.noted == []


async def test_senders_that_differ_are_taken_when_both_are_allowed(pipeline: Pipeline, sink: Receiver) -> None:
    accepted = await submit(pipeline, mime(From=f"News <NEWS@{DOMAIN}>"), mail_from=f"DoNotReply@{DOMAIN}")
    await pipeline.drain()

    facts = (await pipeline.row(accepted)).facts
    assert (facts.sender, facts.submitter) == (f"NEWS@{DOMAIN}", f"DoNotReply@{DOMAIN}")
    assert f"From: News <NEWS@{DOMAIN}>\r\n".encode() in sink.received[0].content


async def test_limit_counts_mime_messages_and_stores_none_above_it(pipeline: Pipeline) -> None:
    pipeline.service = replace(pipeline.service, limits=(Limit(window="day", unit="messages", most=2),))
    await submit(pipeline, mime())
    await submit(pipeline, mime())
    with pytest.raises(LimitReached):
        await submit(pipeline, mime())

    assert len(pipeline.queues.noted) == 2


async def test_time_to_live_of_the_message_is_kept_and_does_not_leave(pipeline: Pipeline, sink: Receiver) -> None:
    accepted = await submit(pipeline, mime(X_Postrider_Time_To_Live="600"))
    await pipeline.drain()

    facts = (await pipeline.row(accepted)).facts
    assert facts.expires_at - facts.accepted_at == 600.0
    assert b"x-postrider" not in sink.received[0].content.lower()


@pytest.mark.parametrize("where", ["tables", "queues"])
async def test_message_that_was_stored_without_an_answer_is_accepted_and_sent_once(
    pipeline: Pipeline, sink: Receiver, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    target, name = (pipeline.storage.tables, "insert") if where == "tables" else (pipeline.storage.queues, "enqueue")
    original, lost = getattr(target, name), [True]

    async def unanswered(table: str, *arguments: object, **options: object) -> object:
        result = await original(table, *arguments, **options)
        if lost and table in ("messages", "submissions"):
            lost.clear()
            raise StorageUnavailable("every answer was lost")
        return result

    monkeypatch.setattr(target, name, unanswered)
    accepted = await submit(pipeline, mime())
    await pipeline.drain()

    assert lost == []
    assert await statuses(pipeline, accepted) == ["Delivered"]
    assert len(sink.received) == 1


async def test_transaction_that_comes_again_is_sent_once_and_one_without_a_date_each_time(
    pipeline: Pipeline, sink: Receiver
) -> None:
    dated = mime(Date="Sun, 22 Nov 2026 10:00:00 +0000", Message_ID="<one@contoso.test>")
    first, again = [await submit(pipeline, dated) for _ in range(2)]
    assert (again.operation_id, first.replay, again.replay) == (first.operation_id, False, True)
    other = await submit(pipeline, dated, "bob@example.test")
    assert other.operation_id != first.operation_id
    alarms = [await submit(pipeline, mime(Message_ID="<alarm@device>")) for _ in range(2)]
    assert [alarm.replay for alarm in alarms] == [False, False]

    await pipeline.drain()
    assert (await submit(pipeline, dated)).replay
    await pipeline.drain()
    assert len(sink.received) == 4


@pytest.mark.parametrize("where", ["tables", "queues"])
async def test_storage_down_is_told_and_nothing_was_accepted(
    pipeline: Pipeline, sink: Receiver, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    async def down(*_: object, **__: object) -> str:
        raise StorageUnavailable("503")

    storage = pipeline.storage
    monkeypatch.setattr(*((storage.tables, "insert", down) if where == "tables" else (storage.queues, "enqueue", down)))
    operation_id = str(uuid.uuid4())
    with pytest.raises(StorageUnavailable):
        await submit(pipeline, mime(), operation_id=operation_id)
    monkeypatch.undo()

    await pipeline.drain()
    assert sink.received == []


EIGHT_BIT = mime(
    "Grüße aus Köln, und bis bald: wir sehen uns im Sommer.\r\n", MIME_Version="1.0", Content_Type="text/plain; charset=utf-8"
)
SIGNED_BEFORE = b"DKIM-Signature: v=1; a=rsa-sha256; d=fabrikam.test; s=x; h=from; bh=AA==; b=AA==\r\n" + EIGHT_BIT


async def test_8_bit_text_goes_out_as_7_bit_with_a_signature_that_holds(azurite: str) -> None:
    async with delivering_to(azurite, ("SIZE 20000000",)) as (pipeline, receiver):
        accepted = await submit(pipeline, EIGHT_BIT)
        await pipeline.drain()

        assert await statuses(pipeline, accepted) == ["Delivered"]
        [message] = receiver.messages
        assert message.isascii() and "BODY" not in " ".join(receiver.commands)
        assert b"Content-Transfer-Encoding: quoted-printable\r\n" in message
        assert passes_dkim(pipeline, message)


@pytest.mark.parametrize(("extensions", "status"), [(EXTENSIONS, "Delivered"), (("SIZE 20000000",), "Failed")])
async def test_8_bit_text_that_others_signed_is_left_and_needs_8bitmime(
    azurite: str, extensions: tuple[str, ...], status: str
) -> None:
    async with delivering_to(azurite, extensions) as (pipeline, receiver):
        accepted = await submit(pipeline, SIGNED_BEFORE)
        await pipeline.drain()

        assert await statuses(pipeline, accepted) == [status]
        if status == "Delivered":
            assert receiver.messages[0].endswith(SIGNED_BEFORE)
            assert next(each for each in receiver.commands if each.startswith("MAIL")).endswith("BODY=8BITMIME")
        else:
            assert receiver.messages == []
            assert "8BITMIME" in (await pipeline.row(accepted)).ledger.entries[0].reply


async def test_utf8_header_goes_out_with_smtputf8(azurite: str) -> None:
    async with delivering_to(azurite, EXTENSIONS) as (pipeline, receiver):
        await submit(pipeline, mime(Subject="Grüße", Reply_To="jörg@contoso.test"), smtputf8=True)
        await pipeline.drain()

        assert any(each.startswith("MAIL") and each.endswith("SMTPUTF8") for each in receiver.commands)
        assert "Subject: Grüße\r\n".encode() in receiver.messages[0]


@pytest.mark.parametrize("smtputf8", [False, True], ids=["plain", "smtputf8"])
async def test_raw_utf8_in_texts_reaches_a_server_of_seven_bits_with_a_signature_that_holds(
    azurite: str, smtputf8: bool
) -> None:
    content = mime("Grüße\r\n", Subject="Grüße aus Köln", From=f"Büro <{SENDER}>", To="Jörg <ann@example.test>")
    async with delivering_to(azurite, ("SIZE 20000000",)) as (pipeline, receiver):
        accepted = await submit(pipeline, content, smtputf8=smtputf8)
        await pipeline.drain()

        assert await statuses(pipeline, accepted) == ["Delivered"]
        [received] = receiver.messages
        assert received.isascii() and "SMTPUTF8" not in " ".join(receiver.commands)
        assert passes_dkim(pipeline, received)
        message = email.message_from_bytes(received, policy=email.policy.default)
        assert (message["Subject"], message["From"], message["To"]) == (
            "Grüße aus Köln", f"Büro <{SENDER}>", "Jörg <ann@example.test>"
        )  # fmt: skip
        assert message.get_content() == "Grüße\r\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize("lines", [1, 20])
async def test_raw_utf8_is_encoded_beside_the_event_loop_when_it_is_much(
    pipeline: Pipeline, sink: Receiver, monkeypatch: pytest.MonkeyPatch, lines: int
) -> None:
    threads: list[bool] = []

    def noted(*arguments: Any) -> Any:
        threads.append(threading.current_thread() is not threading.main_thread())
        return read_message(*arguments)

    monkeypatch.setattr("email_core.submission.accept_mime.read_message", noted)
    await submit(pipeline, mime(X_Note="\r\n ".join(["ö" * 450] * lines)))

    assert threads == [lines == 20]


@pytest.mark.parametrize("offered", [True, False])
async def test_notifications_are_asked_of_a_next_hop_that_offers_dsn(azurite: str, offered: bool) -> None:
    extensions = (*EXTENSIONS, "DSN") if offered else EXTENSIONS
    async with delivering_to(azurite, extensions) as (pipeline, receiver):
        await submit(
            pipeline,
            mime(),
            ("ann@example.test", RecipientOptions(frozenset(("SUCCESS",)), "rfc822;anna+x@example.test")),
            ("bob@example.test", RecipientOptions(frozenset(("NEVER",)))),
            "carol@example.test",
            options=MessageOptions("FULL", "QQ=1"),
        )
        await pipeline.drain()
        lines = [each.partition(":")[2].partition("> ")[2] for each in receiver.commands if each.startswith(("MAIL", "RCPT"))]

        assert len(receiver.messages) == 1
        if offered:
            assert lines[0].endswith("RET=HDRS ENVID=QQ+3D1")
            assert lines[1:] == [
                "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;anna+2Bx@example.test",
                "NOTIFY=FAILURE ORCPT=rfc822;bob@example.test",
                "ORCPT=rfc822;carol@example.test",
            ]
        else:
            assert "RET" not in lines[0] and lines[1:] == ["", "", ""]


async def test_rows_of_both_doors_are_read_side_by_side(pipeline: Pipeline, sink: Receiver) -> None:
    await pipeline.accept(draft_to("ann@example.test"))
    await submit(pipeline, mime())
    await pipeline.drain()

    assert len(sink.received) == 2
    assert all(passes_dkim(pipeline, each.content) for each in sink.received)
