"""Queues: items that are delivered at least once, out of sight while somebody works on them.

A write is sent again when its answer is lost, so `enqueue` may leave two items, and `extend` may raise EntityMissing for an
item whose time it did extend: the caller's pop receipt is then an old one, and the item comes back when that time is over.
"""

from __future__ import annotations

import base64
import binascii
import calendar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.etree import ElementTree

from email_core.storage.answers import Answer, failure
from email_core.storage.limits import ITEMS_A_CALL, StorageLimit, check_item, check_queue_name, whole_seconds

if TYPE_CHECKING:
    from email_core.storage.pipeline import Service

ENCODINGS = ("base64", "none")  # the values of messageEncoding in host.json

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# A bare carriage return would come back as a line feed (XML 1.0 section 2.11).
_XML_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_XML = {"Content-Type": "application/xml"}


@dataclass(frozen=True, slots=True)
class QueueItem:
    """An item as it was received. Times are in seconds since 1970, `pop_receipt` proves who holds it."""

    id: str
    text: str
    dequeue_count: int
    inserted_at: float
    expires_at: float
    next_visible_at: float
    pop_receipt: str


class Queues:
    """The Queue service. Every method raises StorageUnavailable, StorageLimit for what the service does not take, and
    EntityMissing for a queue that was never created."""

    def __init__(self, service: Service, message_encoding: str) -> None:
        if message_encoding not in ENCODINGS:
            raise ValueError(f"message encoding must be base64 or none; it is {message_encoding!r}")
        self._service = service
        self._base64 = message_encoding == "base64"

    async def enqueue(self, queue: str, text: str, *, delay: float = 0.0) -> None:
        """Put an item at the end of a queue, out of sight for `delay` seconds (7 days at most). It never expires."""
        check_queue_name(queue)
        hidden = whole_seconds("delay", delay)
        target = f"/{queue}/messages?messagettl=-1" + (f"&visibilitytimeout={hidden}" if hidden else "")
        _expect(201, await self._service.call("enqueue", "POST", target, _XML, self._body(text)))

    async def receive(self, queue: str, count: int, visibility: float) -> list[QueueItem]:
        """Up to `count` (1 to 32) items, nobody else's for `visibility` seconds (1 second to 7 days); empty when there is none.

        An item that is not in the expected encoding comes as it stands: a foreign item must not hold up the others.
        """
        check_queue_name(queue)
        if not 1 <= count <= ITEMS_A_CALL:
            raise StorageLimit(f"count must be 1 to {ITEMS_A_CALL}; it is {count}")
        hidden = whole_seconds("visibility", visibility, 1)
        target = f"/{queue}/messages?numofmessages={count}&visibilitytimeout={hidden}"
        answer = _expect(200, await self._service.call("receive", "GET", target, {}))
        return [self._item(message) for message in _parsed(answer.body)]

    async def extend(self, queue: str, item: QueueItem, visibility: float) -> QueueItem:
        """Keep a received item for `visibility` seconds from now, or give it back with 0; the item with its new receipt.

        Raises EntityMissing when the item is gone or somebody else's.
        """
        hidden = whole_seconds("visibility", visibility)
        target = f"{_item_path(queue, item)}&visibilitytimeout={hidden}"
        answer = _expect(204, await self._service.call("extend", "PUT", target, {}))
        return replace(
            item,
            pop_receipt=answer.headers["x-ms-popreceipt"],
            next_visible_at=_seconds(answer.headers["x-ms-time-next-visible"]),
        )

    async def delete(self, queue: str, item: QueueItem) -> None:
        """Delete a received item. Raises EntityMissing when it is gone or somebody else's."""
        answer = await self._service.call("delete", "DELETE", _item_path(queue, item), {})
        if answer.status == 404 and answer.retried and answer.fault[0] == "MessageNotFound":
            return  # the first try deleted it, and its answer was lost
        _expect(204, answer)

    async def depth(self, queue: str) -> int:
        """About how many items a queue has, visible or not."""
        check_queue_name(queue)
        answer = _expect(200, await self._service.call("depth", "GET", f"/{queue}?comp=metadata", {}))
        return int(answer.headers["x-ms-approximate-messages-count"])

    def _body(self, text: str) -> bytes:
        sent = base64.b64encode(text.encode()).decode() if self._base64 else text
        check_item(text, sent)
        escaped = sent.translate(_XML_ESCAPES)
        # References instead of UTF-8, because Azurite cuts characters in two (see `entities`).
        return f"<QueueMessage><MessageText>{escaped}</MessageText></QueueMessage>".encode("ascii", "xmlcharrefreplace")

    def _item(self, message: ElementTree.Element) -> QueueItem:
        return QueueItem(
            id=message.findtext("MessageId", ""),
            text=self._text(message.findtext("MessageText", "")),
            dequeue_count=int(message.findtext("DequeueCount", "0")),
            inserted_at=_seconds(message.findtext("InsertionTime", "")),
            expires_at=_seconds(message.findtext("ExpirationTime", "")),
            next_visible_at=_seconds(message.findtext("TimeNextVisible", "")),
            pop_receipt=message.findtext("PopReceipt", ""),
        )

    def _text(self, stored: str) -> str:
        if not self._base64:
            return stored
        try:
            return base64.b64decode(stored, validate=True).decode()
        except (binascii.Error, ValueError):
            return stored


def _parsed(body: bytes) -> ElementTree.Element:
    return ElementTree.fromstring(body)  # noqa: S314 - the answer of our own storage account


def _item_path(queue: str, item: QueueItem) -> str:
    check_queue_name(queue)
    return f"/{queue}/messages/{quote(item.id, safe='')}?popreceipt={quote(item.pop_receipt, safe='')}"


def _expect(status: int, answer: Answer) -> Answer:
    if answer.status != status:
        raise failure(answer)
    return answer


def _seconds(date: str) -> float:
    """Seconds since 1970 of an RFC 1123 date; the standard library's parser takes six times as long."""
    day, month, year, clock = date[5:7], date[8:11], date[12:16], date[17:25]
    hour, minute, second = clock.split(":")
    fields = (int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second))
    return float(calendar.timegm(fields))
