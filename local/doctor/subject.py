"""What is looked at: a checkout, an installation, and what can be made of its settings. Each thing is made when first needed.

Whatever is missing or wrong is a LeftOut for the checks that need it, and a line of its own in the check that looks at it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from email_core.clock import Clock, SystemClock
from email_core.settings import Settings, SettingsError, load_settings
from local.environment import own_environment, read_environment
from local.folder import Folder
from local.host_settings import HostSettingsError
from local.installation import Installation, NoInstallation, installation

if TYPE_CHECKING:
    from email_core.delivery.routes import Route
    from email_core.dns.resolver import DnsResolver
    from email_core.sealing import Sealer
    from email_core.storage import Storage
    from email_core.storage.account import Account

_OF_AN_INSTALLATION = (
    "email_core.storage.pipeline", "email_core.administration.provision", "email_core.delivery.probe", "aiohttp",
    "dns.asyncresolver", "local.world",
)  # fmt: skip


class LeftOut(Exception):
    """A check that cannot be made; the text says which thing that it needs is missing."""


class Subject:
    """`trouble` is why there is no installation, and the remedy; `wrong_settings` has a line for each setting that is wrong."""

    def __init__(self, options: argparse.Namespace, root: Path, clock: Clock | None = None) -> None:
        self.options = options
        self.root = root
        self.clock: Clock = clock or SystemClock()
        self.environment: Mapping[str, str] = own_environment()
        self.installation: Installation | None = None
        self.trouble = ("", "")
        self.wrong_settings: tuple[str, ...] = ()
        self._settings: Settings | None = None
        self._storage: Storage | None = None
        self._resolver: DnsResolver | None = None
        try:
            self.installation = installation(root)
        except NoInstallation as error:
            found, _, remedy = str(error).partition(": ")
            self.trouble = found, remedy or "start a local world with ./postrider up"
        except HostSettingsError as error:
            self.trouble = str(error), "correct that file, or begin anew with a copy of local.settings.sample.json"
        except ValueError as error:
            self.trouble = (
                f"{Folder.of_up(root).app_settings_file} cannot be read: {error}",
                "start ./postrider up, which writes it",
            )
        if self.installation is not None:
            self._read_settings(self.installation.app_settings)

    @property
    def offline(self) -> bool:
        return bool(self.options.offline)

    @property
    def is_local(self) -> bool:
        """Whether a local world is what should be running here: it is the installation, or there is none at all."""
        return self._settings.local_world if self._settings else self.installation is None

    @property
    def found_in(self) -> str:
        """Where the app settings come from, in words."""
        return self.installation.found_in if self.installation else "nowhere"

    def settings(self) -> Settings:
        """Raises LeftOut."""
        if self._settings is None:
            raise LeftOut("the settings are wrong" if self.installation else "no installation was found")
        return self._settings

    def account(self) -> Account:
        """The storage account. Raises LeftOut."""
        from email_core.storage.account import account_of

        try:
            return account_of(self.settings().storage)
        except SettingsError:
            raise LeftOut("the settings name no usable storage account") from None

    def storage(self) -> Storage:
        """Raises LeftOut."""
        from email_core.storage import open_storage

        self.account()
        if self._storage is None:
            self._storage = open_storage(self.settings().storage)
        return self._storage

    def sealer(self) -> Sealer:
        """Raises LeftOut."""
        from email_core.sealing import Sealer, SealingError

        try:
            return Sealer.from_setting(self.settings().sealing_key)
        except SealingError:
            raise LeftOut("there is no usable sealing key") from None

    def resolver(self) -> DnsResolver:
        """The DNS as delivery asks it; the system's when there are no settings. Raises LeftOut."""
        from email_core.dns.resolver import DnsResolver, ResolverSettingError

        if self._resolver is None:
            try:
                self._resolver = DnsResolver(self._settings.dns_server if self._settings else "")
            except ResolverSettingError:
                raise LeftOut("POSTRIDER_DNS is wrong") from None
        return self._resolver

    def routes(self) -> tuple[Route, ...]:
        """Raises LeftOut."""
        from email_core.delivery.attempt import Courier
        from email_core.delivery.routes import parse_routes

        try:
            Courier.from_settings(self.settings(), self.clock)
            return parse_routes(self.settings().routes)
        except SettingsError:
            raise LeftOut("the settings of delivery are wrong") from None

    def warm_up(self) -> None:
        """Import what the checks of an installation need: a second of it must not come out of the time that a check has."""
        if self._settings is not None:
            for module in _OF_AN_INSTALLATION:
                with suppress(ImportError):  # the line of the packages tells what is missing
                    import_module(module)

    def world_variables(self) -> Mapping[str, str]:
        """What a running local world told about itself: in our environment, or in the file that `up` writes."""
        if "POSTRIDER_ENDPOINT" in self.environment:
            return self.environment
        return read_environment(Folder.of_up(self.root).environment_file)

    def secrets(self) -> tuple[str, ...]:
        """What no line may show, wherever a text comes from; the longest first."""
        from email_core.delivery.routes import parse_routes
        from email_core.storage.account import SharedAccess

        found: list[str] = []
        if self._settings is not None:
            connection_string = self._settings.storage.connection_string
            found += [*self._settings.sealing_key.split(","), connection_string]
            found += [value for name, _, value in (part.partition("=") for part in connection_string.split(";"))
                      if name.strip().lower() in ("accountkey", "sharedaccesssignature")]  # fmt: skip
            # One setting that is wrong must not keep the secrets of the others from being known.
            with suppress(LeftOut):
                credential = self.account().credential
                found += [credential.signature] if isinstance(credential, SharedAccess) else []
            with suppress(SettingsError):
                routes = parse_routes(self._settings.routes)
                found += [password for route in routes if (password := getattr(route, "password", ""))]
        return tuple(sorted({text.strip() for text in found if len(text.strip()) >= 4}, key=len, reverse=True))

    async def close(self) -> None:
        """Close the connections to storage."""
        if self._storage is not None:
            await self._storage.close()

    def _read_settings(self, app_settings: Mapping[str, str]) -> None:
        try:
            self._settings = load_settings(app_settings)
        except SettingsError as error:
            self.wrong_settings = tuple(str(error).splitlines())
            return
        self.wrong_settings = tuple(dict.fromkeys(_more_wrong_settings(self._settings, self.clock)))


def _more_wrong_settings(settings: Settings, clock: Clock) -> list[str]:
    """What only those find out who use a setting, without doing anything with it yet."""
    from email_core.delivery.attempt import Courier
    from email_core.delivery.routes import parse_routes
    from email_core.dns.resolver import DnsResolver
    from email_core.storage.account import account_of

    found: list[str] = []
    for use in (
        lambda: account_of(settings.storage),
        lambda: parse_routes(settings.routes),
        lambda: DnsResolver(settings.dns_server),
        # The name in EHLO, whatever the two settings before it are.
        lambda: Courier(replace(settings, routes="mx"), clock, DnsResolver()),
    ):
        try:
            use()
        except SettingsError as error:
            found += str(error).splitlines()
    return found
