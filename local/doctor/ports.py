"""The ports of `./postrider up`: free, held by the world that runs here, or by somebody else."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

from local.doctor.check import Check, Finding, notice, ok, wrong
from local.doctor.subject import Subject
from local.folder import Folder, is_running
from local.ports import PortUnavailable, check_free

AZURITE_PORTS = (10000, 10001, 10002)
_GROUP = "Ports"


async def https(subject: Subject) -> Finding:
    from local.world import HTTPS_PORT

    return await asyncio.to_thread(_host_port, subject, HTTPS_PORT, "HTTPS")


async def http(subject: Subject) -> Finding:
    from local.world import HTTP_PORT

    return await asyncio.to_thread(_host_port, subject, HTTP_PORT, "HTTP")


async def azurite(subject: Subject) -> Finding:
    return await asyncio.to_thread(_azurite_ports, subject)


def _host_port(subject: Subject, port: int, scheme: str) -> Finding:
    name, world = f"port for {scheme}", running_world(subject.root)
    taken = trouble_with(port)
    if not taken:
        return ok(name, f"{port} is free")
    if is_of_world(taken, world):
        return ok(name, f"{port} is in use by the local world that runs here (process {world})")
    remedy = f"end that program, or start the world on other ports: ./postrider up --port {port + 1000}"
    # Who has a world already, or runs none, is not kept from anything.
    running = bool(world) or "POSTRIDER_ENDPOINT" in subject.environment
    return wrong(name, taken, remedy) if subject.is_local and not running else notice(name, taken, remedy)


def _azurite_ports(subject: Subject) -> Finding:
    name, world = "ports for Azurite", running_world(subject.root)
    ports = f"{AZURITE_PORTS[0]} to {AZURITE_PORTS[-1]}"
    taken = [trouble for port in AZURITE_PORTS if (trouble := trouble_with(port))]
    if not taken:
        return ok(name, f"{ports} are free")
    if all(is_of_world(trouble, world) for trouble in taken):
        return ok(name, f"{ports} are in use by the local world that runs here (process {world})")
    return notice(
        name, "; ".join(taken), "nothing has to be done: Azurite takes other ports, and .local/app-settings names them"
    )


def trouble_with(port: int) -> str:
    """Why a port of loopback cannot be listened on, naming the program that holds it where the system tells; else empty."""
    try:
        check_free(port)
    except PortUnavailable as unavailable:
        return str(unavailable)
    return ""


def running_world(root: Path) -> int:
    """The process of the `./postrider up` that runs in this checkout, 0 when none does."""
    lock = Folder.of_up(root).base / "up.lock"
    text = lock.read_text(encoding="utf-8").strip() if lock.exists() else ""
    return int(text) if is_running(text) else 0


def is_of_world(taken: str, world: int) -> bool:
    """Whether the holder of a port is that process or one that it started; a holder that is not known may well be it."""
    found = re.search(r"\(pid (\d+)\)", taken)
    return bool(world) and (found is None or world in [int(found[1]), *ancestors(int(found[1]))])


def ancestors(process: int, proc: Path = Path("/proc")) -> Sequence[int]:
    """The processes above one, the nearest first; as far as the system tells."""
    found: list[int] = []
    while process > 1:
        try:
            # The name, in brackets, may hold blanks and brackets of its own.
            process = int((proc / str(process) / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            break
        found.append(process)
    return found


CHECKS = (
    Check(_GROUP, "port for HTTPS", https),
    Check(_GROUP, "port for HTTP", http),
    Check(_GROUP, "ports for Azurite", azurite),
)
