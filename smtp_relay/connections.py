"""Which connections there are: of strangers, in all and from one address; of those who logged in, in all and of one user.

Who has logged in counts for its user and no longer for its address, which an office or a cluster shares. A stranger that comes
when there are too many takes the place of the one that has been here longest without logging in, so idle connections keep
nobody out.
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
    """All connections of a server. What an address is says `lockout.address_key`."""

    def __init__(self, *, members: int, per_user: int, strangers: int, per_address: int) -> None:
        self._most_members = members
        self._per_user = per_user
        self._most_strangers = strangers
        self._per_address = per_address
        self._strangers: dict[Connection, str] = {}  # in the order in which they came
        self._members: dict[Connection, str] = {}  # with the names of their users
        self._of_address: Counter[str] = Counter()  # of strangers
        self._of_user: Counter[str] = Counter()  # of members
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

    def promote(self, connection: Connection, user: str) -> Reply | None:
        """It has logged in; the reply that says that there is no place for it, or None."""
        if connection not in self._strangers:
            return replies.MADE_ROOM
        if len(self._members) >= self._most_members:
            return replies.TOO_MANY_LOGINS
        if self._of_user[user] >= self._per_user:
            return replies.TOO_MANY_OF_USER
        _remove(connection, self._strangers, self._of_address)
        self._members[connection] = user
        self._of_user[user] += 1
        return None

    def leave(self, connection: Connection) -> None:
        """It is gone; to say so twice does no harm."""
        _remove(connection, self._strangers, self._of_address)
        _remove(connection, self._members, self._of_user)
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


def _remove(connection: Connection, group: dict[Connection, str], numbers: Counter[str]) -> None:
    key = group.pop(connection, None)
    if key is not None:
        numbers[key] -= 1
        if not numbers[key]:
            del numbers[key]
