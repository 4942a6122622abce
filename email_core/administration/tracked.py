"""What the bodies of resources with a location have in common."""

from __future__ import annotations

from email_core.domains.documents import TrackedDocument
from email_core.management.fields import Fields

LOCATION = "global"  # the only one there is, in ACS too


def read_location(fields: Fields, before: TrackedDocument | None) -> str:
    """`location`, required when the resource is made."""
    fields.text("location", required=before is None, choices=(LOCATION,))
    return before.location if before else LOCATION


def read_data_location(fields: Fields, before: TrackedDocument | None) -> str:
    """`properties.dataLocation`, required when the resource is made and fixed from then on. Nothing here depends on it."""
    path = "properties.dataLocation"
    if before is not None:
        fields.read_only(path, before.data_location)
        return before.data_location
    return fields.text(path, required=True, least=1, most=64) or ""


def read_tags(fields: Fields, before: TrackedDocument | None, *, put: bool) -> dict[str, str]:
    """`tags`. A PUT without them has none, a PATCH without them leaves them alone."""
    tags = fields.tags()
    if tags is not None:
        return tags
    return {} if put or before is None else before.tags
