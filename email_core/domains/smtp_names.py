"""Which SmtpUsername resource a username belongs to: one in the whole installation, for a log-in names nothing else.

Each username has a row of its own in the table `resources`, whose insert is the lock: a query could not keep two that are
made at once in two services from both being let through, and a log-in would have to search all services. A row whose
resource is gone, or has another username now, does not count: so what dies half-way, and a service that is deleted with all
that is below it, leaves nothing behind that is in the way for longer than `SETTLING_SECONDS`.
"""

from __future__ import annotations

import hashlib

from email_core.clock import Clock
from email_core.domains.documents import SmtpUsernameDocument
from email_core.domains.resource_store import RESOURCES, ResourceStore
from email_core.errors import EntityChanged, EntityExists, EntityMissing
from email_core.management.resource_id import ResourceId, parse_resource_id
from email_core.storage import Tables, Value

PARTITION = "smtp-usernames"
KIND = "smtpUsernameClaims"
SETTLING_SECONDS = 600.0  # between a claim and its resource: longer than any request


class NameTaken(Exception):
    """Another resource has the username. It is not named: it may be somebody else's."""


class SmtpNames:
    """Claims usernames, and says whose they are. Every method raises StorageUnavailable."""

    def __init__(self, tables: Tables, store: ResourceStore, clock: Clock) -> None:
        self._tables = tables
        self._store = store
        self._clock = clock

    async def claim(self, username: str, resource_id: ResourceId) -> None:
        """Make a username that of a resource, before it is written and once more after. Raises NameTaken.

        Before, so that nobody else has it. After, because whoever deletes the resource at the same time lets go of the name:
        of a row that it read before this, which it does not delete then, for its ETag is another one.
        """
        owner: dict[str, Value] = {"owner": resource_id.text, "claimedAt": self._clock.now()}
        keys = {"PartitionKey": PARTITION, "RowKey": _row(username)}
        for _ in range(3):  # that often rows come and go between two round trips, at most
            try:
                await self._tables.insert(RESOURCES, {**keys, "kind": KIND, **owner})
                return
            except EntityExists:
                row = await self._tables.get(RESOURCES, PARTITION, _row(username))
            if row is None:
                continue
            holder = str(row.values.get("owner", ""))
            if holder.lower() != resource_id.key and await self._holds(holder, username, float(row.values["claimedAt"])):
                raise NameTaken(username)
            try:
                await self._tables.merge(RESOURCES, PARTITION, _row(username), owner, etag=row.etag)
                return
            except (EntityChanged, EntityMissing):
                continue
        raise NameTaken(username)

    async def release(self, username: str, resource_id: ResourceId, *, ending: bool = False) -> None:
        """Let go of a username, if it is still that of the resource and the resource has it no more.

        With `ending` the resource is there until its names are let go of, and nobody can write it any more.
        """
        row = await self._tables.get(RESOURCES, PARTITION, _row(username))
        if row is None or str(row.values.get("owner", "")).lower() != resource_id.key:
            return
        if not ending and await self._has(resource_id, username):
            return  # made again meanwhile
        try:
            await self._tables.delete(RESOURCES, PARTITION, _row(username), etag=row.etag)
        except EntityChanged:
            return  # it was claimed again meanwhile

    async def owner(self, username: str) -> tuple[ResourceId, SmtpUsernameDocument] | None:
        """The resource that a username belongs to; None when it is nobody's."""
        row = await self._tables.get(RESOURCES, PARTITION, _row(username))
        if row is None:
            return None
        resource_id = parse_resource_id(str(row.values["owner"]))
        resource = await self._store.get(resource_id, SmtpUsernameDocument)
        if resource is None or _key(resource.document.username) != _key(username):
            return None
        return resource_id, resource.document

    async def _holds(self, holder: str, username: str, claimed_at: float) -> bool:
        return await self._has(parse_resource_id(holder), username) or self._clock.now() - claimed_at < SETTLING_SECONDS

    async def _has(self, resource_id: ResourceId, username: str) -> bool:
        resource = await self._store.get(resource_id, SmtpUsernameDocument)
        return resource is not None and _key(resource.document.username) == _key(username)


def _key(username: str) -> str:
    return username.strip().casefold()


def _row(username: str) -> str:
    # A hash, because a username may hold what a key may not, such as a slash.
    return hashlib.sha256(_key(username).encode()).hexdigest()
