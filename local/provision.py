"""Fills the storage of a local world with a service that can send."""

from __future__ import annotations

from collections.abc import Mapping

from email_core.administration.provision import LocalService, provision_local
from email_core.sealing import Sealer
from email_core.settings import load_settings
from email_core.storage import open_storage


async def provision(app_settings: Mapping[str, str]) -> LocalService:
    """The default service under these app settings. Raises SettingsError for a wrong one."""
    settings = load_settings(app_settings)
    storage = open_storage(settings.storage)
    try:
        return await provision_local(storage, Sealer.from_setting(settings.sealing_key), settings)
    finally:
        await storage.close()
