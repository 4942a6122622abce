"""What host.json and local.settings.json say, as far as the functions host for one machine obeys it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TIME_SPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})(\.\d+)?")
_SETTING = re.compile(r"%([^%]+)%")


class HostSettingsError(Exception):
    """A file of settings that cannot be obeyed; the text names the file, the setting and the rule."""


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """`extensions.queues` of host.json. Times are in seconds."""

    batch_size: int = 16
    new_batch_threshold: int = 8  # more is fetched when so few are still running
    max_polling_interval: float = 2.0  # what the host takes on a developer's machine; 60 on Azure
    visibility_timeout: float = 0.0  # how long a message stays away after its function failed
    max_dequeue_count: int = 5
    base64: bool = True  # messageEncoding


@dataclass(frozen=True, slots=True)
class HostSettings:
    """host.json. `function_timeout` is in seconds, None when unbounded."""

    route_prefix: str = "api"
    function_timeout: float | None = 1800.0
    queues: QueueSettings = QueueSettings()


def load_host_settings(path: Path) -> HostSettings:
    """The settings of a host.json. Raises HostSettingsError."""
    content = _read_object(path)
    if content.get("version") != "2.0":
        raise HostSettingsError(f'{path.name}: "version" must be "2.0"')
    extensions = _section(content, "extensions", path)
    http = _section(extensions, "http", path)
    timeout = content.get("functionTimeout", "00:30:00")
    return HostSettings(
        route_prefix=str(http.get("routePrefix", "api")),
        function_timeout=None if timeout == "-1" else _seconds(timeout, "functionTimeout", path),
        queues=_queue_settings(_section(extensions, "queues", path), path),
    )


def _queue_settings(section: Mapping[str, Any], path: Path) -> QueueSettings:
    encoding = section.get("messageEncoding", "base64")
    if encoding not in ("base64", "none"):
        raise HostSettingsError(f'{path.name}: messageEncoding must be "base64" or "none"; it is {encoding!r}')
    batch_size = _whole(section, "batchSize", 16, 1, 32, path)
    return QueueSettings(
        batch_size=batch_size,
        new_batch_threshold=_whole(section, "newBatchThreshold", batch_size // 2, 0, 1000, path),
        max_polling_interval=max(0.1, _seconds(section.get("maxPollingInterval", "00:00:02"), "maxPollingInterval", path)),
        visibility_timeout=_seconds(section.get("visibilityTimeout", "00:00:00"), "visibilityTimeout", path),
        max_dequeue_count=_whole(section, "maxDequeueCount", 5, 1, 1_000_000, path),
        base64=encoding == "base64",
    )


def load_app_settings(path: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The `Values` of local.settings.json, if there is one, under the environment: what is set there wins, as with Core Tools.

    Raises HostSettingsError.
    """
    values = _section(_read_object(path), "Values", path) if path.exists() else {}
    wrong = [name for name, value in values.items() if not isinstance(value, str)]
    if wrong:
        raise HostSettingsError(f"{path.name}: the values of {', '.join(wrong)} must be strings")
    return {**values, **environment}


def resolve(text: str, settings: Mapping[str, str]) -> str:
    """`text` with every %NAME% replaced by that app setting. Raises HostSettingsError when one is not set."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in settings:
            raise HostSettingsError(f"'%{found[1]}%' does not resolve to a value: there is no such app setting")
        return settings[found[1]]

    return _SETTING.sub(value, text)


def is_disabled(function: str, app_settings: Mapping[str, str]) -> bool:
    """Whether `AzureWebJobs.<function>.Disabled` is true, as the Functions host reads it."""
    return app_settings.get(f"AzureWebJobs.{function}.Disabled", "").lower() in ("true", "1")


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise HostSettingsError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise HostSettingsError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise HostSettingsError(f"{path.name} must hold a JSON object")
    return content


def _section(content: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    section = content.get(name, {})
    if not isinstance(section, dict):
        raise HostSettingsError(f'{path.name}: "{name}" must be an object')
    return section


def _seconds(value: object, name: str, path: Path) -> float:
    found = _TIME_SPAN.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise HostSettingsError(f'{path.name}: {name} must be a time span such as "00:00:30"; it is {value!r}')
    days, hours, minutes, seconds, fraction = found.groups()
    return int(days or 0) * 86400.0 + int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(fraction or 0)


def _whole(section: Mapping[str, Any], name: str, default: int, least: int, most: int, path: Path) -> int:
    value = section.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise HostSettingsError(f"{path.name}: {name} must be a whole number from {least} to {most}; it is {value!r}")
    return value
