"""The api-versions of the management plane, all served with one schema."""

from __future__ import annotations

from email_core.management import refusals
from email_core.management.operations import Operation

API_VERSIONS = (
    "2020-08-20",  # the first: communication services alone
    "2023-03-31",  # e-mail began here
    "2023-04-01",
    "2023-04-01-preview",
    "2023-06-01-preview",  # suppression lists
    "2024-09-01-preview",  # SMTP usernames
    "2025-05-01",
    "2025-05-01-preview",
    "2025-09-01",
    "2026-03-18",
)
# Microsoft.EventGrid, whose event subscriptions extend a communication service.
EVENT_GRID_VERSIONS = ("2020-06-01", "2021-12-01", "2022-06-15", "2023-12-15-preview", "2024-06-01-preview", "2025-02-15")


def check_api_version(value: str | None, operation: Operation) -> str:
    """The api-version of a request, in lower case as ARM compares it. Raises RequestRefused (400), which lists them."""
    if operation.name.startswith("EventSubscriptions_"):
        known: tuple[str, ...] = (*EVENT_GRID_VERSIONS, *(v for v in API_VERSIONS if v >= "2023"))
    else:
        # A stable version has what the previews before it had, and the order of dates is the order of versions.
        known = tuple(version for version in API_VERSIONS if version[:10] >= operation.since[:10])
    supported = ", ".join(known)
    if not value:
        raise refusals.missing_api_version(supported)
    version = value.lower()
    if version not in known:
        raise refusals.unsupported_api_version(value, supported)
    return version
