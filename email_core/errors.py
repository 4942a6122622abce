"""Errors that cross module borders: refusals that a caller may read, and storage answers that the pipeline acts on.

A refusal carries what the caller may see (code, message, target) and, apart from it, a private reason for the log.
Codes and texts are those of ACS Email where ACS is known to have one; each has one function here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a request: the field, the rule it breaks, and the remedy, fit for the caller."""

    code: str
    message: str
    target: str = ""


class RequestRefused(Exception):
    """A request that is answered with an ACS ErrorResponse.

    `retry_after` is in whole seconds and only ever set for 429 and 503: the official clients retry any answer that
    carries it, even a 400.
    """

    def __init__(self, status: int, *faults: Fault, retry_after: int | None = None, reason: str = "") -> None:
        super().__init__(f"{status} {faults[0].code}: {reason or faults[0].message}")
        self.status = status
        self.faults = faults
        self.retry_after = retry_after
        self.reason = reason


class StorageUnavailable(Exception):
    """Storage did not do what was asked and may do it later: a throttle, a time-out, a server error, no connection.

    `retry_after` is how many seconds storage itself asked to be left alone; 0 when it did not say.
    """

    def __init__(self, *args: object, retry_after: float = 0.0) -> None:
        super().__init__(*args)
        self.retry_after = retry_after


class WorkerBusy(Exception):
    """This worker has as much in hand as it may have: nothing was done, and the same is worth trying a little later.

    `args[0]` says what there is too much of.
    """


class StorageRefused(Exception):
    """Storage answered with a status that no caller expects, so it is our own fault or that of the configuration.

    A wrong key, an identity without the role, a table that was never created, a malformed request. `code` is Azure's.
    """

    def __init__(self, operation: str, status: int, code: str, message: str) -> None:
        super().__init__(f"{operation}: {status} {code}: {message}")
        self.status = status
        self.code = code


class EntityExists(Exception):
    """An insert met an entity with the same keys (409 EntityAlreadyExists)."""


class EntityChanged(Exception):
    """A conditional write met another ETag (412 UpdateConditionNotSatisfied)."""


class EntityMissing(Exception):
    """A write or read met no such entity, queue item or blob (404). `code` is Azure's, which tells a blob that is absent from a
    container that is; empty when it was found out here."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class DomainNotLinked(Exception):
    """The sender's domain is not a verified domain that is linked to the communication service. `args[0]`: the domain."""


class DomainPaused(Exception):
    """The sender's domain may not send for now, because records of it are gone. `args`: the domain, and why with the remedy."""


class SenderUnknown(Exception):
    """The sender's local part is not a sender username of its domain. `args[0]`: the local part."""


class OperationReused(Exception):
    """An Operation-Id was used before for another request. `args[0]`: the id."""


class LimitReached(Exception):
    """A limit on sending is reached, and nothing was stored. `rule` says which limit of what, and begins a sentence.

    `window` is minute, hour or day. It opens again at `opens_at`, in seconds since the epoch; `retry_after` is how many whole
    seconds a client is told to wait, which may be fewer.
    """

    def __init__(self, rule: str, window: str, *, opens_at: float, retry_after: int) -> None:
        super().__init__(f"{rule} is reached until {opens_at:.0f}")
        self.rule = rule
        self.window = window
        self.opens_at = opens_at
        self.retry_after = retry_after


class LimitTooSmall(Exception):
    """A message is larger than a limit on sending allows at any time. `rule` as in LimitReached; `number` of `unit` it has."""

    def __init__(self, rule: str, number: int, unit: str) -> None:
        super().__init__(f"{rule} does not allow {number}")
        self.rule = rule
        self.number = number
        self.unit = unit


class ConfigurationMissing(Exception):
    """Something that an administrator must provide is missing or unusable; work waits for it. The text says what and where."""
