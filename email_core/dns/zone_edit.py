"""Changing a zone that is ours to change: what an editor of one does, and what can go wrong.

A record set is all values of one name and type. It is changed only as it was read: when somebody changed it meanwhile, the
change is refused and the set has to be read again. So two writers never undo each other's work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


class ZoneUnavailable(Exception):
    """The server or the service can't be reached, or not just now. The text is for the log and the operator: it names hosts."""


class ZoneRefused(Exception):
    """The server does not take the change, and repeating it won't help: a wrong key, no permission, another zone.

    `args[0]` names hosts and keys and is for the log; `public` says the same for whoever asked.
    """

    def __init__(self, text: str, public: str) -> None:
        super().__init__(text)
        self.public = public


class ZoneChanged(Exception):
    """The record set is another one than was read: read it again."""


@dataclass(frozen=True, slots=True)
class RecordSet:
    """What stands at a name. `values` are of `type`, TXT strings joined, hosts without the last dot; `ttl` in seconds.

    `cname` is where a CNAME at the name leads when `type` is another one; `others`: there are records of other types.
    `native` is the editor's own form of `values`, in the same order, and `version` its mark of what was read.
    """

    name: str
    type: str
    values: tuple[str, ...] = ()
    ttl: int = 0
    cname: str = ""
    others: bool = False
    native: tuple[object, ...] = field(default=(), repr=False, compare=False)
    version: str = ""


class ZoneEditor(Protocol):
    """Reads and changes the record sets of one zone. Names are absolute, lower case, without the last dot.

    Both calls raise ZoneUnavailable and ZoneRefused.
    """

    async def read(self, name: str, record_type: str) -> RecordSet:
        """What the zone itself holds at a name; what a wildcard would answer does not count."""

    async def replace(self, before: RecordSet, values: tuple[str, ...], ttl: int) -> None:
        """Give a record set that was read other values, at least one. Raises ZoneChanged."""

    async def close(self) -> None:
        """Close what was opened."""
