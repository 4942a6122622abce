"""`./postrider up`: the local world until Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from email_core.delivery.routes import parse_routes
from local.folder import Folder, only_one
from local.supervision import Signals, run_in_world
from local.world import World, WorldOptions


async def up(options: WorldOptions, *, reset: bool) -> int:
    """0 when it was stopped by a signal."""
    folder = Folder.of_up(options.root)
    began = time.monotonic()
    with only_one(folder):
        if reset:
            _say(f"Removing the state in {folder.base}")
            folder.reset()
        folder.remove_leftovers()
        signals = Signals()

        async def until_stopped(variables: Mapping[str, str]) -> int:
            print(banner(variables, folder, options.route, time.monotonic() - began), flush=True)
            await signals.received
            return 0

        status = await run_in_world(World(folder, options, _say), until_stopped, signals)
        _say("Stopped; nothing is left running")
        return status


def banner(variables: Mapping[str, str], folder: Folder, route: str, seconds: float) -> str:
    """What a developer needs to know of a world that is ready; passwords of routes are not in it."""
    delivery = (
        "Mail leaves by", ", ".join(each.name for each in parse_routes(route))
    ) if route else ("Captured mail", shown(folder.outbox))  # fmt: skip
    rows = [
        ("Connection string", variables["COMMUNICATION_CONNECTION_STRING_EMAIL"]),
        ("Sender", variables["SENDER_ADDRESS"]),
        ("Recipient to try", variables["RECIPIENT_ADDRESS"]),
        ("Endpoint", f"{variables['POSTRIDER_ENDPOINT']} (authority: {shown(folder.tls / 'ca.pem')})"),
        ("", f"{variables['POSTRIDER_ENDPOINT_HTTP']} (plain, for curl)" if "POSTRIDER_ENDPOINT_HTTP" in variables else ""),
        ("SMTP", f"{variables['SMTP_HOST']}:{variables['SMTP_PORT']} with STARTTLS, or {variables['SMTP_TLS_PORT']} with TLS"),
        ("", f"user {variables['SMTP_USERNAME']}, password {variables['SMTP_PASSWORD']}"),
        delivery,
        ("Logs", shown(folder.log)),
        ("All as variables", f". {shown(folder.environment_file)}"),
    ]
    lines = [f"  {name:<18} {value}" for name, value in rows if value]
    return "\n".join(["", f"Postrider is up ({seconds:.1f} s). Ctrl-C stops all of it.", "", *lines, ""])


def shown(path: Path) -> str:
    """A path as short as it can be from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _say(text: str) -> None:
    print(text, flush=True)
