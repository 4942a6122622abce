"""Azurite, the storage emulator: how it is started and what its connection string is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path

from local.child import Child, ChildFailed
from local.environment import own_environment
from local.ports import PortUnavailable, check_free

# The account of every emulator, documented as such: no secret.
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_DEFAULT_PORTS = {"blob": 10000, "queue": 10001, "table": 10002}
_START_SECONDS = 60.0
_LISTENING = r"Azurite (Blob|Queue|Table) service is successfully listening at (http://\S+)"


class AzuriteMissing(Exception):
    """Azurite is not installed."""


async def start_azurite(root: Path, data: Path, log: Path, *, usual_ports: bool) -> tuple[Child, str]:
    """A running Azurite that answers, and its connection string.

    It takes its usual ports when that is asked for and all three are free, so that storage tools find it; else it chooses.
    Raises AzuriteMissing, ChildFailed.
    """
    if usual_ports and await asyncio.to_thread(_usual_ports_are_free):
        # Another world that starts at this moment may have found them free as well.
        with contextlib.suppress(ChildFailed):
            return await _start(root, data, log, _DEFAULT_PORTS)
    return await _start(root, data, log, dict.fromkeys(_DEFAULT_PORTS, 0))


async def _start(root: Path, data: Path, log: Path, ports: Mapping[str, int]) -> tuple[Child, str]:
    command = _command(root, data, ports)
    child = await Child.start("Azurite", command, folder=root, log=log, environment=own_environment())
    try:
        lines = await child.wait_for_lines(_LISTENING, 3, _START_SECONDS)
    except BaseException:
        child.kill()
        raise
    endpoints = "".join(f"{line[1]}Endpoint={line[2]}/{_ACCOUNT};" for line in lines)
    return child, f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY};{endpoints}"


def _command(root: Path, data: Path, ports: Mapping[str, int]) -> list[str]:
    script = root / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
    if not script.exists():
        raise AzuriteMissing(
            f"Azurite is not in {root / 'node_modules'}: remove that folder, and ./postrider installs it again"
        )
    data.mkdir(parents=True, exist_ok=True)
    command = ["node", str(script), "--silent", "--skipApiVersionCheck", "--disableTelemetry", "--location", str(data)]
    for service, port in ports.items():
        command += [f"--{service}Host", "127.0.0.1", f"--{service}Port", str(port)]
    return command


def _usual_ports_are_free() -> bool:
    try:
        for port in _DEFAULT_PORTS.values():
            check_free(port)
    except PortUnavailable:
        return False
    return True
