"""Limits on sending: messages and recipients per minute, hour and day, of a domain, a communication service and a credential.

A message counts in all windows of all limits that it is under, or in none of them. Windows are fixed and aligned to UTC. What
has no limits costs nothing; the others cost a storage round trip for each block (see `blocks`), and one at least for each
window in which something is sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from email_core.clock import Clock
from email_core.domains.documents import Limit
from email_core.domains.sending import CommunicationService, SendingDomain
from email_core.errors import LimitReached, LimitTooSmall
from email_core.storage import Tables
from email_core.submission.blocks import Exhausted, Pace, Window, scope_partition, window_row

SECONDS = {"minute": 60, "hour": 3600, "day": 86_400}
LONGEST_WAIT = 60  # seconds that a client is told to wait: official clients do wait that long, and hold up what they do
_MOST_WINDOWS = 1000  # kept in memory before those that are over are dropped


@dataclass(frozen=True, slots=True)
class Scope:
    """What limits belong to. `key` names it in storage, `text` in messages to the sender."""

    key: str
    text: str
    limits: tuple[Limit, ...]


class Credential(StrEnum):
    """What somebody sends with who may have limits of their own, in the words that they are told."""

    ACCESS_KEY = "access key"
    SMTP_USERNAME = "SMTP username"


def scopes_of(
    service: CommunicationService,
    domain: SendingDomain,
    name: str = "",
    own: tuple[Limit, ...] = (),
    *,
    kind: Credential = Credential.ACCESS_KEY,
) -> list[Scope]:
    """The scopes with limits that a message is under. `own` are those of the credential of that name and kind.

    A service counts whatever its keys and domains send, a domain whatever all services send that it is linked to.
    """
    scopes = []
    if domain.limits:
        # A resource id may be longer than a key of Table storage.
        digest = hashlib.sha256(domain.resource_id.lower().encode()).hexdigest()[:32]
        scopes.append(Scope(f"domain:{digest}", f"domain {domain.name}", domain.limits))
    if service.limits:
        scopes.append(Scope(f"service:{service.key}", f"communication service {service.name}", service.limits))
    if own and kind is Credential.ACCESS_KEY:
        scopes.append(Scope(f"key:{service.key}:{name.lower()}", f"{kind} {name}", own))
    elif own:
        # It may be long, and have characters that a key of Table storage may not.
        digest = hashlib.sha256(name.casefold().encode()).hexdigest()[:32]
        scopes.append(Scope(f"user:{service.key}:{digest}", f"{kind} {name}", own))
    return scopes


@dataclass(frozen=True, slots=True)
class _Need:
    """What a message needs of one window."""

    scope: Scope
    limit: Limit
    window: Window
    number: int


@dataclass(frozen=True, slots=True)
class Counted:
    """A message that was counted."""

    needs: Sequence[_Need] = ()

    def give_back(self) -> None:
        """It was accepted before: it is not to count twice. What belongs to a window that is over lapses."""
        for need in self.needs:
            need.window.give_back(need.number)


class Limits:
    """The limits as one worker counts them."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock
        self._windows: dict[tuple[str, str, str], Window] = {}

    async def count(self, scopes: Sequence[Scope], *, messages: int, recipients: int) -> Counted:
        """Count a message in every window of the scopes' limits.

        Raises LimitReached for the window that opens again last, LimitTooSmall when the message fits in none, and
        StorageUnavailable when it can't be known whether it does: then nothing is counted.
        """
        numbers = {"messages": messages, "recipients": recipients}
        while True:
            now = self._clock.now()
            needs = list(self._needs(scopes, numbers, now))
            short = [need for need in needs if need.window.left < need.number]
            if not short:
                for need in needs:  # nothing is awaited since it was seen that all have enough
                    need.window.use(need.number)
                return Counted(needs)
            await self._refill(short, now)

    def _needs(self, scopes: Sequence[Scope], numbers: dict[str, int], now: float) -> Iterator[_Need]:
        for scope in scopes:
            for limit in scope.limits:
                number = numbers[limit.unit]
                if number > limit.most:
                    raise LimitTooSmall(_rule(scope, limit), number, limit.unit)
                yield _Need(scope, limit, self._window(scope, limit, now), number)

    def _window(self, scope: Scope, limit: Limit, now: float) -> Window:
        key = (scope.key, limit.unit, limit.window)
        length = SECONDS[limit.window]
        start = int(now // length) * length
        window = self._windows.get(key)
        if window is None or window.start != start:
            pace = window.pace if window is not None else Pace()
            row = window_row(limit.window, limit.unit, start)
            window = Window(scope_partition(scope.key), row, start, start + length, pace)
            if len(self._windows) >= _MOST_WINDOWS:
                self._windows = {name: each for name, each in self._windows.items() if each.end > now}
            self._windows[key] = window
        return window

    async def _refill(self, short: Sequence[_Need], now: float) -> None:
        refills = (need.window.refill(self._tables, self._clock, need.number, need.limit.most) for need in short)
        outcomes = await asyncio.gather(*refills, return_exceptions=True)
        faults = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        full = [need for need, outcome in zip(short, outcomes, strict=True) if isinstance(outcome, Exhausted)]
        if full:  # that is sure, whatever the others could not find out
            last = max(full, key=lambda need: need.window.end)
            opens_in = last.window.end - now
            wait = min(max(math.ceil(opens_in), 1), LONGEST_WAIT)
            raise LimitReached(_rule(last.scope, last.limit), last.limit.window, opens_at=last.window.end, retry_after=wait)
        if faults:
            raise faults[0]


def _rule(scope: Scope, limit: Limit) -> str:
    return f"The limit of {limit.most} {limit.unit} per {limit.window} of {scope.text}"
