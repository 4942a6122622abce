"""`./postrider key`: the access keys of a communication service, over the management API."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from local import arm_scope
from local.administering import administer, meant, tell
from local.arm_client import ArmClient, UsageError
from local.domain_view import limits_text, moment
from local.table import table

_DAYS = re.compile(r"(\d{1,5})d")
_SECONDS_UNTIL_KNOWN = 60


def key(options: argparse.Namespace, root: Path) -> int:
    """The exit status: 0 done, 1 refused or not found, 2 a wrong command line, 3 nothing running."""
    actions: dict[str, Callable[[ArmClient, argparse.Namespace], int]] = {
        "list": _list, "regenerate": _regenerate, "add": _add, "remove": _remove,
    }  # fmt: skip
    return administer(actions[options.action], options, root)


def _list(client: ArmClient, options: argparse.Namespace) -> int:
    service = arm_scope.communication_service(client, options)
    extra = list(client.list(f"{service}/accessKeys"))
    secrets = client.call("POST", f"{service}/listKeys").body if options.secrets else {}
    return tell(options, {"keys": secrets, "accessKeys": extra}, lambda: _list_lines(extra, secrets))


def _list_lines(extra: list[dict[str, Any]], secrets: Mapping[str, str]) -> Iterator[str]:
    rows = [(name, "send and read", "all", "anywhere", "never", "") for name in ("primary", "secondary")]
    for each in extra:
        properties = each["properties"]
        rows.append(
            (
                each["name"],
                "send" if properties.get("sendOnly") else "send and read",
                ", ".join(properties.get("domains") or ()) or "all",
                ", ".join(properties.get("sourceRanges") or ()) or "anywhere",
                moment(properties["expiresOn"]) if properties.get("expiresOn") else "never",
                limits_text(properties.get("limits") or ()),
            )
        )
    yield from table(("KEY", "MAY", "DOMAINS", "FROM", "EXPIRES", "LIMITS"), rows)
    for name in ("primary", "secondary"):
        if f"{name}ConnectionString" in secrets:
            yield ""
            yield f"{name}: {secrets[f'{name}ConnectionString']}"


def _regenerate(client: ArmClient, options: argparse.Namespace) -> int:
    service = arm_scope.communication_service(client, options)
    meant(options, f"The {options.which} key of {service} will be replaced, and whoever uses it refused.")
    answer = client.call("POST", f"{service}/regenerateKey", {"keyType": options.which.capitalize()}).body
    lines = [
        f"The {options.which} key is a new one; workers take the old one for {_SECONDS_UNTIL_KNOWN} seconds more at the most.",
        str(answer.get(f"{options.which}ConnectionString", "")),
    ]
    return tell(options, answer, lambda: lines)


def _add(client: ArmClient, options: argparse.Namespace) -> int:
    service = arm_scope.communication_service(client, options)
    path = f"{service}/accessKeys/{options.name}"
    if client.find(path) is not None:
        raise UsageError(f"there is a key {options.name} already: remove it first, or take another name for a new secret")
    properties: dict[str, Any] = {
        "sendOnly": not options.read,
        "domains": options.domain,
        "sourceRanges": options.source,
        "limits": [each for each in options.limit or () if each],
        **({"expiresOn": _moment(options.expires)} if options.expires else {}),
    }
    made = client.put(path, {"properties": properties}).body
    secret = made["properties"].get("connectionString") or made["properties"].get("key", "")
    return tell(options, made, lambda: [f"{options.name}: made. This is shown now and never again:", secret])


def _remove(client: ArmClient, options: argparse.Namespace) -> int:
    service = arm_scope.communication_service(client, options)
    meant(options, f"The key {options.name} of {service} will be deleted, and whoever uses it refused.")
    if not client.delete(f"{service}/accessKeys/{options.name}"):
        raise arm_scope.NotFound(f"there is no key {options.name}: ./postrider key list has those there are")
    return tell(options, {"removed": options.name}, lambda: [f"{options.name}: removed; it is refused within a minute"])


def _moment(text: str) -> str:
    days = _DAYS.fullmatch(text)
    if days:
        return (datetime.now(UTC) + timedelta(days=int(days[1]))).isoformat(timespec="seconds")
    return text  # the service judges it
