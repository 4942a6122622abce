"""How resources are shown: the envelope of ARM around the properties of each kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

LATEST = 253_402_300_799.0  # 9999-12-31T23:59:59Z, in seconds since the epoch: there is no timestamp behind it


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC, with microseconds, as ARM writes them."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def system_data(by: str, by_type: str, at: float, last_by: str, last_by_type: str, last_at: float) -> dict[str, str]:
    """`systemData`: who made it and who changed it last, and when."""
    return {
        "createdBy": by,
        "createdByType": by_type,
        "createdAt": timestamp(at),
        "lastModifiedBy": last_by,
        "lastModifiedByType": last_by_type,
        "lastModifiedAt": timestamp(last_at),
    }


def proxy(
    resource_id: str, name: str, type_name: str, system: Mapping[str, str], properties: Mapping[str, object]
) -> dict[str, object]:
    """A resource without location."""
    return {"id": resource_id, "name": name, "type": type_name, "systemData": system, "properties": properties}


def tracked(envelope: Mapping[str, object], location: str, tags: Mapping[str, str]) -> dict[str, object]:
    """A resource with location and tags."""
    return {**envelope, "location": location, "tags": tags}


def page(value: Sequence[object], next_link: str) -> dict[str, object]:
    """One page of a list; without `nextLink` it is the last."""
    return {"value": value, "nextLink": next_link} if next_link else {"value": value}
