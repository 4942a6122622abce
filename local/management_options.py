"""The options that the commands of administrators share: which installation, and which resource of it."""

from __future__ import annotations

import argparse


def add_management_options(command: argparse.ArgumentParser, *, email_service: bool = False, service: bool = False) -> None:
    """Add them to a parser; this module needs nothing that has to be installed."""
    command.add_argument("--json", action="store_true", help="for programs: what the service answers")
    where = command.add_argument_group(
        "installation",
        "By default that of POSTRIDER_ENDPOINT, or else the local world's, as .local/env tells. A token is "
        "POSTRIDER_ADMIN_TOKEN, or one that azure-identity gets for --scope.",
    )
    where.add_argument("--endpoint", metavar="URL", help="in place of POSTRIDER_ENDPOINT")
    where.add_argument("--scope", metavar="SCOPE", help="what to ask a token of Entra for, such as api://APPLICATION/.default")
    where.add_argument("--subscription", metavar="ID", help="default: AZURE_SUBSCRIPTION_ID")
    where.add_argument("--resource-group", metavar="NAME", help="default: AZURE_RESOURCE_GROUP, or else any")
    if email_service:
        where.add_argument(
            "--email-service", metavar="NAME", help="the one that the domain is part of; default: the only one that fits"
        )
    if service:
        where.add_argument("--service", metavar="NAME", help="a communication service; default: the only one there is")


def add_yes(command: argparse.ArgumentParser) -> None:
    """The option that stands in for an answer."""
    command.add_argument("--yes", action="store_true", help="do not ask whether it is meant")
