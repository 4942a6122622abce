"""The installation that an operator's command is about: its app settings, and where they were found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local.environment import own_environment, read_environment
from local.folder import Folder
from local.host_settings import load_app_settings

_STORAGE = "AzureWebJobsStorage"


class NoInstallation(Exception):
    """No app settings were found anywhere; the text says where to put them."""


@dataclass(frozen=True, slots=True)
class Installation:
    """App settings as the functions see them; `found_in` says where they come from, in words for people."""

    app_settings: Mapping[str, str] = field(repr=False)
    found_in: str


def installation(root: Path) -> Installation:
    """That of our own environment, else the local world of this checkout, else that of local.settings.json.

    Raises NoInstallation, and HostSettingsError for a local.settings.json that cannot be read.
    """
    environment = own_environment()
    if any(name == _STORAGE or name.startswith(f"{_STORAGE}__") for name in environment):
        return Installation(environment, "the environment")
    world = Folder.of_up(root).app_settings_file
    if world.exists():
        return Installation({**environment, **read_environment(world)}, "the local world in .local")
    file = root / "local.settings.json"
    settings = load_app_settings(file, environment)
    if _STORAGE in settings or any(name.startswith(f"{_STORAGE}__") for name in settings):
        return Installation(settings, file.name)
    raise NoInstallation(
        f"no installation is known here: start a local world with ./postrider up, or set {_STORAGE} and the other app "
        "settings in the environment or in local.settings.json"
    )
