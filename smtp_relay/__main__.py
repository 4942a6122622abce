"""`python -m smtp_relay`: the SMTP server until SIGTERM or SIGINT, with the settings of the environment."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import resource
import signal
import sys
from contextlib import suppress
from functools import partial

from email_core.clock import SystemClock
from email_core.errors import EntityMissing, StorageRefused, StorageUnavailable
from email_core.sealing import SealingError
from email_core.services import build_services
from email_core.settings import SettingsError, load_settings
from smtp_relay.certificates import CertificateUnusable
from smtp_relay.counters import Counters
from smtp_relay.inbound import InboundDoor, build_inbound
from smtp_relay.listeners import PortUnavailable
from smtp_relay.options import relay_options
from smtp_relay.sealing_check import check_sealing_key
from smtp_relay.server import Server

MOST_FILES = 65_536
LARGE = 1024 * 1024  # bytes of a block of memory
_M_MMAP_THRESHOLD = -3  # mallopt(3)


async def run() -> None:
    """Serve until a signal comes. Raises SettingsError, SealingError, CertificateUnusable and PortUnavailable."""
    settings = load_settings()
    # Port 0 means that nobody listens there; the local world, which asks for free ports, says so.
    options = relay_options(settings, any_port="--any-port" in sys.argv[1:])
    services = build_services(settings, SystemClock())
    try:
        # What storage has to say may pass, and `/ready` tells it.
        with suppress(StorageUnavailable, StorageRefused, EntityMissing, TimeoutError):
            await check_sealing_key(services.directory)
        counters = Counters()
        inbound = build_inbound(services, counters) if options.inbound_port or options.any_port else None
        server = Server(services, options, None if inbound is None else partial(InboundDoor, inbound), counters)
        ended = asyncio.Event()

        def end() -> None:
            if ended.is_set():
                server.hurry()
            ended.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
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
    _allow_connections()
    _give_memory_back()
    try:
        asyncio.run(run())
    except (CertificateUnusable, PortUnavailable, SealingError, SettingsError, StorageRefused, StorageUnavailable) as error:
        print(f"smtp_relay: {error}", file=sys.stderr)
        return 1
    return 0


def _allow_connections() -> None:
    """As many files as the system lets us have: each connection is one, and many systems begin with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _give_memory_back() -> None:
    """Have large blocks go back to the system when they are free.

    glibc keeps blocks as large as one that was freed before, in a heap for each thread: so the 16 MiB that each password takes
    while it is tried would stay ours four times over.
    """
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE)


if __name__ == "__main__":
    sys.exit(main())
