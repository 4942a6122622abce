"""A small client of the management plane, for the commands of administrators.

Over HTTP, so that the same commands work for the local world and for an installation in Azure. What it asks of the service is
what the official clients ask, and the few operations of ours beside it.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from local.environment import own_environment, read_environment
from local.folder import Folder
from local.http_call import NothingRunning, Reply, exchange, is_this_machine
from local.table import printable

API_VERSION = "2026-03-18"
PROVIDER = "/providers/Microsoft.Communication"

DONE, REFUSED, USAGE, NOTHING_RUNNING = range(4)

_visible = re.compile(r"[\x21-\x7e]+")  # what may stand in a header and in an address

_POLL_SECONDS = 0.2  # at first; then what the service says
_LONGEST_OPERATION = 600.0  # seconds; a deletion of very much takes a minute


class UsageError(Exception):
    """Something is missing on the command line or in the environment; the text says what to give."""


class ServiceRefused(Exception):
    """The service said no. `code` is Azure's; the text is for people, a line for each detail."""

    def __init__(self, reply: Reply) -> None:
        found = reply.body.get("error")
        error = found if isinstance(found, dict) else {}
        self.status, self.code = reply.status, str(error.get("code", ""))
        message = printable(f"{self.code} {error.get('message', '')}")
        text = f"refused with {reply.status}: {message}".rstrip(": ")
        if not error:
            text += ". Is the endpoint that of a Postrider that has the management plane?"
        for detail in error.get("details") or ():
            told = printable(f"{detail.get('target', '')}: {detail.get('message', '')}")
            text += f"\n  {told}"
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class ArmClient:
    """The management plane of one installation. `token` gives a bearer token; `subscription` and `group` may be empty.

    Every method raises NothingRunning, and ServiceRefused for an answer that is none of the expected.
    """

    endpoint: str
    token: Callable[[], str] = field(repr=False)
    subscription: str = ""
    group: str = ""
    authority: Path | None = None

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """A resource, or the answer of an operation that has an object for one."""
        return self.call("GET", path, query=query).body

    def find(self, path: str) -> dict[str, Any] | None:
        """A resource, None when there is none."""
        try:
            return self.get(path)
        except ServiceRefused as refused:
            if refused.status == 404:
                return None
            raise

    def list(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        """The elements of a list, over all of its pages."""
        for page in self.pages(path, **query):
            yield from page.get("value", ())

    def pages(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        """The pages of a list."""
        reply = self.call("GET", path, query=query)
        while True:
            yield reply.body
            if not reply.body.get("nextLink"):
                return
            reply = self._send("GET", _target(reply.body["nextLink"]))

    def put(self, path: str, body: Mapping[str, Any]) -> Reply:
        """Create or change a resource."""
        return self.call("PUT", path, body)

    def delete(self, path: str) -> bool:
        """Delete a resource and wait until it is gone; False when there was none."""
        reply = self.call("DELETE", path)
        self.wait(reply)
        return reply.status != 204

    def wait(self, reply: Reply) -> None:
        """Wait for the end of what was begun, if anything was. Raises ServiceRefused when it failed."""
        url = reply.headers.get("azure-asyncoperation") or (reply.headers.get("location") if reply.status == 202 else "")
        deadline = time.monotonic() + _LONGEST_OPERATION
        pause = _POLL_SECONDS
        while url:
            # An operation says its status; what Location leads to is 202 for as long as it goes on.
            found = self._send("GET", _target(url))
            status = found.body.get("status", "Running" if found.status == 202 else "Succeeded")
            if status in ("Failed", "Canceled"):
                raise ServiceRefused(Reply(409, found.headers, found.body))
            if status == "Succeeded":
                return
            if time.monotonic() > deadline:
                raise NothingRunning(f"{self.endpoint} did not end what it began in {_LONGEST_OPERATION:g} s; ask again later")
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        raw: bytes | None = None,
        content_type: str = "application/json",
    ) -> Reply:
        """One request; a body is sent as JSON, `raw` as it is."""
        asked = urlencode({"api-version": API_VERSION, **(query or {})}, quote_via=quote, safe="$")
        content = raw if raw is not None else None if body is None else json.dumps(body).encode()
        return self._send(method, f"{quote(path, safe='/')}?{asked}", content, content_type)

    def _send(self, method: str, target: str, content: bytes | None = None, content_type: str = "") -> Reply:
        headers = {"Authorization": f"Bearer {self.token()}", "Accept": "application/json"}
        if content is not None:
            headers["Content-Type"] = content_type
        elif method == "POST":
            content = b""  # else there would be no Content-Length
        reply = exchange(self.endpoint, self.authority, method, self.endpoint + target, headers, content)
        if not 200 <= reply.status < 300:
            raise ServiceRefused(reply)
        return reply

    @property
    def provider(self) -> str:
        """The path of the provider: of the resource group, or of the whole subscription when none is chosen."""
        return self._below(f"/subscriptions/{self.subscription}", PROVIDER)

    @property
    def of_subscription(self) -> str:
        """The path of the provider in the subscription."""
        return f"/subscriptions/{self.subscription}{PROVIDER}"

    def _below(self, subscription: str, rest: str) -> str:
        return f"{subscription}/resourceGroups/{self.group}{rest}" if self.group else f"{subscription}{rest}"


def chosen_client(options: argparse.Namespace, root: Path) -> ArmClient:
    """The client for what options and environment say. Raises UsageError, NothingRunning when no installation is known."""
    folder = Folder.of_up(root)
    variables = {name: value for name, value in own_environment().items() if value}
    if not options.endpoint and "POSTRIDER_ENDPOINT" not in variables:
        # All of it together: a token or a subscription of another installation would fit nothing here.
        variables = read_environment(folder.environment_file)
    endpoint = (options.endpoint or variables.get("POSTRIDER_ENDPOINT", "")).rstrip("/")
    if not endpoint:
        raise NothingRunning(
            "no installation is known here: start a local world with ./postrider up, or set POSTRIDER_ENDPOINT"
        )
    _check_endpoint(endpoint)
    subscription = options.subscription or variables.get("AZURE_SUBSCRIPTION_ID", "")
    if not subscription:
        raise UsageError("there is no subscription: give --subscription, or set AZURE_SUBSCRIPTION_ID")
    authority = folder.tls / "ca.pem"
    return ArmClient(
        endpoint,
        _token(options, variables.get("POSTRIDER_ADMIN_TOKEN", "")),
        subscription,
        options.resource_group or variables.get("AZURE_RESOURCE_GROUP", ""),
        authority if is_this_machine(endpoint) and authority.exists() else None,
    )


def _check_endpoint(endpoint: str) -> None:
    """Raises UsageError for what no token is sent to."""
    wrong = UsageError(
        f"the endpoint must be an https:// address without a path, of a host and perhaps a port; it is {endpoint!r}"
    )
    try:
        parts = urlsplit(endpoint)
        if parts.port == 0:
            raise wrong
    except ValueError:  # brackets that do not fit, a port that is no number
        raise wrong from None
    more = parts.path or parts.query or parts.fragment or "@" in parts.netloc or not _visible.fullmatch(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or more:
        raise wrong
    if parts.scheme == "http" and not is_this_machine(endpoint):
        raise UsageError(f"{endpoint} is not https: a token that is sent there can be read on the way")


def _token(options: argparse.Namespace, admin_token: str) -> Callable[[], str]:
    if options.scope:
        from local.entra_token import EntraToken  # azure-identity takes a while to import

        return EntraToken(options.scope)
    if not admin_token:
        raise UsageError("there is no token: set POSTRIDER_ADMIN_TOKEN, or give --scope api://APPLICATION/.default for Entra")
    token = admin_token.strip()  # a file that it was read from may end with a line break
    if not _visible.fullmatch(token):
        raise UsageError("POSTRIDER_ADMIN_TOKEN holds a blank, a line break or another character that no token has")
    return lambda: token


def _target(url: str) -> str:
    """Path and query of a link of the service: the token goes to no other host, whatever a link says."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
