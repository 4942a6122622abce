"""What a program brings along that uses a management client: a token, and for tests a look at what it calls and gets."""

from __future__ import annotations

import contextlib
import inspect
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from azure.core.credentials import AccessToken
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import SansIOHTTPPolicy

from email_core.management.operations import OPERATIONS, Match, match
from tests.kit.peers import require

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".local" / "test-clients"
OLDER = "azure-mgmt-communication==2.2.0"

# The operations of Microsoft.Communication, which a client of ACS can ask for.
OFFICIAL = {operation.name: operation for operation in OPERATIONS if not operation.ours}


class AdminToken:
    """The admin token of a local world as a credential of azure-core."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        return AccessToken(self._token, int(time.time()) + 3600)


class AsyncAdminToken:
    """The same for an async client."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        return AccessToken(self._token, int(time.time()) + 3600)

    async def close(self) -> None:
        """There is nothing to close."""

    async def __aenter__(self) -> AsyncAdminToken:
        return self

    async def __aexit__(self, *_: object) -> None:
        """There is nothing to close."""


class Wire(SansIOHTTPPolicy[Any, Any]):
    """A policy of azure-core, for `per_call_policies`: what was answered, in `seen` by operation, and the last answer."""

    def __init__(self) -> None:
        self.seen: dict[str, set[int]] = {}
        self.headers: dict[str, str] = {}

    def on_response(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        http = request.http_request
        note(self.seen, http.method, http.url, response.http_response.status_code)
        self.headers = {name.lower(): value for name, value in response.http_response.headers.items()}


def note(seen: dict[str, set[int]], method: str, url: str, status: int) -> None:
    """Add an answer to those that were seen, by the name of the operation."""
    found = match(method, urlsplit(url).path)
    name = found.operation.name if isinstance(found, Match) else f"{method} {url}"
    seen.setdefault(name, set()).add(status)


def statuses_of_walk() -> dict[str, set[int]]:
    """What each operation answers when everything is made, made again, asked for, deleted, and deleted again."""
    return {name: _statuses(operation.method, operation.template, name) for name, operation in OFFICIAL.items()}


def _statuses(method: str, template: str, name: str) -> set[int]:
    if name.endswith("Verification"):
        return {202}
    if method == "PUT":
        return {200, 201}
    if method == "DELETE":
        tracked = template.rpartition("{")[2] in ("communicationServiceName}", "emailServiceName}", "domainName}")
        return {202, 204} if tracked else {200, 204}
    return {200}


class Witness:
    """A client that remembers which of its methods were called; `methods` are all that its groups of operations have."""

    def __init__(self, client: Any) -> None:
        self._groups = {name: group for name, group in vars(client).items() if not name.startswith("_")}
        self.called: set[str] = set()
        self.methods = {
            f"{name}.{method}"
            for name, group in self._groups.items()
            for method, value in vars(type(group)).items()
            if inspect.isfunction(value) and not method.startswith("_")
        }

    def __getattr__(self, name: str) -> Any:
        return _Group(name, self._groups[name], self.called)


class _Group:
    def __init__(self, name: str, group: Any, called: set[str]) -> None:
        self._name, self._group, self._called = name, group, called

    def __getattr__(self, method: str) -> Callable[..., Any]:
        self._called.add(f"{self._name}.{method}")
        found: Callable[..., Any] = getattr(self._group, method)
        return found


def older_python_client() -> Path:
    """A folder for PYTHONPATH with the older client, which can't be installed beside the newer one. pip gets it once; a machine
    that can't do that skips the test."""
    folder = CACHE / OLDER.replace("==", "-")
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as fresh:
            why = _installed(OLDER, Path(fresh) / "client")
            require(not why, f"pip could not get {OLDER}: {why}")
            with contextlib.suppress(OSError):  # a run beside this one was faster
                (Path(fresh) / "client").rename(folder)
    return folder


def _installed(requirement: str, folder: Path) -> str:
    """Install a package without what it depends on, which the newer one has brought; why that failed, or nothing."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--retries", "1", "--no-deps", "--target", str(folder)]
    try:
        done = subprocess.run(
            [*command, requirement], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90, check=False
        )
    except subprocess.TimeoutExpired as error:
        return str(error)
    return done.stderr.strip()[-300:] or "it failed" if done.returncode else ""
