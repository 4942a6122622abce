"""What becomes of a bearer token that is not taken.

Each plane words its own refusal, and the management plane imports this package for the roles of its operations, so nothing
of either plane is imported here: `triggers` turns TokenRefused into `management.refusals.unauthenticated` or
`data_plane.refusals.denied_token`, and IssuerUnavailable into a 503.
"""

from __future__ import annotations


class TokenRefused(Exception):
    """A bearer token is missing, or is none that is taken here. `reason` is for the log alone, and quotes no secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class IssuerUnavailable(Exception):
    """The keys of the token's issuer can't be had now, so nothing can be said about the token. The text says why."""
