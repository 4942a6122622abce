"""What the SMTP server is told: where it listens, with which certificate, and how much and how long it bears."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from email_core.settings import Settings, SettingsError

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Seconds, but for `least_rate`, which is in octets a second. RFC 5321 section 4.5.3.2.7: five minutes for a command."""

    command: float = 5 * MINUTE
    login: float = 2 * MINUTE  # from the first octet to a log-in: whoever is nobody yet may not stay
    handshake: float = 15.0
    data: float = 10 * MINUTE  # the whole of a message
    least_rate: float = 1024.0  # of a message, on the average, once `data_grace` is over
    data_grace: float = 30.0
    block: float = 3 * MINUTE  # between two blocks of a message
    write: float = 60.0  # a client that doesn't read our replies
    linger: float = 15.0  # for a client to read why it is hung up on
    farewell: float = 5.0  # for the last reply to be read
    failed_login: float = 1.0  # a log-in that fails is answered no sooner, whatever made it fail
    drain: float = 30.0
    proxy: float = 5.0


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """Ports are 0 for one that is not listened on, but for tests, which give `any_port` to have free ones."""

    certificate: Path
    key: Path
    host_name: str
    host: str = "0.0.0.0"  # noqa: S104 - a server is there to be reached
    submission_port: int = 587
    tls_port: int = 465
    inbound_port: int = 0
    health_port: int = 8025
    max_bytes: int = 30 * 1024 * 1024
    max_recipients: int = 50
    connections: int = 250  # that have logged in; ACS: 250 authenticated connections for a subscription
    per_user: int = 100  # of those
    strangers: int = 1000  # that have not
    per_address: int = 20  # of those
    most_errors: int = 100
    most_login_failures: int = 5  # in one connection
    proxy_protocol: bool = False
    any_port: bool = False
    certificate_seconds: float = 30.0  # between two looks at the files
    limits: TimeLimits = field(default_factory=TimeLimits)


def relay_options(settings: Settings, *, any_port: bool = False) -> RelayOptions:
    """The options that settings make. Raises SettingsError when there is no certificate to serve with."""
    if not (settings.smtp_certificate and settings.smtp_key):
        raise SettingsError(
            "POSTRIDER_SMTP_CERTIFICATE and POSTRIDER_SMTP_KEY must name files in PEM: without TLS nobody can log in by SMTP"
        )
    return RelayOptions(
        certificate=Path(settings.smtp_certificate),
        key=Path(settings.smtp_key),
        host_name=settings.ehlo_name or f"smtp.{settings.platform_domain}",
        host=settings.smtp_host,
        submission_port=settings.smtp_submission_port,
        tls_port=settings.smtp_tls_port,
        inbound_port=settings.smtp_inbound_port,
        health_port=settings.smtp_health_port,
        max_bytes=settings.smtp_max_bytes,
        max_recipients=settings.max_recipients,
        connections=settings.smtp_connections,
        per_user=settings.smtp_user_connections,
        proxy_protocol=settings.smtp_proxy_protocol,
        any_port=any_port,
    )
