"""What is installed, against what the requirements files and package-lock.json pin."""

from __future__ import annotations

import json
import operator
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from local.doctor.check import Finding, left_out, notice, ok, wrong

_LINE = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>[^\s;]+)\s*(?:;\s*(?P<marker>.+))?")
_MARKER = re.compile(r"python_version\s*(<=|>=|==|!=|<|>)\s*[\"'](\d+)\.(\d+)[\"']")
_COMPARE = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_RUNNING = "requirements-local.txt"  # what ./postrider installs for every command
_TESTING = "requirements-dev.txt"
_SHOWN = 5


class Pin(NamedTuple):
    """A package and the version that a requirements file asks for."""

    name: str
    version: str


def pins(file: Path, python: tuple[int, int] = sys.version_info[:2]) -> Iterator[Pin]:
    """The pins of a requirements file and of those that it includes, for a version of Python."""
    for line in file.read_text(encoding="utf-8").splitlines():
        wanted = line.partition("#")[0].strip()
        if wanted.startswith("-r "):
            yield from pins(file.with_name(wanted[3:].strip()), python)
        elif (found := _LINE.fullmatch(wanted)) and _applies(found["marker"] or "", python):
            yield Pin(found["name"], found["version"])


def _applies(marker: str, python: tuple[int, int]) -> bool:
    found = _MARKER.fullmatch(marker.strip())
    # Another marker than those that our files have: better to compare once too often.
    return found is None or bool(_COMPARE[found[1]](python, (int(found[2]), int(found[3]))))


def python_packages(root: Path) -> Finding:
    """The installed packages of this Python. Those of the tests may be absent, for only `./postrider test` needs them."""
    name = "Python packages"
    if not (root / _RUNNING).exists():
        return left_out(name, f"{_RUNNING} is not in this checkout")
    needed = set(pins(root / _RUNNING))
    all_pins = needed | (set(pins(root / _TESTING)) if (root / _TESTING).exists() else set())
    missing: list[str] = []
    differing: list[str] = []
    for pin in sorted(all_pins):
        installed = _installed(pin.name)
        if not installed and pin in needed:
            missing.append(f"{pin.name} {pin.version}")
        elif installed and installed != pin.version:
            differing.append(f"{pin.name} is {installed} and not {pin.version}")
    install = f"{sys.executable} -m pip install -r {root / _RUNNING}"
    if missing:
        return wrong(name, f"not installed: {_some(missing)}", f"install what is pinned: {install}")
    if differing:
        return notice(name, _some(differing), f"install what is tested: {install}")
    return ok(name, f"{len(all_pins)} pinned, all as pinned where installed")


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _some(texts: list[str]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def azurite_package(root: Path, *, needed: bool) -> Finding:
    """Azurite, which only a local world needs."""
    name = "Azurite"
    lock, package = root / "package-lock.json", root / "node_modules" / "azurite" / "package.json"
    if not package.exists():
        remedy = "./postrider up installs it"
        return wrong(name, "not installed", remedy) if needed else notice(name, "not installed", f"for a local world, {remedy}")
    installed = _version(json.loads(package.read_text(encoding="utf-8")))
    if not lock.exists():
        return ok(name, installed)
    locked = _version(json.loads(lock.read_text(encoding="utf-8"))["packages"].get("node_modules/azurite", {}))
    if installed != locked:
        return notice(name, f"{installed} and not {locked}", f"install what is tested: npm ci --omit=dev (in {root})")
    return ok(name, f"{installed}, as pinned")


def _version(package: dict[str, object]) -> str:
    return str(package.get("version", "?"))
