"""The functions host of a local world: whether it runs, and what it says of its own health."""

from __future__ import annotations

import asyncio
import json
import ssl

from local.doctor.check import Check, Finding, left_out, ok, wrong
from local.doctor.subject import Subject
from local.folder import Folder

_ANSWER_SECONDS = 12.0  # its own checks of storage take up to 10
_GROUP = "Functions host"


async def health(subject: Subject) -> Finding:
    name = "health"
    if not subject.settings().local_world:
        return left_out(name, "not a local world: ask GET /health at its public host")
    url = f"{_endpoint(subject)}/health"
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            status, body = await get(url, subject)
    except TimeoutError:
        return wrong(name, f"{url} does not answer within {_ANSWER_SECONDS:g} s", "look into .local/log/host.log")
    except OSError as error:
        return wrong(name, f"nothing answers at {url}: {error}", "start ./postrider up")
    return health_finding(name, url, status, body)


def health_finding(name: str, url: str, status: int, body: str) -> Finding:
    """What `/health` says of each thing that it looks at."""
    try:
        checks = json.loads(body)["checks"]
        states = {str(check): str(state) for check, state in checks.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        remedy = "is that port Postrider's? .local/env names the endpoint; start ./postrider up"
        return wrong(name, f"{url} answers {status}, and not as Postrider does", remedy)
    bad = [f"{check}: {state}" for check, state in states.items() if state != "ok"]
    if status != 200 or bad:
        return wrong(
            name, "; ".join(bad) or f"answers {status}", "the other lines say what to do; .local/log/host.log has the faults"
        )
    return ok(name, f"{', '.join(states)}: ok, at {url.removesuffix('/health')}")


def _endpoint(subject: Subject) -> str:
    from local.world import HTTP_PORT

    variables = subject.world_variables()
    # Core Tools run by hand listen there.
    fallback = f"http://localhost:{HTTP_PORT}"
    return (variables.get("POSTRIDER_ENDPOINT_HTTP") or variables.get("POSTRIDER_ENDPOINT") or fallback).rstrip("/")


async def get(url: str, subject: Subject) -> tuple[int, str]:
    """Status and body. Raises OSError."""
    import aiohttp

    async with aiohttp.ClientSession() as session:  # asks no proxy, which could not reach this machine
        try:
            async with session.get(url, ssl=_trust(subject) if url.startswith("https:") else True) as answer:
                return answer.status, await answer.text()
        except aiohttp.ClientError as error:
            raise OSError(str(error)) from error


def _trust(subject: Subject) -> ssl.SSLContext:
    authority = Folder.of_up(subject.root).tls / "ca.pem"
    context = ssl.create_default_context()
    if authority.exists():
        context.load_verify_locations(authority)
    return context


CHECKS = (Check(_GROUP, "health", health, seconds=_ANSWER_SECONDS + 2.0),)
