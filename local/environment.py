"""The environment of the local world: what a program is told, as variables and as a file for a shell."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def own_environment() -> dict[str, str]:
    """The variables that we were started with."""
    return dict(os.environ)


def without_proxy_for_this_machine(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables to add where a proxy is set: it cannot reach our loopback addresses, and clients would ask it for them."""
    lowered = {name.lower(): value for name, value in environment.items()}
    if not any(lowered.get(f"{scheme}_proxy") for scheme in ("http", "https", "all")):
        return {}
    exempt = [name for name in lowered.get("no_proxy", "").split(",") if name]
    exempt += [name for name in ("localhost", "127.0.0.1", "::1") if name not in exempt]
    return dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(exempt))


def write_environment(path: Path, variables: Mapping[str, str]) -> None:
    """A file that `. FILE` makes variables of, whatever their values hold; it has secrets, so only its owner may read it."""
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write("# The local world of ./postrider up. In a shell: . " + shlex.quote(str(path)) + "\n")
        file.writelines(lines)
    fresh.replace(path)


def read_environment(path: Path) -> dict[str, str]:
    """The variables of such a file; empty when there is none."""
    if not path.exists():
        return {}
    variables = {}
    for word in shlex.split(path.read_text(encoding="utf-8"), comments=True):
        name, equals, value = word.partition("=")
        if equals and _NAME.fullmatch(name):
            variables[name] = value
    return variables
