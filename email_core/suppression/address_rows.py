"""The row of an address in the table `suppressions`: which customer lists hold it, and its lease on the managed list. Pure.

There is one row for each normalised address, so that sending asks one question for each recipient, however many lists there
are. Normalised means `Address.key`: without case on both sides of the `@`, the domain in A-labels. The key of the row is the
SHA-256 of that, for a local part may hold what a key may not.

A row that holds nothing any more stays, and has nothing of the address but that hash: whoever changes a row names its ETag, and
a row that went and came back would not tell a writer that is late that something happened meanwhile.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from email_core.message.address import Address
from email_core.storage import StoredEntity, Value, joined_chunks, sized_chunks

SUPPRESSIONS = "suppressions"
ADDRESS_ROW = "address"

_digest = re.compile(r"[0-9a-f]{64}")


class Lease(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True, kw_only=True):
    """What the managed list knows of an address. Times are in seconds since the epoch.

    `until` is when the lease ends, 0 while there was none yet: too few bounces were counted. `source` is the message
    (`service:operation`) whose bounce began it, `subscription` that of its sending domain. `withheld` counts sends that were
    held back. `last_bounce` and `last_send` name the attempt and the message that changed it last: the same does nothing again.
    """

    bounce_class: str
    first_seen: float
    last_seen: float
    rule: str = ""
    reply: str = ""
    source: str = ""
    subscription: str = ""
    bounces: int = 1
    since: float = 0.0
    until: float = 0.0
    step: int = 0
    withheld: int = 0
    last_bounce: str = ""
    last_send: str = ""


@dataclass(frozen=True, slots=True)
class AddressRow:
    """`lists` maps the key of each customer list to the id of the address there. `etag` is empty when there is no row."""

    lists: Mapping[str, str] = field(default_factory=dict)
    lease: Lease | None = None
    etag: str = field(default="", compare=False)

    def with_list(self, key: str, address_id: str) -> AddressRow:
        """The row once a list holds the address."""
        return replace(self, lists={**self.lists, key: address_id})

    def without_list(self, key: str, address_id: str) -> AddressRow:
        """The row once a list holds it no more under that id."""
        kept = {other: held for other, held in self.lists.items() if (other, held) != (key, address_id)}
        return replace(self, lists=kept)


_lists = msgspec.json.Decoder(dict[str, str])
_lease = msgspec.json.Decoder(Lease)


def digest(address: Address) -> str:
    """The hash that names an address here: SHA-256 of its normalised form, in hexadecimal."""
    return hashlib.sha256(address.key.encode()).hexdigest()


def is_digest(text: str) -> bool:
    """Whether a text can be such a hash."""
    return _digest.fullmatch(text) is not None


def partition_of(digest: str) -> str:
    """PartitionKey of the row of an address."""
    return f"address:{digest}"


def encode_row(row: AddressRow) -> dict[str, Value]:
    """The row as properties without keys, all of them, for a merge replaces what it names only."""
    lease = b"" if row.lease is None else msgspec.json.encode(row.lease)
    return {**sized_chunks("lists", msgspec.json.encode(row.lists)), "lease": lease}


def decode_row(entity: StoredEntity | None) -> AddressRow:
    """The row that an entity holds; an empty one when there is none."""
    if entity is None:
        return AddressRow()
    lease = entity.values.get("lease")
    return AddressRow(
        _lists.decode(joined_chunks("lists", entity.values) or b"{}"),
        decode_lease(lease) if isinstance(lease, bytes) and lease else None,
        entity.etag,
    )


def encode_lease(lease: Lease) -> bytes:
    """The stored form of a lease."""
    return msgspec.json.encode(lease)


def decode_lease(stored: bytes) -> Lease:
    """A lease again."""
    return _lease.decode(stored)
