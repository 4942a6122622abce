"""Functions Core Tools as the host of the local world, for those who have them."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from local.certificates import Certificates, write_pkcs12
from local.child import Child, ChildFailed

_START_SECONDS = 120.0  # the first start downloads the extension bundle
_LOOK_SECONDS = 0.2


class CoreToolsMissing(Exception):
    """`func` is not on the PATH."""


def core_tools_command(
    certificates: Certificates, state: Path, https_port: int, app_settings: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """The command and its environment. Core Tools listen on one port; it is HTTPS, which the official clients insist on.

    Raises CoreToolsMissing.
    """
    func = shutil.which("func", path=app_settings.get("PATH"))
    if func is None:
        raise CoreToolsMissing(
            "--host func needs Azure Functions Core Tools, and there is no `func` on the PATH. Get them with "
            "`npm install -g azure-functions-core-tools@4`, or leave --host out: the default host needs nothing"
        )
    password = secrets.token_urlsafe(16)
    state.mkdir(parents=True, exist_ok=True)
    write_pkcs12(certificates, state / "server.pfx", password)
    command = [
        func,
        "start",
        "--port",
        str(https_port),
        "--useHttps",
        "--cert",
        str(state / "server.pfx"),
        "--password",
        password,
    ]
    # Its Python worker must be the one that has our packages.
    path = os.pathsep.join((str(Path(sys.executable).parent), app_settings.get("PATH", "")))
    return command, {**app_settings, "PATH": path, "VIRTUAL_ENV": sys.prefix}


async def wait_until_it_answers(host: Child, https_port: int, certificates: Certificates) -> None:
    """Wait for the host's own status page. Raises ChildFailed when it ends, or says nothing for two minutes."""
    context = ssl.create_default_context(cafile=str(certificates.authority))
    ended = asyncio.create_task(host.ended())
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not await asyncio.to_thread(_answers, f"https://localhost:{https_port}/admin/host/status", context):
                await asyncio.wait({ended}, timeout=_LOOK_SECONDS)
                if ended.done():
                    raise ended.result()
    except TimeoutError:
        raise ChildFailed(f"{host.name} do not answer after {_START_SECONDS:g} s; see {host.log}") from None
    finally:
        ended.cancel()


def _answers(url: str, context: ssl.SSLContext) -> bool:
    # No proxy reaches this machine's own addresses.
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
