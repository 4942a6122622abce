"""The settings of an installation: the one place that reads the environment.

Every setting has a default that is right for production unless its comment says otherwise; `docs/install.md` and
`local.settings.sample.json` list them. A wrong value stops the start with a message that names the setting, the rule and
the value that was found.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

# One transaction gives each envelope of a message its row: 100 operations, one of them the message's own.
MOST_RECIPIENTS = 99

# Seconds; a run and its settling must be over before the functionTimeout of host.json, for the host then kills the worker.
LONGEST_CLAIM = 540

# At its peak a request of 10 MB takes three times its size, and a message that is composed and signed four to eight times.
MAX_BYTES_IN_FLIGHT = 96 * 1024 * 1024

MINUTE = 60.0
HOUR = 3600.0

# RFC 5321 section 4.5.4.1 wants a pause of 30 minutes between tries once the first ones failed; the first ones come
# sooner because most deferrals of transactional mail are greylisting. After the last step its pause repeats.
RETRY_PAUSES = (
    1 * MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, 1 * HOUR, 2 * HOUR, 4 * HOUR, 6 * HOUR,
)  # fmt: skip


LEAST_ADMIN_TOKEN = 32  # characters

MOST_PAUSES = 20
LONGEST_PAUSE = 86_400  # seconds

REVERIFY_SCHEDULE = "0 0 3 * * *"
# The fields of NCRONTAB with the least and the most of each: second, minute, hour, day, month, day of the week. Second and
# minute are single numbers, so that nobody asks the DNS of all domains more than hourly, and the day of the month ends with the
# 28th, because a schedule for the 30th of February never comes due.
_SCHEDULE_FIELDS = ((0, 59), (0, 59), (0, 23), (1, 28), (1, 12), (0, 6))
_schedule_part = re.compile(r"(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/([1-9]\d?))?")


class SettingsError(Exception):
    """One or more settings are wrong; the text has a line for each."""


class Secret(str):
    """A string that shows nothing of itself in a repr or a log."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('...')" if self else "Secret('')"


