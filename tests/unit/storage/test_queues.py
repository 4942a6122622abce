"""Queue items in the XML of the Queue service."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from email_core.storage import QueueItem, Queues, StorageLimit
from email_core.storage.answers import Answer
from tests.kit.storage_values import texts

ITEM = QueueItem("id", "text", 1, 0.0, 0.0, 0.0, "AgAAAAMA+/=")


class OneAnswer:
    """A service that always gives the same answer, and keeps what it was asked."""

    def __init__(self, status: int = 201, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self._answer = Answer("queues.test", status, headers or {}, body)
        self.asked: list[tuple[str, str]] = []
        self.body = b""

    async def call(self, verb: str, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> Answer:
        self.asked.append((method, target))
        self.body = body
        return self._answer

    @property
    def text(self) -> str:
        return ElementTree.fromstring(self.body).findtext("MessageText", "")


def queues(service: OneAnswer, encoding: str = "base64") -> Queues:
    return Queues(service, encoding)  # type: ignore[arg-type]


def messages(*texts: str) -> bytes:
    """An answer to Get Messages, after its documentation."""
    each = "".join(
        f"<QueueMessage><MessageId>id</MessageId><InsertionTime>Fri, 09 Oct 2009 21:04:30 GMT</InsertionTime>"
        f"<ExpirationTime>Fri, 31 Dec 9999 23:59:59 GMT</ExpirationTime><PopReceipt>receipt</PopReceipt>"
        f"<TimeNextVisible>Fri, 09 Oct 2009 23:29:20 GMT</TimeNextVisible><DequeueCount>2</DequeueCount>"
        f"<MessageText>{text}</MessageText></QueueMessage>"
        for text in texts
    )
    return f'\ufeff<?xml version="1.0" encoding="utf-8"?><QueueMessagesList>{each}</QueueMessagesList>'.encode()


async def test_item_received_has_its_text_and_its_times() -> None:
    service = OneAnswer(200, messages(base64.b64encode("héllo".encode()).decode()))
    assert await queues(service).receive("items", 5, 0.5 + 29) == [
        QueueItem(
            id="id", text="héllo", dequeue_count=2, inserted_at=1255122270.0, expires_at=253402300799.0,
            next_visible_at=1255130960.0, pop_receipt="receipt",
        )
    ]  # fmt: skip
    assert service.asked == [("GET", "/items/messages?numofmessages=5&visibilitytimeout=30")]


@pytest.mark.parametrize("text", ["no base64", "w6", "/w==", ""])
async def test_item_in_a_foreign_encoding_comes_as_it_stands(text: str) -> None:
    good = base64.b64encode(b"ours").decode()
    found = await queues(OneAnswer(200, messages(text, good))).receive("items", 2, 30)
    assert [item.text for item in found] == [text, "ours"]


@given(texts())
async def test_item_in_base64_is_sent_as_base64_of_its_utf8(text: str) -> None:
    service = OneAnswer()
    await queues(service).enqueue("items", text)
    assert base64.b64decode(service.text, validate=True).decode() == text
    assert service.asked == [("POST", "/items/messages?messagettl=-1")]


# XML 1.0 section 2.2 leaves out most control characters, and two others.
@given(
    st.text(
        st.characters(exclude_categories=("Cs",), exclude_characters="\ufffe\uffff", min_codepoint=0x20)
        | st.sampled_from("\t\r\n")
    )
)
async def test_item_as_text_survives_xml(text: str) -> None:
    service = OneAnswer()
    await queues(service, "none").enqueue("items", text)
    assert service.text == text


async def test_item_as_text_is_received_as_text() -> None:
    [item] = await queues(OneAnswer(200, messages("&lt;a&gt; &amp;#13; dGV4dA==")), "none").receive("items", 1, 30)
    assert item.text == "<a> &#13; dGV4dA=="


async def test_item_with_a_delay_is_hidden_for_whole_seconds() -> None:
    service = OneAnswer()
    await queues(service).enqueue("items", "x", delay=59.2)
    assert service.asked == [("POST", "/items/messages?messagettl=-1&visibilitytimeout=60")]


async def test_item_of_48_kibibytes_passes_and_of_one_byte_more_is_refused() -> None:
    service = OneAnswer()
    await queues(service).enqueue("items", "x" * 49152)
    with pytest.raises(StorageLimit, match="at most 65536 bytes"):
        await queues(service).enqueue("items", "x" * 49153)
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda queues: queues.enqueue("items", "x", delay=604801),
        lambda queues: queues.enqueue("items", "x", delay=-1),
        lambda queues: queues.enqueue("Items", "x"),
        lambda queues: queues.receive("items", 0, 30),
        lambda queues: queues.receive("items", 33, 30),
        lambda queues: queues.receive("items", 1, 0),
        lambda queues: queues.extend("items", ITEM, 604801),
        lambda queues: queues.extend("it", ITEM, 1),
        lambda queues: queues.delete("it", ITEM),
        lambda queues: queues.depth("it"),
    ],
)
async def test_call_beyond_a_limit_is_refused_before_it_is_made(call: Callable[[Queues], object]) -> None:
    service = OneAnswer()
    with pytest.raises(StorageLimit):
        await call(queues(service))  # type: ignore[misc]
    assert service.asked == []


async def test_item_extended_has_the_new_receipt_and_time() -> None:
    service = OneAnswer(204, b"", {"x-ms-popreceipt": "new", "x-ms-time-next-visible": "Sun, 22 Nov 2026 04:50:50 GMT"})
    extended = await queues(service).extend("items", ITEM, 10)
    assert (extended.pop_receipt, extended.next_visible_at) == ("new", 1795323050.0)
    assert (extended.id, extended.text) == (ITEM.id, ITEM.text)
    assert service.asked == [("PUT", "/items/messages/id?popreceipt=AgAAAAMA%2B%2F%3D&visibilitytimeout=10")]


@given(st.integers(0, 253402300799))
async def test_time_of_an_item_is_that_of_the_standard_library(seconds: int) -> None:
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(seconds))
    service = OneAnswer(204, b"", {"x-ms-popreceipt": "new", "x-ms-time-next-visible": date})
    assert (await queues(service).extend("items", ITEM, 10)).next_visible_at == seconds


def test_unknown_message_encoding_is_refused() -> None:
    with pytest.raises(ValueError, match="'utf8'"):
        queues(OneAnswer(), "utf8")
