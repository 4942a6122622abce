"""The functions host for one machine: runs the app in a folder as the Azure Functions host would. Not for production.

`python -m local.functions_host --http-port 7071 --https-port 7443 ...`; SIGTERM and SIGINT stop it when what is running
has finished.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from email_core.clock import SystemClock
from email_core.settings import Settings, SettingsError, StorageSettings
from local.connections import Connections
from local.function_index import HostedFunction, IndexingError, load_functions
from local.host_settings import HostSettings, HostSettingsError, is_disabled, load_app_settings, load_host_settings
from local.http_server import BODY_LIMIT, HttpFront, HttpServer, HttpSettings, build_routes
from local.invocation import Invoker
from local.manual_runs import ManualRuns
from local.ports import PortUnavailable, listen
from local.queue_listener import VISIBILITY, QueueListener
from local.timer_listener import TimerListener

STOP_PATIENCE = 20  # seconds that running functions are given when the host stops

_log = logging.getLogger("local.host")


class Listener(Protocol):
    """Something that triggers functions until it is stopped."""

    async def run(self) -> None: ...

    async def stop(self, patience: float) -> None: ...


@dataclass(frozen=True, slots=True)
class HostOptions:
    """Where the app is and how it is reached; `state` is the folder for schedule statuses.

    A port that is None is not opened, one that is 0 is chosen by the system. `visibility` and `patience` are in seconds.
    """

    root: Path
    state: Path
    http_port: int | None = None
    https_port: int | None = None
    certificate: Path | None = None
    key: Path | None = None
    visibility: float = VISIBILITY
    patience: int = STOP_PATIENCE


async def serve(options: HostOptions, environment: MutableMapping[str, str]) -> None:
    """Run the app until a signal stops it.

    `environment` is the process's own: app settings that are not in it are added, for that is where an app reads them.
    Raises IndexingError, HostSettingsError, PortUnavailable, and whatever the import of the app raises.
    """
    app_settings = load_app_settings(options.root / "local.settings.json", environment)
    environment.update(app_settings)
    host = load_host_settings(options.root / "host.json")
    functions = _enabled(load_functions(options.root), app_settings)
    connections = Connections(app_settings, host.queues)
    threads = app_settings.get("PYTHON_THREADPOOL_THREAD_COUNT", "")
    invoker = Invoker(connections.send, host.function_timeout, int(threads) if threads.isdecimal() else None)
    try:
        routes = build_routes(functions, host.route_prefix)
        manual_runs = ManualRuns(functions, invoker)
        front = HttpFront(routes, invoker, _http_settings(app_settings), manual_runs)
        listeners = [
            manual_runs,
            *_queue_listeners(functions, connections, invoker, host, options.visibility),
            *_timers(functions, invoker, options, app_settings),
        ]
        servers = _servers(front, options)
        _tell(functions)
        await _run(listeners, servers, options.patience)
    finally:
        invoker.close()
        await connections.close()


def _enabled(functions: Sequence[HostedFunction], app_settings: Mapping[str, str]) -> list[HostedFunction]:
    """As the host: nothing triggers a function that a setting disables, and its route is not there."""
    disabled = [function.name for function in functions if is_disabled(function.name, app_settings)]
    if disabled:
        _log.warning("Disabled by app settings: %s", ", ".join(disabled))
    return [function for function in functions if function.name not in disabled]


def _http_settings(app_settings: Mapping[str, str]) -> HttpSettings:
    def size(name: str, default: int) -> int:
        text = app_settings.get(name, "")
        if text and not text.isdecimal():
            raise HostSettingsError(f"{name} must be a number of bytes; it is {text!r}")
        return int(text) if text else default

    body_limit = size("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", BODY_LIMIT)
    return HttpSettings(
        body_limit=body_limit,
        unread_above=size("POSTRIDER_MAX_REQUEST_BYTES", Settings(storage=StorageSettings()).max_request_bytes),
        function_key=app_settings.get("LOCAL_FUNCTIONS_KEY", ""),
    )


def _queue_listeners(
    functions: Sequence[HostedFunction], connections: Connections, invoker: Invoker, host: HostSettings, visibility: float
) -> list[Listener]:
    return [
        QueueListener(
            function,
            connections.queue_of(function.trigger),
            connections.of(str(function.trigger["connection"])).queues,
            connections.creator(str(function.trigger["connection"])),
            invoker,
            host.queues,
            visibility=visibility,
        )
        for function in functions
        if function.trigger_type == "queueTrigger"
    ]


def _timers(
    functions: Sequence[HostedFunction], invoker: Invoker, options: HostOptions, app_settings: Mapping[str, str]
) -> list[Listener]:
    return [
        TimerListener(function, invoker, SystemClock(), options.state / "timers", app_settings)
        for function in functions
        if function.trigger_type == "timerTrigger"
    ]


def _servers(front: HttpFront, options: HostOptions) -> list[tuple[HttpServer, int]]:
    servers = []
    if options.http_port is not None:
        servers.append((HttpServer(front, stop_seconds=options.patience), options.http_port))
    if options.https_port is not None:
        secured = HttpServer(front, stop_seconds=options.patience, certificate=options.certificate, key=options.key)
        servers.append((secured, options.https_port))
    return servers


def _tell(functions: Sequence[HostedFunction]) -> None:
    for function in functions:
        trigger = function.trigger
        what = {
            "httpTrigger": trigger.get("route"),
            "queueTrigger": trigger.get("queueName"),
            "timerTrigger": trigger.get("schedule"),
        }
        methods = ",".join(trigger.get("methods") or ()) or "all methods"
        _log.info(
            "%s: %s %s%s", function.name, function.trigger_type, what[function.trigger_type],
            f" [{methods}]" if function.trigger_type == "httpTrigger" else "",
        )  # fmt: skip


async def _run(listeners: Sequence[Listener], servers: Sequence[tuple[HttpServer, int]], patience: int) -> None:
    """Until a signal: then nothing new is taken, what runs is finished, and everything has ended on return."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    sockets = [listen(port) for _, port in servers]
    tasks = [asyncio.create_task(server.serve(bound)) for (server, _), bound in zip(servers, sockets, strict=True)]
    tasks += [asyncio.create_task(listener.run()) for listener in listeners]
    # Whoever started us waits for this line: the sockets listen, and a port that was 0 has its number.
    _log.info(
        "Ready: %s",
        " ".join(f"{server.scheme}={bound[0].getsockname()[1]}" for (server, _), bound in zip(servers, sockets, strict=True)),
    )
    waiting = asyncio.create_task(stopping.wait())
    ended, _ = await asyncio.wait({waiting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    _log.info("Stopping")
    for server, _ in servers:
        server.should_exit = True
    await asyncio.gather(*(listener.stop(patience) for listener in listeners))
    waiting.cancel()
    await asyncio.gather(*tasks)  # raises what ended a listener or a server before it was stopped
    if waiting not in ended:
        raise RuntimeError("a listener of the functions host ended by itself")


def _options(arguments: Sequence[str]) -> HostOptions:
    parser = argparse.ArgumentParser(prog="python -m local.functions_host", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="folder of function_app.py and host.json")
    parser.add_argument("--state", type=Path, required=True, help="folder for what the host remembers")
    parser.add_argument("--http-port", type=int, help="0 for a free one")
    parser.add_argument("--https-port", type=int, help="0 for a free one")
    parser.add_argument("--certificate", type=Path, help="PEM chain for HTTPS")
    parser.add_argument("--key", type=Path, help="PEM private key for HTTPS")
    parser.add_argument(
        "--visibility", type=float, default=VISIBILITY, metavar="SECONDS",
        help="for tests that kill the host: when a message that it was working comes back (600, the real host's choice)",
    )  # fmt: skip
    parser.add_argument(
        "--patience", type=int, default=STOP_PATIENCE, metavar="SECONDS",
        help="for tests that stop the host: how long running functions are given (20)",
    )  # fmt: skip
    return HostOptions(**vars(parser.parse_args(arguments)))


def main(arguments: Sequence[str]) -> int:
    """0 when stopped by a signal, 1 when the app cannot run."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    for noisy in ("azure", "asyncio", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        asyncio.run(serve(_options(arguments), os.environ))
    except (IndexingError, HostSettingsError, SettingsError, PortUnavailable) as error:
        _log.error("The functions host cannot run the app: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
