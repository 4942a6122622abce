"""The local world: Azurite, the capture sink, the functions host and the SMTP server, provisioned and told to the user.

They are started in the order in which they need each other, and stopped in the reverse one. When one of them ends by
itself, the world ends.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from local.azurite import start_azurite
from local.certificates import CA_VARIABLES, Certificates, ensure_certificates
from local.child import Child
from local.core_tools import core_tools_command, wait_until_it_answers
from local.environment import own_environment, without_proxy_for_this_machine, write_environment
from local.folder import Folder
from local.host_settings import load_app_settings
from local.ports import PortUnavailable, check_free, free_ports

# The sink takes mail for anybody; a route that leads out gets a recipient that leads nowhere.
CAPTURED_RECIPIENT = "reader@example.com"
SIMULATED_RECIPIENT = "delivered@simulator.postrider.test"
HTTPS_PORT = 7443
HTTP_PORT = 7071  # as Functions Core Tools
SUBMISSION_PORT, TLS_PORT = 1587, 1465  # as 587 and 465, which only root may listen on
_MEANINGS = {"SUBMISSION": "STARTTLS", "TLS": "TLS"}
_START_SECONDS = 60.0
_STOP_SECONDS = 40.0  # a little more than the functions host and the SMTP server give to what is running


@dataclass(frozen=True, slots=True)
class WorldOptions:
    """`route` is POSTRIDER_ROUTES, empty for the capture sink. No port: free ones (`exec`) or the usual ones (`up`)."""

    root: Path
    route: str = ""
    port: int | None = None
    core_tools: bool = False
    usual_ports: bool = False


class World:
    """One local world; `report` is told what happens."""

    def __init__(self, folder: Folder, options: WorldOptions, report: Callable[[str], None]) -> None:
        self._folder = folder
        self._options = options
        self._report = report
        self._children: list[Child] = []
        self._azurite: asyncio.Task[tuple[Child, str]] | None = None

    async def start(self) -> dict[str, str]:
        """Start everything; the variables that programs need to use it.

        Raises PortUnavailable, ChildFailed, AzuriteMissing, SettingsError, HostSettingsError.
        """
        ports = self._host_ports()
        self._report("Starting Azurite and the capture sink")
        self._azurite = asyncio.create_task(self._start_azurite())
        sink_port = await self._start_sink()
        environment = own_environment()
        certificates, _ = await asyncio.gather(
            asyncio.to_thread(ensure_certificates, self._folder.tls, environment, bundle=self._folder.bundle),
            asyncio.to_thread(_import_provisioning),  # a second of imports, while Azurite starts
        )
        _, connection_string = await self._azurite
        app_settings = self._app_settings(environment, connection_string, sink_port)
        self._report("Provisioning the default service")
        from local.provision import provision

        service = await provision(app_settings, smtp_password=self._folder.smtp_password)
        self._report("Starting the functions host and the SMTP server")
        (https_port, http_port), smtp = await asyncio.gather(
            self._start_host(certificates, ports, app_settings), self._start_smtp(certificates, app_settings)
        )
        variables = {
            "COMMUNICATION_CONNECTION_STRING_EMAIL": f"endpoint=https://localhost:{https_port}/;accesskey={service.access_key}",
            "SENDER_ADDRESS": service.sender_address,
            "RECIPIENT_ADDRESS": SIMULATED_RECIPIENT if self._options.route else CAPTURED_RECIPIENT,
            "POSTRIDER_ENDPOINT": f"https://localhost:{https_port}",
            **({"POSTRIDER_ENDPOINT_HTTP": f"http://localhost:{http_port}"} if http_port else {}),
            "SMTP_HOST": "localhost",
            "SMTP_PORT": smtp["submission"],
            "SMTP_TLS_PORT": smtp["tls"],
            "SMTP_INBOUND_PORT": smtp["inbound"],
            "SMTP_HEALTH_PORT": smtp["health"],
            "SMTP_USERNAME": service.smtp_username,
            "SMTP_PASSWORD": self._folder.smtp_password,
            "POSTRIDER_ADMIN_TOKEN": self._folder.admin_token,
            "POSTRIDER_OUTBOX": str(self._folder.outbox),
            "AZURE_SUBSCRIPTION_ID": service.subscription_id,
            "AZURE_RESOURCE_GROUP": service.resource_group,
            **dict.fromkeys(CA_VARIABLES, str(certificates.bundle)),
            **without_proxy_for_this_machine(environment),
        }
        write_environment(self._folder.environment_file, variables)
        return variables

    async def watch(self) -> None:
        """Wait until one of the processes ends by itself. Raises ChildFailed then."""
        ends = [asyncio.create_task(child.ended()) for child in self._children]
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
        raise next(iter(done)).result()

    async def stop(self) -> None:
        """Stop everything in order, the functions host first: what runs there is finished."""
        if self._azurite is not None:
            self._azurite.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._azurite
        for child in reversed(self._children):
            self._report(f"Stopping {child.name}")
            await child.stop(_STOP_SECONDS)

    def kill(self) -> None:
        """End everything at once."""
        for child in self._children:
            child.kill()

    def _host_ports(self) -> tuple[int, int]:
        """HTTPS and HTTP; 0 for one that the host chooses. Raises PortUnavailable."""
        if self._options.port is not None:
            ports = self._options.port, self._options.port + 1
        elif self._options.usual_ports:
            ports = HTTPS_PORT, HTTP_PORT
        elif self._options.core_tools:
            return free_ports(1)[0], 0
        else:
            return 0, 0
        for port in ports:
            check_free(port)
        return ports

    async def _start_azurite(self) -> tuple[Child, str]:
        child, connection_string = await start_azurite(
            self._options.root, self._folder.azurite, self._folder.log / "azurite.log", usual_ports=self._options.usual_ports
        )
        self._children.insert(0, child)  # it is needed by all others, so it is the last to stop
        return child, connection_string

    async def _start_sink(self) -> int:
        command = [sys.executable, "-m", "local.sink", "--folder", str(self._folder.outbox)]
        sink = await self._child("the capture sink", command, "sink.log", own_environment())
        (line,) = await sink.wait_for_lines(r"Ready: smtp=(\d+)", 1, _START_SECONDS)
        return int(line[1])

    def _app_settings(self, environment: Mapping[str, str], connection_string: str, sink_port: int) -> dict[str, str]:
        ours = {
            "AzureWebJobsStorage": connection_string,
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "POSTRIDER_LOCAL": "on",
            "POSTRIDER_SEALING_KEY": self._folder.sealing_key,
            "POSTRIDER_ADMIN_TOKEN": self._folder.admin_token,
            # Never from a setting that happens to be around: real mail leaves this machine only when it was asked for here.
            "POSTRIDER_ROUTES": self._options.route or f"capture://127.0.0.1:{sink_port}",
        }
        file_settings = load_app_settings(self._options.root / "local.settings.json", {})
        settings = {name: value for name, value in environment.items() if name.startswith("POSTRIDER_")}
        write_environment(self._folder.app_settings_file, {**file_settings, **settings, **ours})
        return {**file_settings, **environment, **ours}

    async def _start_host(
        self, certificates: Certificates, ports: tuple[int, int], app_settings: Mapping[str, str]
    ) -> tuple[int, int]:
        """HTTPS and HTTP ports, 0 for none."""
        https_port, http_port = ports
        if self._options.core_tools:
            command, environment = core_tools_command(certificates, self._folder.host, https_port, app_settings)
            host = await self._child("Functions Core Tools", command, "host.log", environment)
            await wait_until_it_answers(host, https_port, certificates)
            return https_port, 0
        command = [
            sys.executable, "-m", "local.functions_host", "--root", str(self._options.root), "--state", str(self._folder.host),
            "--http-port", str(http_port), "--https-port", str(https_port),
            "--certificate", str(certificates.certificate), "--key", str(certificates.key),
        ]  # fmt: skip
        host = await self._child("the functions host", command, "host.log", app_settings)
        (line,) = await host.wait_for_lines(r"Ready: http=(\d+) https=(\d+)", 1, _START_SECONDS)
        return int(line[2]), int(line[1])

    async def _start_smtp(self, certificates: Certificates, app_settings: Mapping[str, str]) -> dict[str, str]:
        """The ports by their names: submission, tls, inbound, health."""
        ports, busy = smtp_ports(usual=self._options.usual_ports)
        settings = {
            "POSTRIDER_SMTP_HOST": "127.0.0.1",
            "POSTRIDER_SMTP_CERTIFICATE": str(certificates.certificate),
            "POSTRIDER_SMTP_KEY": str(certificates.key),
            **{f"POSTRIDER_SMTP_{name}_PORT": str(port) for name, port in ports.items()},
        }
        command = [sys.executable, "-m", "smtp_relay", "--any-port"]
        relay = await self._child("the SMTP server", command, "smtp.log", {**app_settings, **settings})
        (line,) = await relay.wait_for_lines(r"Ready: (submission=.*)", 1, _START_SECONDS)
        taken = dict(each.split("=") for each in line[1].split())
        for name, why in busy.items():
            self._report(f"The SMTP server takes {taken[name.lower()]} for {_MEANINGS[name]}: {why}")
        return taken

    async def _child(self, name: str, command: Sequence[str], log: str, environment: Mapping[str, str]) -> Child:
        root = self._options.root
        child = await Child.start(name, command, folder=root, log=self._folder.log / log, environment=environment)
        self._children.append(child)
        return child


def smtp_ports(*, usual: bool) -> tuple[dict[str, int], dict[str, str]]:
    """The ports that the SMTP server is told, 0 for one that the system chooses; and why a usual one is not among them."""
    ports, busy = {"SUBMISSION": 0, "TLS": 0, "INBOUND": 0, "HEALTH": 0}, {}
    for name, port in {"SUBMISSION": SUBMISSION_PORT, "TLS": TLS_PORT}.items() if usual else ():
        try:
            check_free(port)
            ports[name] = port
        except PortUnavailable as unavailable:
            busy[name] = str(unavailable)
    return ports, busy


def _import_provisioning() -> None:
    import local.provision  # noqa: F401
