"""Fills the storage of a local world with a service that can send."""

from __future__ import annotations

from collections.abc import Mapping

from email_core.administration.provision import LocalService, provision_local
from email_core.sealing import Sealer
from email_core.settings import load_settings
from email_core.storage import open_storage


async def provision(app_settings: Mapping[str, str], *, smtp_password: str = "") -> LocalService:
    """The default service under these app settings, with an SMTP username when there is a password for it.

    Raises SettingsError for a wrong setting.
    """
    settings = load_settings(app_settings)
    storage = open_storage(settings.storage)
    try:
        sealer = Sealer.from_setting(settings.sealing_key)
        return await provision_local(storage, sealer, settings, smtp_password=smtp_password)
    finally:
        await storage.close()
