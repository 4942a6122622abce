"""The composition root: how the parts of Postrider are put together for one worker."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from email_core import maillog
from email_core.allocator import hand_back_large_blocks
from email_core.auth.authenticate import Authenticator
from email_core.clock import Clock, SystemClock
from email_core.data_plane.sandbox_limits import SandboxLimits
from email_core.delivery.attempt import Courier
from email_core.delivery.capacity import Capacity
from email_core.delivery.claim import Claims
from email_core.delivery.deliver import Deliverer, message_room
from email_core.delivery.dsn_sending import Notifier
from email_core.delivery.poison import PoisonKeeper
from email_core.delivery.settle import Settler
from email_core.delivery.spool import Spool
from email_core.delivery.sweep import Sweeper
from email_core.dns.resolver import DnsResolver
from email_core.domains.directory import Directory
from email_core.domains.zone_setting import check_zones
from email_core.explain.notice import notice_words
from email_core.sealing import Sealer
from email_core.settings import Settings, load_settings
from email_core.signing.dkim import sign
from email_core.storage import Storage, open_storage
from email_core.submission.admission import admission, explanation_places
from email_core.submission.limits import Limits
from email_core.submission.prepare import Preparer

if TYPE_CHECKING:
    from email_core.administration.call import Administration


@dataclass(frozen=True, slots=True)
class Services:
    """What the functions of one worker share.

    `administration` puts the management plane together at its first call: sending mail should not wait for its import.
    """

    settings: Settings
    clock: Clock
    storage: Storage
    spool: Spool
    directory: Directory
    courier: Courier
    claims: Claims
    preparer: Preparer
    deliverer: Deliverer
    notifier: Notifier
    poison_keeper: PoisonKeeper
    sweeper: Sweeper
    limits: Limits
    sandbox_limits: SandboxLimits | None
    admission: Capacity
    explanations: Capacity
    authenticator: Authenticator
    administration: Callable[[], Administration]

    async def close(self) -> None:
        """Close connections to receivers and to storage."""
        await self.courier.close()
        await self.storage.close()


def build_services(settings: Settings, clock: Clock, *, storage: Storage | None = None) -> Services:
    """Put the parts together. No I/O happens here; raises SettingsError and its kind when a setting is unusable."""
    maillog.configure(full_addresses=settings.log_full_addresses)
    check_zones(settings)
    storage = storage or open_storage(settings.storage)
    sealer = Sealer.from_setting(settings.sealing_key)
    spool = Spool(storage)
    directory = Directory(storage.tables, sealer, clock, settings.configuration_seconds, any_sender=settings.any_sender)
    resolver = DnsResolver(settings.dns_server, monotonic=clock.monotonic)
    courier = Courier.from_settings(settings, clock)
    settler = Settler(storage, spool, settings, clock)
    claims = Claims(spool, clock, settings.claim_seconds)
    room = message_room(settings.max_bytes_in_flight)
    deliverer = Deliverer(spool, claims, settler, courier, sealer.derived_keys("reverse-path"), room)
    by_platform = functools.partial(_signed_by_platform, directory, clock)
    return Services(
        settings=settings,
        clock=clock,
        storage=storage,
        spool=spool,
        directory=directory,
        courier=courier,
        claims=claims,
        preparer=Preparer(spool, claims, directory, deliverer, settler, settings, clock, storage.tables, resolver),
        deliverer=deliverer,
        notifier=Notifier(spool, settings, clock, room, notice_words, by_platform, storage.tables),
        poison_keeper=PoisonKeeper(storage, spool, clock, settings),
        sweeper=Sweeper(storage, spool, clock, settings.claim_seconds),
        limits=Limits(storage.tables, clock),
        sandbox_limits=SandboxLimits() if settings.acs_limits else None,
        admission=admission(settings),
        explanations=explanation_places(),
        authenticator=Authenticator(settings, clock),
        administration=functools.cache(lambda: _administration(settings, clock, storage, sealer)),
    )


async def _signed_by_platform(directory: Directory, clock: Clock, message: bytes, valid_for: float) -> bytes:
    """A message of the platform's own, with its signatures. Raises ConfigurationMissing when the platform has no keys."""
    return sign(message, await directory.platform_keys(), now=clock.now(), valid_for=valid_for) + message


def _administration(settings: Settings, clock: Clock, storage: Storage, sealer: Sealer) -> Administration:
    from email_core.administration.build import build_administration

    return build_administration(storage, sealer, settings, clock)


class Worker:
    """Builds the services at the first invocation, for a connection belongs to the event loop that uses it.

    No host tells an app that it ends. Ours and the Functions worker both run it by `asyncio.run`, which closes the
    asynchronous generators that are left once no task runs any more: the services are what one of them yields.
    """

    def __init__(self) -> None:
        self._services: Services | None = None
        self._opened: AsyncGenerator[Services, None] | None = None
        self._lock = asyncio.Lock()

    async def services(self) -> Services:
        """The services of this worker. Raises SettingsError when the app's settings are wrong."""
        if self._services is None:
            async with self._lock:
                if self._services is None:
                    hand_back_large_blocks()
                    opened = _services_until_closed()
                    self._services, self._opened = await anext(opened), opened
        return self._services

    async def close(self) -> None:
        """Close what was opened; the next invocation would open it again."""
        opened, self._services, self._opened = self._opened, None, None
        if opened is not None:
            await opened.aclose()


async def _services_until_closed() -> AsyncGenerator[Services, None]:
    services = build_services(load_settings(), SystemClock())
    try:
        yield services
    finally:
        await services.close()
