"""`python -m smtp_relay`: the SMTP server until SIGTERM or SIGINT, with the settings of the environment."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from functools import partial

from email_core.clock import SystemClock
from email_core.errors import StorageRefused, StorageUnavailable
from email_core.sealing import SealingError
from email_core.services import build_services
from email_core.settings import SettingsError, load_settings
from smtp_relay.certificates import CertificateUnusable
from smtp_relay.inbound import InboundDoor, build_inbound
from smtp_relay.listeners import PortUnavailable
from smtp_relay.options import relay_options
from smtp_relay.server import Server


async def run() -> None:
    """Serve until a signal comes. Raises SettingsError, SealingError, CertificateUnusable and PortUnavailable."""
    settings = load_settings()
    # Port 0 means that nobody listens there; the local world, which asks for free ports, says so.
    options = relay_options(settings, any_port="--any-port" in sys.argv[1:])
    services = build_services(settings, SystemClock())
    try:
        inbound = build_inbound(services) if options.inbound_port or options.any_port else None
        server = Server(services, options, None if inbound is None else partial(InboundDoor, inbound))
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        await server.start()
        names = [name for name in ("submission", "tls", "inbound", "health") if server.listens(name)]
        print("Ready: " + " ".join(f"{name}={server.port(name)}" for name in names), flush=True)
        await ended.wait()
        await server.stop()
    finally:
        await services.close()


def main() -> int:
    """The exit status."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("azure").setLevel(logging.WARNING)
    try:
        asyncio.run(run())
    except (CertificateUnusable, PortUnavailable, SealingError, SettingsError, StorageRefused, StorageUnavailable) as error:
        print(f"smtp_relay: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
