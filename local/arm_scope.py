"""Which resource a command is about, when its options name only a part of it: the one that fits, when there is just one."""

from __future__ import annotations

import argparse
from typing import Any

from local.arm_client import ArmClient, UsageError


class NotFound(Exception):
    """There is no resource of that name here; the text says how to see those there are."""


def email_service(client: ArmClient, options: argparse.Namespace) -> str:
    """The id of the email service. Raises UsageError when several fit, NotFound when none does."""
    return _only(client, "emailServices", options.email_service, "email service", "--email-service")


def communication_service(client: ArmClient, options: argparse.Namespace) -> str:
    """The id of the communication service. Raises UsageError when several fit, NotFound when none does."""
    return _only(client, "communicationServices", options.service, "communication service", "--service")


def domain(client: ArmClient, options: argparse.Namespace, name: str) -> dict[str, Any]:
    """The domain of that name, or the managed one whose mail comes from there. Raises NotFound, UsageError."""
    wanted = name.lower().rstrip(".")
    found = [
        each
        for each in domains(client, options)
        if wanted in (each["name"].lower(), each["properties"]["fromSenderDomain"].lower())
    ]
    if not found:
        raise NotFound(f"there is no domain {name}: ./postrider domain list has those there are, domain add makes one")
    if len(found) > 1:
        raise UsageError(f"{len(found)} domains are called {name}: give --email-service NAME. They are {_ids(found)}")
    return found[0]


def domains(client: ArmClient, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The domains of the chosen email service, or of all."""
    services = _services(client, "emailServices", options.email_service)
    return [domain for service in services for domain in client.list(f"{service['id']}/domains")]


def _only(client: ArmClient, kind: str, name: str | None, words: str, option: str) -> str:
    found = _services(client, kind, name)
    if len(found) == 1:
        return str(found[0]["id"])
    if found:
        raise UsageError(f"there are {len(found)} {words}s: choose one with {option} NAME. They are {_ids(found)}")
    where = f"in resource group {client.group}" if client.group else f"in subscription {client.subscription}"
    raise NotFound(f"there is no {words} {f'{name} ' if name else ''}{where}")


def _services(client: ArmClient, kind: str, name: str | None) -> list[dict[str, Any]]:
    return [each for each in client.list(f"{client.provider}/{kind}") if not name or each["name"].lower() == name.lower()]


def _ids(found: list[dict[str, Any]]) -> str:
    return ", ".join(str(each["id"]) for each in found)
