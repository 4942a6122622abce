"""Which connections there are: how many from one address, how many of strangers, how many that have logged in.

A stranger that comes when there are too many takes the place of the one that has been here longest without logging in, so
idle connections keep nobody out.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Protocol

from smtp_relay import replies
from smtp_relay.lockout import address_key
from smtp_relay.replies import Reply


class Connection(Protocol):
    """What is registered here."""

    def interrupt(self, farewell: Reply) -> None:
        """Say this and hang up, unless a transaction is running."""

    def dismiss(self, farewell: Reply) -> None:
        """Say this and hang up, whatever is running."""


class Connections:
    """All connections of a server. `per_address` is for addresses that are known, see `lockout.address_key`."""

    def __init__(self, *, members: int, strangers: int, per_address: int) -> None:
        self._most_members = members
        self._most_strangers = strangers
        self._per_address = per_address
        self._strangers: dict[Connection, str] = {}  # in the order in which they came
        self._members: dict[Connection, str] = {}
        self._of_address: Counter[str] = Counter()
        self._left = asyncio.Event()

    def admit(self, connection: Connection, address: str) -> Reply | None:
        """Register a new one; the reply that refuses it, or None."""
        key = address_key(address)
        if self._of_address[key] >= self._per_address:
            return replies.TOO_MANY_FROM_ADDRESS
        if len(self._strangers) >= self._most_strangers:
            oldest = next(iter(self._strangers))
            self.leave(oldest)
            oldest.dismiss(replies.MADE_ROOM)
        self._strangers[connection] = key
        self._of_address[key] += 1
        return None

    def promote(self, connection: Connection) -> bool:
        """It has logged in; whether there was a place for it."""
        if len(self._members) >= self._most_members or connection not in self._strangers:
            return False
        self._members[connection] = self._strangers.pop(connection)
        return True

    def leave(self, connection: Connection) -> None:
        """It is gone; to say so twice does no harm."""
        for group in (self._strangers, self._members):
            key = group.pop(connection, None)
            if key is not None:
                self._of_address[key] -= 1
                if not self._of_address[key]:
                    del self._of_address[key]
        self._left.set()

    async def empty(self) -> None:
        """Wait until there are none."""
        while self._strangers or self._members:
            self._left.clear()
            await self._left.wait()

    @property
    def all(self) -> tuple[Connection, ...]:
        return (*self._strangers, *self._members)

    @property
    def members(self) -> int:
        """How many have logged in."""
        return len(self._members)

    def __len__(self) -> int:
        return len(self._strangers) + len(self._members)
