"""What a question to the DNS can come to. The four cases are types, so that none is taken for another.

The difference between "there is none" and "I could not find out" decides whether mail bounces or waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")


class MxRecord(NamedTuple):
    """A mail exchanger (RFC 5321 section 5.1). `host` is lower-case without a last dot, and empty for null MX (RFC 7505)."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """There are records. `ttl` is in seconds."""

    records: tuple[T, ...]
    ttl: float


@dataclass(frozen=True, slots=True)
class NoRecords:
    """The name exists and has no record of that type (NODATA)."""


@dataclass(frozen=True, slots=True)
class NoDomain:
    """The name does not exist (NXDOMAIN), or cannot."""


@dataclass(frozen=True, slots=True)
class TemporaryFailure:
    """Nobody could tell: SERVFAIL, a time-out, a loop of CNAMEs, nonsense. `reason` is for the timeline and the log."""

    reason: str


Answer: TypeAlias = Found[T] | NoRecords | NoDomain | TemporaryFailure
