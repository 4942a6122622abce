"""`./postrider send`: one message through the HTTP data plane, followed until it is delivered or is not."""

from __future__ import annotations

import argparse
import base64
import binascii
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from email_core.auth.hmac_access_key import authorization_headers
from email_core.data_plane.operation import OperationStatus
from email_core.message.status import RecipientStatus
from local.environment import own_environment, read_environment
from local.folder import Folder
from local.http_call import NothingRunning, Reply, exchange
from local.message_request import MessageError, message_request

API_VERSION = "2025-09-01"
DELIVERED, REFUSED, USAGE, NOTHING_RUNNING, NOT_FINAL = range(5)
_CONNECTION_STRING = "COMMUNICATION_CONNECTION_STRING_EMAIL"
_POLL_SECONDS = 0.5  # at most so rarely at first; a `retry-after` of the server is not waited for on this machine


@dataclass(frozen=True, slots=True)
class Service:
    """Where to send and with which key. `authority` is trusted besides those that this machine trusts."""

    endpoint: str
    key: bytes = field(repr=False)
    authority: Path | None = None


def send(options: argparse.Namespace, root: Path) -> int:
    """The exit status: 0 delivered, 1 refused or bounced, 2 a wrong command line, 3 nothing running, 4 not final in time."""
    folder = Folder.of_up(root)
    variables = own_environment()
    if not variables.get(_CONNECTION_STRING):
        variables |= read_environment(folder.environment_file)
    try:
        service = chosen_service(options, variables, folder.tls / "ca.pem")
        request = message_request(options, variables)
        return _follow(service, request, options.wait)
    except MessageError as error:
        print(f"postrider: {error}", file=sys.stderr)
        return USAGE
    except NothingRunning as error:
        print(f"postrider: {error}", file=sys.stderr)
        return NOTHING_RUNNING


def chosen_service(options: argparse.Namespace, variables: Mapping[str, str], authority: Path) -> Service:
    """That of the options, or of the connection string in the variables. Raises MessageError, NothingRunning."""
    if bool(options.endpoint) != bool(options.access_key):
        raise MessageError("--endpoint and --access-key go together")
    endpoint, key = options.endpoint, options.access_key
    if not endpoint:
        if not variables.get(_CONNECTION_STRING):
            raise NothingRunning(f"no local world is known here: start one with ./postrider up, or set {_CONNECTION_STRING}")
        parts = dict(part.partition("=")[::2] for part in variables[_CONNECTION_STRING].split(";"))
        lowered = {name.strip().lower(): value for name, value in parts.items()}
        endpoint, key = lowered.get("endpoint", ""), lowered.get("accesskey", "")
    if urlsplit(endpoint).scheme not in ("http", "https") or not urlsplit(endpoint).hostname:
        raise MessageError(f"the endpoint must be an http:// or https:// address; it is {endpoint!r}")
    try:
        secret = base64.b64decode(key, validate=True)
    except binascii.Error:
        raise MessageError("the access key is not base64") from None
    return Service(endpoint.rstrip("/"), secret, authority if authority.exists() else None)


def _follow(service: Service, request: dict[str, Any], wait: float) -> int:
    deadline = time.monotonic() + wait
    reply = call(service, "POST", f"{service.endpoint}/emails:send?api-version={API_VERSION}", request)
    if reply.status != 202:
        _tell_refusal(reply)
        return REFUSED
    location, operation = reply.headers["operation-location"], reply.body
    print(f"Accepted by {service.endpoint} as {operation['id']}", flush=True)
    told: dict[str, str] = {}
    pause = 0.05
    while True:
        reply = call(service, "GET", location)
        if reply.status != 200:
            _tell_refusal(reply)
            return REFUSED
        _tell_recipients(reply.body, told)
        if (result := outcome(reply.body)) is not None:
            return result
        if time.monotonic() > deadline:
            print(f"Not final after {wait:g} s; it is tried further. Ask again: GET {location}", flush=True)
            return NOT_FINAL
        time.sleep(pause)
        pause = min(2 * pause, _POLL_SECONDS)


def outcome(operation: Mapping[str, Any]) -> int | None:
    """The exit status that an operation means, None while it goes on."""
    if operation["status"] in (OperationStatus.FAILED, OperationStatus.CANCELED):
        error = operation.get("error") or {}
        print(f"{operation['status']}: {error.get('code', '')} {error.get('message', '')}".rstrip(), flush=True)
        return REFUSED
    if operation["status"] == OperationStatus.RUNNING:
        return None
    recipients = operation.get("recipients")
    if recipients is None:
        print("Succeeded: handed to delivery. This service does not tell what became of each recipient.", flush=True)
        return DELIVERED
    statuses = {RecipientStatus(recipient["status"]) for recipient in recipients}
    if not all(status.final for status in statuses):
        return None
    return DELIVERED if statuses <= {RecipientStatus.DELIVERED} else REFUSED


def _tell_recipients(operation: Mapping[str, Any], told: dict[str, str]) -> None:
    """A line for each recipient whose state is another than before."""
    for recipient in operation.get("recipients") or ():
        line = f"{recipient['address']}: {recipient['status']}"
        if recipient.get("lastReply"):
            line += f" ({' '.join(recipient['lastReply'].split())})"
        if recipient.get("nextAttempt"):
            line += f", attempt {recipient['attempts'] + 1} at {recipient['nextAttempt']}"
        if told.get(recipient["address"]) != line:
            told[recipient["address"]] = line
            print(line, flush=True)


def _tell_refusal(reply: Reply) -> None:
    error = reply.body.get("error") or {}
    print(f"Refused with {reply.status}: {error.get('code', '')} {error.get('message', '')}".rstrip(), flush=True)
    for detail in error.get("details") or ():
        print(f"  {detail.get('target', '')}: {detail.get('message', '')}", flush=True)


def call(service: Service, method: str, url: str, content: dict[str, Any] | None = None) -> Reply:
    """One signed request. Raises NothingRunning when nobody answers."""
    address = urlsplit(url)
    target = f"{address.path}?{address.query}" if address.query else address.path
    body = b"" if content is None else json.dumps(content).encode("utf-8")
    headers = authorization_headers(method, target, address.netloc, body, service.key, time.time())
    if content is not None:
        headers["Content-Type"] = "application/json"
    return exchange(service.endpoint, service.authority, method, url, headers, body if content is not None else None)
