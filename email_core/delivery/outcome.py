"""What became of one recipient at one attempt: the object that retry, bounce rules, timeline and reports read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

# The rules of recipients that were suppressed, by whose list.
CUSTOMER_LIST = "customer-list"
MANAGED_LIST = "managed-list"


class Reply(NamedTuple):
    """An SMTP reply: code, enhanced status code (`5.1.1`, or empty when the server gave none) and text, lines joined by LF."""

    code: int
    enhanced: str
    text: str

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)


class Stage(StrEnum):
    """Where in a delivery something happened."""

    ROUTE = "route"
    DNS = "dns"
    CONNECT = "connect"
    BANNER = "banner"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    FINAL_DOT = "final-dot"


class Disposition(StrEnum):
    """What one attempt means for one recipient."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    BOUNCED = "bounced"  # the address or its domain cannot take mail
    FILTERED = "filtered"  # refused as spam or by content policy
    QUARANTINED = "quarantined"
    SUPPRESSED = "suppressed"
    FAILED = "failed"  # refused for good, for a reason that is not the recipient's address


@dataclass(frozen=True, slots=True)
class Outcome:
    """One recipient's share of one attempt.

    `recipient` is the forward-path. `retry_after` is in seconds: what the receiver asked for when it greylisted.
    `indeterminate`: the connection was lost after the final dot, so the receiver may have the message (RFC 1047).
    """

    recipient: str
    disposition: Disposition
    reply: Reply | None = None
    stage: Stage | None = None
    mx_host: str = ""
    bounce_class: str = ""
    rule: str = ""
    retry_after: float = 0.0
    indeterminate: bool = False
    suppress: bool = False  # the receiver said that this very address takes no mail
    reason: str = ""  # ours, when there was no reply: "no route to host", "null MX"


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """One line of a message's story: `at` in seconds since the epoch, `kind` a word, `facts` plain values.

    Facts hold no secrets and no bodies.
    """

    at: float
    kind: str
    facts: dict[str, object]


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """All that one attempt for one envelope yields: an outcome for each recipient, and the story.

    `handed_over`: an impatient attempt gave up before DATA; it counts as no try, and the next one is due at once.
    """

    outcomes: tuple[Outcome, ...]
    timeline: tuple[TimelineEvent, ...]
    handed_over: bool = False
