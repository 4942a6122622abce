"""The api-versions of ACS Email that are served, all with one tolerant schema.

A field that a version does not know is taken all the same (`contentId` came in 2024-07-01-preview, `senderDisplayName`
exists in 2025-01-15-preview alone): no client sends it by accident, and a refusal would help nobody. The 2021 preview
has another message shape and is refused.
"""

from __future__ import annotations

from email_core.data_plane import refusals

API_VERSIONS = (
    "2023-01-15-preview",  # 1.0.0b2 of the clients; the operation as an answer began here
    "2023-03-31",  # the 1.0 clients of Python, JavaScript and .NET
    "2024-07-01-preview",  # Python 1.0.1b1; contentId
    "2025-01-15-preview",  # senderDisplayName
    "2025-09-01",  # the 1.1 clients of Python and JavaScript
)

_SUPPORTED = ", ".join(API_VERSIONS)


def check_api_version(value: str | None) -> str:
    """The api-version of a request's query. Raises RequestRefused (400) that lists the supported ones."""
    if not value:
        raise refusals.missing_api_version(_SUPPORTED)
    version = value.lower()  # as ARM does it: `2025-01-15-Preview` is no other version
    if version not in API_VERSIONS:
        raise refusals.unsupported_api_version(value, _SUPPORTED)
    return version
