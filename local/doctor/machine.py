"""This machine: what is installed, in which version, and room on the disk."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import re
import shutil
import sys
from pathlib import Path

from local.doctor.check import Check, Finding, notice, ok, wrong
from local.doctor.packages import azurite_package, python_packages
from local.doctor.subject import Subject

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)  # those of requirements.txt
OLDEST_NODE = 18  # what Azurite runs on
GIB = 1024**3
LITTLE_ROOM, NO_ROOM = 1 * GIB, GIB // 10  # bytes; Azurite fails in the middle of a write when there is none

_GROUP = "This machine"


def machine_line() -> str:
    """One line that says what this was run on."""
    cores = os.cpu_count() or 1
    return f"{platform.system()} {platform.release()} {platform.machine()}, {cores} CPUs, Python {platform.python_version()}"


def python_finding(version: tuple[int, int, int]) -> Finding:
    """Whether that version of Python is one that we are tested with."""
    shown, supported = ".".join(map(str, version)), "3.11 to 3.13"
    if OLDEST_PYTHON <= version[:2] <= NEWEST_PYTHON:
        return ok("Python", shown)
    return wrong("Python", f"{shown}; supported are {supported}", f"install Python {supported}, remove .venv, and run it again")


async def python(subject: Subject) -> Finding:
    return python_finding(sys.version_info[:3])


async def node(subject: Subject) -> Finding:
    return node_finding(await _said("node", "--version"), needed=subject.is_local)


def node_finding(said: str, *, needed: bool) -> Finding:
    """What `node --version` said, empty when there is none; `needed`: a local world is run here."""
    remedy = f"install Node.js {OLDEST_NODE} or newer (https://nodejs.org): it runs Azurite, the storage of a local world"
    found = re.match(r"v?(\d+)\.", said)
    if found and int(found[1]) >= OLDEST_NODE:
        return ok("Node.js", said.removeprefix("v"))
    trouble = f"{said}, older than {OLDEST_NODE}" if found else "there is no `node` on the PATH that runs"
    return wrong("Node.js", trouble, remedy) if needed else notice("Node.js", trouble, f"for a local world, {remedy}")


async def npm(subject: Subject) -> Finding:
    said = await _said("npm", "--version")
    if said:
        return ok("npm", said)
    found, remedy = (
        "there is no `npm` on the PATH that runs",
        "install it with Node.js (https://nodejs.org): it installs Azurite",
    )
    return wrong("npm", found, remedy) if subject.is_local else notice("npm", found, f"for a local world, {remedy}")


async def core_tools(subject: Subject) -> Finding:
    said = await _said("func", "--version")
    if said:
        return ok("Core Tools", said)
    return notice(
        "Core Tools",
        "there is no `func` on the PATH; nothing here needs it",
        "for `./postrider up --host func` and for publishing to Azure: npm install -g azure-functions-core-tools@4",
    )


async def packages(subject: Subject) -> Finding:
    return await asyncio.to_thread(python_packages, subject.root)


async def azurite(subject: Subject) -> Finding:
    return await asyncio.to_thread(azurite_package, subject.root, needed=subject.is_local)


async def disk(subject: Subject) -> Finding:
    folder = subject.root / ".local"
    existing = folder if folder.exists() else subject.root
    return disk_finding(folder, shutil.disk_usage(existing).free)


def disk_finding(folder: Path, free: int) -> Finding:
    """Whether there is room; `free` in bytes."""
    name, found = "disk", f"{free / GIB:.1f} GiB free for {folder}"
    remedy = "make room: `./postrider up --reset` removes the storage and the captured mail of the local world"
    if free < NO_ROOM:
        return wrong(name, found, remedy)
    return notice(name, found, remedy) if free < LITTLE_ROOM else ok(name, found)


async def _said(program: str, *arguments: str) -> str:
    """The last line of what a program prints; empty when it does not run."""
    try:
        process = await asyncio.create_subprocess_exec(
            program, *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return ""
    try:
        out, _ = await process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
    lines = out.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip()[:80] if lines and process.returncode == 0 else ""


CHECKS = (
    Check(_GROUP, "Python", python),
    Check(_GROUP, "Python packages", packages),
    Check(_GROUP, "Node.js", node),
    Check(_GROUP, "npm", npm),
    Check(_GROUP, "Azurite", azurite),
    Check(_GROUP, "Core Tools", core_tools),
    Check(_GROUP, "disk", disk),
)