NO_SECRET = Secret("")


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Where state lives: a connection string, or the account's endpoints with the app's own identity."""

    connection_string: Secret = NO_SECRET
    account_name: str = ""
    client_id: str = ""
    table_uri: str = ""
    queue_uri: str = ""
    blob_uri: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """See each field's comment; sizes are in bytes, times in seconds."""

    storage: StorageSettings
    sealing_key: Secret = NO_SECRET  # base64 of 32 bytes; from Key Vault in production, a file in the local world
    max_request_bytes: int = 10 * 1024 * 1024  # ACS Email quota: 10 MB with attachments, base64 counted
    max_sends_in_flight: int = 64  # in each worker; as many as its connections to storage serve at once
    max_bytes_in_flight: int = MAX_BYTES_IN_FLIGHT  # in each worker: of large requests, and as much of large messages
    max_recipients: int = 50  # ACS Email quota: to, cc and bcc together
    acs_limits: bool = False  # answer 429 where the ACS sandbox would
    routes: str = "mx"  # ordered list: mx, smarthost://user:pass@host:587, capture://host:port
    dns_server: str = ""  # host:port of a resolver; empty: the system's
    mx_port: int = 25  # any other port is for tests only
    allow_private_addresses: bool = False  # deliver to loopback and private addresses (tests, closed networks)
    ehlo_name: str = ""  # empty: bounce_domain; must match the PTR of the sending address (RFC 5321 section 4.1.4)
    platform_domain: str = "postrider.test"  # managed domains, bounce addresses and DKIM targets live below it
    time_to_live: float = 72 * HOUR  # how long a deferred recipient is tried
    run_seconds: float = 240.0  # the longest delivery run; below the host's functionTimeout
    claim_seconds: float = 300.0  # how long a claim holds; longer than the longest run
    impatience_seconds: float = 4.0  # the first attempt gives up before DATA after this long
    public_host: str = ""  # the host that clients use, when a proxy hides it and sends no X-Forwarded-Host
    local_world: bool = False  # set by `./postrider up`: reserved test domains verify at once
    log_full_addresses: bool = False  # else the log shows the first letter of a local part
    configuration_seconds: float = 30.0  # how long keys and domains are cached before their ETag is checked
    retry_pauses: tuple[float, ...] = field(default=RETRY_PAUSES)
    admin_token: Secret = NO_SECRET  # a bearer token with the role Admin, for the local world; empty: there is none
    entra_tenants: tuple[str, ...] = ()  # whose tokens are taken; none: no bearer token but the admin token is
    entra_authority: str = "https://login.microsoftonline.com"  # that of another cloud, or of a test
    entra_audiences: tuple[str, ...] = ()  # beside those of ACS and ARM: the app registration's id or URI
    roles: tuple[str, ...] = ()  # WHO=ROLE[@SCOPE], WHO an app role, an object id or an application id
    client_address_hops: int = 1  # proxies before us that write to X-Forwarded-For; 0: the header is not believed
    zones: tuple[Secret, ...] = ()  # DNS zones that we may write: azure://SUB/GROUP/ZONE, rfc2136://KEY:SECRET@HOST/ZONE
    dkim_zone: str = ""  # domains point to keys below it by CNAME; empty: they publish the keys themselves
    spf_include: str = ""  # what SPF records include; empty: spf. and the platform domain
    dns_port: int = 53  # of the name servers of zones; any other port is for tests only
    verification_seconds: float = 72 * HOUR  # after which a record that was not seen has failed
    grace_seconds: float = 72 * HOUR  # how long a domain may send whose records are gone
    reverify_schedule: str = REVERIFY_SCHEDULE  # NCRONTAB, UTC
    reverify_spread_seconds: float = 4 * HOUR  # domains are looked at over so long after it
    rotation_days: int = 0  # how often DKIM keys are replaced; 0: on demand alone
    managed_domain_extras: bool = False  # lift what ACS refuses a managed domain: more senders, engagement tracking
    any_sender: bool = False  # any local part of a verified domain may send
    smtp_host: str = "0.0.0.0"  # noqa: S104 - the address that the SMTP server listens on
    smtp_submission_port: int = 587  # STARTTLS; of this and the next three, 0: not listened on
    smtp_tls_port: int = 465  # TLS from the first octet
    smtp_inbound_port: int = 25  # for bounces and complaints
    smtp_health_port: int = 8025  # plain HTTP, for probes
    smtp_certificate: str = ""  # PEM files, read again when they change
    smtp_key: str = ""
    smtp_max_bytes: int = 30 * 1024 * 1024  # of a message by SMTP; ACS: 10 MB, 30 MB on request
    smtp_connections: int = 250  # that have logged in; ACS: of a subscription
    smtp_user_connections: int = 100  # of those, as one user
    smtp_dsn: str = "asked"  # whether a sender that asked for notifications gets them: asked or never
    smtp_proxy_protocol: bool = False  # a TCP load balancer that sends the header is before the SMTP server

    @property
    def bounce_domain(self) -> str:
        """The domain of our reverse-paths."""
        return f"bounce.{self.platform_domain}"


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of the environment, or of the mapping given. Raises SettingsError naming every wrong one."""
    reader = _Reader(os.environ if environment is None else environment)
    settings = Settings(
        storage=_storage(reader),
        sealing_key=Secret(reader.text("POSTRIDER_SEALING_KEY", "")),
        max_request_bytes=reader.number("POSTRIDER_MAX_REQUEST_BYTES", 10 * 1024 * 1024, 1024, 100 * 1024 * 1024),
        max_sends_in_flight=reader.number("POSTRIDER_MAX_SENDS_IN_FLIGHT", 64, 1, 1000),
        max_bytes_in_flight=reader.number("POSTRIDER_MAX_BYTES_IN_FLIGHT", MAX_BYTES_IN_FLIGHT, 1024 * 1024, 2**32),
        max_recipients=reader.number("POSTRIDER_MAX_RECIPIENTS", 50, 1, MOST_RECIPIENTS),
        acs_limits=reader.switch("POSTRIDER_ACS_LIMITS", False),
        routes=reader.text("POSTRIDER_ROUTES", "mx"),
        dns_server=reader.text("POSTRIDER_DNS", ""),
        mx_port=reader.number("POSTRIDER_MX_PORT", 25, 1, 65535),
        allow_private_addresses=reader.switch("POSTRIDER_ALLOW_PRIVATE_ADDRESSES", False),
        ehlo_name=reader.text("POSTRIDER_EHLO_NAME", ""),
        platform_domain=reader.text("POSTRIDER_PLATFORM_DOMAIN", "postrider.test").lower().rstrip("."),
        time_to_live=HOUR * reader.number("POSTRIDER_TTL_HOURS", 72, 1, 120),
        public_host=reader.text("POSTRIDER_PUBLIC_HOST", "").lower(),
        local_world=reader.switch("POSTRIDER_LOCAL", False),
        log_full_addresses=reader.switch("POSTRIDER_LOG_FULL_ADDRESSES", False),
        configuration_seconds=float(reader.number("POSTRIDER_CONFIGURATION_SECONDS", 30, 0, 60)),
        claim_seconds=float(reader.number("POSTRIDER_CLAIM_SECONDS", 300, 1, LONGEST_CLAIM)),
        run_seconds=float(reader.number("POSTRIDER_RUN_SECONDS", 240, 1, LONGEST_CLAIM)),
        retry_pauses=reader.pauses("POSTRIDER_RETRY_PAUSES", RETRY_PAUSES),
        admin_token=Secret(reader.text("POSTRIDER_ADMIN_TOKEN", "")),
        entra_tenants=reader.words("POSTRIDER_ENTRA_TENANTS"),
        entra_authority=reader.text("POSTRIDER_ENTRA_AUTHORITY", "https://login.microsoftonline.com").rstrip("/"),
        entra_audiences=reader.words("POSTRIDER_ENTRA_AUDIENCES"),
        roles=reader.words("POSTRIDER_ROLES"),
        client_address_hops=reader.number("POSTRIDER_PROXY_HOPS", 1, 0, 10),
        zones=tuple(Secret(zone) for zone in reader.words("POSTRIDER_ZONES")),
        dkim_zone=reader.text("POSTRIDER_DKIM_ZONE", "").lower().rstrip("."),
        spf_include=reader.text("POSTRIDER_SPF_INCLUDE", "").lower().rstrip("."),
        dns_port=reader.number("POSTRIDER_DNS_PORT", 53, 1, 65535),
        verification_seconds=HOUR * reader.number("POSTRIDER_VERIFICATION_HOURS", 72, 1, 720),
        grace_seconds=HOUR * reader.number("POSTRIDER_GRACE_HOURS", 72, 0, 720),
        reverify_schedule=reader.schedule("POSTRIDER_REVERIFY_SCHEDULE", REVERIFY_SCHEDULE),
        reverify_spread_seconds=MINUTE * reader.number("POSTRIDER_REVERIFY_SPREAD_MINUTES", 240, 0, 1380),
        rotation_days=reader.number("POSTRIDER_ROTATION_DAYS", 0, 0, 3650),
        managed_domain_extras=reader.switch("POSTRIDER_MANAGED_DOMAIN_EXTRAS", False),
        any_sender=reader.switch("POSTRIDER_ANY_SENDER", False),
        smtp_host=reader.text("POSTRIDER_SMTP_HOST", "0.0.0.0"),  # noqa: S104 - it is there to be reached
        smtp_submission_port=reader.number("POSTRIDER_SMTP_SUBMISSION_PORT", 587, 0, 65535),
        smtp_tls_port=reader.number("POSTRIDER_SMTP_TLS_PORT", 465, 0, 65535),
        smtp_inbound_port=reader.number("POSTRIDER_SMTP_INBOUND_PORT", 25, 0, 65535),
        smtp_health_port=reader.number("POSTRIDER_SMTP_HEALTH_PORT", 8025, 0, 65535),
        smtp_certificate=reader.text("POSTRIDER_SMTP_CERTIFICATE", ""),
        smtp_key=reader.text("POSTRIDER_SMTP_KEY", ""),
        smtp_max_bytes=reader.number("POSTRIDER_SMTP_MAX_BYTES", 30 * 1024 * 1024, 1024, 100 * 1024 * 1024),
        smtp_connections=reader.number("POSTRIDER_SMTP_CONNECTIONS", 250, 1, 10_000),
        smtp_user_connections=reader.number("POSTRIDER_SMTP_USER_CONNECTIONS", 100, 1, 10_000),
        smtp_dsn=reader.one_of("POSTRIDER_SMTP_DSN", "asked", ("asked", "never")),
        smtp_proxy_protocol=reader.switch("POSTRIDER_SMTP_PROXY_PROTOCOL", False),
    )
    reader.wrong += _conflicts(settings)
    if reader.wrong:
        raise SettingsError("\n".join(reader.wrong))
    return settings


def _conflicts(settings: Settings) -> Iterator[str]:
    if settings.admin_token and len(settings.admin_token) < LEAST_ADMIN_TOKEN:
        yield f"POSTRIDER_ADMIN_TOKEN must have {LEAST_ADMIN_TOKEN} characters or more, or it could be guessed"
    if settings.run_seconds >= settings.claim_seconds:
        yield "POSTRIDER_RUN_SECONDS must be less than POSTRIDER_CLAIM_SECONDS, or a claim ends under a run"


def reverify_schedule(environment: Mapping[str, str] | None = None) -> str:
    """The schedule of the timer function `reverify`, which the host wants before any function can run; raises nothing.

    A wrong one is the default here, so that the app loads all the same; `load_settings` tells of it.
    """
    reader = _Reader(os.environ if environment is None else environment)
    return reader.schedule("POSTRIDER_REVERIFY_SCHEDULE", REVERIFY_SCHEDULE)


def _storage(reader: _Reader) -> StorageSettings:
    prefix = "AzureWebJobsStorage"
    storage = StorageSettings(
        connection_string=Secret(reader.text(prefix, "")),
        account_name=reader.text(f"{prefix}__accountName", ""),
        client_id=reader.text(f"{prefix}__clientId", ""),
        table_uri=reader.text(f"{prefix}__tableServiceUri", ""),
        queue_uri=reader.text(f"{prefix}__queueServiceUri", ""),
        blob_uri=reader.text(f"{prefix}__blobServiceUri", ""),
    )
    endpoints = storage.table_uri and storage.queue_uri and storage.blob_uri
    if not (storage.connection_string or storage.account_name or endpoints):
        reader.wrong.append(
            f"{prefix} is empty: set it to a connection string, or set {prefix}__accountName for the app's identity"
        )
    return storage


class _Reader:
    """Reads one environment and remembers what was wrong with it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.wrong: list[str] = []

    def text(self, name: str, default: str) -> str:
        return self._environment.get(name, "").strip() or default

    def words(self, name: str) -> tuple[str, ...]:
        return tuple(word.strip() for word in self.text(name, "").split(",") if word.strip())

    def number(self, name: str, default: int, least: int, most: int) -> int:
        return self._converted(
            name, default, int, lambda value: least <= value <= most, f"a whole number from {least} to {most}"
        )

    def pauses(self, name: str, default: tuple[float, ...]) -> tuple[float, ...]:
        return self._converted(
            name,
            default,
            lambda text: tuple(float(int(word)) for word in text.split(",")),
            lambda pauses: len(pauses) <= MOST_PAUSES and all(1 <= pause <= LONGEST_PAUSE for pause in pauses),
            f"up to {MOST_PAUSES} whole numbers of seconds with commas between, each from 1 to {LONGEST_PAUSE}",
        )

    def schedule(self, name: str, default: str) -> str:
        rule = (
            f"six fields of NCRONTAB in numbers, once an hour at most and with days of the month from 1 to 28, as {default!r}"
        )
        return self._converted(name, default, lambda text: " ".join(text.split()), _is_schedule, rule)

    def one_of(self, name: str, default: str, words: tuple[str, ...]) -> str:
        return self._converted(name, default, str.lower, lambda word: word in words, " or ".join(words))

    def switch(self, name: str, default: bool) -> bool:
        words = {"on": True, "true": True, "1": True, "yes": True, "off": False, "false": False, "0": False, "no": False}
        return self._converted(name, default, lambda text: words[text.lower()], lambda _: True, "on or off")

    def _converted(self, name: str, default: T, convert: Callable[[str], T], holds: Callable[[T], bool], rule: str) -> T:
        text = self.text(name, "")
        if not text:
            return default
        try:
            value = convert(text)
        except (ValueError, KeyError):
            value = None
        if value is None or not holds(value):
            self.wrong.append(f"{name} must be {rule}; it is {text!r}")
            return default
        return value


def _is_schedule(text: str) -> bool:
    fields = text.split()
    if len(fields) != len(_SCHEDULE_FIELDS) or not (fields[0].isdecimal() and fields[1].isdecimal()):
        return False
    if not text.isascii():
        return False  # Python takes the digits of all scripts for numbers, and the host does not
    for field_text, (least, most) in zip(fields, _SCHEDULE_FIELDS, strict=True):
        for part in field_text.split(","):
            found = _schedule_part.fullmatch(part)
            if found is None or not all(least <= int(number) <= most for number in found.group(1, 2) if number):
                return False
            if found[2] and int(found[1]) > int(found[2]):
                return False
    return True
