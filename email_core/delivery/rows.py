"""Rows of the table `messages`: what is known of a message, its ledger, its timeline and its content as properties.

Rows of another version are read by name, so a property that is missing has its default and one that is unknown is left
alone. What is larger than a property may be lies in several, numbered ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from email_core.delivery.ledger import Entry, Ledger, trimmed
from email_core.delivery.outcome import TimelineEvent
from email_core.message.status import RecipientStatus
from email_core.storage import StoredEntity, Value, joined_chunks, sized_chunks
from email_core.storage.limits import PROPERTY_BYTES

MESSAGE_ROW = "message"
INLINE_LIMIT = 192 * 1024  # bytes of content kept in the entity; three such parts stay below its 1 MiB
_HEAVY = ("content", "signed")
SIGNED = "signed0"  # the property in which a signed message begins that is kept inline


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """What is known of a message when it is accepted, and what preparing adds to it.

    Times are in seconds since the epoch, `size` in bytes. `status` is that of the ACS operation. `envelopes` is 0 while
    the message has not been split; then each envelope has a row of its own. `reopened_at` is 0 unless a message that our own
    fault had ended was opened again: its time to live began anew then. `submitter` is the address of MAIL of a message that
    came by SMTP, where notifications go, `ret` and `envid` are what it asked for in them (RFC 3461).
    """

    accepted_at: float
    expires_at: float
    door: str
    sender: str
    domain: str  # resource id of the sending domain
    size: int
    request_hash: str
    api_version: str = ""
    status: str = "Running"
    error_code: str = ""
    error_reason: str = ""
    message_id: str = ""
    envelopes: int = 0
    bounce_domain: str = ""  # the domain of the reverse-path
    reopened_at: float = 0.0
    submitter: str = ""  # the reverse-path of an SMTP submission, to which notifications go
    ret: str = ""
    envid: str = ""


@dataclass(frozen=True, slots=True)
class SpooledRow:
    """A row as it was read, under the ETag that a change of it must meet."""

    message: str
    row: str
    etag: str
    facts: MessageFacts
    ledger: Ledger
    timeline: tuple[TimelineEvent, ...] = ()
    content: bytes = b""
    content_blob: str = ""
    signed: bytes = b""
    signed_blob: str = ""

    @property
    def service_key(self) -> str:
        return self.message.partition(":")[0]

    @property
    def operation_id(self) -> str:
        return self.message.partition(":")[2]

    @property
    def envelope_number(self) -> int:
        """0 for a message that was not split."""
        return int(self.row.partition(":")[2] or 0)


_FACT_NAMES = {
    "accepted_at": "acceptedAt", "expires_at": "expiresAt", "door": "door", "sender": "sender", "domain": "domain",
    "size": "size", "request_hash": "requestHash", "api_version": "apiVersion",
    "status": "status", "error_code": "errorCode", "error_reason": "errorReason", "message_id": "messageId",
    "envelopes": "envelopes", "bounce_domain": "bounceDomain",
    "reopened_at": "reopenedAt", "submitter": "submitter", "ret": "ret", "envid": "envid",
}  # fmt: skip
_LEDGER_NAMES = ("attempt", "claimUntil", "claimToken", "nextAttemptAt")
_PARTS = 4  # properties that ledger and timeline may take each
LIGHT = (
    *_FACT_NAMES.values(),
    *_LEDGER_NAMES,
    *(f"{name}{part}" for name in ("ledger", "timeline") for part in ("Size", *range(_PARTS))),
    *(f"{name}Blob" for name in _HEAVY),
)
LIGHTEST = tuple(name for name in LIGHT if not name.startswith("timeline"))  # who stands where, without the story
_entries = msgspec.json.Decoder(tuple[Entry, ...])
_events = msgspec.json.Decoder(tuple[TimelineEvent, ...])


def facts_of(facts: MessageFacts) -> dict[str, Value]:
    """The facts as properties."""
    return {name: getattr(facts, field) for field, name in _FACT_NAMES.items()}


def ledger_of(ledger: Ledger) -> dict[str, Value]:
    """A ledger as properties."""
    return {
        "attempt": ledger.attempt,
        "claimUntil": ledger.claim_until,
        "claimToken": ledger.claim_token,
        "nextAttemptAt": ledger.next_attempt_at,
        **sized_chunks("ledger", msgspec.json.encode(ledger.entries)),
    }


def timeline_of(timeline: Sequence[TimelineEvent]) -> dict[str, Value]:
    """The timeline in at most `_PARTS` properties: the middle of a very long story gives way."""
    events = trimmed(timeline)
    encoded = msgspec.json.encode(events)
    while len(encoded) > _PARTS * PROPERTY_BYTES:
        keep = max(len(events) // 3, 1)
        events = (*events[:keep], *events[-keep:])
        encoded = msgspec.json.encode(events)
    return sized_chunks("timeline", encoded)


def row_of(message: str, row: str, entity: StoredEntity, *, shown: bool = False) -> SpooledRow:
    """The row that an entity holds; what was left out of the query has its default.

    `shown`: it is only told of, so a recipient's status that a newer version wrote is that of one who is not done. For
    everybody else such a row can't be read (msgspec.ValidationError): whoever worked it might send what was sent.
    """
    values = entity.values
    facts = MessageFacts(**{field: values[name] for field, name in _FACT_NAMES.items() if name in values})  # type: ignore[arg-type]
    ledger = Ledger(
        entries=(_entries_to_show if shown else _entries.decode)(joined_chunks("ledger", values) or b"[]"),
        attempt=int(values.get("attempt", 0)),
        claim_until=float(values.get("claimUntil", 0.0)),
        claim_token=str(values.get("claimToken", "")),
        next_attempt_at=float(values.get("nextAttemptAt", 0.0)),
    )
    return SpooledRow(
        message,
        row,
        entity.etag,
        facts,
        ledger,
        timeline=_events.decode(joined_chunks("timeline", values) or b"[]"),
        content=joined_chunks("content", values),
        content_blob=str(values.get("contentBlob", "")),
        signed=joined_chunks("signed", values),
        signed_blob=str(values.get("signedBlob", "")),
    )


def _entries_to_show(encoded: bytes) -> tuple[Entry, ...]:
    try:
        return _entries.decode(encoded)
    except msgspec.ValidationError:
        entries = msgspec.json.decode(encoded, type=list[dict[str, object]])
        known = [each | {"status": RecipientStatus.PENDING} if _is_of_later(each.get("status")) else each for each in entries]
        return msgspec.convert(known, tuple[Entry, ...])


def _is_of_later(status: object) -> bool:
    return isinstance(status, str) and status not in set(RecipientStatus)
