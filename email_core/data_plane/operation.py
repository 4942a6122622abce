"""The long-running operation of a send: its id, where to ask for it, and the EmailSendResult that the clients poll.

The body holds what ACS defines (`id`, `status`, `error`) and our `recipients`, which its clients ignore: what became of
each recipient, because `Succeeded` only means that the message was handed to delivery.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from email_core.data_plane import refusals
from email_core.data_plane.error_body import error_detail
from email_core.errors import Fault
from email_core.message.status import RecipientStatus


class OperationStatus(StrEnum):
    """The statuses of ACS that are used here. It defines NotStarted too, and never answers it."""

    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"

    @property
    def is_final(self) -> bool:
        """Whether a client stops polling at this status."""
        return self is not OperationStatus.RUNNING


def status_of(text: str) -> OperationStatus:
    """The status that a row names. One that a newer version wrote is Running: ACS has no other that is not final."""
    return OperationStatus(text) if text in set(OperationStatus) else OperationStatus.RUNNING


@dataclass(frozen=True, slots=True)
class RecipientView:
    """One recipient of an operation. `next_attempt` is in seconds since the epoch, None when none is due."""

    address: str
    status: RecipientStatus = RecipientStatus.PENDING
    attempts: int = 0
    last_reply: str = ""
    next_attempt: float | None = None
    possible_duplicate: bool = False


@dataclass(frozen=True, slots=True)
class OperationView:
    """An operation as its caller may see it. `id` is the canonical operation id, `error` is set when it failed."""

    id: str
    status: OperationStatus
    error: Fault | None = None
    recipients: tuple[RecipientView, ...] = ()


_SENDS = uuid.UUID("5d0a3c0e-0f0b-4d58-9a35-6f1d3f3c7b11")  # a namespace of our own (RFC 9562 section 5.5)

_encoder = msgspec.json.Encoder()


def accepted_body(operation_id: str) -> bytes:
    """The body of the 202: the operation has begun."""
    return _encoder.encode({"id": operation_id, "status": OperationStatus.RUNNING})


def operation_body(view: OperationView) -> bytes:
    """The EmailSendResult of a GET. `error` is null unless the operation failed."""
    result: dict[str, object] = {
        "id": view.id,
        "status": view.status,
        "error": error_detail([view.error]) if view.error else None,
    }
    if view.recipients:
        result["recipients"] = [_recipient(recipient) for recipient in view.recipients]
    return _encoder.encode(result)


def _recipient(view: RecipientView) -> dict[str, object]:
    return {
        "address": view.address,
        "status": view.status,
        "attempts": view.attempts,
        "lastReply": view.last_reply or None,
        "nextAttempt": None if view.next_attempt is None else iso_instant(view.next_attempt),
        "possibleDuplicate": view.possible_duplicate,
    }


def iso_instant(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC with milliseconds: `2026-11-22T03:19:43.250Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


_POLL_PAUSES = ((2, 1), (10, 2), (30, 3), (120, 4))  # an operation younger than so many seconds: ask again after so many
_LONGEST_POLL_PAUSE = 5


def poll_pause(status: OperationStatus, age: float) -> int | None:
    """The `retry-after` of a 202 or a GET, in whole seconds: short while an answer is near, None once the status is final.

    Without it the Python client asks every 30 seconds and the JavaScript client every 2; ACS says 20 to 100, which makes
    a program wait far longer than most messages take. `age` is in seconds since the message was accepted; a clock that
    stepped back (a negative age) counts as young.
    """
    if status.is_final:
        return None
    return next((pause for younger_than, pause in _POLL_PAUSES if age < younger_than), _LONGEST_POLL_PAUSE)


def operation_location(scheme: str, public_host: str, operation_id: str, api_version: str) -> str:
    """The absolute URL of an operation, for `Operation-Location`.

    `public_host` is host and port exactly as the client used them: it signs its polls for that host.
    """
    return f"{scheme}://{public_host}/emails/operations/{operation_id}?api-version={api_version}"


# RFC 9562 section 4, in its textual form only: braces, `urn:uuid:` and 32 digits without hyphens would be second names
# of the same operation. Any version and variant: the clients make ids as they please.
_uuid = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def canonical_operation_id(text: str) -> str:
    """The id in lower case, as it is stored and answered; empty when it is no UUID, and so names no operation."""
    lower = text.lower()
    return lower if text.isascii() and _uuid.fullmatch(lower) else ""


def derived_operation_id(service_key: str, client_request_id: str, request_hash: str, now: float) -> str:
    """The id of a send that brings none: the same for the same request of the same hour, else a new one.

    The official clients repeat a POST by themselves when its answer is lost, under the same x-ms-client-request-id and
    without an Operation-Id; without this, the message would be sent twice. `now` is in seconds since the epoch. Empty when
    the request id is no UUID: what is not unique must not stand for the request.
    """
    if not canonical_operation_id(client_request_id):
        return ""
    name = f"{service_key} {client_request_id.lower()} {request_hash} {int(now // 3600)}"
    return str(uuid.uuid5(_SENDS, name))


def check_operation_id(header: str) -> str:
    """The canonical id of an `Operation-Id` header. Raises RequestRefused (400)."""
    operation_id = canonical_operation_id(header)
    if not operation_id:
        raise refusals.invalid_operation_id(header)
    return operation_id
