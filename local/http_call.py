"""One HTTP request of a command to an installation: TLS with the authority of the local world, and no proxy on this machine."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local.environment import own_environment
from local.ports import LOOPBACK

SECONDS = 60.0  # without an answer


class NothingRunning(Exception):
    """Nobody answers at the endpoint."""


class NoToken(Exception):
    """Nobody is signed in, or may have a token for that; the text says what was tried."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its header names in lower case; `body` is its JSON object, empty when it has none."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]
    content: bytes = b""


def is_this_machine(url: str) -> bool:
    """Whether the address cannot leave this machine."""
    return urlsplit(url).hostname in ("localhost", *LOOPBACK)


def exchange(
    endpoint: str, authority: Path | None, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
) -> Reply:
    """Send a request, whose `url` is http or https. `authority` is trusted besides those that this machine trusts.

    Raises NothingRunning when nobody answers at the `endpoint`.
    """
    request = urllib.request.Request(url, body, dict(headers), method=method)  # noqa: S310 - http(s) only
    try:
        with _opener_for(url, authority).open(request, timeout=SECONDS) as response:
            return _reply(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return _reply(error.code, error.headers, error.read())
    except http.client.HTTPException as error:  # what answers there speaks something else, or broke off
        what = type(error).__name__
        raise NothingRunning(f"what answers at {endpoint} is no Postrider: no HTTP ({what}). Is it the right port?") from error
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise NothingRunning(f"nothing answers at {endpoint}: {reason}. Is ./postrider up running?") from error


def _opener_for(url: str, authority: Path | None) -> urllib.request.OpenerDirector:
    trusted = own_environment().get("SSL_CERT_FILE", "")
    return _opener(url.startswith("https:"), is_this_machine(url), authority, trusted)


@cache  # reading the authorities of a machine takes longer than a request to it
def _opener(secure: bool, this_machine: bool, authority: Path | None, _trusted: str) -> urllib.request.OpenerDirector:
    handlers: list[urllib.request.BaseHandler] = [_NoRedirection()]
    if secure:
        context = ssl.create_default_context()  # which reads SSL_CERT_FILE itself
        if authority:
            context.load_verify_locations(authority)
        handlers.append(urllib.request.HTTPSHandler(context=context))
    if this_machine:
        handlers.append(urllib.request.ProxyHandler({}))  # no proxy reaches this machine's own addresses
    return urllib.request.build_opener(*handlers)


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    """A redirected request would carry its credential to somebody else."""

    def redirect_request(self, *_: object) -> None:
        return None


def _reply(status: int, headers: Any, content: bytes) -> Reply:
    try:
        body = json.loads(content)
    except ValueError:
        body = {}
    lowered = {name.lower(): value for name, value in headers.items()}
    return Reply(status, lowered, body if isinstance(body, dict) else {}, content)
