"""Certificates for servers of the test's own, and an authority that clients may be told to trust."""

from __future__ import annotations

import ssl
from datetime import datetime

import pytest
import trustme

from email_core.delivery import tls_policy
from email_core.delivery.routes import TlsMode


class ServerTls:
    """One authority, and contexts of servers whose certificates it signed."""

    def __init__(self) -> None:
        self._authority = trustme.CA()

    def server(self, *names: str, not_after: datetime | None = None) -> ssl.SSLContext:
        """A server context with a certificate for these names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*names, not_after=not_after).configure_cert(context)
        return context

    def trusting(self) -> ssl.SSLContext:
        """A client context that trusts this authority as well."""
        context = ssl.create_default_context()
        self._authority.configure_trust(context)
        return context

    def trust(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make verified connections trust this authority, and nothing else changes."""
        verified = self.trusting()
        genuine = tls_policy.context_for
        monkeypatch.setattr(
            tls_policy, "context_for", lambda mode: genuine(mode) if mode is TlsMode.OPPORTUNISTIC else verified
        )


@pytest.fixture(scope="session")
def server_tls() -> ServerTls:
    return ServerTls()
