"""The rate limits of the ACS sandbox, so that a client's handling of 429 can be tested without ACS.

Switched on by `POSTRIDER_ACS_LIMITS=on`. The counts live in the memory of one worker and are those of fixed windows of a
minute and an hour, as the messages of ACS suggest; a second worker counts for itself. That is enough for what it is for,
and no protection: the limits that protect an installation are the operator's.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import NamedTuple

from email_core.data_plane import refusals
from email_core.errors import RequestRefused


class Kind(StrEnum):
    """What is counted."""

    SEND = "send"
    GET_STATUS = "get-status"


class DomainKind(StrEnum):
    """Whose the sender's domain is. For get-status it is the domain of the message that is asked about."""

    MANAGED = "managed"
    CUSTOM = "custom"


class _Window(NamedTuple):
    name: str  # as ACS writes it in its messages
    seconds: int


_MINUTE = _Window("Minute", 60)
_HOUR = _Window("Hour", 3600)

# ACS: "Service limits for Azure Communication Services", e-mail, per subscription.
LIMITS: dict[tuple[Kind, DomainKind], tuple[tuple[_Window, int], ...]] = {
    (Kind.SEND, DomainKind.MANAGED): ((_MINUTE, 5), (_HOUR, 10)),
    (Kind.SEND, DomainKind.CUSTOM): ((_MINUTE, 30), (_HOUR, 100)),
    (Kind.GET_STATUS, DomainKind.MANAGED): ((_MINUTE, 10), (_HOUR, 20)),
    (Kind.GET_STATUS, DomainKind.CUSTOM): ((_MINUTE, 60), (_HOUR, 200)),
}

_ASKED_FOR = {Kind.SEND: "messages", Kind.GET_STATUS: "status requests"}


class _Count:
    """How many requests one window has admitted."""

    __slots__ = ("admitted", "starts")

    def __init__(self) -> None:
        self.starts = -math.inf
        self.admitted = 0


class SandboxLimits:
    """The counts of one worker. Times are in seconds of a clock that the caller chooses and sticks to."""

    def __init__(self) -> None:
        self._counts = {(limit, window): _Count() for limit, windows in LIMITS.items() for window, _ in windows}

    def admit(self, kind: Kind, domain_kind: DomainKind, now: float) -> RequestRefused | None:
        """None when the request is within its limits, and is then counted; else the 429 to raise, which is not counted.

        A window opens with the first request in it. When both limits are reached, the answer is about the one that
        takes longer, so that a client which waits as it is told is admitted.
        """
        limit = (kind, domain_kind)
        refused = None
        for window, most in LIMITS[limit]:
            count = self._counts[limit, window]
            # A clock that stepped back would leave the window open for as long as it stepped: it opens anew.
            if not 0 <= now - count.starts < window.seconds:
                count.starts, count.admitted = now, 0
            if count.admitted >= most:
                wait = max(1, math.ceil(count.starts + window.seconds - now))
                rule = f"The ACS sandbox limit of {most} {_ASKED_FOR[kind]} per {window.name.lower()} for {domain_kind} domains"
                refused = refusals.too_many_requests(window.name, wait, f"{rule} is switched on (POSTRIDER_ACS_LIMITS).")
        if refused is None:
            for window, _ in LIMITS[limit]:
                self._counts[limit, window].admitted += 1
        return refused

    def check_send(self, *, managed: bool, now: float) -> None:
        """Count a message of a domain, whichever door it came by: ACS has one quota for both. Raises RequestRefused (429)."""
        refused = self.admit(Kind.SEND, DomainKind.MANAGED if managed else DomainKind.CUSTOM, now)
        if refused is not None:
            raise refused
