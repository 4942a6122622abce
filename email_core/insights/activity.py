"""The activity log: a row for each outcome, in the columns of ACS's `ACSEmailStatusUpdateOperational` log table.

Rows are partitioned by service and hour, and their keys begin with the inverted time, so that the newest come first. The
recipient stands in the key as a digest, for an address may hold what a key may not; `RecipientId` has it in full.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from email_core.storage import Storage, Upsert, Value

ACTIVITY = "activity"
_LATEST = 10**13  # milliseconds since the epoch, in the year 2286: what times are subtracted from
_DIGEST_BYTES = 16  # enough that no two recipients of one message ever share a key


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """One recipient's news. `at` is in seconds since the epoch; names follow ACS's columns."""

    service_key: str
    correlation_id: str
    at: float
    recipient: str
    status: str
    attempt: int
    sender: str
    message_id: str
    code: int = 0
    enhanced: str = ""
    hard_bounce: bool = False
    failure_reason: str = ""
    failure_message: str = ""
    host: str = ""
    possible_duplicate: bool = False


async def record(storage: Storage, updates: Sequence[StatusUpdate]) -> None:
    """Write the rows: one round trip when they share their hour, as those of one attempt do."""
    entities = [_entity(update) for update in updates]
    if len(entities) == 1:
        await storage.tables.upsert(ACTIVITY, entities[0])
    elif entities:
        await storage.tables.transact(ACTIVITY, [Upsert(entity) for entity in entities])


def _entity(update: StatusUpdate) -> Mapping[str, Value]:
    moment = datetime.fromtimestamp(update.at, UTC)
    username, _, domain = update.sender.rpartition("@")
    inverted = f"{_LATEST - int(update.at * 1000):013}"
    return {
        "PartitionKey": f"{update.service_key}:{moment:%Y%m%d%H}",
        "RowKey": f"{inverted}:{update.correlation_id}:{update.attempt}:{_digest(update.recipient)}",
        "TimeGenerated": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "Category": "EmailStatusUpdateOperational",
        "OperationName": "DeliveryStatusUpdate",
        "CorrelationId": update.correlation_id,
        "RecipientId": update.recipient,
        "DeliveryStatus": update.status,
        "SmtpStatusCode": str(update.code or ""),
        "EnhancedSmtpStatusCode": update.enhanced,
        "SenderDomain": domain,
        "SenderUsername": username,
        "IsHardBounce": "true" if update.hard_bounce else "false",
        "FailureReason": update.failure_reason,
        "FailureMessage": update.failure_message,
        "InternetMessageId": update.message_id,
        "RecipientMailServerHostName": update.host,
        "Attempt": update.attempt,
        "PossibleDuplicate": update.possible_duplicate,
    }


def _digest(recipient: str) -> str:
    # Local parts may hold "/", "#" and "?", which no key may, and any letter of Unicode. Percent signs are no way out:
    # proxies and emulators disagree about decoding them once or twice.
    return hashlib.sha256(recipient.encode()).hexdigest()[: 2 * _DIGEST_BYTES]
